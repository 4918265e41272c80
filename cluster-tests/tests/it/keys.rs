//! Keys that rotate under load, with nodes killed at every step: every value is readable before, during and after.

use cluster_tests::checks::{all_nodes_agree, the_journal_verifies};
use cluster_tests::processes::{ProcessCluster, READY};
use proto::v1;
use proto_client::Client;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ENVIRONMENT: &str = "production";
const VALUES: usize = 120;
/// Every point at which a rotation can be cut off.
const ROOT_POINTS: [&str; 5] = [
    "rotate-root: drawn",
    "seal file: handed to 1",
    "seal file: handed to 2",
    "rotate-root: handed to all",
    "rotate-root: counts",
];
const REWRAP_POINTS: [&str; 3] = ["rewrap: gathered", "rewrap: committed", "rewrap: retiring"];

fn path(number: usize) -> String {
    format!("app/secret-{number}")
}

fn text(number: usize) -> Vec<u8> {
    format!("the value of secret {number}").into_bytes()
}

async fn filled(directory: &std::path::Path) -> ProcessCluster {
    let mut cluster = ProcessCluster::prepare(directory, 3);
    cluster.set("keys.retire_after_ms=0");
    // Slow enough that a rotation can be met halfway.
    cluster.set("keys.rewrap_per_second=400");
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    for number in 0..VALUES {
        let request = v1::PutRequest {
            environment: ENVIRONMENT.into(),
            path: path(number),
            value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(text(number).into())) }),
            ..Default::default()
        };
        client.secrets().put(request).await.unwrap();
    }
    cluster
}

async fn read(client: &Client, number: usize) -> Result<Vec<u8>, String> {
    let request = v1::GetRequest { environment: ENVIRONMENT.into(), path: path(number), ..Default::default() };
    let answer = client.secrets().get(request).await.map_err(|error| format!("{:?}: {}", error.code, error.message))?;
    match answer.value.and_then(|value| value.kind) {
        Some(v1::value::Kind::Bytes(bytes)) => Ok(bytes.to_vec()),
        _ => Err("no bytes".into()),
    }
}

/// Every value, from every node.
async fn everything_is_readable(cluster: &ProcessCluster) {
    for node in 0..cluster.len() {
        let client = cluster.client(Some(node)).await;
        for number in 0..VALUES {
            assert_eq!(read(&client, number).await, Ok(text(number)), "secret {number} from node {}", node + 1);
        }
    }
}

