//! The verdicts of a run, from everything that was seen.

use std::collections::BTreeSet;

use chaos_history::{
    BUDGET_DEFAULT, Finding, Judgement, Operation, Verdict, exactly_once, journal_is_the_history, linearizable, never_stale,
    nothing_acknowledged_is_lost, nothing_revealed_without_record, replicas_are_equal,
};

use crate::{
    ending::{ALIVE, Journal},
    floors::Answered,
    nemesis::{Strike, Trial},
    plan::FaultPlan,
    report::Skipped,
    run::{End, Order},
};

/// Everything that was seen.
pub(crate) struct Seen<'a> {
    pub(crate) operations: &'a [Operation],
    pub(crate) end: Result<&'a End, &'a String>,
    pub(crate) alive_after_ms: Option<u64>,
    /// Nodes that ended though nothing was done to them, and panics in their logs.
    pub(crate) deaths: &'a [String],
    /// What faults tried that must come out well.
    pub(crate) trials: &'a [Trial],
}

/// Verdicts on the cluster.
pub(crate) fn of_the_cluster(seen: &Seen<'_>) -> Vec<Verdict> {
    let mut verdicts = of_a_history(seen.operations);
    match seen.end {
        Ok(End { secrets, standings, journals, verified }) => {
            let records = whole_journal(journals);
            let judged = [
                exactly_once(seen.operations, records),
                nothing_acknowledged_is_lost(seen.operations, secrets),
                nothing_revealed_without_record(seen.operations, records),
                journal_is_the_history(seen.operations, records),
                replicas_are_equal(standings),
                journals_verify(journals),
            ];
            verdicts.extend(judged.map(of_something));
            verdicts.extend(verified.as_ref().map(|verified| {
                let refused: Vec<String> = verified.as_ref().err().cloned().into_iter().collect();
                said("`holdfast audit verify --all-nodes` finds nothing", &refused)
            }));
        }
        Err(why) => verdicts.push(said("everything can be read back at the end", std::slice::from_ref(why))),
    }
    verdicts.push(alive(seen.alive_after_ms));
    verdicts.push(said("no node panicked, or ended though nothing was done to it", seen.deaths));
    verdicts.extend(of_trials(seen.trials));
    verdicts
}

/// Each promise that faults held the cluster to while they struck.
fn of_trials(trials: &[Trial]) -> Vec<Verdict> {
    let promises: BTreeSet<&str> = trials.iter().map(|trial| trial.promise).collect();
    let verdict = |promise: &str| {
        let tried: Vec<&Trial> = trials.iter().filter(|trial| trial.promise == promise).collect();
        let flaws: Vec<String> = tried.iter().filter_map(|trial| trial.flaw.clone()).collect();
        Verdict { looked_at: tried.len(), ..said(promise, &flaws) }
    };
    promises.into_iter().map(verdict).collect()
}

/// Verdicts that need nothing but the history.
pub(crate) fn of_a_history(operations: &[Operation]) -> Vec<Verdict> {
    [never_stale(operations), linearizable(operations, BUDGET_DEFAULT)].map(of_something).into()
}

/// A promise that nothing put to the test is not known to be kept.
fn of_something(mut verdict: Verdict) -> Verdict {
    if verdict.is_kept() && verdict.looked_at == 0 {
        verdict.judgement = Judgement::Undecided;
        verdict.findings = vec![Finding { what: "there was nothing to look at".to_owned(), operations: Vec::new() }];
        verdict.findings_total = 1;
    }
    verdict
}

/// The longest of the journals: a node that joined late, or was rebuilt, holds the end only.
fn whole_journal(journals: &[Journal]) -> &[chaos_history::Record] {
    journals.iter().min_by_key(|journal| journal.first_seq).map_or(&[], |journal| journal.records.as_slice())
}

fn journals_verify(journals: &[Journal]) -> Verdict {
    let flaws: Vec<String> =
        journals.iter().filter_map(|journal| Some(format!("node {}: {}", journal.node, journal.flaw.as_ref()?))).collect();
    let mut verdict = said("every node's journal verifies, link by link, to its head", &flaws);
    verdict.looked_at = journals.iter().map(|journal| journal.records_total).sum();
    verdict
}

fn alive(after_ms: Option<u64>) -> Verdict {
    let promise = format!("a write succeeds within {} s once everything is whole", ALIVE.as_secs());
    let late = match after_ms {
        Some(ms) if u128::from(ms) <= ALIVE.as_millis() => Vec::new(),
        Some(ms) => vec![format!("the first one succeeded after {ms} ms")],
        None => vec!["none succeeded".to_owned()],
    };
    said(&promise, &late)
}

