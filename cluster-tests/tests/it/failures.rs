//! Nodes killed, and disks cut from power, under load.

use cluster_tests::checks::everything_holds;
use cluster_tests::disks::LoopDisk;
use cluster_tests::processes::ProcessCluster;
use cluster_tests::workload::{History, Workload};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

const WRITERS: usize = 6;
const READERS: usize = 6;

fn rounds(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

fn seed() -> u64 {
    let seed = std::env::var("HOLDFAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed} (HOLDFAST_TEST_SEED replays the instants)");
    seed
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_leader_under_load_loses_no_acknowledged_write_and_no_record_of_a_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    let mut leader = cluster.ready().await;
    let client = cluster.client(None).await;
    let mut history = History::default();
    for _ in 0..rounds("HOLDFAST_LEADER_KILLS", 3) {
        let workload = Workload::start(&[client.clone(), cluster.client(None).await], WRITERS, READERS, history);
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.kill(leader);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        cluster.start(leader);
        leader = cluster.ready().await;
        history = workload.finish().await;
    }
    println!("{} acknowledged writes, {} answered reads", history.acknowledged(), history.reads.len());
    assert!(history.acknowledged() > 50 && history.reads.len() > 50, "the workload did work");
    everything_holds(&cluster, &history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_all_nodes_at_once_loses_nothing_acknowledged() {
    let mut chance = ChaCha8Rng::seed_from_u64(seed());
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    let mut history = History::default();
    let kills = rounds("HOLDFAST_KILLS", 20);
    for _ in 0..kills {
        cluster.start_all();
        cluster.ready().await;
        let workload = Workload::start(&[cluster.client(None).await], WRITERS, READERS, history);
        tokio::time::sleep(Duration::from_millis(chance.random_range(50..900))).await;
        cluster.kill_all();
        history = workload.so_far();
        workload.abandon();
    }
    cluster.start_all();
    cluster.ready().await;
    println!("{kills} kills of all: {} acknowledged writes, {} answered reads", history.acknowledged(), history.reads.len());
    assert!(history.acknowledged() > 50, "the workload did work");
    everything_holds(&cluster, &history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cutting_the_power_of_all_disks_at_once_loses_nothing_acknowledged() {
    let mut chance = ChaCha8Rng::seed_from_u64(seed());
    let directory = tempfile::tempdir().unwrap();
    let mut disks = Vec::new();
    for node in 0..3 {
        match LoopDisk::create(directory.path(), &format!("disk{node}"), 512) {
            Ok(disk) => disks.push(disk),
            Err(reason) => {
                println!("SKIPPED: no loop-mounted disk here ({reason}); this test needs root and loop devices");
                return;
            }
        }
    }
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.set("storage.segment_bytes=2097152");
    // Small enough that snapshots and purges happen while the power goes.
    cluster.set("replication.snapshot_entries=400");
    cluster.set("replication.entries_kept=50");
    for (node, disk) in disks.iter().enumerate() {
        cluster.move_data(node, &disk.path().join("data"));
    }
    let mut history = History::default();
    let cuts = rounds("HOLDFAST_POWER_CUTS", 20);
    for _ in 0..cuts {
        cluster.start_all();
        cluster.ready().await;
        let workload = Workload::start(&[cluster.client(None).await], WRITERS, READERS, history);
        tokio::time::sleep(Duration::from_millis(chance.random_range(50..900))).await;
        // Before the first cut: an fdatasync under way while the file system dies may still report success.
        history = workload.so_far();
        for disk in &disks {
            disk.cut_power().unwrap();
        }
        cluster.kill_all();
        merge_tries(&mut history, &workload.so_far());
        workload.abandon();
        for disk in &disks {
            disk.unmount().unwrap();
            disk.mount().unwrap();
        }
    }
    cluster.start_all();
    cluster.ready().await;
    println!("{cuts} power cuts of all: {} acknowledged writes, {} answered reads", history.acknowledged(), history.reads.len());
    assert!(history.acknowledged() > 50, "the workload did work");
    everything_holds(&cluster, &history).await;
    cluster.kill_all();
}

/// Writes that were tried after the acknowledgements were taken count as tried: they may have happened.
fn merge_tries(history: &mut History, later: &History) {
    for (writes, later) in history.writes.iter_mut().zip(&later.writes) {
        for write in &later[writes.len()..] {
            writes.push(cluster_tests::workload::Write { version: None, ..write.clone() });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_answers_what_is_under_way_and_hands_leadership_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    let leader = cluster.ready().await;
    let workload = Workload::start(&[cluster.client(None).await], WRITERS, READERS, History::default());
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.signal(leader, libc::SIGTERM);
    assert_eq!(cluster.wait_ended(leader, Duration::from_secs(20)), Some(0), "a stop that was asked for ends well");
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.start(leader);
    cluster.ready().await;
    let history = workload.finish().await;
    let lost = history.writes.iter().flatten().filter(|write| write.version.is_none()).count();
    assert_eq!(lost, 0, "every write was acknowledged after retries");
    everything_holds(&cluster, &history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_after_a_snapshot_that_ends_with_reads_rebuilds_no_database() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    cluster.start_all();
    cluster.ready().await;
    let workload = Workload::start(&[cluster.client(None).await], 1, 1, History::default());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let history = workload.finish().await;
    let client = cluster.client(None).await;
    for _ in 0..3 {
        client.cluster().status(proto::v1::StatusRequest {}).await.unwrap();
    }
    client.cluster().trigger_snapshot(proto::v1::TriggerSnapshotRequest {}).await.unwrap();
    cluster.kill(0);
    cluster.start(0);
    cluster.ready().await;
    let log = std::fs::read_to_string(cluster.log(0)).unwrap();
    assert!(!log.contains("rebuilding it"), "{log}");
    everything_holds(&cluster, &history).await;
}
