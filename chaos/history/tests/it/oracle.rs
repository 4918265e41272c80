//! The search against one that tries every order, and against histories that are good by construction.

use chaos_history::{BUDGET_DEFAULT, Call, Expect, Judgement, Operation, Outcome, exactly_once, linearizable, never_stale};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::{Shape, honest};

#[test]
fn every_honest_history_is_accepted() {
    for seed in 0..300 {
        let shape = Shape { operations: 120, keys: 3, clients: 6, unknown_percent: (seed % 4) as u32 * 8 };
        let history = honest(seed, shape);
        for verdict in [linearizable(&history, BUDGET_DEFAULT), never_stale(&history), exactly_once(&history, &[])] {
            assert!(verdict.is_kept(), "seed {seed}: {verdict}");
        }
    }
}

/// Changes one answer, as a bug would.
fn bend(history: &mut [Operation], chance: &mut ChaCha8Rng) {
    let at = chance.random_range(0..history.len());
    let step = |version: u64, chance: &mut ChaCha8Rng| match chance.random_range(0..2) {
        0 => version + 1,
        _ => version.saturating_sub(1),
    };
    let outcome = match history[at].outcome.clone() {
        Outcome::Written { version } => match chance.random_range(0..3) {
            0 => Outcome::Refused { found: Some(version) },
            1 => Outcome::NotDone,
            _ => Outcome::Written { version: step(version, chance) },
        },
        Outcome::Found { version, value } => Outcome::Found { version: step(version, chance), value },
        Outcome::Seen { version, live } => Outcome::Seen { version: step(version, chance), live: !live },
        Outcome::Hidden { version } => Outcome::Hidden { version: step(version, chance) },
        Outcome::Refused { found } => Outcome::Refused { found: found.map(|found| step(found, chance)) },
        other => other,
    };
    history[at].outcome = outcome;
}

#[test]
fn the_search_agrees_with_one_that_tries_every_order() {
    let mut chance = ChaCha8Rng::seed_from_u64(7);
    let (mut kept, mut violated) = (0, 0);
    for seed in 0..6_000 {
        let shape = Shape { operations: 7, keys: 1, clients: 4, unknown_percent: 20 };
        let mut history = honest(seed, shape);
        if seed % 3 > 0 {
            bend(&mut history, &mut chance);
        }
        let verdict = linearizable(&history, BUDGET_DEFAULT);
        let expected = if any_order_explains(&history) { Judgement::Kept } else { Judgement::Violated };
        assert_eq!(verdict.judgement, expected, "seed {seed}: {verdict}\n{history:#?}");
        match expected {
            Judgement::Kept => kept += 1,
            _ => violated += 1,
        }
    }
    assert!(kept > 1_000 && violated > 1_000, "{kept} kept, {violated} violated: the comparison means something");
}

/// Tries every order, and every choice of unknown writes that never happened.
fn any_order_explains(history: &[Operation]) -> bool {
    let told: Vec<&Operation> = history.iter().filter(|operation| operation.is_answered()).collect();
    let unknown: Vec<&Operation> =
        history.iter().filter(|operation| operation.outcome == Outcome::Unknown && operation.is_write()).collect();
    explains(&told, &unknown, &Stand::default())
}

#[derive(Clone, Default)]
struct Stand {
    newest: u64,
    live: bool,
    value: String,
}

fn explains(told: &[&Operation], unknown: &[&Operation], stand: &Stand) -> bool {
    if told.is_empty() {
        return true;
    }
    let without = |list: &[&'_ Operation], at: usize| -> Vec<Operation> {
        list.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, operation)| (*operation).clone()).collect()
    };
    let first_return = told.iter().map(|operation| operation.returned_ns).min().unwrap_or(u64::MAX);
    for (at, operation) in told.iter().enumerate().filter(|(_, operation)| operation.called_ns <= first_return) {
        if let Some(next) = naive_step(stand, operation) {
            let rest = without(told, at);
            if explains(&rest.iter().collect::<Vec<_>>(), unknown, &next) {
                return true;
            }
        }
    }
    for (at, operation) in unknown.iter().enumerate().filter(|(_, operation)| operation.called_ns <= first_return) {
        if let Some(next) = naive_step(stand, operation) {
            let rest = without(unknown, at);
            if explains(told, &rest.iter().collect::<Vec<_>>(), &next) {
                return true;
            }
        }
    }
    false
}

fn naive_step(stand: &Stand, operation: &Operation) -> Option<Stand> {
    let met = |expect: Expect| match expect {
        Expect::Anything => true,
        Expect::Absent => !stand.live,
        Expect::Version(version) => version == stand.newest,
    };
    let refused = |found: Option<u64>| found.is_none_or(|found| found == stand.newest);
    let fits = match (&operation.call, &operation.outcome) {
        (Call::Put { expect, .. }, Outcome::Written { version }) => met(*expect) && *version == stand.newest + 1,
        (Call::Put { expect, .. }, Outcome::Unknown) => met(*expect),
        (Call::Put { expect, .. }, Outcome::Refused { found }) => !met(*expect) && refused(*found),
        (Call::Get, Outcome::Found { version, value }) => stand.live && *version == stand.newest && *value == stand.value,
        (Call::Look, Outcome::Seen { version, live }) => *version == stand.newest && *live == stand.live,
        (Call::Delete, Outcome::Hidden { version }) => stand.live && *version == stand.newest,
        (Call::Delete, Outcome::Unknown) => stand.live,
        (Call::Get | Call::Delete, Outcome::Refused { found }) => !stand.live && refused(*found),
        _ => false,
    };
    if !fits {
        return None;
    }
    let changes = matches!(operation.outcome, Outcome::Written { .. } | Outcome::Hidden { .. } | Outcome::Unknown);
    Some(match &operation.call {
        Call::Put { value, .. } if changes => Stand { newest: stand.newest + 1, live: true, value: value.clone() },
        Call::Delete if changes => Stand { live: false, ..stand.clone() },
        _ => stand.clone(),
    })
}
