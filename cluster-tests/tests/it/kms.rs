//! A cluster whose seal key AWS KMS keeps, against a server that speaks its protocol: `ops/test-kms.sh` starts it and runs these.

use crate::seal::{get, init, put, reaches, refusal, standing, stranger, strangers};
use cluster_tests::processes::{ProcessCluster, READY};
use proto::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;

const NEEDS: &str = "HOLDFAST_TEST_KMS_ENDPOINT and HOLDFAST_TEST_KMS_KEY: ops/test-kms.sh sets them";

/// The way to the service, which can be shut.
struct Way {
    endpoint: String,
    open: Arc<AtomicBool>,
}

impl Way {
    async fn new() -> Way {
        let service = std::env::var("HOLDFAST_TEST_KMS_ENDPOINT").expect(NEEDS).trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (endpoint, open) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicBool::new(true)));
        let is_open = open.clone();
        tokio::spawn(async move {
            while let Ok((mut inward, _)) = listener.accept().await {
                if !is_open.load(Ordering::SeqCst) {
                    continue;
                }
                let service = service.clone();
                tokio::spawn(async move {
                    let mut outward = TcpStream::connect(service).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
                });
            }
        });
        Way { endpoint, open }
    }

    fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }
}

fn named_key() -> String {
    format!("aws:{}", std::env::var("HOLDFAST_TEST_KMS_KEY").expect(NEEDS))
}

fn prepare(directory: &std::path::Path, way: &Way) -> ProcessCluster {
    let mut cluster = ProcessCluster::prepare_without_keys(directory, 3);
    cluster.set(&format!("seal.kms_endpoint={}", way.endpoint));
    for (name, value) in
        [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", "not-a-secret")]
    {
        cluster.set_variable(name, Some(value));
    }
    cluster.start_all();
    cluster
}

async fn all_unsealed(cluster: &ProcessCluster) {
    for node in strangers(cluster).await {
        let status = reaches(&node, "unsealed").await;
        assert_eq!((status.kind.as_str(), status.trouble.as_str()), ("aws-kms", ""));
    }
    cluster.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_whose_seal_a_service_keeps_unseal_by_themselves_and_wait_while_it_is_away() {
    let (directory, way) = (tempfile::tempdir().unwrap(), Way::new().await);
    let mut cluster = prepare(directory.path(), &way);
    let unknown = v1::InitRequest { kms: "aws:00000000-0000-0000-0000-000000000000".into(), ..Default::default() };
    let first = stranger(&cluster, 0).await;
    reaches(&first, "uninitialized").await;
    let refused = first.seal().init(unknown).await.unwrap_err();
    assert!(refused.code == Code::FailedPrecondition && refused.message.contains("has no key"), "{}", refused.message);
    let made = init(&cluster, v1::InitRequest { kms: named_key(), ..Default::default() }).await;
    assert!(made.shares.is_empty() && made.key_file.is_empty());
    all_unsealed(&cluster).await;
    put(&cluster.client(None).await, "a", b"value").await;
    cluster.kill_all();
    cluster.start_all();
    all_unsealed(&cluster).await;

    // The service goes away, and so does the whole cluster.
    way.set_open(false);
    cluster.kill_all();
    cluster.start_all();
    let node = stranger(&cluster, 1).await;
    let deadline = Instant::now() + READY;
    let trouble = loop {
        let status = reaches(&node, "sealed").await;
        if !status.trouble.is_empty() {
            break status.trouble;
        }
        assert!(Instant::now() < deadline, "the node does not say why it is sealed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(trouble.contains("was not reached") && trouble.contains("asked again"), "{trouble}");
    let nothing = v1::UnsealRequest { passphrase: "x".into(), ..Default::default() };
    assert!(refusal(&node, nothing).await.contains("of kind aws-kms"));
    way.set_open(true);
    all_unsealed(&cluster).await;
    assert_eq!(get(&cluster.client(None).await, "a").await, b"value");

    // Sealed on purpose it stays sealed, until somebody has the service asked.
    cluster.client(Some(1)).await.seal().seal(v1::SealRequest {}).await.unwrap();
    let node = stranger(&cluster, 1).await;
    assert_eq!(reaches(&node, "sealed").await.trouble, "");
    assert_eq!(standing(&node).await.unwrap().phase, "sealed");
    node.seal().unseal(v1::UnsealRequest { service: true, ..Default::default() }).await.unwrap();
    reaches(&node, "unsealed").await;
    cluster.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_become_a_seal_that_a_service_keeps_and_become_shares_again() {
    let (directory, way) = (tempfile::tempdir().unwrap(), Way::new().await);
    let mut cluster = prepare(directory.path(), &way);
    let made = init(&cluster, v1::InitRequest { shares: 3, threshold: 2, ..Default::default() }).await;
    crate::seal::unseal_all(&cluster, &made.shares[..2]).await;
    let client = cluster.client(None).await;
    put(&client, "a", b"value").await;
    let wish = v1::RekeyRequest { current: made.shares[..2].to_vec(), kms: named_key(), ..Default::default() };
    let staged = client.keys().rekey(wish).await.unwrap();
    let confirm = v1::ConfirmRekeyRequest { id: staged.id, ..Default::default() };
    client.keys().confirm_rekey(confirm).await.unwrap();
    cluster.kill_all();
    cluster.start_all();
    all_unsealed(&cluster).await;
    let wish = v1::RekeyRequest { shares: 3, threshold: 2, ..Default::default() };
    let staged = client.keys().rekey(wish).await.unwrap();
    let proof = staged.shares[..2].to_vec();
    client.keys().confirm_rekey(v1::ConfirmRekeyRequest { id: staged.id, proof, without_proof: false }).await.unwrap();
    cluster.kill_all();
    cluster.start_all();
    for node in strangers(&cluster).await {
        assert_eq!(reaches(&node, "sealed").await.kind, "shamir");
    }
    crate::seal::unseal_all(&cluster, &staged.shares[..2]).await;
    assert_eq!(get(&client, "a").await, b"value");
}
