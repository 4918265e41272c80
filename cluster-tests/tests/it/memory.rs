//! What of values, tokens and keys is left in memory: a core file of a node is searched for them.
//!
//! `holdfastd` leaves none. A control that is allowed to (`unguarded-node`, the same node by the same allocator) is made to.

use crate::planted::{Planted, hits, random_text};
use cluster_tests::processes::ProcessCluster;
use proto::v1;
use proto_client::Token;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HOME: &str = "production";
/// Values are gone from the heap within this after the last answer, and with the last connection.
const GONE_AFTER: Duration = Duration::from_secs(1);

fn core_in(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")))
}

/// Whether the kernel writes core files into the directory of the process that dies.
fn cores_are_files() -> bool {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    pattern.starts_with("core")
}

struct Secrets {
    value: String,
    second: String,
    field: String,
    token: String,
}

/// Writes and reads through the first node, and is refused by it.
async fn use_it(cluster: &ProcessCluster) -> Secrets {
    let client = cluster.client(Some(0)).await;
    let (value, second, field) = (random_text("value"), random_text("second"), random_text("field"));
    let text = |value: &str| Some(v1::Value { kind: Some(v1::value::Kind::Bytes(value.as_bytes().to_vec().into())) });
    let put =
        |path: &str, value| v1::PutRequest { environment: HOME.into(), path: path.into(), value, expect: None, metadata: None };
    let get = |path: &str| v1::GetRequest { environment: HOME.into(), path: path.into(), version: 0 };
    let secrets = client.secrets();
    secrets.put(put("plain", text(&value))).await.unwrap();
    secrets.put(put("plain", text(&second))).await.unwrap();
    let fields = v1::Fields { json: [("password".to_owned(), format!("\"{field}\""))].into() };
    secrets.put(put("structured", Some(v1::Value { kind: Some(v1::value::Kind::Fields(fields)) }))).await.unwrap();
    for _ in 0..20 {
        secrets.get(get("plain")).await.unwrap();
        secrets.get(get("structured")).await.unwrap();
    }
    let policy = v1::Policy { name: "none".into(), ..Default::default() };
    client.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.unwrap();
    let create = v1::CreateTokenRequest { principal: "ana".into(), policies: vec!["none".into()], ..Default::default() };
    let token = client.tokens().create(create).await.unwrap().token;
    let as_ana = client.with_token(&Token::parse(token.clone()).unwrap()).unwrap();
    as_ana.secrets().get(get("plain")).await.unwrap_err();
    Secrets { value, second, field, token }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_file_of_a_node_holds_no_value_token_or_key() {
    if !cores_are_files() {
        eprintln!("skipped: this system does not write core files beside the process that dies");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    let marker = random_text("marker");
    let reversed: String = marker.chars().rev().collect();
    cluster.run_by(0, &["unguarded-node", "--marker", &reversed]);
    cluster.start_all();
    cluster.ready().await;
    let used = use_it(&cluster).await;
    tokio::time::sleep(GONE_AFTER).await;
    let root = cluster.root_token();

    for node in [0, 1] {
        cluster.signal(node, libc::SIGABRT);
        cluster.wait_ended(node, Duration::from_secs(60));
    }
    assert_eq!(core_in(&cluster.home(1)), None, "holdfastd leaves no core file");
    let core = core_in(&cluster.home(0)).expect("the control leaves a core file");
    let there = [core];
    assert!(!hits(&there, &[Planted::new("marker", &marker)]).is_empty(), "the search finds what is held");
    let planted = [
        Planted::new("value", &used.value),
        Planted::new("second value", &used.second),
        Planted::new("field", &used.field),
        Planted::new("token", &used.token),
        Planted::new("root token", root.expose()),
    ];
    assert_eq!(hits(&there, &planted), Vec::<String>::new());
}
