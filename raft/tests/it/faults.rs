//! What a node does when it, or its disk, is wrong.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use raft::{ProposeError, ReplicaConfig, Role};

use crate::support::{
    machine::UNFIT,
    soon,
    world::{Net, World, patient},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_state_does_not_take_a_committed_entry_stops_rather_than_diverge() {
    let world = World::cluster(Net::channel(), patient(), 1).await;
    world.write("fits").await;
    let outcome = soon("an answer", world.replica(1).propose(Bytes::from_static(UNFIT))).await;
    assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{outcome:?}");

    let mut role = world.replica(1).watch_role();
    let stopped = soon("the node to stop", role.wait_for(|role| matches!(role, Role::Stopped { .. }))).await.unwrap().clone();
    let Role::Stopped { reason } = stopped else { unreachable!() };
    assert!(reason.contains("the test says so"), "{reason}");
    assert_eq!(world.memory(1).payloads(), ["fits"]);

    let refused = soon("a refusal", world.replica(1).propose(Bytes::from_static(b"more"))).await.unwrap_err();
    assert!(matches!(refused, ProposeError::Stopped(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_cannot_be_written_does_not_stop_the_node() {
    let world = World::cluster(Net::channel(), ReplicaConfig { snapshot_entries: 3, ..patient() }, 1).await;
    world.memory(1).full.store(true, Ordering::SeqCst);
    for payload in ["a", "b", "c", "d"] {
        world.write(payload).await;
    }
    assert!(world.replica(1).trigger_snapshot().await.is_err());
    let last = world.write("e").await;

    world.memory(1).full.store(false, Ordering::SeqCst);
    assert_eq!(world.replica(1).trigger_snapshot().await.unwrap(), Some(last));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_taken_after_so_many_entries() {
    let config = ReplicaConfig { snapshot_entries: 20, entries_kept: 5, ..patient() };
    let world = World::cluster(Net::channel(), config, 1).await;
    for _ in 0..30 {
        world.write("entry").await;
    }
    world.status(1, "a snapshot and a purge", |status| status.snapshot > Some(15) && status.purged > Some(5)).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_taken_after_so_many_bytes() {
    let config = ReplicaConfig { snapshot_bytes: 40 << 20, entries_kept: 0, ..patient() };
    let world = World::cluster(Net::channel(), config, 1).await;
    let before = world.replica(1).status().snapshot;
    assert_eq!(before, None);
    for _ in 0..6 {
        let proposal = world.replica(1).propose(Bytes::from(vec![1; raft::PAYLOAD_BYTES_MAX]));
        soon("a large entry to commit", proposal).await.unwrap();
    }
    world.status(1, "a snapshot", |status| status.snapshot.is_some()).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shut_down_node_says_so_to_everyone_who_asks() {
    let world = World::cluster(Net::channel(), patient(), 1).await;
    let replica = world.replica(1).clone();
    soon("the node to stop", replica.shutdown()).await;
    assert_eq!(*replica.watch_role().borrow(), Role::Stopped { reason: "stopped".to_owned() });
    assert!(matches!(replica.propose(Bytes::new()).await, Err(ProposeError::Stopped(_))));
    assert!(replica.read_barrier().await.is_err());
    assert!(replica.trigger_snapshot().await.is_err());
    assert!(replica.add_learner(9, world.member(9)).await.is_err());
    soon("to stop twice", replica.shutdown()).await;
}
