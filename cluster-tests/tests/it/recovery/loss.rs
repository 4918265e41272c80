//! A majority is lost for good, and one survivor goes on.

use super::*;
use cluster_tests::processes::learner;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_survivor_goes_on_with_all_that_it_has_and_others_join_it() {
    let mut desk = Desk::start(3).await;
    let client = desk.cluster.client(None).await;
    let written = write(&client, "app", 20).await;
    client.cluster().trigger_snapshot(v1::TriggerSnapshotRequest {}).await.unwrap();
    let more = write(&client, "more", 20).await;
    // What was written last is on the survivor, too: it answers for it.
    let survivor = 2;
    let own = desk.cluster.client(Some(survivor)).await;
    assert_eq!(&read(&own, "more/19").await, &more["more/19"]);
    let epoch = status(&own).await.epoch;
    desk.cluster.kill_all();
    for lost in [0, 1] {
        std::fs::remove_dir_all(desk.cluster.home(lost).join("data")).unwrap();
    }
    let config = desk.cluster.home(survivor).join("holdfast.toml").display().to_string();
    let held: serde_json::Value = serde_json::from_str(&desk.says("holdfastd", &["inspect", "--config", &config])).unwrap();
    assert_eq!(held["members"], serde_json::json!([1, 2, 3]));

    let (code, _) = desk.exits("holdfastd", &["recover", "--config", &config]);
    assert_eq!(code, Some(2), "nothing is done without the words");
    let recovered = desk.says("holdfastd", &["recover", "--config", &config, "--i-accept-loss"]);
    let recovered: serde_json::Value = serde_json::from_str(&recovered).unwrap();
    assert_eq!(recovered["lost"], serde_json::json!([1, 2]));
    assert!(recovered["epoch"].as_u64() > Some(epoch.into()), "{recovered}");

    desk.cluster.start(survivor);
    desk.cluster.ready().await;
    let own = desk.cluster.client(Some(survivor)).await;
    for (path, value) in written.iter().chain(&more) {
        assert_eq!(&read(&own, path).await, value, "{path}");
    }
    assert_eq!(status(&own).await.epoch, recovered["epoch"]);
    let journal = own.audit().head(v1::HeadRequest {}).await.unwrap();
    assert_eq!(journal.first_seq, 1, "its journal is whole");
    // Records of both epochs, in one chain from its beginning.
    desk.says("holdfast", &["audit", "verify"]);
    let bundle = desk.directory.path().join("journal.bundle").display().to_string();
    desk.says("holdfast", &["audit", "export", "--out", &bundle]);
    desk.says("holdfast", &["audit", "verify", "--bundle", &bundle]);

    // A new node joins and gets everything.
    let plan = desk.cluster.add_node();
    own.cluster().add_learner(learner(&plan)).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while own.cluster().promote(v1::MemberRequest { node_id: plan.id, even_so: false }).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the new node did not catch up");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let joined = desk.cluster.client(Some(desk.cluster.len() - 1)).await;
    assert_eq!(&read(&joined, "app/7").await, &written["app/7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_was_cut_short_is_begun_again_and_loses_nothing() {
    let mut desk = Desk::start(3).await;
    let client = desk.cluster.client(None).await;
    let written = write(&client, "app", 10).await;
    let survivor = 1;
    let own = desk.cluster.client(Some(survivor)).await;
    assert_eq!(&read(&own, "app/9").await, &written["app/9"]);
    desk.cluster.kill_all();
    let data = desk.cluster.home(survivor).join("data");
    let config = desk.cluster.home(survivor).join("holdfast.toml").display().to_string();
    let recover = ["recover", "--config", &config, "--i-accept-loss"];
    let report = |said: String| serde_json::from_str::<serde_json::Value>(&said).unwrap();

    // A state that had come apart is no ground to go on from.
    std::fs::write(data.join("came-apart.json"), r#"{"why":"the state at record 9 is not what it was","index":9,"times":1}"#)
        .unwrap();
    let held = report(desk.says("holdfastd", &["inspect", "--config", &config]));
    assert_eq!(held["came_apart"], "the state at record 9 is not what it was");
    let (code, said) = desk.exits("holdfastd", &recover);
    assert!(code == Some(1) && said.contains("go on with another survivor") && said.contains("record 9"), "{said}");
    std::fs::remove_file(data.join("came-apart.json")).unwrap();

    // Killed before anything moved.
    std::fs::write(data.join("recovering"), "before-epoch-2").unwrap();
    std::fs::create_dir(data.join("snapshots.next")).unwrap();
    let (code, said) = desk.exits("holdfastd", &["server", "--config", &config]);
    assert!(code == Some(1) && said.contains("a recovery of this node was cut short"), "{said}");
    let (code, said) = desk.exits("holdfastd", &refs(&desk.restore(survivor, &[])));
    assert!(code == Some(1), "a restore must not take the half of a node for nothing: {said}");
    let first = report(desk.says("holdfastd", &recover));
    // Killed when everything had moved, just before the end: the old log is still there, and is what counts.
    std::fs::write(data.join("recovering"), format!("before-epoch-{}", first["epoch"])).unwrap();
    let second = report(desk.says("holdfastd", &recover));
    assert_eq!(first["held"], second["held"]);
    assert_ne!(first["epoch"], second["epoch"], "what the first began must not be taken for the second's");

    desk.cluster.start(survivor);
    desk.cluster.ready().await;
    let own = desk.cluster.client(Some(survivor)).await;
    for (path, value) in &written {
        assert_eq!(&read(&own, path).await, value, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_which_survivor_is_furthest_and_only_that_one_goes_on() {
    let mut desk = Desk::start(5).await;
    let client = desk.cluster.client(None).await;
    write(&client, "app", 5).await;
    let behind = 4;
    desk.cluster.kill(behind);
    let written = write(&desk.cluster.client(Some(0)).await, "more", 5).await;
    let ahead = 3;
    assert_eq!(&read(&desk.cluster.client(Some(ahead)).await, "more/4").await, &written["more/4"]);
    desk.cluster.kill_all();
    let config = |node: usize| desk.cluster.home(node).join("holdfast.toml").display().to_string();
    let inspected = |node: usize| {
        let file = desk.directory.path().join(format!("{node}.json"));
        std::fs::write(&file, desk.says("holdfastd", &["inspect", "--config", &config(node)])).unwrap();
        file.display().to_string()
    };
    let (of_ahead, of_behind, another) = (inspected(ahead), inspected(behind), inspected(2));
    let at = |node: usize, survivor: &str| {
        vec![
            "operator".to_owned(),
            "recover".into(),
            "--server-config".into(),
            config(node),
            "--survivor".into(),
            survivor.to_owned(),
        ]
    };
    let said: serde_json::Value =
        serde_json::from_str(&desk.says("holdfast", &[&refs(&at(behind, &of_ahead))[..], &["-o", "json"]].concat())).unwrap();
    assert_eq!(said["furthest"], ahead + 1, "{said}");
    let (code, said) = desk.exits("holdfast", &[&refs(&at(behind, &of_ahead))[..], &["--i-accept-loss"]].concat());
    assert!(code == Some(6) && said.contains("node 4 is further"), "{said}");
    let furthest = at(ahead, &of_behind);
    let (code, said) = desk.exits("holdfast", &[&refs(&furthest)[..], &["--survivor", &another, "--i-accept-loss"]].concat());
    assert!(
        code == Some(6) && said.contains("are a majority of the voters [1, 2, 3, 4, 5]: start them, nothing is lost"),
        "{said}"
    );
    desk.says("holdfast", &[&refs(&furthest)[..], &["--i-accept-loss"]].concat());
    desk.cluster.start(ahead);
    desk.cluster.ready().await;
    let own = desk.cluster.client(Some(ahead)).await;
    assert_eq!(&read(&own, "more/4").await, &written["more/4"]);
    let alerts = desk.says("holdfast", &["alert", "list", "-o", "json"]);
    assert!(alerts.contains("node 4 went on alone"), "{alerts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recovered_while_other_members_run() {
    let mut desk = Desk::start(3).await;
    let client = desk.cluster.client(None).await;
    let written = write(&client, "app", 3).await;
    let down = (desk.cluster.ready().await + 1) % 3;
    desk.cluster.kill(down);
    let config = desk.cluster.home(down).join("holdfast.toml").display().to_string();
    let (code, said) = desk.exits("holdfastd", &["recover", "--config", &config, "--i-accept-loss"]);
    let running: Vec<usize> = (1..=3).filter(|id| *id != down + 1).collect();
    assert!(code == Some(1) && said.contains(&format!("nodes {running:?} run: if they are a majority")), "{said}");
    // Nothing was changed: it comes back as it was.
    desk.cluster.start(down);
    desk.cluster.ready().await;
    assert_eq!(&read(&desk.cluster.client(Some(down)).await, "app/2").await, &written["app/2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recovered_while_the_node_runs() {
    let desk = Desk::start(1).await;
    let config = desk.cluster.home(0).join("holdfast.toml").display().to_string();
    let (code, said) = desk.exits("holdfastd", &["recover", "--config", &config, "--i-accept-loss"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("is in use by another process"), "{said}");
}
