//! A state that comes apart from the others': most voters say which one is right, and the node that differs takes it from them.

use super::*;

/// Three nodes whose states are compared every two seconds; on one of them, what is put under `apart/` folds into another state. Which one.
async fn cluster_with_a_liar(directory: &Path) -> (ProcessCluster, usize) {
    let mut cluster = ProcessCluster::prepare(directory, 3);
    cluster.set("scrub.state_check_ms=2000");
    cluster.start_all();
    let liar = (cluster.ready().await + 1) % 3;
    put_all(&cluster.client(None).await, 0..30).await;
    cluster.kill(liar);
    cluster.set_variable("HOLDFAST_FAULT", Some("fold: come apart"));
    cluster.start(liar);
    cluster.set_variable("HOLDFAST_FAULT", None);
    cluster.ready().await;
    (cluster, liar)
}

async fn put_apart(client: &Client, number: usize) {
    let value = v1::Value { kind: Some(v1::value::Kind::Bytes("another".into())) };
    let path = format!("apart/{number}");
    let put = v1::PutRequest { environment: ENVIRONMENT.into(), path, value: Some(value), expect: None, metadata: None };
    client.secrets().put(put).await.expect("the cluster takes a write");
}

/// How often a node's repair of its state has come so far.
async fn times(client: &Client, word: &str, node: usize) -> usize {
    let told = format!("repair.{word} node-{}", node + 1);
    repairs(client).await.into_iter().filter(|repair| *repair == told).count()
}

async fn clients(cluster: &ProcessCluster) -> Vec<Client> {
    let mut clients = Vec::new();
    for node in 0..cluster.len() {
        clients.push(cluster.client(Some(node)).await);
    }
    clients
}

fn mark(cluster: &ProcessCluster, node: usize) -> PathBuf {
    cluster.home(node).join("data/came-apart.json")
}

/// Reads from one node alone until its state is repaired: each answer is right, or there is none. How many there were not.
async fn refusals_until_repaired(cluster: &ProcessCluster, client: &Client, node: usize) -> usize {
    let own = cluster.client(Some(node)).await.with_timeout(Duration::from_millis(300));
    let deadline = Instant::now() + PATIENCE;
    let mut refused = 0;
    for number in (0..30).cycle() {
        let get = v1::GetRequest { environment: ENVIRONMENT.into(), path: format!("app/{number}"), version: 0 };
        match own.secrets().get(get).await {
            Ok(got) => {
                let Some(v1::value::Kind::Bytes(bytes)) = got.value.and_then(|value| value.kind) else { panic!("app/{number}") };
                assert_eq!(String::from_utf8_lossy(&bytes), value(number), "app/{number}");
            }
            Err(_) => refused += 1,
        }
        if times(client, "done", node).await > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "not repaired within {PATIENCE:?}: {}", cluster.log_tails());
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_state_comes_apart_stops_and_comes_back_with_that_of_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let (mut cluster, liar) = cluster_with_a_liar(directory.path()).await;
    let client = cluster.client_from((liar + 1) % 3).await;
    put_apart(&client, 1).await;
    let refused = refusals_until_repaired(&cluster, &client, liar).await;
    println!("{refused} reads were refused meanwhile");
    assert!(refused > 0, "the node answered all the time");
    assert!(cluster.ended().is_empty(), "it came back by itself, in the same process");
    let said = std::fs::read_to_string(cluster.log(liar)).unwrap();
    assert!(said.contains("this copy has come apart"), "{said}");
    assert!(!mark(&cluster, liar).exists());
    cluster.ready().await;
    all_nodes_agree(&clients(&cluster).await).await;
    every_value_is_right(&cluster.client(Some(liar)).await, 0..30).await;
    every_journal_is_whole(&cluster).await;
    assert_eq!((times(&client, "began", liar).await, damage_alerts(&client).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_state_comes_apart_is_outvoted() {
    let directory = tempfile::tempdir().unwrap();
    let (mut cluster, liar) = cluster_with_a_liar(directory.path()).await;
    let client = cluster.client_from((liar + 1) % 3).await;
    let hand_over = v1::MemberRequest { node_id: liar as u64 + 1, even_so: false };
    until("the node leads", || async {
        let _ = client.cluster().transfer_leader(hand_over).await;
        cluster.ready().await == liar
    })
    .await;
    put_apart(&client, 1).await;
    until_repaired(&client, liar).await;
    assert!(cluster.ended().is_empty());
    cluster.ready().await;
    all_nodes_agree(&clients(&cluster).await).await;
    for other in (0..3).filter(|node| *node != liar) {
        assert_eq!(times(&client, "began", other).await, 0, "node {} had done nothing wrong", other + 1);
    }
    every_value_is_right(&cluster.client(Some(liar)).await, 0..30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_apart_again_and_again_stays_out() {
    let directory = tempfile::tempdir().unwrap();
    let (mut cluster, liar) = cluster_with_a_liar(directory.path()).await;
    let client = cluster.client_from((liar + 1) % 3).await;
    let deadline = Instant::now() + PATIENCE * 2;
    let mut number = 0;
    // Something of it in every check: it never agrees.
    while !cluster.ended().contains(&liar) {
        assert!(Instant::now() < deadline, "it goes on trying: {}", cluster.log_tails());
        // Before its last try ends, the journal hears from the node itself: it is given the moment that this takes.
        let last_try = std::fs::read_to_string(cluster.log(liar)).unwrap().contains("the repair does not succeed");
        if !last_try || times(&client, "failed", liar).await > 0 {
            put_apart(&client, number).await;
            number += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(mark(&cluster, liar).exists());
    cluster.start(liar);
    assert_ne!(cluster.wait_ended(liar, PATIENCE), Some(0), "and does not come back by being started");
    let said = std::fs::read_to_string(cluster.log(liar)).unwrap();
    assert!(said.contains("came apart again"), "{said}");
    assert!(times(&client, "failed", liar).await > 0);
    let alerts = client.alerts().list(v1::ListAlertsRequest::default()).await.unwrap().alerts;
    let subject = format!("node-{} state not repaired", liar + 1);
    assert!(alerts.iter().any(|alert| alert.severity == "critical" && alert.subject == subject), "{alerts:?}");
    every_value_is_right(&client, 0..30).await;
}
