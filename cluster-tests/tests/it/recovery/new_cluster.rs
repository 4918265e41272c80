//! A cluster of which nothing is left but its snapshots and its seal comes back on new nodes.

use super::*;
use proto_record::leaf::Leaf;

/// Brings three new nodes of the kit up from the set; the position of the one that was restored.
pub(super) async fn come_back(desk: &mut Desk, more: &[&str]) -> (usize, serde_json::Value) {
    let place = desk.set().display().to_string();
    come_back_from(desk, &place, more).await
}

/// As [`come_back`], from another place.
pub(super) async fn come_back_from(desk: &mut Desk, place: &str, more: &[&str]) -> (usize, serde_json::Value) {
    let first = desk.cluster.len();
    for _ in 0..3 {
        desk.cluster.lay_out_node();
    }
    let kit = desk.cluster.kit().display().to_string();
    let arguments = desk.restore_from(place, first, &[&["--kit", &kit], more].concat());
    let report = serde_json::from_str(&desk.says("holdfastd", &refs(&arguments))).unwrap();
    let token = std::fs::read_to_string(desk.cluster.home(first).join("root-token")).unwrap();
    desk.cluster.keep_root_token(&token);
    (first..first + 3).for_each(|node| desk.cluster.start(node));
    desk.cluster.ready().await;
    (first, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_back_on_new_nodes_from_a_snapshot_and_its_seal() {
    let mut desk = Desk::start(3).await;
    let client = desk.cluster.client(None).await;
    let written = write(&client, "app", 40).await;
    put(&client, "app/0", "the newest").await;
    let saved = desk.save(&[]);
    let before = desk.cluster.root_token();
    put(&client, "lost", "written after the snapshot").await;
    desk.lose_everything();

    let (first, report) = come_back(&mut desk, &[]).await;
    assert_eq!(report["secrets"], 40);
    assert_eq!(report["values"], 41);
    assert_eq!(report["revision"], saved["snapshot"]["revision"]);
    let client = desk.cluster.client(None).await;
    for (path, value) in &written {
        let expected = if path == "app/0" { "the newest" } else { value };
        assert_eq!(&read(&client, path).await, expected, "{path}");
    }
    let gone = v1::GetRequest { environment: ENVIRONMENT.into(), path: "lost".into(), ..v1::GetRequest::default() };
    assert!(client.secrets().get(gone).await.is_err());
    assert_eq!(put(&client, "app/0", "life goes on").await, 3, "versions go on where they were");

    // Nobody gets in with what was lent before.
    let old = client.with_token(&before).unwrap();
    let refused = old.cluster().status(v1::StatusRequest {}).await.unwrap_err();
    assert_eq!(refused.code, tonic::Code::Unauthenticated, "{refused:?}");

    // The journal goes on behind the snapshot, and its first record says where it came from.
    let epoch = u32::try_from(report["epoch"].as_u64().unwrap()).unwrap();
    assert!(epoch > 1);
    for node in first..first + 3 {
        let client = desk.cluster.client(Some(node)).await;
        assert_eq!(status(&client).await.epoch, epoch);
        let revision = report["revision"].as_u64().unwrap();
        let mut records = client.audit().export(v1::ExportRequest { from_seq: 0, to_seq: 0 }).await.unwrap();
        let record = futures::StreamExt::next(&mut records).await.unwrap().unwrap();
        let leaf = Leaf::decode(&record.leaf).unwrap();
        assert_eq!((leaf.seq, leaf.epoch, leaf.operation), (revision + 1, epoch, 238));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_destroyed_while_a_snapshot_was_written_stays_destroyed() {
    let mut desk = Desk::start(1).await;
    desk.cluster.kill_all();
    desk.cluster.set_variable("HOLDFAST_FAULT", Some("snapshot: values are read late"));
    desk.cluster.start(0);
    desk.cluster.ready().await;
    let client = desk.cluster.client(None).await;
    write(&client, "app", 5).await;
    put(&client, "app/0", "the newest").await;

    let saving = desk.begin("holdfast", &["snapshot", "save", "-o", "json", "--to", desk.set().to_str().unwrap()]);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let destroy = v1::VersionsRequest { environment: ENVIRONMENT.into(), path: "app/0".into(), versions: vec![1], all: false };
    client.secrets().destroy(destroy).await.unwrap();
    let saved = saving.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&saved.stderr);
    assert!(saved.status.success(), "{said}");
    desk.lose_everything();
    desk.cluster.set_variable("HOLDFAST_FAULT", None);

    let (_, report) = come_back(&mut desk, &[]).await;
    assert_eq!((&report["values"], &report["values_gone"]), (&6.into(), &1.into()));
    let client = desk.cluster.client(None).await;
    assert_eq!(read(&client, "app/0").await, "the newest");
    assert_eq!(read(&client, "app/4").await, "app value 4");
    let first = v1::GetRequest { environment: ENVIRONMENT.into(), path: "app/0".into(), version: 1 };
    let refused = client.secrets().get(first).await.unwrap_err();
    assert!(refused.message.contains("its value is gone for good"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_come_back_and_writes_nothing() {
    let mut desk = Desk::start(1).await;
    let client = desk.cluster.client(None).await;
    write(&client, "app", 5).await;
    desk.save(&[]);
    desk.lose_everything();
    desk.cluster.lay_out_node();
    let before = files(&desk.cluster.home(1).join("data"));
    let report: serde_json::Value =
        serde_json::from_str(&desk.says("holdfastd", &refs(&desk.restore(1, &["--dry-run"])))).unwrap();
    assert_eq!((&report["secrets"], &report["dry_run"]), (&5.into(), &true.into()));
    assert_eq!(files(&desk.cluster.home(1).join("data")), before);
    assert!(!desk.cluster.home(1).join("root-token").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_holds_something_or_had_this_number_before_is_not_restored_over() {
    let mut desk = Desk::start(1).await;
    let client = desk.cluster.client(None).await;
    write(&client, "app", 2).await;
    desk.save(&[]);
    desk.cluster.kill_all();
    let (code, said) = desk.exits("holdfastd", &refs(&desk.restore(0, &[])));
    assert_eq!(code, Some(1));
    assert!(said.contains("node 1 was a member of the cluster when the snapshot was made"), "{said}");
    desk.cluster.lay_out_node();
    std::fs::create_dir(desk.cluster.home(1).join("data/wal")).unwrap();
    let (code, said) = desk.exits("holdfastd", &refs(&desk.restore(1, &[])));
    assert_eq!(code, Some(1));
    assert!(said.contains("a restore needs an empty data directory"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_left_out_of_a_restore_is_not_listened_to() {
    let mut desk = Desk::start(3).await;
    let client = desk.cluster.client(None).await;
    write(&client, "app", 10).await;
    desk.save(&[]);
    desk.cluster.kill_all();
    let (first, report) = come_back(&mut desk, &[]).await;
    let client = desk.cluster.client(Some(first)).await;
    put(&client, "after", "the restore").await;
    // The old nodes come back, with a majority of their own: they go on by themselves, in their own epoch, and change nothing here.
    (0..3).for_each(|node| desk.cluster.start(node));
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(read(&client, "after").await, "the restore");
    assert_eq!(status(&client).await.epoch, report["epoch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_from_before_a_restore_are_not_taken_for_lost_while_a_new_node_is_away() {
    let mut desk = Desk::start(1).await;
    let client = desk.cluster.client(None).await;
    write(&client, "app", 5).await;
    desk.save(&[]);
    desk.lose_everything();
    let (first, _) = come_back(&mut desk, &[]).await;
    desk.cluster.kill(first + 2);
    // Longer than a node looks for records before it says that nobody has them.
    tokio::time::sleep(std::time::Duration::from_secs(40)).await;
    let client = desk.cluster.client(Some(first)).await;
    let status = status(&client).await;
    assert!(status.damages.is_empty(), "{:?}", status.damages);
    let query = v1::QueryRequest { operation: "repair.began".into(), ..v1::QueryRequest::default() };
    let began = client.audit().query(query).await.unwrap();
    let began: Vec<_> = futures::StreamExt::collect(began).await;
    assert!(began.is_empty(), "{began:?}");
}
