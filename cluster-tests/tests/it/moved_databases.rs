//! Databases of a stopped node swapped, put back, or taken from another node: they are found and built anew, and no value is ever wrong.

use cluster_tests::processes::{ProcessCluster, copy_directory};
use proto::v1;
use proto_client::Client;
use std::path::PathBuf;
use std::time::Duration;

const ENVIRONMENTS: [&str; 2] = ["production", "staging"];
const SECRETS: usize = 20;
/// The node whose databases are moved.
const NODE: usize = 0;

fn database(cluster: &ProcessCluster, node: usize, environment: &str) -> PathBuf {
    cluster.home(node).join("data/state").join(environment)
}

fn text(environment: &str, number: usize, round: u32) -> Vec<u8> {
    format!("{environment} {number} of round {round}").into_bytes()
}

async fn put_all(client: &Client, round: u32) {
    for environment in ENVIRONMENTS {
        for number in 0..SECRETS {
            let request = v1::PutRequest {
                environment: environment.into(),
                path: format!("app/{number}"),
                value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(text(environment, number, round).into())) }),
                ..Default::default()
            };
            client.secrets().put(request).await.unwrap();
        }
    }
}

/// What the moved node itself answers, from its own databases.
async fn every_value_is_of(cluster: &ProcessCluster, round: u32) {
    let client = cluster.client(Some(NODE)).await;
    for environment in ENVIRONMENTS {
        for number in 0..SECRETS {
            let path = format!("app/{number}");
            let request = v1::GetRequest { environment: environment.into(), path, ..Default::default() };
            let value = client.secrets().get(request).await.unwrap().value.and_then(|value| value.kind);
            assert_eq!(value, Some(v1::value::Kind::Bytes(text(environment, number, round).into())));
        }
    }
}

fn stop(cluster: &mut ProcessCluster, node: usize) {
    cluster.signal(node, libc::SIGTERM);
    assert_eq!(cluster.wait_ended(node, Duration::from_secs(30)), Some(0));
}

/// Stops the node, has its databases moved, and starts it again; what it says at its start.
async fn moved(cluster: &mut ProcessCluster, change: impl FnOnce(&ProcessCluster)) -> String {
    let before = std::fs::read_to_string(cluster.log(NODE)).unwrap().len();
    stop(cluster, NODE);
    change(cluster);
    cluster.start(NODE);
    cluster.ready().await;
    std::fs::read_to_string(cluster.log(NODE)).unwrap()[before..].to_owned()
}

fn replace(from: &std::path::Path, to: &std::path::Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy_directory(from, to);
}

fn swap_environments(cluster: &ProcessCluster) {
    let [one, other] = ENVIRONMENTS.map(|environment| database(cluster, NODE, environment));
    let aside = one.with_extension("aside");
    std::fs::rename(&one, &aside).unwrap();
    std::fs::rename(&other, &one).unwrap();
    std::fs::rename(&aside, &other).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_were_moved_are_built_anew_and_no_value_is_ever_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    // Nothing of a value stays in memory: what is answered comes from the databases.
    cluster.set("storage.value_cache_bytes=0");
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    put_all(&client, 1).await;
    // Without a snapshot the log writes every row again.
    moved(&mut cluster, swap_environments).await;
    every_value_is_of(&cluster, 1).await;

    for node in 0..cluster.len() {
        cluster.client(Some(node)).await.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
    }
    let log = moved(&mut cluster, swap_environments).await;
    assert!(log.contains("rebuilding it"), "{log}");
    every_value_is_of(&cluster, 1).await;

    // An older copy of one database, put back after newer versions and a newer snapshot.
    let copy = directory.path().join("older");
    moved(&mut cluster, |cluster| copy_directory(&database(cluster, NODE, "production"), &copy)).await;
    put_all(&client, 2).await;
    every_value_is_of(&cluster, 2).await;
    cluster.client(Some(NODE)).await.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
    let log = moved(&mut cluster, |cluster| replace(&copy, &database(cluster, NODE, "production"))).await;
    assert!(log.contains("rebuilding it"), "{log}");
    every_value_is_of(&cluster, 2).await;

    // A database of another node.
    let other = directory.path().join("another");
    stop(&mut cluster, 1);
    copy_directory(&database(&cluster, 1, "production"), &other);
    cluster.start(1);
    cluster.ready().await;
    let log = moved(&mut cluster, |cluster| replace(&other, &database(cluster, NODE, "production"))).await;
    assert!(log.contains("rebuilding it"), "{log}");
    every_value_is_of(&cluster, 2).await;
}
