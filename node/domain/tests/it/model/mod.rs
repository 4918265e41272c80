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
use std::collections::BTreeMap;
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
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..100 {
        let steps = prop::collection::vec(draft::draft(), STEPS).new_tree(&mut runner).expect("a walk can be drawn").current();
        let mut walk = Walk::begin();
        steps.iter().for_each(|step| walk.step(step));
        for (sight, count) in walk.seen() {
            *seen.entry(sight.clone()).or_default() += count;
        }
    }
    for line in OUTCOMES {
        let (operation, outcomes) = line.split_once(": ").expect("a line names its operation");
        for outcome in outcomes.split(' ') {
            assert!(seen.contains_key(&format!("{operation} {outcome}")), "no walk came to {operation} {outcome}: {seen:#?}");
        }
    }
}

/// What walks must come to, or they prove little.
const OUTCOMES: &[&str] = &[
    "audit.query: Denied done",
    "cluster.found: Invalid done",
    "cluster.promote: Denied done",
    "cluster.status: Invalid",
    "environment.create: Denied Exists done",
    "environment.list: done",
    "policy.delete: Denied Invalid NotFound done",
    "policy.list: Denied done",
    "policy.put: Denied Invalid Reused Unauthenticated again done",
    "policy.read: Denied NotFound done",
    "secret.copy: Conflict Denied NotFound NotReadable again done",
    "secret.delete: Conflict Denied Invalid NotFound again done",
    "secret.destroy: Denied NotFound again done",
    "secret.history: Denied NotFound done",
    "secret.list: Denied NotFound done",
    "secret.move: Denied Exists NotFound again done",
    "secret.patch: Conflict Denied Invalid NotFound NotReadable again done",
    "secret.put: Conflict Denied Invalid NotFound Reused Unauthenticated again done",
    "secret.read: Denied Invalid NotFound NotReadable Reused Unauthenticated done",
    "secret.rollback: Conflict Denied Invalid NotFound NotReadable again done",
    "secret.search: Denied NotFound done",
    "secret.set-metadata: Denied Invalid NotFound again done",
    "secret.transact: Conflict Denied Invalid NotFound NotReadable Reused again done",
    "secret.undelete: Conflict Denied Invalid NotFound done",
    "secret.watch: NotFound done",
    "token.create: Denied Exists Invalid NotFound again done",
    "token.list: Denied done",
    "token.lookup-self: done",
    "token.revoke: Denied NotFound again done",
];
