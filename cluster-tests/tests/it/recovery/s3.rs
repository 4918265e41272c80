//! The same in an object store: `ops/test-s3.sh` starts one and runs this.

use super::new_cluster::come_back_from;
use super::*;

/// More than one part of an upload holds.
const LARGE: usize = 200;
const LARGE_BYTES: usize = 60_000;

fn bucket() -> String {
    let bucket = std::env::var("HOLDFAST_TEST_S3").expect("HOLDFAST_TEST_S3: ops/test-s3.sh sets it");
    format!("{bucket}/{}", uuid::Uuid::new_v4())
}

/// Text that does not compress.
fn noise(number: usize) -> String {
    use rand::{RngExt, SeedableRng};
    let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(number as u64);
    (0..LARGE_BYTES).map(|_| char::from(chance.random_range(33..127_u8))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_saves_into_an_object_store_and_comes_back_from_it() {
    let (directory, place) = (tempfile::tempdir().unwrap(), bucket());
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.set(&format!("backup.to={place}"));
    cluster.set("backup.incremental_every_ms=0");
    cluster.start_all();
    cluster.ready().await;
    let mut desk = Desk { cluster, directory };
    let client = desk.cluster.client(None).await;
    for number in 0..LARGE {
        put(&client, &format!("large/{number}"), &noise(number)).await;
    }
    let full: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &["snapshot", "save", "-o", "json"])).unwrap();
    assert!(full["snapshot"]["bytes"].as_u64().unwrap() > 8 << 20, "it goes up in several parts: {full}");
    put(&client, "app/later", "in the increment").await;
    let saved = desk.says("holdfast", &["snapshot", "save", "--incremental", "-o", "json"]);
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved["snapshot"]["kind"], "increment", "{saved}");
    put(&client, "app/later", "changed since").await;

    // One secret comes back into the running cluster, out of files that are fetched.
    let one = ["snapshot", "restore", "-e", ENVIRONMENT, "--secret", "app/later", "-o", "json", "--yes"];
    let restored: serde_json::Value = serde_json::from_str(&desk.says("holdfast", &one)).unwrap();
    assert_eq!(restored["written"], 1, "{restored}");
    assert_eq!(read(&client, "app/later").await, "in the increment");

    // The schedule has saved a full one besides; of what is old, one stays.
    let (code, said) = desk.exits("holdfast", &["snapshot", "verify", &place]);
    assert_eq!(code, Some(0), "{said}");
    desk.lose_everything();
    come_back_from(&mut desk, &place, &[]).await;
    let client = desk.cluster.client(None).await;
    for number in [0, LARGE / 2, LARGE - 1] {
        assert_eq!(read(&client, &format!("large/{number}")).await, noise(number));
    }
    assert_eq!(read(&client, "app/later").await, "in the increment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_fails_the_schedule_and_an_alert_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 1);
    cluster.set("backup.to=s3://there-is-no-such-bucket/holdfast");
    cluster.start_all();
    cluster.ready().await;
    let desk = Desk { cluster, directory };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let alerts = desk.says("holdfast", &["alert", "list", "-o", "json"]);
        if alerts.contains("there-is-no-such-bucket") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{alerts}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let health = desk.says("holdfast", &["cluster", "health", "-o", "json"]);
    assert!(health.contains("one that was due failed"), "{health}");
}
