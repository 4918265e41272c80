//! Whether one order of all operations explains every answer.
//!
//! Secrets are judged one by one: a history is linearizable when each secret's part of it is (Herlihy and Wing). The search is Wing and
//! Gong's with Lowe's memory of places it has been: take any operation that no other un-placed one had returned before, see whether
//! the register allows it, go on, come back where it does not lead to the end. Three observations keep it short, and cost no answer:
//!
//! - an operation that fits and changes nothing may be placed at once;
//! - a write whose outcome is unknown may be left out for ever, and one whose value was read can only have made the version read;
//! - writes of unknown outcome, with the same condition, whose values nobody ever read are alike: one of them is tried.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    operation::{Call, Expect, Operation, Outcome},
    register::{Register, Values},
    verdict::{Finding, Verdict},
};

/// Places looked at for one secret before the search is given up.
pub const BUDGET_DEFAULT: usize = 2_000_000;

/// Operations before the dead end that a finding shows.
const CONTEXT: usize = 6;

/// Whether each secret has an order of its operations that explains all answers and agrees with real time. `budget` bounds the places
/// looked at for one secret.
#[must_use]
pub fn linearizable(operations: &[Operation], budget: usize) -> Verdict {
    let mut verdict = Verdict::of("each secret has one order of its operations that explains every answer", operations.len());
    let mut by_key: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        by_key.entry(&operation.key).or_default().push(operation);
    }
    for (key, operations) in by_key {
        let search = Search::of(operations);
        match search.run(budget) {
            End::Explained => {}
            End::Exhausted => {
                let what =
                    format!("{key}: given up after {budget} places; more budget, or fewer operations on one secret, would tell");
                verdict.undecided(Finding::new(what, []));
            }
            End::Stuck(place) => verdict.violated(search.dead_end(key, &place)),
        }
    }
    verdict
}

/// An operation with what the search needs to know of it.
struct Step<'a> {
    operation: &'a Operation,
    values: Values,
    /// For writes of unknown outcome: the only version that they can have made, where somebody read their value.
    only_version: Option<u64>,
}

struct Search<'a> {
    /// Those with an answer, by when they were asked.
    told: Vec<Step<'a>>,
    /// Writes of unknown outcome, by when they were asked.
    unknown: Vec<Step<'a>>,
    /// Versions that are known to have been made by something else than an unseen write of unknown outcome.
    explained_versions: HashSet<u64>,
}

/// How far an order has come.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Place {
    /// All that were told before this one are placed …
    next: usize,
    /// … and these after it, in order.
    beyond: Vec<usize>,
    /// Writes of unknown outcome that are placed, in order.
    used: Vec<usize>,
    register: Register,
}

enum End {
    Explained,
    Exhausted,
    Stuck(Place),
}

