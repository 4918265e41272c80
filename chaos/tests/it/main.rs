//! The program as people run it; whole runs are in `ops/chaos-smoke.sh`.

#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    process::{Command, Output},
};

use chaos_history::{Call, Expect, Operation, Outcome, line_of};
use uuid::Uuid;

fn chaos<const N: usize>(arguments: [&str; N]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdfast-chaos")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn put(at: u64, version: u64) -> Operation {
    Operation {
        client: 1,
        request: Uuid::from_u128(at.into()),
        record: None,
        called_ns: at,
        returned_ns: at + 5,
        key: "k".into(),
        call: Call::Put { value: format!("w{at}"), expect: Expect::Anything },
        outcome: Outcome::Written { version },
        words: String::new(),
    }
}

fn check(directory: &Path, text: &str) -> (Option<i32>, String) {
    let path = directory.join("history.jsonl");
    std::fs::write(&path, text).unwrap();
    let output = chaos(["check", path.to_str().unwrap()]);
    (output.status.code(), said(&output))
}

#[test]
fn a_history_is_judged_again_without_a_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let line = |operation: &Operation| line_of(operation) + "\n";
    let good = line(&put(10, 1)) + &line(&put(20, 2));
    let (code, told) = check(directory.path(), &good);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = check(directory.path(), &(good.clone() + &line(&put(30, 2))));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("VIOLATED") && told.contains("two requests were told that they made v2"), "{told}");
    for empty in ["", "\n\n"] {
        let (code, told) = check(directory.path(), empty);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("no operation in it") && told.contains("name the history.jsonl"), "{told}");
    }
    let (code, told) = check(directory.path(), &good[..good.len() - 9]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("line 2"), "{told}");
}

#[test]
fn a_running_cluster_is_not_touched_until_somebody_says_that_nobody_relies_on_it() {
    let refused = chaos(["run", "staging", "--attach", "client.toml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("--i-know-this-is-not-production"), "{}", said(&refused));
}

#[test]
fn a_plan_that_does_not_exist_is_answered_with_those_that_do() {
    let refused = chaos(["run", "no-such-plan"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("smoke, everything"), "{}", said(&refused));
}

#[test]
fn the_list_of_plans_names_every_fault_and_what_it_needs() {
    let told = said(&chaos(["plans"]));
    for word in ["everything:", "power-cut-all", "isolate-one-way", "needs root, ip and /dev/net/tun", "nothing but the cluster"]
    {
        assert!(told.contains(word), "{word}: {told}");
    }
}
