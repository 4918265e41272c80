//! Every kind of seal over the wire: made, opened, adopted by a new node, and changed into another.

use crate::seal::{get, initialized_with, put, reaches, refusal, share, standing, stranger, strangers, unseal_all};
use cluster_tests::processes::{ProcessCluster, binary, learner};
use proto::v1;
use proto_client::Client;
use std::process::{Command, Stdio};
use tonic::Code;

const PASSPHRASE: &str = "correct horse battery staple";
const ANOTHER: &str = "another passphrase, as long";

fn passphrase(text: &str) -> v1::UnsealRequest {
    v1::UnsealRequest { passphrase: text.to_owned(), ..Default::default() }
}

fn key_file(text: &str) -> v1::UnsealRequest {
    v1::UnsealRequest { key_file: text.to_owned(), ..Default::default() }
}

async fn unseal_each(cluster: &ProcessCluster, request: &v1::UnsealRequest) {
    for node in strangers(cluster).await {
        reaches(&node, "sealed").await;
        node.seal().unseal(request.clone()).await.unwrap();
        reaches(&node, "unsealed").await;
    }
    cluster.ready().await;
}

/// Changes the seal: `wish` is what it is to be, `proof` what shows that the new one is held.
async fn rekey(
    client: &Client,
    wish: v1::RekeyRequest,
    proof: impl FnOnce(&v1::RekeyResponse) -> Vec<String>,
) -> v1::RekeyResponse {
    let made = client.keys().rekey(wish).await.unwrap();
    let confirm = v1::ConfirmRekeyRequest { id: made.id.clone(), proof: proof(&made), without_proof: false };
    client.keys().confirm_rekey(confirm).await.unwrap();
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_seals_a_cluster_and_opens_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let wish = v1::InitRequest { passphrase: PASSPHRASE.into(), ..Default::default() };
    let (mut cluster, made) = initialized_with(directory.path(), wish).await;
    assert!(made.shares.is_empty() && made.key_file.is_empty(), "nobody is told anything but the token");
    let node = stranger(&cluster, 0).await;
    let wrong = refusal(&node, passphrase("wrong")).await;
    assert!(wrong.contains("wrong seal key") && !wrong.contains("wrong\""), "{wrong}");
    let kind = refusal(&node, share("holdfast-share")).await;
    assert!(kind.contains("this seal is of kind passphrase"), "{kind}");
    unseal_each(&cluster, &passphrase(PASSPHRASE)).await;
    put(&cluster.client(None).await, "a", b"value").await;
    cluster.kill_all();
    cluster.start_all();
    unseal_each(&cluster, &passphrase(PASSPHRASE)).await;
    assert_eq!(get(&cluster.client(None).await, "a").await, b"value");
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_become_a_passphrase_and_that_a_key_file_and_only_the_newest_opens() {
    let directory = tempfile::tempdir().unwrap();
    let wish = v1::InitRequest { shares: 3, threshold: 2, ..Default::default() };
    let (mut cluster, made) = initialized_with(directory.path(), wish).await;
    unseal_all(&cluster, &made.shares[..2]).await;
    let client = cluster.client(None).await;
    put(&client, "a", b"value").await;
    let current = made.shares[..2].to_vec();
    let two = v1::RekeyRequest { current: current.clone(), passphrase: PASSPHRASE.into(), key_file: true, ..Default::default() };
    let refused = client.keys().rekey(two).await.unwrap_err();
    assert!(refused.code == Code::InvalidArgument && refused.message.contains("name exactly one"), "{}", refused.message);
    let wish = v1::RekeyRequest { current, passphrase: PASSPHRASE.into(), ..Default::default() };
    rekey(&client, wish, |_| vec![PASSPHRASE.into()]).await;
    cluster.kill_all();
    cluster.start_all();
    let node = stranger(&cluster, 0).await;
    reaches(&node, "sealed").await;
    assert!(refusal(&node, share(&made.shares[0])).await.contains("this seal is of kind passphrase"));
    assert!(refusal(&node, passphrase(ANOTHER)).await.contains("wrong seal key"));
    unseal_each(&cluster, &passphrase(PASSPHRASE)).await;

    let wish = v1::RekeyRequest { current: vec![PASSPHRASE.into()], key_file: true, ..Default::default() };
    let text = rekey(&client, wish, |made| vec![made.key_file.clone()]).await.key_file;
    cluster.kill_all();
    // One node has the file, and opens by itself; the others are given it.
    std::fs::write(cluster.home(0).join("seal.key"), &text).unwrap();
    cluster.start_all();
    reaches(&stranger(&cluster, 0).await, "unsealed").await;
    let node = stranger(&cluster, 1).await;
    let status = reaches(&node, "sealed").await;
    assert!(status.kind == "key-file" && status.generation == 3, "{status:?}");
    assert!(refusal(&node, passphrase(PASSPHRASE)).await.contains("this seal is of kind key-file"));
    for at in 1..3 {
        let node = stranger(&cluster, at).await;
        reaches(&node, "sealed").await;
        node.seal().unseal(key_file(&text)).await.unwrap();
        reaches(&node, "unsealed").await;
    }
    cluster.ready().await;
    assert_eq!(get(&cluster.client(Some(2)).await, "a").await, b"value");
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_to_unseal_are_bounded_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let wish = v1::InitRequest { shares: 3, threshold: 2, ..Default::default() };
    let (cluster, made) = initialized_with(directory.path(), wish).await;
    let node = stranger(&cluster, 1).await;
    let mut tried = 0;
    let exhausted = loop {
        match node.seal().unseal(share(&made.shares[0])).await {
            Err(refused) if refused.code == Code::ResourceExhausted => break refused,
            // It counts once, and takes an attempt each time.
            _ => tried += 1,
        }
        assert!(tried < 200, "guessing is not slowed down");
    };
    assert!(exhausted.message.contains("try again in a second"), "{}", exhausted.message);
    assert!(tried >= 8, "people may mistype: {tried}");
    let standing = standing(&node).await.unwrap();
    assert_eq!((standing.phase.as_str(), standing.progress), ("sealed", 1), "asking where it stands costs no attempt");
    let nonsense = node.seal().unseal(share("holdfast-share-1-nonsense")).await.unwrap_err();
    assert_eq!(nonsense.code, Code::InvalidArgument, "what is no share costs none either: {nonsense}");
    // Another share counts as soon as there is an attempt again.
    let deadline = std::time::Instant::now() + cluster_tests::processes::READY;
    while node.seal().unseal(share(&made.shares[1])).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "attempts do not come back");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    reaches(&node, "unsealed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_adopts_the_seal_file_by_the_command_and_joins() {
    let directory = tempfile::tempdir().unwrap();
    let wish = v1::InitRequest { shares: 3, threshold: 2, ..Default::default() };
    let (mut cluster, made) = initialized_with(directory.path(), wish).await;
    unseal_all(&cluster, &made.shares[..2]).await;
    put(&cluster.client(None).await, "a", b"value").await;
    let plan = cluster.add_node();
    let address = format!("https://{}", plan.client);
    let holdfast = |arguments: &[&str]| {
        let mut command = Command::new(binary("holdfast"));
        command.args(arguments).env("HOLDFAST_CONFIG", cluster.kit().join("client.toml"));
        command.env("HOLDFAST_TOKEN_FILE", cluster.kit().join("root-token")).stdin(Stdio::null()).output().unwrap()
    };
    let node = cluster.client(Some(3)).await;
    reaches(&node, "uninitialized").await;
    let adopted = holdfast(&["operator", "adopt", &address]);
    let said = String::from_utf8_lossy(&[adopted.stdout, adopted.stderr].concat()).into_owned();
    assert!(adopted.status.success() && said.contains("is sealed: unseal it"), "{said}");
    // Once more is no harm; another cluster's file is refused.
    assert!(holdfast(&["operator", "adopt", &address]).status.success());
    let foreign = tempfile::tempdir().unwrap();
    let (_other, theirs) =
        initialized_with(foreign.path(), v1::InitRequest { shares: 3, threshold: 2, ..Default::default() }).await;
    let refused = node.seal().adopt(v1::AdoptRequest { seal_file: theirs.seal_file }).await.unwrap_err();
    assert!(refused.message.contains("belongs to a cluster already"), "{}", refused.message);
    for text in &made.shares[1..] {
        node.seal().unseal(share(text)).await.unwrap();
    }
    reaches(&node, "unsealed").await;
    cluster.client(None).await.cluster().add_learner(learner(&plan)).await.unwrap();
    cluster.ready().await;
    assert_eq!(get(&node, "a").await, b"value");
}