/// Verdicts on the run itself: one that did too little proves nothing.
pub(crate) fn of_the_run(
    order: &Order,
    faults: &[FaultPlan],
    skipped: &[Skipped],
    strikes: &[Strike],
    operations: &[Operation],
) -> Vec<Verdict> {
    let answered = Answered::of(operations, strikes);
    let enough = said("enough was asked and answered for the run to mean something", &answered.lacks(order));
    let rare = faults.iter().filter_map(|fault| {
        let fired = strikes.iter().filter(|strike| strike.kind == fault.kind && strike.fired).count();
        let last = strikes.iter().rev().find(|strike| strike.kind == fault.kind && !strike.fired);
        let why = last.map_or("it never had its turn".to_owned(), |strike| strike.evidence.clone());
        (fired < fault.times_min as usize)
            .then(|| format!("{} struck {fired} times, the plan wants {}: {why}", fault.kind.word(), fault.times_min))
    });
    let mut rare: Vec<String> = rare.collect();
    if order.strict {
        rare.extend(skipped.iter().map(|Skipped { kind, why }| format!("{} was skipped: {why}", kind.word())));
    }
    // The promise says no more than what was looked at.
    let struck = match order.strict || skipped.is_empty() {
        true => "every fault of the plan really struck".to_owned(),
        false => format!("every fault of the plan really struck but {} that can not strike here", skipped.len()),
    };
    let calls = usize::try_from(answered.calls).unwrap_or(usize::MAX);
    vec![Verdict { looked_at: calls, ..enough }, Verdict { looked_at: strikes.len(), ..said(&struck, &rare) }]
}

fn said(promise: &str, findings: &[String]) -> Verdict {
    let shown = findings.iter().take(20).map(|what| Finding { what: what.clone(), operations: Vec::new() });
    Verdict {
        promise: promise.to_owned(),
        judgement: if findings.is_empty() { Judgement::Kept } else { Judgement::Violated },
        looked_at: findings.len(),
        findings: shown.collect(),
        findings_total: findings.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{nemesis::Kind, plan::Plan};

    fn order() -> Order {
        Order::of_plan("smoke", Plan::find("smoke").unwrap())
    }

    #[test]
    fn a_run_whose_fault_never_fired_or_that_asked_too_little_fails() {
        let order = order();
        let verdicts = of_the_run(&order, &order.plan.fault, &[], &[], &[]);
        assert!(verdicts.iter().all(|verdict| !verdict.is_kept()));
        assert!(verdicts[1].findings[0].what.contains("it never had its turn"));
    }

    #[test]
    fn a_promise_that_nothing_put_to_the_test_is_undecided() {
        assert!(of_a_history(&[]).iter().all(|verdict| verdict.judgement == Judgement::Undecided));
        let lost = of_something(nothing_acknowledged_is_lost(&[], &[]));
        assert!(!lost.is_kept() && lost.to_string().contains("there was nothing to look at"), "{lost}");
    }

    #[test]
    fn a_fault_that_was_skipped_is_said_and_fails_a_strict_run() {
        let skipped = [Skipped { kind: Kind::SlowDisk, why: "this needs root".into() }];
        let of_faults = |strict: bool| of_the_run(&Order { strict, ..order() }, &[], &skipped, &[], &[]).remove(1);
        let lenient = of_faults(false);
        assert!(lenient.is_kept() && lenient.promise.contains("but 1 that can not strike here"), "{lenient}");
        let strict = of_faults(true);
        assert!(!strict.is_kept() && strict.findings[0].what == "slow-disk was skipped: this needs root", "{strict}");
    }

    #[test]
    fn what_went_wrong_though_it_must_come_out_well_fails_the_run() {
        let trial = |promise, flaw: Option<&str>| Trial { promise, flaw: flaw.map(str::to_owned) };
        let verdicts = of_trials(&[trial("b", None), trial("a", None), trial("b", Some("it came back otherwise"))]);
        assert_eq!(verdicts.iter().map(|verdict| verdict.looked_at).collect::<Vec<_>>(), [1, 2]);
        assert!(verdicts[0].is_kept() && !verdicts[1].is_kept());
        assert_eq!(verdicts[1].findings[0].what, "it came back otherwise");
        assert!(of_trials(&[]).is_empty());
    }

    #[test]
    fn a_cluster_that_comes_back_late_has_not_kept_its_promise() {
        assert!(alive(Some(9_000)).is_kept());
        assert!(!alive(Some(11_000)).is_kept());
        assert!(!alive(None).is_kept());
    }

    #[test]
    fn a_journal_with_a_flaw_is_named() {
        let journal = Journal { node: 2, first_seq: 1, records: Vec::new(), records_total: 0, flaw: Some("record 7 …".into()) };
        let verdict = journals_verify(&[journal]);
        assert!(!verdict.is_kept() && verdict.findings[0].what.starts_with("node 2: record 7"));
    }
}
