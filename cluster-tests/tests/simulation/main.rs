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
fn the_same_seed_is_the_same_run() {
    let (same, said) = simulate(&["--seed", "7", "--steps", "300", "--twice"]);
    assert!(same && said.contains("the two runs are the same"), "{said}");
}

#[test]
fn another_seed_is_another_run() {
    let trace = |seed| simulate(&["--seed", seed, "--steps", "50"]).1;
    assert_ne!(trace("8").split("trace ").nth(1), trace("9").split("trace ").nth(1));
}
