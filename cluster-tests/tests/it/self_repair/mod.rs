//! Damage on one node's disk: what can be had from the others comes back by itself, what cannot keeps the node out, and nobody is ever
//! given a wrong value.

mod apart;
mod bits;
mod databases;
mod files;
mod scrub;
mod values;

use cluster_tests::checks::{all_nodes_agree, the_journal_verifies};
use cluster_tests::processes::ProcessCluster;
use cluster_tests::waiting::until;
use proto::v1;
use proto_client::Client;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ENVIRONMENT: &str = "development";
/// How long a repair may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three nodes that snapshot often and keep a short log, so that every kind of file has something in it.
async fn cluster(directory: &Path) -> ProcessCluster {
    let mut cluster = ProcessCluster::prepare(directory, 3);
    cluster.set("storage.segment_bytes=1048576");
    cluster.set("replication.entries_kept=20");
    cluster.start_all();
    cluster.ready().await;
    cluster
}

fn value(number: usize) -> String {
    format!("value {number} {}", "x".repeat(number * 37 % 900))
}

async fn put_all(client: &Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let put = v1::PutRequest {
            environment: ENVIRONMENT.into(),
            path: format!("app/{number}"),
            value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(value(number).into_bytes().into())) }),
            expect: None,
            metadata: None,
        };
        client.secrets().put(put).await.expect("the cluster takes a write");
    }
}

async fn get(client: &Client, number: usize) -> String {
    let get = v1::GetRequest { environment: ENVIRONMENT.into(), path: format!("app/{number}"), version: 0 };
    match client.secrets().get(get).await.expect("a value is answered").value.and_then(|value| value.kind) {
        Some(v1::value::Kind::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// Every value is what was put.
async fn every_value_is_right(client: &Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(get(client, number).await, value(number), "app/{number}");
    }
}

/// Snapshots on every node, so that the logs are purged and the rows of values lie in the databases alone.
async fn snapshot_all(cluster: &ProcessCluster) {
    for node in 0..cluster.len() {
        let taken = cluster.client(Some(node)).await.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await;
        assert!(taken.expect("a node takes a snapshot").index > 0);
    }
}

/// The files of one kind in a node's data, sorted.
fn files(cluster: &ProcessCluster, node: usize, kind: &str, extension: &str) -> Vec<PathBuf> {
    let directory = cluster.home(node).join("data").join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// Flips one bit in each of `places`.
fn flip(file: &Path, places: impl IntoIterator<Item = usize>) {
    let mut bytes = std::fs::read(file).unwrap();
    for at in places {
        bytes[at] ^= 1 << (at % 8);
    }
    std::fs::write(file, bytes).unwrap();
}

/// How much of a pre-written file holds something.
fn used(file: &Path) -> usize {
    let bytes = std::fs::read(file).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Operations on the journal that say something of a repair: `repair.began node-2`, oldest first.
async fn repairs(client: &Client) -> Vec<String> {
    let mut found = Vec::new();
    for operation in ["repair.began", "repair.done", "repair.failed"] {
        let query = v1::QueryRequest { operation: operation.into(), oldest_first: true, ..Default::default() };
        let mut records = client.audit().query(query).await.unwrap();
        while let Some(record) = futures::StreamExt::next(&mut records).await {
            let record = record.unwrap();
            assert_eq!(record.actor, "holdfast");
            found.push(format!("{} {}", record.operation, record.subject));
        }
    }
    found
}

/// Waits until a node has said that it began a repair, and that it is done.
async fn until_repaired(client: &Client, node: usize) {
    let (began, done) = (format!("repair.began node-{}", node + 1), format!("repair.done node-{}", node + 1));
    until("the repair is done, and the journal says so", || async {
        let found = repairs(client).await;
        found.contains(&began) && found.contains(&done)
    })
    .await;
}

/// Waits until every node holds the journal from its first record, and checks each to its head.
async fn every_journal_is_whole(cluster: &ProcessCluster) {
    let mut clients = Vec::new();
    for node in 0..cluster.len() {
        clients.push(cluster.client(Some(node)).await);
    }
    for client in &clients {
        until("the journal starts at its first record", || async {
            client.audit().head(v1::HeadRequest {}).await.is_ok_and(|head| head.first_seq == 1)
        })
        .await;
    }
    all_nodes_agree(&clients).await;
    for client in &clients {
        the_journal_verifies(client).await;
    }
}

async fn damage_alerts(client: &Client) -> usize {
    let alerts = client.alerts().list(v1::ListAlertsRequest::default()).await.unwrap().alerts;
    alerts.iter().filter(|alert| alert.kind == "damage").count()
}
