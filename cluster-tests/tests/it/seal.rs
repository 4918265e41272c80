//! The seal of real nodes: made over the wire, opened by shares, closed and changed, without losing anything.

use cluster_tests::processes::{ProcessCluster, READY};
use proto::v1;
use proto_client::{Client, ClientConfig};
use std::time::{Duration, Instant};
use tonic::Code;

/// A client of one node without a token.
pub(crate) async fn stranger(cluster: &ProcessCluster, node: usize) -> Client {
    let text = std::fs::read_to_string(cluster.kit().join("client.toml")).unwrap();
    let address = text.split('"').filter(|part| part.starts_with("https://")).nth(node).unwrap().to_owned();
    let mut config = ClientConfig::new([address]);
    config.ca_pem = Some(std::fs::read(cluster.kit().join("ca.pem")).unwrap());
    // Passphrases are stretched, on a busy machine.
    config.timeout = Duration::from_secs(20);
    Client::connect(config).await.unwrap()
}

pub(crate) async fn strangers(cluster: &ProcessCluster) -> Vec<Client> {
    let mut clients = Vec::new();
    for node in 0..cluster.len() {
        clients.push(stranger(cluster, node).await);
    }
    clients
}

pub(crate) async fn standing(client: &Client) -> Option<v1::SealStatusResponse> {
    client.seal().status(v1::SealStatusRequest {}).await.ok()
}

