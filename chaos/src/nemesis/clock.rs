//! A clock that is minutes off. The machine's own is never touched: a debug build of the server takes an offset from its environment.

use std::time::{Duration, Instant};

use proto_client::v1;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Blow, Scene, process::name};
use crate::{
    stage::{means::CLOCK_OFFSET, node::Node},
    trouble::Trouble,
};

/// What a debug build of the server says when it took the offset, whether it leads or not.
const TAKEN: &str = "the clock of this node is off";
/// Receipts are kept for an hour of log time: no single leap comes near.
const OFFSET_MS_MAX: i64 = 5 * 60 * 1000;
/// How long a node may take to lead, while others strike.
const LEADS: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// One node comes back with another clock, and leads: only a leader's clock counts.
pub(super) async fn clock(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut node = scene.one_node(chance).await?;
    let offset_ms = chance.random_range(30_000..OFFSET_MS_MAX) * if chance.random_bool(0.5) { 1 } else { -1 };
    let before = node.log_bytes();
    node.kill().await?;
    node.variables = vec![(CLOCK_OFFSET.to_owned(), offset_ms.to_string())];
    let led = match scene.start_and_wait(&mut node).await {
        Ok(_) => lead(scene, &node, lasts).await,
        Err(trouble) => Err(trouble),
    };
    let taken = node.log_after(before).contains(TAKEN);
    node.variables.clear();
    node.kill().await?;
    let back = scene.start_and_wait(&mut node).await?;
    led?;
    if !taken {
        return Err(Trouble::unusable(name(&node), "its clock was not asked for anything"));
    }
    let (off, way) = (offset_ms.abs() / 1000, if offset_ms > 0 { "ahead" } else { "behind" });
    Ok(Blow::of(name(&node), format!("it led with a clock {off} s {way}, and {back}")))
}

/// Has a node lead for so long, and sees that it did when the time began.
async fn lead(scene: &Scene, node: &Node, lasts: Duration) -> Result<(), Trouble> {
    let deadline = Instant::now() + LEADS;
    while scene.leader().await != Some(node.place.id) {
        if Instant::now() > deadline {
            return Err(Trouble::unusable(name(node), format!("with its clock off, it did not get to lead within {LEADS:?}")));
        }
        // Refused while it lacks a part of the log, or nobody leads: asked again.
        let _ = scene.asking().cluster().transfer_leader(v1::MemberRequest { node_id: node.place.id, even_so: false }).await;
        tokio::time::sleep(ASK_AGAIN).await;
    }
    tokio::time::sleep(lasts).await;
    Ok(())
}
