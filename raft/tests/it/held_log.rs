//! The log stays for whoever still needs it, up to a bound.

use raft::ReplicaConfig;

use crate::support::world::{Net, World, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_somebody_needs_stay_although_a_snapshot_holds_them() {
    let world = World::cluster(Net::channel(), ReplicaConfig { entries_kept: 0, ..patient() }, 1).await;
    let first = world.write("a").await;
    let needed = world.write("b").await;
    let last = world.write("c").await;
    world.replica(1).hold_log(Some(needed));
    world.replica(1).trigger_snapshot().await.unwrap();
    world.status(1, "the log to be purged before what is needed", |status| status.purged == Some(first)).await;
    world.replica(1).hold_log(None);
    world.status(1, "the rest to be purged", |status| status.purged == Some(last)).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_nobody_is_waited_for() {
    let config = ReplicaConfig { entries_kept: 0, held_bytes_max: 0, ..patient() };
    let world = World::cluster(Net::channel(), config, 1).await;
    world.replica(1).hold_log(Some(1));
    let last = world.write("a").await;
    world.replica(1).trigger_snapshot().await.unwrap();
    world.status(1, "the log to be purged", |status| status.purged == Some(last)).await;
    world.finish().await;
}
