//! A disk from an earlier day put back under a node while the leader that it had acknowledged more to goes on leading.

use cluster_tests::checks::{all_nodes_agree, the_journal_verifies};
use cluster_tests::processes::{PATIENT, ProcessCluster, READY, copy_directory};
use proto::v1;
use proto_client::Client;
use std::time::{Duration, Instant};

async fn put_some(client: &Client, from: u32, to: u32) {
    for number in from..to {
        let request = v1::PutRequest {
            environment: "production".into(),
            path: format!("app/{number}"),
            value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(number.to_string().into_bytes().into())) }),
            ..Default::default()
        };
        client.secrets().put(request).await.unwrap();
    }
}

/// Waits until an alert about a node's disk is there.
async fn alerted(client: &Client) -> v1::Alert {
    let deadline = Instant::now() + READY;
    loop {
        let alerts = client.alerts().list(v1::ListAlertsRequest::default()).await.unwrap().alerts;
        if let Some(alert) = alerts.into_iter().find(|alert| alert.kind == "node") {
            return alert;
        }
        assert!(Instant::now() < deadline, "no alert was raised");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_disk_under_a_running_leader_ends_that_node_for_good_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    // What finds it is the memory of a leader that leads on.
    PATIENT.iter().for_each(|setting| cluster.set(setting));
    cluster.start_all();
    let leader = cluster.ready().await;
    let node = (leader + 1) % cluster.len();
    let client = cluster.client(None).await;
    put_some(&client, 0, 20).await;
    let (data, older, newer) = (cluster.home(node).join("data"), directory.path().join("older"), directory.path().join("newer"));
    cluster.kill(node);
    copy_directory(&data, &older);
    cluster.start(node);
    assert_eq!(cluster.ready().await, leader, "the leader never changed");
    put_some(&client, 20, 70).await;

    cluster.kill(node);
    copy_directory(&data, &newer);
    std::fs::remove_dir_all(&data).unwrap();
    copy_directory(&older, &data);
    cluster.start(node);
    assert_eq!(cluster.wait_ended(node, READY), Some(1), "it ends by itself");
    let log = std::fs::read_to_string(cluster.log(node)).unwrap();
    assert!(log.contains("its disk is an older one") && log.contains("under a new number"), "{log}");
    cluster.start(node);
    assert_eq!(cluster.wait_ended(node, READY), Some(1), "nor does it start again");
    let log = std::fs::read_to_string(cluster.log(node)).unwrap();
    assert!(log.contains("lost-log says"), "{log}");

    put_some(&client, 70, 90).await;
    let alert = alerted(&client).await;
    assert!(
        alert.severity == "critical" && alert.text.contains(&format!("the log of node {} ends before", node + 1)),
        "{alert:?}"
    );
    assert_eq!(cluster.ready().await, leader, "the leader leads on");
    assert!(cluster.ended().is_empty());
    for other in 0..cluster.len() {
        let log = std::fs::read_to_string(cluster.log(other)).unwrap();
        assert!(!log.contains("panicked"), "node {}: {log}", other + 1);
    }

    // The right disk is none the worse for it.
    std::fs::remove_dir_all(&data).unwrap();
    copy_directory(&newer, &data);
    cluster.start(node);
    cluster.ready().await;
    put_some(&client, 90, 95).await;
    let mut clients = Vec::new();
    for node in 0..cluster.len() {
        clients.push(cluster.client(Some(node)).await);
    }
    all_nodes_agree(&clients).await;
    for client in &clients {
        the_journal_verifies(client).await;
    }
}
