//! Keeping up with the seal of the cluster: a node says that it was unsealed, and takes a newer seal file from whoever has one.
//!
//! A node that was away while the seal changed, or that joined with an older copy, comes by the newer file here; so does whoever was left
//! when a leader died in the middle of a change.

use super::Managed;
use crate::seal::alone;
use crate::seal::rotation::submit;
use node_domain::keys::KeysUpkeep;
use std::time::Duration;

/// How often others are asked what they have.
const PERIOD: Duration = Duration::from_secs(5);
/// How long to wait before the journal is told again.
const RETRY: Duration = Duration::from_millis(200);

pub(super) async fn run(managed: Managed) {
    say_unsealed(&managed).await;
    loop {
        keep_up(&managed).await;
        tokio::time::sleep(PERIOD).await;
    }
}

async fn say_unsealed(managed: &Managed) {
    let kind = managed.rotation.holdings.custody.about().kind;
    loop {
        // Before its founding a cluster has nothing to say it to.
        if managed.door.view().state.is_founded() && has_told(managed).await {
            let upkeep = KeysUpkeep::NodeUnsealed { node: managed.door.node_id, kind: kind.clone() };
            match submit(&managed.door, "unseal", upkeep).await {
                Ok(_) => return,
                Err(status) => tracing::debug!(%status, "the journal does not know yet that this node was unsealed"),
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Whether the journal knows of every time that this node was sealed.
async fn has_told(managed: &Managed) -> bool {
    let told = alone::tell(&managed.door, &managed.data).await;
    told.inspect_err(|why| tracing::warn!(why, "the journal does not know yet that this node was sealed")).is_ok()
}

async fn keep_up(managed: &Managed) {
    let rotation = &managed.rotation;
    for member in rotation.peers.others() {
        let Ok(theirs) = rotation.peers.describe(&member).await else { continue };
        let own = rotation.holdings.custody.generation();
        if theirs.generation <= own {
            continue;
        }
        let fetched = match rotation.peers.fetch(&member).await {
            Ok((file, handover)) => rotation.holdings.adopt(file, handover).await,
            Err(why) => Err(why),
        };
        match fetched {
            Ok(generation) => tracing::info!(from = member.id, generation, "took the cluster's newer seal file"),
            Err(why) => tracing::warn!(from = member.id, why, "could not take the cluster's newer seal file"),
        }
    }
}
