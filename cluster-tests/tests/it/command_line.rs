//! The programs as people use them: import, read, compare, prove.

use cluster_tests::processes::{ProcessCluster, binary};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

struct Desk {
    cluster: ProcessCluster,
    directory: tempfile::TempDir,
}

async fn desk() -> Desk {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = ProcessCluster::prepare(directory.path(), 3);
    cluster.start_all();
    cluster.ready().await;
    Desk { cluster, directory }
}

impl Desk {
    fn holdfast(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("holdfast"));
        command.args(arguments).env("HOLDFAST_CONFIG", self.cluster.kit().join("client.toml")).stdin(Stdio::null());
        command.output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.holdfast(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn exits(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.holdfast(arguments);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/deploy/examples/orders.env")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dotenv_file_comes_back_from_every_node_as_it_went_in() {
    let desk = desk().await;
    let file = example();
    desk.says(&["import", file.to_str().unwrap(), "--env", "development", "--prefix", "orders/"]);
    let addresses: Vec<String> = {
        let settings = std::fs::read_to_string(desk.cluster.kit().join("client.toml")).unwrap();
        settings.split('"').filter(|part| part.starts_with("https://")).map(str::to_owned).collect()
    };
    assert_eq!(addresses.len(), 3);
    let mut exports = Vec::new();
    for address in &addresses {
        let value = desk.says(&["--addr", address, "secret", "get", "orders/DB_PASSWORD", "--env", "development", "-o", "raw"]);
        assert_eq!(value, "p@ss w0rd with $dollar and #hash");
        exports.push(desk.says(&[
            "--addr",
            address,
            "export",
            "--env",
            "development",
            "--prefix",
            "orders/",
            "--format",
            "json",
        ]));
    }
    assert!(exports.windows(2).all(|pair| pair[0] == pair[1]), "every node exports the same");
    let exported: serde_json::Value = serde_json::from_str(&exports[0]).unwrap();
    assert!(exported.as_object().unwrap().len() >= 50);
    assert_eq!(exported["UNICODE_GREETING"], "grüß-dich-日本");
    assert_eq!(exported["ENCRYPTION_KEY_OLD"], "");
    assert!(exported["JWT_SIGNING_KEY"].as_str().unwrap().lines().count() == 4);
    // What is exported imports again, elsewhere, as the same.
    let dotenv = desk.file("again.env");
    std::fs::write(&dotenv, desk.says(&["export", "--env", "development", "--prefix", "orders/", "--format", "dotenv"])).unwrap();
    desk.says(&["import", dotenv.to_str().unwrap(), "--env", "staging", "--prefix", "orders/"]);
    assert_eq!(desk.says(&["export", "--env", "staging", "--prefix", "orders/", "--format", "json"]), exports[0]);
    desk.says(&["audit", "verify", "--all-nodes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_what_happened() {
    let desk = desk().await;
    let value = desk.file("value");
    std::fs::write(&value, "secret value").unwrap();
    let at_value = format!("@{}", value.display());
    desk.says(&["secret", "put", "db/password", &at_value, "-e", "development"]);
    assert_eq!(desk.exits(&["secret", "get", "db/none", "-e", "development"]).0, Some(3));
    let (code, said) = desk.exits(&["secret", "put", "db/password", "plain=value", "-e", "development"]);
    assert_eq!(code, Some(2), "a value on the command line is refused: {said}");
    let wrong = desk.file("wrong-token");
    std::fs::write(&wrong, "hf_wrong").unwrap();
    let wrong = wrong.display().to_string();
    assert_eq!(desk.exits(&["--token-file", &wrong, "secret", "get", "db/password", "-e", "development"]).0, Some(5));
    let (code, said) = desk.exits(&["--addr", "https://127.0.0.1:1", "--timeout", "1s", "cluster", "status"]);
    assert_eq!(code, Some(7), "{said}");
    let (code, said) = desk.exits(&["audit", "verify", "--expect-head", &"00".repeat(32)]);
    assert_eq!(code, Some(8), "{said}");
}

/// Cuts a bundle into what stands before its records, the records, and what stands behind them.
fn records(bundle: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>, Vec<u8>) {
    let first = (0..bundle.len()).find(|at| bundle[*at..].starts_with(b"HFR1")).unwrap();
    let (mut at, mut records) = (first, Vec::new());
    while bundle[at..].starts_with(b"HFR1") {
        let length = u32::from_be_bytes(bundle[at + 12..at + 16].try_into().unwrap()) as usize;
        let end = at + 24 + 32 + length;
        records.push(bundle[at..end].to_vec());
        at = end;
    }
    (bundle[..first].to_vec(), records, bundle[at..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_an_exported_journal_is_found_and_named() {
    let desk = desk().await;
    let file = example();
    desk.says(&["import", file.to_str().unwrap(), "--env", "development"]);
    let bundle = desk.file("journal.hfj");
    let path = bundle.display().to_string();
    desk.says(&["audit", "export", "--out", &path]);
    desk.says(&["audit", "verify", "--bundle", &path]);
    let good = std::fs::read(&bundle).unwrap();
    let (head, records, tail) = records(&good);
    assert!(records.len() > 60);
    assert_eq!([head.clone(), records.concat(), tail.clone()].concat(), good, "the test cuts bundles rightly");

    let damaged = |name: &str, records: Vec<Vec<u8>>, named: &str| {
        let damaged = desk.file(name);
        std::fs::write(&damaged, [head.clone(), records.concat(), tail.clone()].concat()).unwrap();
        let (code, said) = desk.exits(&["audit", "verify", "--bundle", damaged.to_str().unwrap()]);
        assert_eq!(code, Some(8), "{name}: {said}");
        assert!(said.contains(named), "{name} is named as {named:?}: {said}");
    };
    let with = |change: fn(&mut Vec<Vec<u8>>)| {
        let mut records = records.clone();
        change(&mut records);
        records
    };
    damaged("flipped", with(|records| records[41][90] ^= 1), "record 42 ");
    damaged("dropped", with(|records| drop(records.remove(41))), "record 42 is missing");
    damaged("reordered", with(|records| records.swap(41, 42)), "record 43 stands where 42 should");
    damaged("inserted", with(|records| records.insert(41, records[3].clone())), "inserted: it calls itself 4");
    let truncated = desk.file("truncated");
    std::fs::write(&truncated, &good[..good.len() - tail.len() - 10]).unwrap();
    assert_eq!(desk.exits(&["audit", "verify", "--bundle", truncated.to_str().unwrap()]).0, Some(8));
}
