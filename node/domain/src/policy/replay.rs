//! Requests of the past, judged again under a policy that is only proposed.

use super::judge::Asking;
use super::right::Asked;
use super::rule::{Policy, Rule};
use crate::event::Event;
use crate::ids::{Accessor, PolicyName, Stamp};
use crate::limits;
use crate::state::State;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// One record, as far as a replay needs it.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Its number.
    pub seq: u64,
    /// When it was decided.
    pub stamp: Stamp,
    /// Who asked.
    pub actor: &'a str,
    /// The token shown, where one was.
    pub accessor: Option<Accessor>,
    /// From where, where that is known.
    pub address: Option<IpAddr>,
    /// What came of it.
    pub event: &'a Event,
}

/// Two states that differ in one policy, and what requests make of the difference.
#[derive(Debug)]
pub struct Replay {
    now: State,
    proposed: State,
    changes: BTreeMap<(bool, String, &'static str, String, String), Change>,
    counts: ReplayCounts,
}

/// Requests of one actor, operation and subject whose verdict would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// How many.
    pub count: u64,
    /// The newest of them.
    pub seq_last: u64,
}

/// What became of the requests that were replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// Judged under both, with the same verdict.
    pub same: u64,
    /// Allowed now, denied under the proposed policy.
    pub denied: u64,
    /// Denied now, allowed under the proposed policy.
    pub allowed: u64,
    /// Not judged: no token was shown, or none that counted.
    pub without_token: u64,
    /// Not judged: their token lives no more, and what it held is not known.
    pub token_gone: u64,
    /// Not judged: no policy decides about them.
    pub need_nothing: u64,
    /// Not judged: the record does not tell all that was asked.
    pub unknown: u64,
    /// Judged, and the rules in force today say something else than was said then.
    pub differ_from_record: u64,
    /// Changes that were counted and are not told apart, because there are too many.
    pub not_listed: u64,
}

impl Replay {
    /// A replay of `state` as it would be with these rules under this name.
    #[must_use]
    pub fn new(state: &State, name: PolicyName, rules: Vec<Rule>) -> Replay {
        let version = state.policy(&name).map_or(1, |policy| policy.version + 1);
        let proposed = state.supposing(Policy { name, rules, version, updated: state.stamp() });
        Replay { now: state.clone(), proposed, changes: BTreeMap::new(), counts: ReplayCounts::default() }
    }

    /// Judges one request again.
    pub fn replay(&mut self, record: &Recorded<'_>) {
        let rights = match Asked::of(record.event) {
            Asked::Nothing => return self.counts.need_nothing += 1,
            Asked::Unknown => return self.counts.unknown += 1,
            Asked::All(rights) => rights,
        };
        let Some(accessor) = record.accessor else { return self.counts.without_token += 1 };
        let Some(token) = self.now.token_by_accessor(&accessor) else { return self.counts.token_gone += 1 };
        let asking = Asking { token, address: record.address, now: record.stamp };
        let held = |state: &State| rights.iter().all(|right| right.is_held(state, &asking));
        let (before, after) = (held(&self.now), held(&self.proposed));
        let denied_then = matches!(record.event, Event::Refused { rejection, .. } if rejection.is_denial());
        self.counts.differ_from_record += u64::from(denied_then == before);
        match (before, after) {
            (true, false) => self.counts.denied += 1,
            (false, true) => self.counts.allowed += 1,
            _ => return self.counts.same += 1,
        }
        let what = record.event.about_what();
        let operation = record.event.operation().word();
        let key = (after, record.actor.to_owned(), operation, what.environment.to_owned(), what.subject.to_owned());
        if self.changes.len() >= limits::REPLAYED_CHANGES_MAX && !self.changes.contains_key(&key) {
            self.counts.not_listed += 1;
            return;
        }
        let change = self.changes.entry(key).or_insert(Change { count: 0, seq_last: 0 });
        change.count += 1;
        change.seq_last = change.seq_last.max(record.seq);
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> ReplayCounts {
        self.counts
    }

    /// What would change: whether it would be allowed, then actor, operation, environment and subject.
    pub fn changes(&self) -> impl Iterator<Item = (bool, &str, &'static str, &str, &str, Change)> {
        self.changes.iter().map(|((allowed, actor, operation, environment, subject), change)| {
            (*allowed, actor.as_str(), *operation, environment.as_str(), subject.as_str(), *change)
        })
    }
}