pub(crate) async fn reaches(client: &Client, phase: &str) -> v1::SealStatusResponse {
    let deadline = Instant::now() + READY;
    loop {
        let now = standing(client).await;
        if let Some(status) = now.as_ref().filter(|status| status.phase == phase) {
            return status.clone();
        }
        assert!(Instant::now() < deadline, "the node is {now:?}, not {phase}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn share(text: &str) -> v1::UnsealRequest {
    v1::UnsealRequest { share: text.to_owned(), ..Default::default() }
}

pub(crate) async fn refusal(client: &Client, request: v1::UnsealRequest) -> String {
    client.seal().unseal(request).await.unwrap_err().message
}

/// A started cluster of three with keys made over the wire, still sealed; and its shares.
async fn initialized(directory: &std::path::Path, shares: u32, threshold: u32) -> (ProcessCluster, Vec<String>) {
    let request = v1::InitRequest { shares, threshold, ..Default::default() };
    let (cluster, made) = initialized_with(directory, request).await;
    (cluster, made.shares)
}

/// The same by another kind of seal, with all that was shown.
pub(crate) async fn initialized_with(
    directory: &std::path::Path,
    request: v1::InitRequest,
) -> (ProcessCluster, v1::InitResponse) {
    let mut cluster = ProcessCluster::prepare_without_keys(directory, 3);
    cluster.start_all();
    let made = init(&cluster, request).await;
    (cluster, made)
}

/// Makes the keys of a started cluster on its first node, and hands the seal file to the others.
pub(crate) async fn init(cluster: &ProcessCluster, request: v1::InitRequest) -> v1::InitResponse {
    let clients = strangers(cluster).await;
    for client in &clients {
        reaches(client, "uninitialized").await;
    }
    let made = clients[0].seal().init(request.clone()).await.unwrap();
    let again = clients[0].seal().init(request).await.unwrap_err();
    assert_eq!(again.code, Code::FailedPrecondition, "{}", again.message);
    for client in &clients[1..] {
        client.seal().adopt(v1::AdoptRequest { seal_file: made.seal_file.clone() }).await.unwrap();
    }
    cluster.keep_root_token(&made.root_token);
    made
}

/// Opens every node with these shares.
pub(crate) async fn unseal_all(cluster: &ProcessCluster, shares: &[String]) {
    for client in strangers(cluster).await {
        reaches(&client, "sealed").await;
        for text in shares {
            client.seal().unseal(share(text)).await.unwrap();
        }
        reaches(&client, "unsealed").await;
    }
    cluster.ready().await;
}

pub(crate) async fn put(client: &Client, path: &str, value: &[u8]) {
    let request = v1::PutRequest {
        environment: "production".into(),
        path: path.into(),
        value: Some(v1::Value { kind: Some(v1::value::Kind::Bytes(value.to_vec().into())) }),
        ..Default::default()
    };
    client.secrets().put(request).await.unwrap();
}

pub(crate) async fn get(client: &Client, path: &str) -> Vec<u8> {
    let request = v1::GetRequest { environment: "production".into(), path: path.into(), ..Default::default() };
    match client.secrets().get(request).await.unwrap().value.unwrap().kind.unwrap() {
        v1::value::Kind::Bytes(bytes) => bytes.to_vec(),
        v1::value::Kind::Fields(_) => panic!("bytes were put"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_over_the_wire_and_three_of_five_shares_unseal() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, shares) = initialized(directory.path(), 5, 3).await;
    let (_other, foreign) = initialized(tempfile::tempdir().unwrap().path(), 3, 2).await;
    assert_eq!(shares.len(), 5);
    let node = stranger(&cluster, 0).await;
    let status = node.seal().unseal(share(&shares[0])).await.unwrap();
    assert_eq!((status.phase.as_str(), status.progress, status.threshold, status.shares), ("sealed", 1, 3, 5));
    assert!(refusal(&node, share(&shares[0])).await.contains("share 1 was given already"));
    assert!(refusal(&node, share(&foreign[0])).await.contains("of set"));
    let (start, end) = shares[1].split_at(20);
    let last = if end.starts_with('a') { "b" } else { "a" };
    assert!(refusal(&node, share(&format!("{start}{last}{}", &end[1..]))).await.contains("mistyped"));
    assert_eq!(standing(&node).await.unwrap().progress, 1, "what was wrong counts for nothing");
    let reset = v1::UnsealRequest { reset: true, ..Default::default() };
    assert_eq!(node.seal().unseal(reset).await.unwrap().progress, 0);
    let refused = cluster.client(Some(0)).await.secrets().list(v1::ListRequest::default()).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    assert!(refused.message.contains("operator unseal"), "{}", refused.message);
    unseal_all(&cluster, &[shares[4].clone(), shares[0].clone(), shares[2].clone()]).await;
    let client = cluster.client(None).await;
    put(&client, "db/password", b"hunter2").await;
    assert_eq!(get(&client, "db/password").await, b"hunter2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_sealed_serves_its_seal_alone_and_comes_back_with_everything() {
    let directory = tempfile::tempdir().unwrap();
    let (mut cluster, shares) = initialized(directory.path(), 3, 2).await;
    unseal_all(&cluster, &shares[..2]).await;
    put(&cluster.client(None).await, "a", b"before").await;
    let (node, quiet) = (cluster.client(Some(1)).await, stranger(&cluster, 1).await);
    let refused = quiet.seal().seal(v1::SealRequest {}).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
    node.seal().seal(v1::SealRequest {}).await.unwrap();
    let status = reaches(&quiet, "sealed").await;
    assert!(status.root_versions.is_empty());
    let refused = node.with_timeout(Duration::from_secs(2)).secrets().list(v1::ListRequest::default()).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    let others = cluster.client(None).await;
    put(&others, "b", b"meanwhile").await;
    for text in &shares[1..] {
        quiet.seal().unseal(share(text)).await.unwrap();
    }
    reaches(&quiet, "unsealed").await;
    cluster.ready().await;
    assert_eq!((get(&node, "a").await, get(&node, "b").await), (b"before".to_vec(), b"meanwhile".to_vec()));
    let operations = journalled(&others).await;
    for wanted in ["seal.init", "seal.unseal", "seal.seal"] {
        assert!(operations.iter().any(|word| word == wanted), "{wanted} is not in the journal: {operations:?}");
    }
    cluster.kill_all();
    cluster.start_all();
    unseal_all(&cluster, &shares[..2]).await;
    assert_eq!(get(&cluster.client(Some(2)).await, "b").await, b"meanwhile");
}

/// Watches a node's health, and holds its connection for it.
async fn watched(cluster: &ProcessCluster, node: usize) -> tonic::Streaming<tonic_health::pb::HealthCheckResponse> {
    let text = std::fs::read_to_string(cluster.kit().join("client.toml")).unwrap();
    let address = text.split('"').filter(|part| part.starts_with("https://")).nth(node).unwrap().to_owned();
    let authority = tonic::transport::Certificate::from_pem(std::fs::read(cluster.kit().join("ca.pem")).unwrap());
    let tls = tonic::transport::ClientTlsConfig::new().ca_certificate(authority);
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let mut watched = health.watch(tonic_health::pb::HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().is_some());
    watched
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_watches_a_sealed_node_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let (mut cluster, shares) = initialized(directory.path(), 3, 2).await;
    let stops = watched(&cluster, 0).await;
    cluster.signal(0, libc::SIGTERM);
    assert_eq!(cluster.wait_ended(0, READY), Some(0), "a sealed node stops");
    cluster.start(0);
    reaches(&stranger(&cluster, 0).await, "sealed").await;
    let comes_up = watched(&cluster, 0).await;
    unseal_all(&cluster, &shares[..2]).await;
    drop((stops, comes_up));
}

async fn journalled(client: &Client) -> Vec<String> {
    let mut records = client.audit().query(v1::QueryRequest { limit: 1000, ..Default::default() }).await.unwrap();
    let mut words = Vec::new();
    while let Some(record) = futures::StreamExt::next(&mut records).await {
        words.push(record.unwrap().operation);
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn new_shares_count_once_they_were_shown_and_a_crash_halfway_is_made_good() {
    let directory = tempfile::tempdir().unwrap();
    let (mut cluster, shares) = initialized(directory.path(), 3, 2).await;
    cluster.kill_all();
    cluster.set_variable("HOLDFAST_FAULT", Some("rekey: resealed"));
    cluster.start_all();
    unseal_all(&cluster, &shares[..2]).await;
    let client = cluster.client(None).await.with_timeout(Duration::from_secs(8));
    put(&client, "a", b"value").await;
    let wrong = v1::RekeyRequest { current: vec![shares[0].clone()], shares: 5, threshold: 3, ..Default::default() };
    assert_eq!(client.keys().rekey(wrong).await.unwrap_err().code, Code::PermissionDenied);
    let wish = v1::RekeyRequest { current: shares[..2].to_vec(), shares: 5, threshold: 3, ..Default::default() };
    let made = client.keys().rekey(wish).await.unwrap();
    let unproven = v1::ConfirmRekeyRequest { id: made.id.clone(), proof: shares[..2].to_vec(), without_proof: false };
    assert_eq!(client.keys().confirm_rekey(unproven).await.unwrap_err().code, Code::InvalidArgument);
    let proven = v1::ConfirmRekeyRequest { id: made.id, proof: made.shares[..3].to_vec(), without_proof: false };
    client.keys().confirm_rekey(proven).await.unwrap_err();
    let ended = cluster.ended();
    assert_eq!(ended.len(), 1, "the leader ended where it was told to");
    cluster.set_variable("HOLDFAST_FAULT", None);
    cluster.start_all();
    let node = stranger(&cluster, ended[0]).await;
    reaches(&node, "sealed").await;
    assert!(refusal(&node, share(&shares[0])).await.contains("of set"), "the node that died has the new seal");
    for text in &made.shares[1..4] {
        node.seal().unseal(share(text)).await.unwrap();
    }
    reaches(&node, "unsealed").await;
    cluster.ready().await;
    let deadline = Instant::now() + READY;
    for client in strangers(&cluster).await {
        while standing(&client).await.is_none_or(|status| status.generation != 2) {
            assert!(Instant::now() < deadline, "a node did not take the newer seal file");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    cluster.kill_all();
    cluster.start_all();
    unseal_all(&cluster, &made.shares[..3]).await;
    assert_eq!(get(&cluster.client(None).await, "a").await, b"value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_its_key_file_waits_sealed_says_why_and_takes_the_key_from_somebody() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    let file = cluster.home(1).join("seal.key");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    cluster.start_all();
    let node = stranger(&cluster, 1).await;
    let status = reaches(&node, "sealed").await;
    assert!(status.kind == "key-file" && status.trouble.contains("seal.key"), "{status:?}");
    let key_file = |text: &str| v1::UnsealRequest { key_file: text.to_owned(), ..Default::default() };
    let wrong = refusal(&node, key_file(&"0".repeat(64))).await;
    assert!(wrong.contains("wrong seal key") && !wrong.contains("0000"), "{wrong}");
    node.seal().unseal(key_file(&text)).await.unwrap();
    reaches(&node, "unsealed").await;
    cluster.ready().await;
}

/// Which nodes the journal says were sealed, each as often as it says so.
async fn sealed_in_journal(client: &Client) -> Vec<String> {
    let mut records = client.audit().query(v1::QueryRequest { limit: 1000, ..Default::default() }).await.unwrap();
    let mut subjects = Vec::new();
    while let Some(record) = futures::StreamExt::next(&mut records).await {
        let record = record.unwrap();
        if record.operation == "seal.seal" && record.outcome == "done" {
            subjects.push(record.subject);
        }
    }
    subjects
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_is_sealed_the_last_ones_without_a_quorum_and_the_journal_says_so_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, shares) = initialized(directory.path(), 3, 2).await;
    unseal_all(&cluster, &shares[..2]).await;
    let quiet = strangers(&cluster).await;
    for (node, quiet) in quiet.iter().enumerate() {
        let refused = quiet.seal().seal(v1::SealRequest {}).await;
        assert!(refused.is_err(), "node {node} is sealed by nobody");
        let client = cluster.client(Some(node)).await.with_timeout(Duration::from_secs(10));
        client.seal().seal(v1::SealRequest {}).await.unwrap();
        reaches(quiet, "sealed").await;
    }
    unseal_all(&cluster, &shares[1..]).await;
    let client = cluster.client(None).await;
    let deadline = Instant::now() + READY;
    for node in ["node-1", "node-2", "node-3"] {
        while !sealed_in_journal(&client).await.iter().any(|subject| subject == node) {
            assert!(Instant::now() < deadline, "the journal does not say that {node} was sealed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_the_seal_makes_a_root_token_when_the_last_one_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (cluster, shares) = initialized(directory.path(), 3, 2).await;
    unseal_all(&cluster, &shares[..2]).await;
    let lost = cluster.client(None).await;
    put(&lost, "a", b"kept").await;
    lost.tokens().revoke(v1::RevokeTokenRequest::default()).await.unwrap();
    let quiet = stranger(&cluster, 1).await;
    for wrong in [vec![shares[0].clone()], vec![shares[0].clone(), shares[0].clone()], vec!["hfs1-none".to_owned()]] {
        let request = v1::RootTokenRequest { current: wrong, ttl_ms: 60_000 };
        let refused = quiet.seal().root_token(request).await.unwrap_err();
        assert!(matches!(refused.code, Code::PermissionDenied | Code::Unauthenticated), "{refused}");
    }
    let request = v1::RootTokenRequest { current: shares[1..].to_vec(), ttl_ms: 60_000 };
    let made = quiet.seal().root_token(request).await.unwrap();
    let root = quiet.with_token(&proto_client::Token::parse(made.token).unwrap()).unwrap();
    assert_eq!(get(&root, "a").await, b"kept");
    let operations = journalled(&root).await;
    assert_eq!(operations.iter().filter(|word| *word == "seal.root").count(), 4, "three refusals and the one: {operations:?}");
    let alerts = root.alerts().list(v1::ListAlertsRequest::default()).await.unwrap().alerts;
    assert!(alerts.iter().any(|alert| alert.severity == "critical" && alert.subject.starts_with("root token")), "{alerts:?}");
}
