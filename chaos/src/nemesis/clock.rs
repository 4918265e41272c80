//! A clock that is minutes off. The machine's own is never touched: a debug build of the server takes an offset from its environment.

use std::time::Duration;

use proto_client::v1;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Blow, Scene, process::name};
use crate::{stage::means::CLOCK_OFFSET, trouble::Trouble};

/// What a debug build of the server says when it took the offset.
const NOTICED: &str = "the clock of this node is off";
/// Receipts are kept for an hour of log time: no single leap comes near.
const OFFSET_MS_MAX: i64 = 5 * 60 * 1000;

/// One node comes back with another clock, and leads.
pub(super) async fn clock(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut node = scene.one_node(chance).await?;
    let offset_ms = chance.random_range(30_000..OFFSET_MS_MAX) * if chance.random_bool(0.5) { 1 } else { -1 };
    let before = node.log_bytes();
    node.kill().await?;
    node.variables = vec![(CLOCK_OFFSET.to_owned(), offset_ms.to_string())];
    let started = scene.start_and_wait(&mut node).await;
    if started.is_ok() {
        // Only a leader's clock counts; that it does not get to lead shows in the log that is looked at below.
        let _ = scene.asking().cluster().transfer_leader(v1::MemberRequest { node_id: node.place.id, even_so: false }).await;
        tokio::time::sleep(lasts).await;
    }
    let noticed = node.log_after(before).contains(NOTICED);
    node.variables.clear();
    node.kill().await?;
    scene.start_and_wait(&mut node).await?;
    started?;
    if !noticed {
        return Err(Trouble::unusable(name(&node), "its clock was not asked for anything"));
    }
    Ok(Blow::of(
        name(&node),
        format!("it stamped records {} s {}", offset_ms.abs() / 1000, if offset_ms > 0 { "ahead" } else { "behind" }),
    ))
}
