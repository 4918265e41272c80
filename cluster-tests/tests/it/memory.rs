//! What of values, tokens and keys is left in memory: a core file of a node is searched for them.
//!
//! `holdfastd` leaves none. A control that is allowed to (`unguarded-node`, the same node by the same allocator) is made to.

use crate::planted::{Planted, hits, random_text};
use cluster_tests::processes::ProcessCluster;
use node_domain::command::Founding;
use proto::v1;
use proto_client::Token;
use proto_record::codec::{self, Kind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::{Identity, RealDisk};
use storage_crypto::hex;
use storage_crypto::keyring::{WrappedKey, unwrap_environment_key};
use storage_crypto::seal_file::SealFile;
use storage_crypto::seal_key::SealKey;
use storage_crypto::sealed::{self, Binding, Purpose};
use storage_crypto::value::ValueScope;

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

/// Every key that a node of this kit will hold: read from the kit before its node uses up what founds the cluster.
fn keys_of(cluster: &ProcessCluster) -> Vec<Planted> {
    /// What the kit leaves for the founding, as the node has it.
    #[derive(serde::Deserialize)]
    struct Bootstrap {
        #[allow(dead_code)]
        members: BTreeMap<u64, raft::Member>,
        founding: Founding,
    }
    let home = cluster.home(0);
    let read = |name: &str| std::fs::read(home.join(name)).unwrap();
    let key_text = String::from_utf8(read("seal.key")).unwrap();
    let seal_key = SealKey::from_key_file(&key_text).unwrap();
    let seal_file = SealFile::parse(&read("seal.json")).unwrap();
    let ring = seal_file.open(&seal_key).unwrap();
    let (root_version, root) = ring.current();
    let cluster_id = seal_file.cluster();
    let identity = Identity::open(&RealDisk, &home.join("data"), ring.identity(), Some(&cluster_id)).unwrap();
    let binding = Binding::new(Purpose::Bootstrap).bytes(&cluster_id);
    let opened = sealed::open(ring.identity(), &binding, &read("data/bootstrap.sealed")).unwrap();
    let bootstrap: Bootstrap = codec::decode(Kind::Bootstrap, opened.expose()).unwrap();
    let mut keys = vec![
        Planted::of_bytes("seal key", &hex::decode(key_text.trim()).unwrap()),
        Planted::of_bytes("root key", root.expose()),
        Planted::of_bytes("identity key", ring.identity().expose()),
        Planted::of_bytes("lookup key", ring.lookup().expose()),
        Planted::of_bytes("storage key", identity.storage_key.expose()),
    ];
    for (_, id, wrapped) in &bootstrap.founding.environments {
        let scope = ValueScope { cluster: cluster_id, environment: *id };
        let wrapped = WrappedKey { version: 1, sealed: wrapped.to_vec() };
        let key = unwrap_environment_key(root, &scope, &wrapped).unwrap();
        keys.push(Planted::of_bytes("environment key", key.expose()));
    }
    assert!(root_version == 1 && keys.len() >= 8);
    keys
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
    let keys = keys_of(&cluster);
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
    assert_eq!(hits(&there, &keys), Vec::<String>::new());
}
