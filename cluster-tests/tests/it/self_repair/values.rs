//! A value whose row is damaged is answered all the same.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_is_answered_from_another_node_and_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = cluster(directory.path()).await;
    let client = cluster.client(None).await;
    put_all(&client, 0..40).await;
    snapshot_all(&cluster).await;
    let victim = (cluster.ready().await + 1) % 3;
    cluster.kill(victim);
    cluster.set_variable("HOLDFAST_FAULT", Some("stores: every row is damaged"));
    cluster.start(victim);
    cluster.set_variable("HOLDFAST_FAULT", None);
    cluster.ready().await;
    let back = cluster.client(Some(victim)).await;
    every_value_is_right(&back, 0..40).await;
    until_repaired(&client, victim).await;
    assert_eq!(damage_alerts(&client).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_that_nobody_else_has_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    cluster.set("replication.entries_kept=5");
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;
    put_all(&client, 0..3).await;
    snapshot_all(&cluster).await;
    cluster.kill(0);
    cluster.set_variable("HOLDFAST_FAULT", Some("stores: every row is damaged"));
    cluster.start(0);
    cluster.ready().await;
    let get = v1::GetRequest { environment: ENVIRONMENT.into(), path: "app/1".into(), version: 0 };
    let refusal = client.secrets().get(get).await.unwrap_err();
    assert!(refusal.message.contains("this node's copy is damaged, and no other member gave one"), "{refusal:?}");
    until("the journal says that it failed", || async { repairs(&client).await.contains(&"repair.failed node-1".to_owned()) })
        .await;
}
