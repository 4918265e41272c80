//! An environment, or one secret of it, as it was: into the running cluster.

use super::*;

/// A cluster that saves where its settings say.
async fn desk_with_store() -> Desk {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.set(&format!("backup.to={}", directory.path().join("backups").display()));
    cluster.start_all();
    cluster.ready().await;
    Desk { cluster, directory }
}

fn differences(answer: &serde_json::Value) -> Vec<(String, String)> {
    let of = |one: &serde_json::Value, name: &str| one[name].as_str().unwrap().to_owned();
    answer["differences"].as_array().unwrap().iter().map(|one| (of(one, "path"), of(one, "difference"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_environment_held_comes_back_as_new_versions_and_a_dry_run_says_so_before() {
    let desk = desk_with_store().await;
    let client = desk.cluster.client(None).await;
    for (path, value) in [("app/changed", "old"), ("app/gone", "kept"), ("app/same", "same"), ("other/changed", "old")] {
        put(&client, path, value).await;
    }
    let saved: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &["snapshot", "save", "-o", "json"])).unwrap();
    let at = saved["snapshot"]["revision"].as_u64().unwrap().to_string();
    put(&client, "app/changed", "new").await;
    put(&client, "other/changed", "new").await;
    put(&client, "app/fresh", "made later").await;
    let gone = v1::VersionsRequest { environment: ENVIRONMENT.into(), path: "app/gone".into(), ..v1::VersionsRequest::default() };
    client.secrets().delete(gone).await.unwrap();
    // A key that sealed the old values is not the newest any more.
    let rotate = v1::RotateKeyRequest { environment: ENVIRONMENT.into(), ..v1::RotateKeyRequest::default() };
    client.keys().rotate(rotate).await.unwrap();

    let restore = ["snapshot", "restore", "-e", ENVIRONMENT, "--prefix", "app/", "--at-revision", &at, "-o", "json", "--yes"];
    let dry = [&restore[..], &["--dry-run"]].concat();
    let would: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &dry)).unwrap();
    let expected = [("app/changed", "changes back"), ("app/fresh", "newer"), ("app/gone", "comes back")];
    let expected: Vec<_> = expected.iter().map(|(path, kind)| ((*path).to_owned(), (*kind).to_owned())).collect();
    assert_eq!(differences(&would), expected);
    assert_eq!(read(&client, "app/changed").await, "new", "a dry run writes nothing");

    let did: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &restore)).unwrap();
    assert_eq!(did["written"], 2);
    assert_eq!(read(&client, "app/changed").await, "old");
    assert_eq!(read(&client, "app/gone").await, "kept");
    assert_eq!(read(&client, "app/fresh").await, "made later", "what is newer stays");
    assert_eq!(read(&client, "other/changed").await, "new", "what was not asked for stays");
    assert_eq!(put(&client, "app/changed", "newer").await, 4, "old values came as new versions");

    // Once more there is nothing to do but the one that was just written.
    let one = ["snapshot", "restore", "-e", ENVIRONMENT, "--secret", "app/changed", "--at-revision", &at, "-o", "json", "--yes"];
    let again: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &one)).unwrap();
    assert_eq!((differences(&again).len(), &again["written"]), (1, &1.into()));
    let nothing: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &one)).unwrap();
    assert_eq!((differences(&nothing).len(), &nothing["written"]), (0, &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_read_learns_nothing_by_a_restore_that_a_rule_looks_into() {
    let desk = desk_with_store().await;
    let root = desk.cluster.client(None).await;
    put(&root, "app/one", "hunter2").await;
    let saved: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &["snapshot", "save", "-o", "json"])).unwrap();
    let at = saved["snapshot"]["revision"].as_u64().unwrap().to_string();
    put(&root, "app/one", "other").await;
    let rule = |environment: &str, capabilities: &[&str]| v1::Rule {
        environment: environment.into(),
        path: "*".into(),
        capabilities: capabilities.iter().map(|word| (*word).to_owned()).collect(),
        ..Default::default()
    };
    let rules = vec![rule("*", &["cluster", "governance"]), rule(ENVIRONMENT, &["create", "update"])];
    let policy = v1::Policy { name: "restorer".into(), rules, ..Default::default() };
    root.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await.unwrap();
    let wish = v1::CreateTokenRequest { principal: "rex".into(), policies: vec!["restorer".into()], ..Default::default() };
    let token = desk.directory.path().join("rex");
    std::fs::write(&token, root.tokens().create(wish).await.unwrap().token).unwrap();
    let token = token.to_str().unwrap();
    let restore =
        ["--token-file", token, "snapshot", "restore", "-e", ENVIRONMENT, "--secret", "app/one", "--at-revision", &at, "--yes"];
    // One that fits, and one that does not: he is told the same.
    for regex in ["hun.*", "x.*"] {
        let rule = v1::ValueRule { name: "guess".into(), regex: regex.into(), ..Default::default() };
        root.value_rules().put(v1::PutValueRuleRequest { rule: Some(rule) }).await.unwrap();
        let (code, said) = desk.exits("holdfast", &restore);
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("rex may not read app/one"), "{said}");
    }
    assert_eq!(read(&root, "app/one").await, "other");
    let query = v1::QueryRequest { actor: "rex".into(), operation: "secret.transact".into(), ..Default::default() };
    let tries: Vec<_> = futures::StreamExt::collect(root.audit().query(query).await.unwrap()).await;
    assert_eq!(tries.len(), 2, "both tries stand in the journal: {tries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_saved_by_themselves_and_old_ones_go() {
    let directory = tempfile::tempdir().unwrap();
    let set = directory.path().join("backups");
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.set(&format!("backup.to={}", set.display()));
    cluster.set("backup.full_every_ms=4000");
    cluster.set("backup.incremental_every_ms=1000");
    cluster.set("backup.keep=2");
    cluster.set("backup.keep_ms=0");
    cluster.start_all();
    cluster.ready().await;
    let desk = Desk { cluster, directory };
    let client = desk.cluster.client(None).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let (mut fulls, mut increments) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    while fulls.len() < 5 || increments.len() < 3 {
        assert!(std::time::Instant::now() < deadline, "{fulls:?} {increments:?}");
        put(&client, "app/busy", "again").await;
        for file in if set.exists() { files(&set) } else { Vec::new() } {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".full") {
                fulls.insert(name);
            } else if name.ends_with(".increment") {
                increments.insert(name);
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let listed: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &["snapshot", "list", "-o", "json"])).unwrap();
    assert_eq!(listed["failing"], false);
    assert_eq!(listed["orphans"].as_array().unwrap().len(), 0);
    let left = files(&set).iter().filter(|file| file.extension().is_some_and(|extension| extension == "full")).count();
    assert!(left <= 3, "{left} full snapshots are left of {}", fulls.len());
    let (code, said) = desk.exits("holdfast", &["snapshot", "verify", set.to_str().unwrap()]);
    // One that is being written or deleted while it is looked at is not there yet or any more.
    assert!(code == Some(0) || said.contains("No such file"), "{said}");
}
