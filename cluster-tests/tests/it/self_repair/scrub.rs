//! Damage to what nobody asks for, while the node runs: the scrub finds it, has it mended, and says so.

use super::*;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Three nodes that read everything again and again.
async fn scrubbed_cluster(directory: &Path) -> ProcessCluster {
    let mut cluster = ProcessCluster::prepare(directory, 3);
    for setting in ["storage.segment_bytes=1048576", "replication.entries_kept=20", "scrub.pause_ms=300"] {
        cluster.set(setting);
    }
    cluster.set("scrub.bytes_per_second=67108864");
    cluster.start_all();
    cluster.ready().await;
    cluster
}

/// Flips one bit of a file that a running node has open.
fn flip_under(file: &Path, at: usize) {
    let file = File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (at % 8)], at as u64).unwrap();
}

/// Repairs of one node that began, and those that are done.
async fn begun_and_done(client: &Client, node: usize) -> (usize, usize) {
    let found = repairs(client).await;
    let count = |word: &str| found.iter().filter(|repair| **repair == format!("repair.{word} node-{}", node + 1)).count();
    (count("began"), count("done"))
}

/// Waits until as many repairs of a node have begun and are done.
async fn until_done(client: &Client, node: usize, times: usize) {
    until(&format!("{times} repairs are done"), || async { begun_and_done(client, node).await == (times, times) }).await;
}

async fn indicator(client: &Client, name: &str) -> v1::Indicator {
    let report = client.cluster().health(v1::HealthRequest {}).await.unwrap();
    report.indicators.into_iter().find(|indicator| indicator.name == name).unwrap()
}

async fn put_big(client: &Client, count: usize) {
    for number in 0..count {
        let bytes: Vec<u8> = (0..20_000_usize).map(|at| (at * 31 + number) as u8).collect();
        let put = v1::PutRequest {
            environment: ENVIRONMENT.into(),
            path: format!("big/{number}"),
            value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(bytes.into())) }),
            expect: None,
            metadata: None,
        };
        client.secrets().put(put).await.expect("the cluster takes a write");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_while_a_node_runs_is_mended_before_anybody_needs_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = scrubbed_cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..120).await;
    snapshot_all(&cluster).await;
    let victim = (cluster.ready().await + 1) % 3;
    let own = cluster.client(Some(victim)).await;

    // The segment of the journal that is being written; and once more, when it is an older one.
    let segment = files(&cluster, victim, "journal", "seg").into_iter().find(|file| used(file) > 0).unwrap();
    for times in 1..=2 {
        flip_under(&segment, used(&segment) / 3);
        until_done(&client, victim, times).await;
    }
    let snapshot = files(&cluster, victim, "snapshots", "snapshot").pop().unwrap();
    flip_under(&snapshot, std::fs::metadata(&snapshot).unwrap().len() as usize / 2);
    until_done(&client, victim, 3).await;
    until("the damaged snapshot made way", || async {
        files(&cluster, victim, "snapshots", "damaged").len() == 1 && !files(&cluster, victim, "snapshots", "snapshot").is_empty()
    })
    .await;

    // An older segment of the log.
    put_big(&client, 120).await;
    let log = files(&cluster, victim, "wal", "seg");
    let written: Vec<&PathBuf> = log.iter().filter(|file| used(file) > 0).collect();
    assert!(written.len() > 1, "{log:?}");
    flip_under(written[0], used(written[0]) / 3);
    until_done(&client, victim, 4).await;
    until("the damaged segment has gone", || async { !written[0].exists() }).await;

    assert!(damage_alerts(&client).await >= 1);
    until("health says that all is well", || async { indicator(&own, "damage").await.status == "pass" }).await;
    let head = own.audit().head(v1::HeadRequest {}).await.unwrap();
    until("the journal was proven to where it ended", || async {
        indicator(&own, "verified").await.value.is_some_and(|proven| proven >= head.seq as f64)
    })
    .await;
    assert!(indicator(&own, "verified").await.says.contains("damage was found 4 times"));
    // It all lies on the disk as it should: the node starts from it and finds nothing.
    cluster.kill(victim);
    cluster.start(victim);
    cluster.ready().await;
    every_value_is_right(&own, 0..120).await;
    every_journal_is_whole(&cluster).await;
    assert_eq!(begun_and_done(&client, victim).await, (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_nobody_reads_are_held_against_the_state_and_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = scrubbed_cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..40).await;
    snapshot_all(&cluster).await;
    let victim = (cluster.ready().await + 1) % 3;
    cluster.kill(victim);
    cluster.set_variable("HOLDFAST_FAULT", Some("stores: rows at rest are damaged"));
    cluster.start(victim);
    cluster.ready().await;
    until_repaired(&client, victim).await;
    let own = cluster.client(Some(victim)).await;
    until("a whole pass found nothing more", || async {
        indicator(&own, "verified").await.says.contains("damage was found 40 times")
            && indicator(&own, "damage").await.status == "pass"
    })
    .await;
    every_value_is_right(&own, 0..40).await;
    assert_eq!(damage_alerts(&client).await, 1);
    assert!(!repairs(&client).await.contains(&format!("repair.failed node-{}", victim + 1)));
}
