//! One file after the other.

use super::*;
use cluster_tests::processes::learner;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_fetched_from_the_other_nodes() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..120).await;
    snapshot_all(&cluster).await;
    let victim = (cluster.ready().await + 1) % 3;
    cluster.kill(victim);
    let journal = files(&cluster, victim, "journal", "seg");
    let written = journal.iter().map(|file| (file, used(file))).filter(|(_, used)| *used > 0);
    for (file, used) in written {
        flip(file, [used / 3]);
    }
    cluster.start(victim);
    cluster.ready().await;
    until_repaired(&client, victim).await;
    every_journal_is_whole(&cluster).await;
    assert_eq!(damage_alerts(&client).await, 1);
    let back = cluster.client(Some(victim)).await;
    every_value_is_right(&back, 0..120).await;
    assert!(back.cluster().status(v1::StatusRequest {}).await.unwrap().damages.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_whole_snapshot_takes_the_state_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..60).await;
    snapshot_all(&cluster).await;
    put_all(&client, 60..120).await;
    snapshot_all(&cluster).await;
    let victim = (cluster.ready().await + 1) % 3;
    cluster.kill(victim);
    put_all(&client, 120..130).await;
    for file in files(&cluster, victim, "snapshots", "snapshot") {
        let middle = std::fs::metadata(&file).unwrap().len() as usize / 2;
        flip(&file, [middle]);
    }
    cluster.start(victim);
    cluster.ready().await;
    until_repaired(&client, victim).await;
    let back = cluster.client(Some(victim)).await;
    every_value_is_right(&back, 0..130).await;
    every_journal_is_whole(&cluster).await;
    assert!(!files(&cluster, victim, "snapshots", "snapshot").is_empty());
    // And once more from its own disk.
    cluster.kill(victim);
    cluster.start(victim);
    cluster.ready().await;
    every_value_is_right(&cluster.client(Some(victim)).await, 0..130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_others_while_it_starts_stops_when_it_is_asked_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..60).await;
    snapshot_all(&cluster).await;
    put_all(&client, 60..120).await;
    snapshot_all(&cluster).await;
    put_all(&client, 120..130).await;
    cluster.kill_all();
    let snapshots = files(&cluster, 0, "snapshots", "snapshot");
    let whole: Vec<Vec<u8>> = snapshots.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for (file, bytes) in snapshots.iter().zip(&whole) {
        flip(file, [bytes.len() / 2]);
    }
    cluster.start(0);
    let log = cluster.log(0);
    until("the damage is found", || async {
        std::fs::read_to_string(&log).unwrap().contains("damage was found; it is being repaired")
    })
    .await;
    let asked = Instant::now();
    cluster.signal(0, libc::SIGTERM);
    assert_eq!(cluster.wait_ended(0, PATIENCE), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "it stopped after {:?}", asked.elapsed());
    // With the others there it comes up, and has lost nothing.
    cluster.start_all();
    cluster.ready().await;
    every_value_is_right(&cluster.client(Some(0)).await, 0..130).await;
    every_journal_is_whole(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_serves_where_the_log_goes_on_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    put_all(&client, 0..20).await;
    snapshot_all(&cluster).await;
    put_all(&client, 20..40).await;
    snapshot_all(&cluster).await;
    put_all(&client, 40..50).await;
    cluster.kill(0);
    let snapshots = files(&cluster, 0, "snapshots", "snapshot");
    assert_eq!(snapshots.len(), 2);
    flip(&snapshots[1], [200]);
    cluster.start(0);
    cluster.ready().await;
    until_repaired(&client, 0).await;
    every_value_is_right(&client, 0..50).await;
    every_journal_is_whole(&cluster).await;
    assert_eq!(files(&cluster, 0, "snapshots", "damaged").len(), 1, "it is kept for whoever wants to know why");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_damaged_or_lost_log_stays_out_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..40).await;
    let victim = (cluster.ready().await + 1) % 3;
    cluster.kill(victim);
    let log = files(&cluster, victim, "wal", "seg");
    let whole: Vec<Vec<u8>> = log.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let (first, end) = (&log[0], used(&log[0]));
    flip(first, [end / 3]);
    cluster.start(victim);
    assert_ne!(cluster.wait_ended(victim, PATIENCE), Some(0));
    put_all(&client, 40..50).await;
    for file in &log {
        std::fs::remove_file(file).unwrap();
    }
    cluster.start(victim);
    assert_ne!(cluster.wait_ended(victim, PATIENCE), Some(0));
    let said = std::fs::read_to_string(cluster.log(victim)).unwrap();
    assert!(said.contains("is damaged at offset"), "{said}");
    assert!(said.contains("its log is lost, and it must not come back under its number"), "{said}");
    every_value_is_right(&client, 0..50).await;
    // What was damaged is as it was: with its log back, the node is one of them again.
    for (file, bytes) in log.iter().zip(whole) {
        std::fs::write(file, bytes).unwrap();
    }
    cluster.start(victim);
    cluster.ready().await;
    every_value_is_right(&cluster.client(Some(victim)).await, 0..50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_disk_is_replaced_by_a_node_with_a_new_number_that_fetches_everything() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..60).await;
    snapshot_all(&cluster).await;
    put_all(&client, 60..80).await;
    let victim = (cluster.ready().await + 1) % 3;
    cluster.kill(victim);
    std::fs::remove_dir_all(cluster.home(victim).join("data")).unwrap();
    put_all(&client, 80..100).await;
    let plan = cluster.add_node();
    client.cluster().add_learner(learner(&plan)).await.unwrap();
    let joined = cluster.client(Some(3)).await;
    let replace = v1::ReplaceRequest { node_id: victim as u64 + 1, by_node_id: plan.id };
    until("the new node votes", || async { client.cluster().replace(replace).await.is_ok() }).await;
    let members = client.cluster().status(v1::StatusRequest {}).await.unwrap().members;
    assert!(members.len() == 3 && members.iter().all(|member| member.voter && member.node_id != replace.node_id), "{members:?}");
    until("the new node holds the journal from its first record", || async {
        joined.audit().head(v1::HeadRequest {}).await.is_ok_and(|head| head.first_seq == 1)
    })
    .await;
    the_journal_verifies(&joined).await;
    every_value_is_right(&joined, 0..100).await;
}