/// Readers that never stop: whatever they are answered with must be the value.
struct Readers {
    stop: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Readers {
    async fn start(cluster: &ProcessCluster) -> Readers {
        let (stop, read_count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for reader in 0..4 {
            let (client, stop, count) = (cluster.client(None).await, stop.clone(), read_count.clone());
            tasks.push(tokio::spawn(async move {
                let mut number = reader;
                while !stop.load(Ordering::Relaxed) {
                    number = (number + 7) % VALUES;
                    match read(&client, number).await {
                        Ok(value) => {
                            assert_eq!(value, text(number));
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        // Nodes are killed: nobody may answer for a while, but nobody may answer wrongly.
                        Err(why) => assert!(why.starts_with("Unavailable") || why.starts_with("Deadline"), "{why}"),
                    }
                }
            }));
        }
        Readers { stop, read: read_count, tasks }
    }

    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.read.load(Ordering::Relaxed)
    }
}

async fn key_versions(client: &Client) -> Vec<(u32, u64)> {
    let status = client.keys().status(v1::KeyStatusRequest {}).await.unwrap();
    let environment = status.environments.into_iter().find(|environment| environment.name == ENVIRONMENT).unwrap();
    environment.versions.into_iter().map(|version| (version.version, version.values)).collect()
}

async fn only_version(client: &Client, wanted: u32) {
    let deadline = Instant::now() + READY;
    loop {
        let versions = key_versions(client).await;
        if versions == [(wanted, VALUES as u64)] {
            return;
        }
        assert!(Instant::now() < deadline, "the rotation does not end: {versions:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn the_journals_verify(cluster: &ProcessCluster) {
    let mut clients = Vec::new();
    for node in 0..cluster.len() {
        clients.push(cluster.client(Some(node)).await);
    }
    all_nodes_agree(&clients).await;
    for client in &clients {
        the_journal_verifies(client).await;
    }
}

fn rotate_key() -> v1::RotateKeyRequest {
    v1::RotateKeyRequest { environment: ENVIRONMENT.into(), system: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environments_key_rotates_under_reads_while_leaders_and_whole_clusters_are_killed() {
    let seed = std::env::var("HOLDFAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed} (HOLDFAST_TEST_SEED replays the instants)");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = filled(directory.path()).await;
    let readers = Readers::start(&cluster).await;
    for round in 0..4 {
        let leader = cluster.ready().await;
        let client = cluster.client(None).await;
        let version = client.keys().rotate(rotate_key()).await.unwrap().version;
        assert_eq!(version, round + 2);
        tokio::time::sleep(Duration::from_millis(chance.random_range(300..1100))).await;
        if round % 2 == 0 {
            cluster.kill(leader);
        } else {
            cluster.kill_all();
        }
        cluster.start_all();
        cluster.ready().await;
        only_version(&client, version).await;
    }
    let read = readers.finish().await;
    println!("{read} reads answered, all of them right");
    assert!(read > 100, "the readers did read");
    everything_is_readable(&cluster).await;
    the_journals_verify(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_an_environments_key_cut_off_at_every_step_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = filled(directory.path()).await;
    for (round, point) in REWRAP_POINTS.into_iter().enumerate() {
        cluster.kill_all();
        cluster.set_variable("HOLDFAST_FAULT", Some(point));
        cluster.start_all();
        cluster.ready().await;
        cluster.client(None).await.keys().rotate(rotate_key()).await.unwrap();
        at_least_one_ended(&mut cluster, point).await;
        cluster.kill_all();
        cluster.set_variable("HOLDFAST_FAULT", None);
        cluster.start_all();
        cluster.ready().await;
        everything_is_readable(&cluster).await;
        only_version(&cluster.client(None).await, round as u32 + 2).await;
        everything_is_readable(&cluster).await;
    }
    the_journals_verify(&cluster).await;
}

async fn at_least_one_ended(cluster: &mut ProcessCluster, point: &str) {
    let deadline = Instant::now() + READY;
    while cluster.ended().is_empty() {
        assert!(Instant::now() < deadline, "no node came to {point:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_the_root_key_cut_off_at_every_step_loses_nothing_and_can_be_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = filled(directory.path()).await;
    let mut root = 1;
    for point in ROOT_POINTS {
        cluster.kill_all();
        cluster.set_variable("HOLDFAST_FAULT", Some(point));
        cluster.start_all();
        cluster.ready().await;
        let client = cluster.client(None).await;
        // A client asks again when its node dies, and the next leader dies too: in the end nobody is left to answer.
        let hasty = client.with_timeout(Duration::from_secs(3));
        let deadline = Instant::now() + READY;
        hasty.keys().rotate_root(v1::RotateRootRequest {}).await.unwrap_err();
        // On a busy machine its time may be up before anybody comes so far.
        while cluster.ended().is_empty() {
            assert!(Instant::now() < deadline, "no node came to {point:?}");
            let _ = hasty.keys().rotate_root(v1::RotateRootRequest {}).await;
        }
        cluster.kill_all();
        cluster.set_variable("HOLDFAST_FAULT", None);
        cluster.start_all();
        cluster.ready().await;
        everything_is_readable(&cluster).await;
        let counts = client.keys().status(v1::KeyStatusRequest {}).await.unwrap().root_version;
        assert!(counts >= root, "the root key went back");
        let rotated = client.keys().rotate_root(v1::RotateRootRequest {}).await.unwrap().version;
        assert!(rotated > counts, "{point}: v{counts}, then v{rotated}");
        root = rotated;
        everything_is_readable(&cluster).await;
    }
    the_journals_verify(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_from_before_a_new_root_key_open_after_it_and_hold_the_old_one_until_they_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = filled(directory.path()).await;
    let client = cluster.client(None).await;
    for node in 0..cluster.len() {
        cluster.client(Some(node)).await.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
    }
    assert_eq!(client.keys().rotate_root(v1::RotateRootRequest {}).await.unwrap().version, 2);
    let dropped = client.keys().drop_roots(v1::DropRootsRequest {}).await.unwrap();
    assert!(dropped.dropped.is_empty() && dropped.kept[0].contains("a snapshot on node"), "{dropped:?}");
    cluster.kill_all();
    cluster.start_all();
    cluster.ready().await;
    everything_is_readable(&cluster).await;
    // Two are kept: after two more the older ones are gone.
    for _ in 0..2 {
        client.keys().rotate(v1::RotateKeyRequest { environment: String::new(), system: true }).await.unwrap();
        for node in 0..cluster.len() {
            cluster.client(Some(node)).await.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
        }
    }
    let dropped = client.keys().drop_roots(v1::DropRootsRequest {}).await.unwrap();
    assert_eq!((dropped.dropped, dropped.kept), (vec![1], Vec::new()));
    cluster.kill_all();
    cluster.start_all();
    cluster.ready().await;
    everything_is_readable(&cluster).await;
    the_journals_verify(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_key_does_not_rotate_without_every_member_and_says_who_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = filled(directory.path()).await;
    let leader = cluster.ready().await;
    let away = (leader + 1) % cluster.len();
    cluster.kill(away);
    let client = cluster.client(None).await;
    let refused = client.keys().rotate_root(v1::RotateRootRequest {}).await.unwrap_err();
    assert!(refused.message.contains(&format!("node {}", away + 1)), "{}", refused.message);
    assert_eq!(client.keys().status(v1::KeyStatusRequest {}).await.unwrap().root_version, 1);
    cluster.start(away);
    cluster.ready().await;
    assert_eq!(client.keys().rotate_root(v1::RotateRootRequest {}).await.unwrap().version, 2);
    everything_is_readable(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_environment_is_sealed_on_every_node_for_everybody_until_it_is_unsealed() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = filled(directory.path()).await;
    let client = cluster.client(None).await;
    let request = v1::SealEnvironmentRequest { environment: ENVIRONMENT.into() };
    client.keys().seal_environment(request.clone()).await.unwrap();
    for _ in 0..2 {
        for node in 0..cluster.len() {
            let refused = read(&cluster.client(Some(node)).await, 1).await.unwrap_err();
            assert!(refused.contains("environment production is sealed"), "{refused}");
        }
        // The seal outlives every process.
        cluster.kill_all();
        cluster.start_all();
        cluster.ready().await;
    }
    client.keys().rotate_root(v1::RotateRootRequest {}).await.unwrap();
    client.keys().unseal_environment(request).await.unwrap();
    everything_is_readable(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_one_node_put_back_to_before_a_rotation_comes_up_to_the_newer_keys() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = filled(directory.path()).await;
    let leader = cluster.ready().await;
    let node = (leader + 1) % cluster.len();
    let copy = directory.path().join("older");
    cluster.kill_all();
    copy_all(&cluster.home(node), &copy);
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    client.keys().rotate_root(v1::RotateRootRequest {}).await.unwrap();
    let version = client.keys().rotate(rotate_key()).await.unwrap().version;
    only_version(&client, version).await;
    // Everybody has everything: what the older disk forgot is on both others.
    the_journals_verify(&cluster).await;
    cluster.kill_all();
    std::fs::remove_dir_all(cluster.home(node)).unwrap();
    copy_all(&copy, &cluster.home(node));
    cluster.start_all();
    cluster.ready().await;
    everything_is_readable(&cluster).await;
    the_journals_verify(&cluster).await;
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
