//! Founding a cluster, at the node that carries what it starts from.

use super::opening::Local;
use super::{Ambient, BootError, failed};
use crate::api::door::Door;
use crate::bootstrap::Bootstrap;
use crate::config::Config;
use node_domain::Command;
use raft::Replica;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long one try to found the cluster may take.
const FOUNDING: Duration = Duration::from_secs(5);

/// Where the kit left a bootstrap, founds the cluster: tells the members who they are, and has the first record made.
pub(super) fn found_if_new(
    config: &Config,
    ambient: &Ambient,
    local: &Local,
    replica: &Replica,
    door: &Arc<Door>,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) -> Result<(), BootError> {
    let data = config.node.data.clone();
    let bootstrap = Bootstrap::read(&data, &local.owner.cluster, &local.identity_key).map_err(failed("read the bootstrap"))?;
    let Some(bootstrap) = bootstrap else { return Ok(()) };
    let (replica, door, disk, stop) = (replica.clone(), door.clone(), ambient.disk.clone(), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            founded = found(&replica, &door, bootstrap) => {
                founded?;
                Bootstrap::use_up(&*disk, &data).map_err(|error| format!("use up the bootstrap: {error}"))
            }
        }
    });
    Ok(())
}

async fn found(replica: &Replica, door: &Door, bootstrap: Bootstrap) -> Result<(), String> {
    match replica.initialize(bootstrap.members).await {
        // A node that stopped halfway goes on from here.
        Ok(()) | Err(raft::MembershipError::AlreadyFounded) => {}
        Err(error) => return Err(format!("found the cluster: {error}")),
    }
    loop {
        let command = Command::Found(Box::new(bootstrap.founding.clone()));
        match door.submit_own("kit", command, FOUNDING).await {
            // A refusal says that it was founded before: by this node, before it stopped halfway.
            Ok((decided, _)) => {
                tracing::info!(index = decided.index, founded = decided.answer.is_ok(), "the cluster is founded");
                return Ok(());
            }
            Err(lost) => tracing::info!(%lost, "waiting for a quorum to found the cluster"),
        }
    }
}
