//! Random walks of several people through the domain, beside a model that is too simple to be wrong in the same way.
//!
//! 256 walks of 60 steps; `HOLDFAST_WALKS=10000` for more. A walk that fails is made shorter and printed, and stays in
//! `proptest-regressions`, which is committed.

mod draft;
mod naive;
mod walk;
mod wish;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use walk::Walk;

const STEPS: usize = 60;

fn walks() -> u32 {
    std::env::var("HOLDFAST_WALKS").ok().and_then(|text| text.parse().ok()).unwrap_or(256)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: walks(), max_shrink_iters: 1000, ..ProptestConfig::default() })]

    #[test]
    fn the_domain_and_the_naive_model_never_disagree(steps in prop::collection::vec(draft::draft(), 1..=2 * STEPS - 1)) {
        let mut walk = Walk::begin();
        steps.iter().for_each(|step| walk.step(step));
        walk.end();
    }
}

#[test]
fn walks_come_to_every_outcome() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..64 {
        let steps = prop::collection::vec(draft::draft(), STEPS).new_tree(&mut runner).expect("a walk can be drawn").current();
        let mut walk = Walk::begin();
        steps.iter().for_each(|step| walk.step(step));
        seen.extend(walk.seen().iter().cloned());
    }
    println!("{seen:#?}");
}
