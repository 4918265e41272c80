//! What a node does when it, or its disk, is wrong.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures::stream::{FuturesOrdered, StreamExt};
use raft::{ProposeError, ReplicaConfig, Role};
use storage::disk::memory::Faults;
use storage_crypto::SeededEntropy;

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
    let config = ReplicaConfig { snapshot_bytes: 16 << 20, entries_kept: 0, ..patient() };
    let world = World::cluster(Net::channel(), config, 1).await;
    let before = world.replica(1).status().snapshot;
    assert_eq!(before, None);
    for _ in 0..16 {
        let proposal = world.replica(1).propose(Bytes::from(vec![1; 1 << 20]));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_stops_the_node_and_nothing_is_acknowledged_after_it() {
    let world = World::cluster_on_memory_disks(Net::channel(), patient(), 1).await;
    world.write("durable").await;
    let faults = Faults { fail_sync_from: Some(world.disk(1).syncs() + 1), ..Faults::default() };
    world.disk(1).set_faults(faults);
    let lost = soon("an answer", world.replica(1).propose(Bytes::from_static(b"lost"))).await;
    assert!(matches!(lost, Err(ProposeError::Unknown(_))), "{lost:?}");

    let mut role = world.replica(1).watch_role();
    soon("the node to stop", role.wait_for(|role| matches!(role, Role::Stopped { .. }))).await.unwrap();
    assert!(world.replica(1).log_failure().is_some());
    assert_eq!(world.memory(1).payloads(), ["durable"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_when_all_nodes_lose_power_at_once() {
    let mut world = World::cluster_on_memory_disks(Net::channel(), patient(), 3).await;
    let (mut acknowledged, mut number) = (Vec::new(), 0_u64);
    for round in 0..4 {
        let mut leader = world.leader().await;
        let mut waiting = FuturesOrdered::new();
        while acknowledged.len() < 40 * (round + 1) {
            while waiting.len() < 16 {
                let payload = Bytes::from(number.to_string());
                number += 1;
                let proposal = world.replica(leader).propose(payload.clone());
                waiting.push_back(async move { proposal.await.map(|_| payload) });
            }
            let answer = soon("an answer", waiting.next()).await.unwrap();
            match answer {
                Ok(payload) => acknowledged.push(payload),
                Err(_) => leader = world.leader().await,
            }
        }
        // With sixteen on their way.
        for id in world.ids() {
            world.disk(id).cut_power(&SeededEntropy::new(round as u64 * 10 + id));
        }
        drop(waiting);
        for id in world.ids() {
            world.stop(id).await;
        }
        for id in 1..=3 {
            world.start(id).await;
        }
        world.write("settled").await;
        acknowledged.push(Bytes::from_static(b"settled"));
    }
    let last = world.write("end").await;
    for id in world.ids() {
        world.applied(id, last).await;
        let payloads = world.memory(id).payloads();
        let mut rest = payloads.iter();
        for payload in &acknowledged {
            assert!(rest.any(|held| held == payload), "node {id} lost {payload:?}, or holds it out of order");
        }
        assert_eq!(payloads, world.memory(1).payloads(), "node {id} differs from node 1");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_follower_holds_nobody_up() {
    let net = Net::channel();
    let world = World::cluster(net, patient(), 3).await;
    let leader = world.leader().await;
    let [slow, _] = world.others(leader)[..] else { panic!("three nodes") };
    let Net::Channel(hub) = &world.net else { unreachable!() };
    let delay = Duration::from_millis(200);
    hub.delay(leader, slow, delay);
    let started = tokio::time::Instant::now();
    let mut last = 0;
    for _ in 0..10 {
        last = world.write_at(leader, "entry").await;
    }
    assert!(started.elapsed() < 10 * delay, "{:?}", started.elapsed());
    world.applied(slow, last).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_hangs_makes_way_and_follows_when_it_writes_again() {
    let config = ReplicaConfig { disk_stall: Duration::from_millis(300), ..patient() };
    let world = World::cluster_on_memory_disks(Net::channel(), config, 3).await;
    let leader = world.leader().await;
    world.write_at(leader, "before").await;

    world.disk(leader).set_faults(Faults { hang_syncs: true, ..Faults::default() });
    let hanging = world.replica(leader).propose(Bytes::from_static(b"under way"));
    let mut stalled = world.replica(leader).watch_stalled();
    soon("the leader to notice", stalled.wait_for(|stalled| *stalled)).await.unwrap();
    let next = world.leader_among(&world.others(leader)).await;
    world.write_at(next, "after").await;

    world.disk(leader).set_faults(Faults::default());
    soon("the disk to write", stalled.wait_for(|stalled| !*stalled)).await.unwrap();
    // The others had the entry, or they did not: either is an answer.
    drop(soon("an answer to what was under way", hanging).await);
    let last = world.write("last").await;
    for id in world.ids() {
        world.applied(id, last).await;
        assert_eq!(world.memory(id).payloads(), world.memory(next).payloads(), "node {id} differs");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_is_not_asked_a_thousand_times_a_second() {
    let mut world = World::cluster(Net::grpc(), patient(), 3).await;
    let leader = world.leader().await;
    let away = world.others(leader)[0];
    let Net::Grpc { links, .. } = &world.net else { unreachable!() };
    let links = links.clone();
    links.leave(away);
    world.stop(away).await;
    // What lies before the leader noticed does not count.
    world.write_at(leader, "without it").await;
    let before = links.dials();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let dials = links.dials() - before;
    // Ten heartbeats and five streams a second, and some for votes.
    assert!(dials < 100, "{dials} connections tried in two seconds");

    links.come_back(away);
    world.start(away).await;
    let last = world.write_at(leader, "with it").await;
    world.applied(away, last).await;
    world.finish().await;
}
