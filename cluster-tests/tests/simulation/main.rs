//! Whole clusters in simulation: a few seeds on every submission. `holdfast-simulate` runs more, and says how to run one again.

#![allow(clippy::unwrap_used)]

use std::process::Command;

fn simulate(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast-simulate")).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_few_walks_keep_every_promise() {
    let (kept, said) = simulate(&["--seeds", "6", "--steps", "400"]);
    assert!(kept, "{said}");
}

#[test]
fn walks_that_found_something_once_find_nothing_now() {
    let (kept, said) = simulate(&["--kept", concat!(env!("CARGO_MANIFEST_DIR"), "/seeds.txt")]);
    assert!(kept, "{said}");
}

#[test]
fn every_scenario_comes_out_as_told() {
    let (kept, said) = simulate(&["--scenarios", concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")]);
    assert!(kept && said.contains("as told"), "{said}");
}

#[test]
fn a_scenario_that_comes_out_otherwise_is_a_finding_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.txt");
    std::fs::write(&file, "cluster 1\nput ana app/key expecting none → v1\nget ana app/key → v2\n").unwrap();
    let (kept, said) = simulate(&["--scenarios", file.to_str().unwrap(), "--seeds", "1"]);
    assert!(!kept && said.contains("line 3: "), "{said}");
    std::fs::write(&file, "cluster 1\njump\n").unwrap();
    let (kept, said) = simulate(&["--scenarios", file.to_str().unwrap(), "--seeds", "1"]);
    assert!(!kept && said.contains("line 2: "), "{said}");
}

#[test]
fn what_would_walk_nothing_is_refused() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = empty.path().to_str().unwrap();
    for arguments in
        [&["--seeds", "0"][..], &["--steps", "0"], &["--nodes", "50"], &["--only", "own-clock"], &["--twice"], &["--kept", empty]]
    {
        assert!(!simulate(arguments).0, "{arguments:?}");
    }
    assert!(simulate(&["--help"]).0);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nobody.txt");
    std::fs::write(&file, "cluster 1\nkill 4\n").unwrap();
    let (kept, said) = simulate(&["--scenarios", file.to_str().unwrap(), "--seeds", "1"]);
    assert!(!kept && said.contains("line 2: there is no node 4"), "{said}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let (same, said) = simulate(&["--seed", "7", "--steps", "300", "--twice"]);
    assert!(same && said.contains("the two runs are the same"), "{said}");
}

#[test]
fn another_seed_is_another_run() {
    let trace = |seed| simulate(&["--seed", seed, "--steps", "50"]).1;
    assert_ne!(trace("8").split("trace ").nth(1), trace("9").split("trace ").nth(1));
}

#[test]
fn a_bug_that_is_put_back_is_found() {
    let (found, said) = simulate(&["--bugs", "--only", "own-clock", "--seeds", "3", "--steps", "200"]);
    assert!(found && said.contains("1 of 1 bugs were found"), "{said}");
}

#[test]
fn a_bug_behind_another_guard_is_found_where_it_is() {
    for bug in ["environment-not-bound", "half-snapshot-visible"] {
        let (found, said) = simulate(&["--bugs", "--only", bug, "--seeds", "1"]);
        assert!(found && said.contains("1 of 1 bugs were found"), "{said}");
    }
}

#[test]
fn a_failing_seed_is_made_smaller() {
    let mut simulate = Command::new(env!("CARGO_BIN_EXE_holdfast-simulate"));
    let asked = simulate.args(["--seed", "1", "--steps", "200", "--shrink"]).env("HOLDFAST_FAULT", "bug:own-clock");
    let output = asked.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let again = said.split("again: holdfast-simulate --seed 1 --steps ").nth(1).expect("it says how to walk the smaller one");
    let steps: u64 = again.split_whitespace().next().unwrap().parse().unwrap();
    assert!(!output.status.success() && steps < 200, "{said}");
}