impl<'a> Search<'a> {
    fn of(mut operations: Vec<&'a Operation>) -> Search<'a> {
        operations.sort_by_key(|operation| (operation.called_ns, operation.returned_ns));
        let seen = SeenValues::of(&operations);
        let (mut told, mut unknown) = (Vec::new(), Vec::new());
        for operation in operations {
            let step = seen.step(operation);
            match operation.outcome {
                Outcome::NotDone => {}
                Outcome::Unknown if operation.is_write() => unknown.push(step),
                Outcome::Unknown => {}
                _ => told.push(step),
            }
        }
        let written = told.iter().filter_map(|step| match step.operation.outcome {
            Outcome::Written { version } => Some(version),
            _ => None,
        });
        let explained_versions = written.chain(seen.versions.values().filter_map(|version| *version)).collect();
        Search { told, unknown, explained_versions }
    }

    fn run(&self, budget: usize) -> End {
        let mut been = HashSet::new();
        let mut furthest = Place::default();
        let mut open = vec![self.settle(Place::default())];
        while let Some(place) = open.pop() {
            if place.next == self.told.len() {
                return End::Explained;
            }
            if been.len() >= budget {
                return End::Exhausted;
            }
            if !been.insert(place.clone()) {
                continue;
            }
            if self.placed(&place) >= self.placed(&furthest) {
                furthest = place.clone();
            }
            // The last one pushed is looked at first: what was told, before what is unknown.
            open.extend(self.ways_on(&place).into_iter().rev().filter(|way| !been.contains(way)));
        }
        End::Stuck(furthest)
    }

    fn placed(&self, place: &Place) -> usize {
        place.next + place.beyond.len()
    }

    /// The told operations that may come next, and until when an unknown one must have been asked to do so.
    fn candidates(&self, place: &Place) -> (Vec<usize>, u64) {
        let mut candidates = Vec::new();
        let mut first_return = u64::MAX;
        for at in place.next..self.told.len() {
            if self.told[at].operation.called_ns > first_return {
                break;
            }
            if place.beyond.binary_search(&at).is_err() {
                first_return = first_return.min(self.told[at].operation.returned_ns);
                candidates.push(at);
            }
        }
        candidates.retain(|at| self.told[*at].operation.called_ns <= first_return);
        (candidates, first_return)
    }

    /// Places everything that fits and changes nothing.
    fn settle(&self, mut place: Place) -> Place {
        loop {
            let (candidates, _) = self.candidates(&place);
            let idle = candidates.into_iter().find(|at| self.after(&self.told[*at], place.register) == Some(place.register));
            let Some(at) = idle else { return place };
            place.put(at, self.told.len());
        }
    }

    fn ways_on(&self, place: &Place) -> Vec<Place> {
        let (candidates, first_return) = self.candidates(place);
        let mut ways = Vec::new();
        for at in candidates {
            if let Some(register) = self.after(&self.told[at], place.register) {
                let mut way = Place { register, ..place.clone() };
                way.put(at, self.told.len());
                ways.push(self.settle(way));
            }
        }
        let mut tried: HashSet<Kind> = HashSet::new();
        for (at, step) in self.unknown.iter().enumerate() {
            if step.operation.called_ns > first_return {
                break;
            }
            let Err(gap) = place.used.binary_search(&at) else { continue };
            let Some(register) = self.after_unknown(step, place.register) else { continue };
            if Kind::of(step).is_none_or(|kind| tried.insert(kind)) {
                let mut way = Place { register, ..place.clone() };
                way.used.insert(gap, at);
                ways.push(self.settle(way));
            }
        }
        ways
    }

    fn after(&self, step: &Step<'_>, register: Register) -> Option<Register> {
        register.after(&step.operation.call, &step.operation.outcome, step.values)
    }

    fn after_unknown(&self, step: &Step<'_>, register: Register) -> Option<Register> {
        let after = self.after(step, register)?;
        let made = after.newest;
        let fits = match (step.only_version, made == register.newest) {
            (Some(version), _) => version == made,
            // A delete makes no version.
            (None, true) => true,
            (None, false) => !self.explained_versions.contains(&made),
        };
        fits.then_some(after)
    }

    fn dead_end(&self, key: &str, place: &Place) -> Finding {
        let (candidates, _) = self.candidates(place);
        let what = format!(
            "{key}: no order explains what was told. At most {} of {} operations fit and leave it {}; then none of those that must come \
             next can (below, with what came before)",
            self.placed(place),
            self.told.len(),
            place.register
        );
        let before = (0..place.next).rev().take(CONTEXT).chain(place.beyond.iter().copied());
        let all = candidates.iter().copied().chain(before).map(|at| self.told[at].operation.clone());
        Finding::new(what, all)
    }
}

impl Place {
    fn put(&mut self, at: usize, count: usize) {
        if let Err(gap) = self.beyond.binary_search(&at) {
            self.beyond.insert(gap, at);
        }
        let mut done = 0;
        while self.next < count && self.beyond.get(done) == Some(&self.next) {
            self.next += 1;
            done += 1;
        }
        self.beyond.drain(..done);
    }
}

/// Unknown writes that differ in nothing that anybody could have noticed.
#[derive(PartialEq, Eq, Hash)]
enum Kind {
    UnseenPut(Option<u64>, bool),
    Delete,
}

impl Kind {
    fn of(step: &Step<'_>) -> Option<Kind> {
        match step.operation.call {
            Call::Delete => Some(Kind::Delete),
            Call::Put { expect, .. } if step.values.put == 0 => Some(match expect {
                Expect::Anything => Kind::UnseenPut(None, false),
                Expect::Absent => Kind::UnseenPut(None, true),
                Expect::Version(version) => Kind::UnseenPut(Some(version), false),
            }),
            _ => None,
        }
    }
}

/// The values that somebody read, numbered from 1, and which of them can only have been one version.
struct SeenValues<'a> {
    numbers: HashMap<&'a str, u32>,
    /// For values that one put brings and that were read at one version.
    versions: HashMap<&'a str, Option<u64>>,
}

impl<'a> SeenValues<'a> {
    fn of(operations: &[&'a Operation]) -> SeenValues<'a> {
        let (mut numbers, mut versions) = (HashMap::new(), HashMap::new());
        for operation in operations {
            if let Outcome::Found { version, value } = &operation.outcome {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX - 1) + 1;
                numbers.entry(value.as_str()).or_insert(next);
                let at = versions.entry(value.as_str()).or_insert(Some(*version));
                if *at != Some(*version) {
                    *at = None;
                }
            }
        }
        let mut brought: HashMap<&str, u32> = HashMap::new();
        for operation in operations {
            if let Call::Put { value, .. } = &operation.call {
                *brought.entry(value.as_str()).or_default() += 1;
            }
        }
        versions.retain(|value, _| brought.get(value) == Some(&1));
        SeenValues { numbers, versions }
    }

    fn step(&self, operation: &'a Operation) -> Step<'a> {
        let number = |value: &str| self.numbers.get(value).copied().unwrap_or(0);
        let mut values = Values::default();
        let mut only_version = None;
        if let Call::Put { value, .. } = &operation.call {
            values.put = number(value);
            only_version = self.versions.get(value.as_str()).copied().flatten();
        }
        if let Outcome::Found { value, .. } = &operation.outcome {
            values.found = number(value);
        }
        Step { operation, values, only_version }
    }
}
