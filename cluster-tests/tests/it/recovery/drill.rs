//! A drill brings the cluster back beside itself.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_passes_with_good_snapshots_and_fails_with_a_wrong_canary() {
    let desk = Desk::start(1).await;
    let client = desk.cluster.client(None).await;
    write(&client, "app", 25).await;
    put(&client, "canary", "sings").await;
    desk.save(&[]);
    write(&client, "more", 5).await;
    desk.save(&["--incremental"]);
    let (set, seal) = (desk.set(), desk.cluster.home(0));
    let canaries = desk.directory.path().join("canaries");
    let digest = blake3::hash(b"sings").to_hex();
    std::fs::write(&canaries, format!("# known secrets\n{ENVIRONMENT}:canary {digest}\n")).unwrap();
    let report = desk.directory.path().join("drill.json");
    let drill = |canaries: &Path| {
        let fixed = ["drill", "--from", set.to_str().unwrap(), "--seal", seal.to_str().unwrap()];
        let more = ["--report", report.to_str().unwrap(), "--canaries", canaries.to_str().unwrap(), "--report-to-cluster"];
        desk.exits("holdfast", &[&fixed[..], &more[..]].concat())
    };
    let (code, said) = drill(&canaries);
    assert_eq!(code, Some(0), "{said}");
    println!("{said}");
    let listed: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &["snapshot", "list", "-o", "json"])).unwrap();
    assert!(listed["drill"].as_str().unwrap().ends_with("passed"), "{listed}");

    std::fs::write(&canaries, format!("{ENVIRONMENT}:canary {}\n", "00".repeat(32))).unwrap();
    let (code, said) = drill(&canaries);
    assert_eq!(code, Some(8), "{said}");
    assert!(said.contains("its value is another one"), "{said}");
    let alerts = desk.says("holdfast", &["alert", "list", "-o", "json"]);
    assert!(alerts.contains("failed: read its report"), "{alerts}");
}
