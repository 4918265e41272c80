//! A state of any moment between two snapshots is the one that the journal was at then.

use super::*;
use futures::StreamExt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Points that are looked at.
const POINTS: usize = 30;

async fn delete(client: &Client, path: &str) {
    let versions = v1::VersionsRequest { environment: ENVIRONMENT.into(), path: path.into(), ..v1::VersionsRequest::default() };
    // What is not there or hidden already is refused: a record like any other.
    let _ = client.secrets().delete(versions).await;
}

/// Something happens, as chance has it.
async fn happen(client: &Client, chance: &mut ChaCha8Rng) {
    let path = format!("walk/{}", chance.random_range(0..12));
    match chance.random_range(0..10) {
        0 => delete(client, &path).await,
        1 => {
            let request = v1::RotateKeyRequest { environment: ENVIRONMENT.into(), ..v1::RotateKeyRequest::default() };
            // There may be as many versions as there can be.
            let _ = client.keys().rotate(request).await;
        }
        2 => drop(status(client).await),
        3 => {
            let (from, to) = (path, format!("walk/{}", chance.random_range(12..16)));
            let request = v1::CopyRequest { environment: ENVIRONMENT.into(), from, to, ..v1::CopyRequest::default() };
            let _ = client.secrets().copy(request).await;
        }
        _ => drop(put(client, &path, &format!("value {}", chance.random_range(0..1_000_000))).await),
    }
}

/// Chain and digest of the state at a record, as a restore from this set would bring them back.
fn looked_back(desk: &Desk, set: &Path, revision: u64) -> (u64, String, String) {
    let config = desk.cluster.home(1).join("holdfast.toml").display().to_string();
    let (set, revision) = (set.display().to_string(), revision.to_string());
    let fixed = ["restore", "--json", "--dry-run", "--config", &config, "--from", &set, "--at-revision", &revision];
    let report: serde_json::Value = serde_json::from_str(&desk.says("holdfastd", &fixed)).unwrap();
    let text = |name: &str| report[name].as_str().unwrap().to_owned();
    (report["revision"].as_u64().unwrap(), text("chain"), text("state_digest"))
}

/// Whether files of this set lead to a record.
fn reaches(desk: &Desk, set: &Path, revision: u64) -> bool {
    let config = desk.cluster.home(1).join("holdfast.toml").display().to_string();
    let (set, revision) = (set.display().to_string(), revision.to_string());
    let (code, said) =
        desk.exits("holdfastd", &["restore", "--dry-run", "--config", &config, "--from", &set, "--at-revision", &revision]);
    assert!(code == Some(0) || said.contains("the snapshots reach to record"), "{said}");
    code == Some(0)
}

/// The chain at every record, as the journal has it.
async fn journal(client: &Client) -> BTreeMap<u64, String> {
    let mut records = client.audit().export(v1::ExportRequest { from_seq: 1, to_seq: 0 }).await.unwrap();
    let mut chains = BTreeMap::new();
    while let Some(record) = records.next().await {
        let record = record.unwrap();
        chains.insert(record.seq, record.chain.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    chains
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_random_points_come_back_as_a_replay_from_the_beginning_has_them() {
    let seed = std::env::var("HOLDFAST_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut desk = Desk::start(1).await;
    let client = desk.cluster.client(None).await;
    // One set from the beginning, in increments only; and one with full snapshots on the way.
    let beginning = desk.save(&[])["snapshot"]["revision"].as_u64().unwrap();
    let other = desk.directory.path().join("others");
    let mut end = beginning;
    for round in 0..6 {
        for _ in 0..40 {
            happen(&client, &mut chance).await;
        }
        end = desk.save(&["--incremental"])["snapshot"]["revision"].as_u64().unwrap();
        let incremental = if round % 3 == 0 { vec![] } else { vec!["--incremental"] };
        let arguments = [&["snapshot", "save", "--to", other.to_str().unwrap()], &incremental[..]].concat();
        desk.says("holdfast", &arguments);
    }
    let chains = journal(&client).await;
    desk.cluster.kill_all();
    desk.cluster.lay_out_node();
    let kinds: Vec<String> =
        files(&desk.set()).iter().map(|file| file.extension().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "full").count(), 1, "one set has its first full snapshot only");
    let mut compared = 0;
    for _ in 0..POINTS {
        let point = chance.random_range(beginning..=end);
        let (revision, chain, digest) = looked_back(&desk, &desk.set(), point);
        assert!(revision <= point && point - revision < 16, "a point is a whole request: {revision} for {point}");
        assert_eq!(chain, chains[&revision], "the chain at {revision} is the journal's");
        // From the nearest full snapshot it is the same.
        // Where it is: no increment leads from the last one before a full snapshot to that one.
        if let Some(first) = oldest_full(&other).filter(|first| *first <= revision && reaches(&desk, &other, revision)) {
            assert_eq!(looked_back(&desk, &other, revision), (revision, chain, digest), "from a later full snapshot ({first})");
            compared += 1;
        }
    }
    println!("{POINTS} points between {beginning} and {end}, {compared} of them from two full snapshots");
    assert!(compared > 0);
}

fn oldest_full(set: &Path) -> Option<u64> {
    let names = files(set).into_iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".full")).filter_map(|name| name.split('-').nth(1)?.parse().ok()).min()
}
