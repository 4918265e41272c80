//! Throughput and outages, with bounds that hold on any machine; the figures themselves are printed.
//!
//! `HOLDFAST_FIGURES=20 cargo test -p raft --release --test it figures -- --nocapture --test-threads 1` measures twenty times as long.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use raft::{ProposeError, Replica, ReplicaConfig};

use crate::support::world::{Net, World, patient};

const PAYLOAD_BYTES: usize = 256;
/// No outage may last longer, on the busiest machine.
const OUTAGE_MAX: Duration = Duration::from_secs(10);

/// How many times longer than a quick look.
fn length() -> u32 {
    std::env::var("HOLDFAST_FIGURES").ok().and_then(|length| length.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throughput_and_latency_by_proposals_in_flight() {
    for (name, net) in [("channels", Net::channel()), ("grpc", Net::grpc())] {
        // Other tests run beside this one: a leader that is kept from the processor for a moment must not count as one without a quorum.
        let world = World::cluster(net, patient(), 3).await;
        let leader = world.leader().await;
        world.write_at(leader, "the first connects").await;
        for in_flight in [1, 16, 128, 512] {
            let (rate, p50, p99) = load(world.replica(leader), in_flight, Duration::from_millis(200) * length()).await;
            assert!(rate > 1.0, "{name}: {rate} proposals a second");
            println!("{name}: {in_flight} in flight: {rate:.0}/s, p50 {p50:?}, p99 {p99:?}");
        }
        world.finish().await;
    }
}

/// Keeps `in_flight` proposals on their way for `time`.
async fn load(replica: &Replica, in_flight: usize, time: Duration) -> (f64, Duration, Duration) {
    let payload = Bytes::from(vec![1; PAYLOAD_BYTES]);
    let timed = || {
        let (started, proposal) = (Instant::now(), replica.propose(payload.clone()));
        async move { proposal.await.map(|_| started.elapsed()) }
    };
    let mut waiting: FuturesUnordered<_> = (0..in_flight).map(|_| timed()).collect();
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        latencies.push(waiting.next().await.unwrap().unwrap());
        waiting.push(timed());
    }
    latencies.sort();
    let at = |part: usize| latencies[latencies.len() * part / 100];
    (latencies.len() as f64 / started.elapsed().as_secs_f64(), at(50), at(99))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_without_a_leader() {
    let mut world = World::cluster(Net::grpc(), ReplicaConfig::default(), 3).await;
    let mut outages = Vec::new();
    for _ in 0..length() {
        let leader = world.leader().await;
        let others = world.others(leader);
        world.net.isolate(leader, &others);
        outages.push(next_write(&world, &others).await);
        world.net.heal();
        let last = world.write("settled").await;
        world.applied(leader, last).await;
    }
    outages.sort();
    assert!(outages.iter().all(|outage| *outage < OUTAGE_MAX), "{outages:?}");
    println!("isolated leader: p50 {:?}, max {:?}", outages[outages.len() / 2], outages.last().unwrap());

    let mut hand_overs = Vec::new();
    for _ in 0..length() {
        let leader = world.leader().await;
        let to = world.others(leader)[0];
        let started = Instant::now();
        world.replica(leader).transfer_leader(to).await.unwrap();
        next_write(&world, &[to]).await;
        hand_overs.push(started.elapsed());
    }
    hand_overs.sort();
    assert!(hand_overs.iter().all(|outage| *outage < OUTAGE_MAX), "{hand_overs:?}");
    println!("handed over: p50 {:?}, max {:?}", hand_overs[hand_overs.len() / 2], hand_overs.last().unwrap());

    let leader = world.leader().await;
    let (started, others) = (Instant::now(), world.others(leader));
    world.stop(leader).await;
    let stopped = started.elapsed();
    next_write(&world, &others).await;
    println!("stopped leader: stopping {stopped:?}, next write {:?} after the start of it", started.elapsed());
    world.finish().await;
}

/// How long until one of `ids` acknowledges a write.
async fn next_write(world: &World, ids: &[u64]) -> Duration {
    let started = Instant::now();
    loop {
        for id in ids {
            match world.replica(*id).propose(Bytes::from_static(b"next")).await {
                Ok(_) => return started.elapsed(),
                Err(ProposeError::NotLeader { .. } | ProposeError::NoQuorum) => {}
                Err(other) => panic!("{other}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
