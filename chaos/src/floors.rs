//! How much a run must have asked, and been answered, to mean something.

use std::{collections::HashSet, time::Duration};

use chaos_history::{Operation, Outcome};

use crate::{ending::JUDGE, nemesis::Strike, run::Order};

/// Of the calls that a plan wants answered, one in so many is a change that was acknowledged, at least, …
const CHANGES: u64 = 20;
/// … and one in so many a read that gave a value.
const READS: u64 = 10;
/// While faults are under way, calls may be answered so many times more rarely than the plan wants.
const UNDER_FAULTS: u64 = 10;

/// What clients of a run were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Calls, however many secrets each was about.
    pub(crate) calls: u64,
    changes: u64,
    reads: u64,
    /// Calls that were asked and answered while a fault was under way, …
    under_faults: u64,
    /// … for how long one was.
    faults_ms: u64,
}

impl Answered {
    pub(crate) fn of(operations: &[Operation], strikes: &[Strike]) -> Answered {
        let times = times(strikes);
        let mut answered = Answered { faults_ms: times.iter().map(|(from, to)| to - from).sum(), ..Answered::default() };
        let mut calls = HashSet::new();
        // What is asked to judge says nothing of how clients fared.
        for operation in operations.iter().filter(|operation| operation.client < JUDGE && operation.is_answered()) {
            answered.changes += u64::from(operation.changed_version().is_some());
            answered.reads += u64::from(matches!(operation.outcome, Outcome::Found { .. }));
            // Reads on a stream have no request: each is a call.
            if operation.request.is_nil() || calls.insert(operation.request) {
                answered.calls += 1;
                answered.under_faults += u64::from(is_within(operation, &times));
            }
        }
        answered
    }

    /// What is less than a run of this plan, for so long, must have.
    pub(crate) fn lacks(&self, order: &Order) -> Vec<String> {
        let wanted = share(order.plan.operations_min, order.lasts, order.plan.lasts.0);
        let under_faults = share(order.plan.operations_min, Duration::from_millis(self.faults_ms), order.plan.lasts.0);
        let floors = [
            ("calls were answered", self.calls, wanted),
            ("changes were acknowledged", self.changes, wanted / CHANGES),
            ("reads gave a value", self.reads, wanted / READS),
            ("calls were answered while faults were under way", self.under_faults, under_faults / UNDER_FAULTS),
        ];
        let low = floors.into_iter().filter(|(_, found, floor)| found < floor);
        low.map(|(what, found, floor)| format!("{found} {what}, this run wants {floor} at least")).collect()
    }
}

/// A plan says what it wants for its own time.
fn share(wanted: u64, lasts: Duration, of: Duration) -> u64 {
    let of = of.as_millis().max(1);
    u64::try_from(u128::from(wanted) * lasts.as_millis() / of).unwrap_or(u64::MAX)
}

/// When at least one fault was under way, in milliseconds, in order and apart.
fn times(strikes: &[Strike]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> =
        strikes.iter().filter(|strike| strike.fired).map(|strike| (strike.began_ms, strike.ended_ms)).collect();
    all.sort_unstable();
    let mut apart: Vec<(u64, u64)> = Vec::new();
    for (from, to) in all {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => apart.push((from, to)),
        }
    }
    apart
}

fn is_within(operation: &Operation, times: &[(u64, u64)]) -> bool {
    let (called_ms, returned_ms) = (operation.called_ns / 1_000_000, operation.returned_ns / 1_000_000);
    let later = times.partition_point(|(from, _)| *from <= called_ms);
    later.checked_sub(1).is_some_and(|at| returned_ms <= times[at].1)
}

#[cfg(test)]
mod tests {
    use chaos_history::{Call, Expect};
    use uuid::Uuid;

    use super::*;
    use crate::{
        nemesis::Kind,
        plan::{Plan, Span},
    };

    /// A plan that wants a hundred calls in ten seconds.
    fn order(lasts: u64) -> Order {
        let plan = Plan { operations_min: 100, lasts: Span(Duration::from_secs(10)), ..Plan::find("smoke").unwrap() };
        Order { lasts: Duration::from_secs(lasts), ..Order::of_plan("smoke", plan) }
    }

