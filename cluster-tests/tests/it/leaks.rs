//! Known values, names and tokens are planted, everything is done with them, and then every byte on disk and in the logs is searched.

use crate::planted::{Planted, hits, random_text};
use cluster_tests::processes::ProcessCluster;
use proto::v1;
use proto_client::Token;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HOME: &str = "production";

pub(crate) fn files_under(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
}

fn text(value: &str) -> Option<v1::Value> {
    Some(v1::Value { kind: Some(v1::value::Kind::Bytes(value.as_bytes().to_vec().into())) })
}

#[test]
fn the_search_finds_what_is_planted_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    let secret = random_text("value");
    let planted = [Planted::new("value", &secret)];
    for (at, form) in planted[0].forms.iter().enumerate() {
        let file = directory.path().join(format!("form{at}"));
        std::fs::write(&file, [b"noise before ".as_slice(), form, b" and after"].concat()).unwrap();
        assert!(!hits(&[file], &planted).is_empty(), "form {at}");
    }
    let clean = directory.path().join("clean");
    std::fs::write(&clean, random_text("value")).unwrap();
    assert!(hits(&[clean], &planted).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_name_or_token_is_in_any_data_directory_or_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.set("log.level=trace,openraft=trace");
    // The segments' size changes nothing but how many zeros there are to search.
    cluster.set("storage.segment_bytes=1048576");
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client(None).await;

    let (value, second, field) = (random_text("value"), random_text("second"), random_text("field"));
    let (name, moved, refused) = (random_text("name"), random_text("moved"), random_text("refused"));
    let put =
        |path: &str, value| v1::PutRequest { environment: HOME.into(), path: path.into(), value, expect: None, metadata: None };
    let get = |path: &str| v1::GetRequest { environment: HOME.into(), path: path.into(), version: 0 };
    let copy =
        |from: &str, to: &str| v1::CopyRequest { environment: HOME.into(), from: from.into(), to: to.into(), expect: None };
    let secrets = client.secrets();
    secrets.put(put(&name, text(&value))).await.unwrap();
    secrets.put(put(&name, text(&second))).await.unwrap();
    let fields = v1::Fields { json: [("password".to_owned(), format!("\"{field}\""))].into() };
    secrets.put(put("structured", Some(v1::Value { kind: Some(v1::value::Kind::Fields(fields)) }))).await.unwrap();
    secrets.get(get(&name)).await.unwrap();
    secrets.get(get("structured")).await.unwrap();
    secrets.get(get(&refused)).await.unwrap_err();
    secrets.copy(copy(&name, &moved)).await.unwrap();
    let rollback = v1::RollbackRequest { environment: HOME.into(), path: name.clone(), to_version: 1, expect: None };
    secrets.rollback(rollback).await.unwrap();
    let versions = v1::VersionsRequest { environment: HOME.into(), path: name.clone(), versions: vec![1], all: false };
    secrets.destroy(versions).await.unwrap();
    let policy = v1::Policy { name: "none".into(), ..Default::default() };
    client.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.unwrap();
    let create =
        v1::CreateTokenRequest { principal: "ana".into(), policies: vec!["none".into()], ttl_ms: 0, ..Default::default() };
    let token = client.tokens().create(create).await.unwrap().token;
    let as_ana = client.with_token(&Token::parse(token.clone()).unwrap()).unwrap();
    as_ana.secrets().get(get(&name)).await.unwrap_err();
    let wrong = random_text("hf_wrong");
    client.with_token(&Token::parse(wrong.clone()).unwrap()).unwrap().secrets().get(get(&name)).await.unwrap_err();
    for node in 0..3 {
        cluster.client(Some(node)).await.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
    }

    let root = cluster.root_token();
    let planted = [
        Planted::new("value", &value),
        Planted::new("second value", &second),
        Planted::new("field", &field),
        Planted::new("secret name", &name),
        Planted::new("copied name", &moved),
        Planted::new("refused name", &refused),
        Planted::new("token", &token),
        Planted::new("token without its prefix", token.trim_start_matches("hf_")),
        Planted::new("wrong token", &wrong),
        Planted::new("root token", root.expose()),
    ];
    let files = |cluster: &ProcessCluster| {
        let mut files = Vec::new();
        for node in 0..3 {
            files_under(&cluster.home(node).join("data"), &mut files);
            files.push(cluster.log(node));
        }
        files
    };
    // While it runs, after it was killed, and after it was stopped in order.
    let running = files(&cluster);
    assert!(running.len() > 20, "there is something to search: {running:?}");
    assert_eq!(hits(&running, &planted), Vec::<String>::new());
    cluster.kill(0);
    cluster.signal(1, libc::SIGTERM);
    cluster.signal(2, libc::SIGTERM);
    for node in [1, 2] {
        cluster.wait_ended(node, Duration::from_secs(30));
    }
    assert_eq!(hits(&files(&cluster), &planted), Vec::<String>::new());
    let log = std::fs::read_to_string(cluster.log(0)).unwrap();
    assert!(log.contains("TRACE"), "the logs are at their most verbose");
}
