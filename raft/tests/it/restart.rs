//! A node that starts again stands where it stood.

use raft::ReplicaConfig;

use crate::support::world::{Net, World, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restarts_from_its_log_alone() {
    let mut world = World::cluster(Net::channel(), patient(), 1).await;
    world.write("a").await;
    world.write("b").await;
    world.stop(1).await;

    world.start(1).await;
    let last = world.write("c").await;
    world.all_hold(last, &["a", "b", "c"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restarts_from_a_snapshot_and_the_log_after_it() {
    let mut world = World::cluster(Net::channel(), ReplicaConfig { entries_kept: 0, ..patient() }, 1).await;
    world.write("a").await;
    let snapshot = world.write("b").await;
    assert_eq!(world.replica(1).trigger_snapshot().await.unwrap(), Some(snapshot));
    world.status(1, "the log to be purged", |status| status.purged == Some(snapshot)).await;
    world.write("c").await;
    world.stop(1).await;

    world.start(1).await;
    assert_eq!(world.replica(1).status().snapshot, Some(snapshot));
    assert_eq!(world.replica(1).members().len(), 1);
    let last = world.write("d").await;
    world.all_hold(last, &["a", "b", "c", "d"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_cluster_restarts_and_goes_on() {
    let mut world = World::cluster(Net::grpc(), patient(), 3).await;
    world.write("a").await;
    let leader = world.leader().await;
    world.replica(leader).trigger_snapshot().await.unwrap();
    world.write("b").await;
    for id in world.ids() {
        world.stop(id).await;
    }
    for id in 1..=3 {
        world.start(id).await;
    }
    let last = world.write("c").await;
    world.all_hold(last, &["a", "b", "c"]).await;
    world.finish().await;
}