    fn strike(began_ms: u64, ended_ms: u64) -> Strike {
        let (target, evidence) = (String::new(), String::new());
        Strike { kind: Kind::Kill, target, began_ms, ended_ms, fired: true, evidence }
    }

    fn answer(request: u128, at_ms: u64, call: Call, outcome: Outcome) -> Operation {
        let (called_ns, returned_ns) = (at_ms * 1_000_000, (at_ms + 1) * 1_000_000);
        let (request, key, words) = (Uuid::from_u128(request), "k".to_owned(), String::new());
        Operation { client: 1, request, record: None, called_ns, returned_ns, key, call, outcome, words }
    }

    fn put(number: u64) -> Operation {
        let call = Call::Put { value: format!("w{number}"), expect: Expect::Anything };
        answer(u128::from(number) + 1, number * 10, call, Outcome::Written { version: number + 1 })
    }

    fn get(number: u64) -> Operation {
        let outcome = Outcome::Found { version: 1, value: "w".into() };
        answer(u128::from(number) + 10_000, number * 10 + 5, Call::Get, outcome)
    }

    fn healthy() -> Vec<Operation> {
        (0..100).flat_map(|number| [put(number), get(number)]).collect()
    }

    fn lacks(operations: &[Operation]) -> Vec<String> {
        Answered::of(operations, &[strike(100, 400), strike(300, 900)]).lacks(&order(10))
    }

    #[test]
    fn a_run_that_was_answered_throughout_means_something() {
        assert_eq!(lacks(&healthy()), [""; 0]);
    }

    #[test]
    fn a_listing_is_one_call_however_many_secrets_it_shows() {
        let look = |_| answer(7, 20, Call::Look, Outcome::Seen { version: 1, live: true });
        let listed: Vec<Operation> = (0..500).map(look).collect();
        assert_eq!(Answered::of(&listed, &[]).calls, 1);
        assert!(lacks(&listed)[0].starts_with("1 calls were answered, this run wants 100"));
        let streamed = [answer(0, 20, Call::Get, Outcome::Refused { found: Some(0) }), answer(0, 20, Call::Get, get(1).outcome)];
        assert_eq!(Answered::of(&streamed, &[]).calls, 2);
    }

    #[test]
    fn a_cluster_that_refuses_every_change_or_gives_no_value_does_not_pass() {
        let refused = |mut operation: Operation| {
            operation.outcome = Outcome::Refused { found: Some(0) };
            operation
        };
        let refusing = |puts: bool| -> Vec<Operation> {
            healthy()
                .into_iter()
                .map(|operation| if operation.is_write() == puts { refused(operation) } else { operation })
                .collect()
        };
        assert_eq!(lacks(&refusing(true)), ["0 changes were acknowledged, this run wants 5 at least"]);
        assert_eq!(lacks(&refusing(false)), ["0 reads gave a value, this run wants 10 at least"]);
    }

    #[test]
    fn a_cluster_that_is_dead_through_every_fault_does_not_pass() {
        let after = |mut operation: Operation| {
            operation.called_ns += 901_000_000;
            operation.returned_ns += 901_000_000;
            operation
        };
        let late: Vec<Operation> = healthy().into_iter().map(after).collect();
        let through = [strike(0, 900), strike(10_000, 19_000)];
        let lacks = Answered::of(&late, &through).lacks(&order(10));
        assert_eq!(lacks, ["0 calls were answered while faults were under way, this run wants 9 at least"]);
    }

    #[test]
    fn a_shorter_run_must_have_less_and_what_the_judge_asks_does_not_count() {
        assert!(Answered::of(&healthy(), &[]).lacks(&order(40))[0].starts_with("200 calls were answered, this run wants 400"));
        assert_eq!(Answered::of(&healthy()[..40], &[]).lacks(&order(4)), [""; 0]);
        let judge = Operation { client: JUDGE, ..get(1) };
        assert_eq!(Answered::of(&[judge], &[]), Answered::default());
    }
}
