//! What a run came to in a sentence, which says what it did not do as plainly as what it did.

use std::collections::{BTreeMap, BTreeSet};

use super::{FaultCount, Report, Skipped};
use crate::nemesis::Kind;

/// Whether everything was kept, and of how many kinds of faults that holds.
pub(super) fn of(report: &Report) -> String {
    let word = if report.passed { "Passed: every promise was kept." } else { "Failed: see what is not marked as kept." };
    format!("{word} {}.", faults(&report.faults, &report.skipped))
}

/// Kinds that struck, of all that the plan has; those that never did, and those that were skipped, by name.
pub(super) fn faults(faults: &[FaultCount], skipped: &[Skipped]) -> String {
    let struck: BTreeSet<Kind> = faults.iter().filter(|fault| fault.struck > 0).map(|fault| fault.kind).collect();
    let missed: BTreeSet<Kind> = faults.iter().map(|fault| fault.kind).filter(|kind| !struck.contains(kind)).collect();
    let mut by_why: BTreeMap<&str, BTreeSet<Kind>> = BTreeMap::new();
    for Skipped { kind, why } in skipped {
        by_why.entry(why).or_default().insert(*kind);
    }
    let skipped = by_why.values().map(BTreeSet::len).sum::<usize>();
    let mut parts = vec![format!("{} of {} kinds of faults struck", struck.len(), struck.len() + missed.len() + skipped)];
    if !missed.is_empty() {
        parts.push(format!("{} never did: {}", missed.len(), names(&missed)));
    }
    if skipped > 0 {
        let whys: Vec<String> = by_why.iter().map(|(why, kinds)| format!("{}: {why}", names(kinds))).collect();
        parts.push(format!("{skipped} skipped: {}", whys.join("; ")));
    }
    parts.join("; ")
}

fn names(kinds: &BTreeSet<Kind>) -> String {
    kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(kind: Kind, struck: usize) -> FaultCount {
        FaultCount { kind, struck, missed: 0, wanted: 1 }
    }

    fn skipped(kind: Kind, why: &str) -> Skipped {
        Skipped { kind, why: why.to_owned() }
    }

    #[test]
    fn a_fault_that_was_skipped_is_named_with_why() {
        let told = faults(&[counted(Kind::Kill, 2), counted(Kind::Loss, 1)], &[skipped(Kind::Clock, "no debug build")]);
        assert_eq!(told, "2 of 3 kinds of faults struck; 1 skipped: clock: no debug build");
    }

    #[test]
    fn all_that_did_not_strike_is_named_by_what_kept_it() {
        let why = "this needs root";
        let skipped = [skipped(Kind::Loss, why), skipped(Kind::Clock, "no debug build"), skipped(Kind::Ring, why)];
        let told = faults(&[counted(Kind::Kill, 1), counted(Kind::Pause, 0)], &skipped);
        let wanted =
            "1 of 5 kinds of faults struck; 1 never did: pause; 3 skipped: clock: no debug build; ring, loss: this needs root";
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_plan_of_which_nothing_is_missing_says_no_more() {
        assert_eq!(faults(&[counted(Kind::Kill, 1), counted(Kind::Kill, 3)], &[]), "1 of 1 kinds of faults struck");
    }
}
