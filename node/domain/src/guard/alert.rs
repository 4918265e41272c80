//! Alerts: what somebody should look at, kept until it was delivered wherever it should go, and a while longer.

use super::sink::Sink;
use crate::ids::{PrincipalName, SinkName, Stamp};
use crate::limits;
use crate::rejection::Rejection;
use crate::state::{At, Digest};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

macro_rules! words {
    ($(#[$about:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The word people use.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The one with this word.
            ///
            /// # Errors
            /// When there is none; the error lists them.
            pub fn parse(word: &str) -> Result<$name, Rejection> {
                $name::ALL.iter().copied().find(|known| known.word() == word).ok_or_else(|| {
                    let words: Vec<_> = $name::ALL.iter().map(|known| known.word()).collect();
                    Rejection::invalid(format!("{} must be one of {}", $what, words.join(", ")))
                })
            }
        }
    };
}
pub(super) use words;

words! {
    /// What an alert is about. New kinds are added at the end.
    AlertKind, "the kind of an alert" {
        /// Somebody asked for something of an environment that they have nothing to do with.
        Violation "violation",
        /// Many denials in a short time.
        Refusals "refusals",
        /// A login was locked after too many failures.
        Lockout "lockout",
        /// What was wrapped for one holder was unwrapped a second time: somebody else had it.
        UnwrapTwice "unwrap-twice",
        /// Values crossed from one environment to another, as was approved.
        Promotion "promotion",
        /// An environment or a node was sealed or unsealed.
        Seal "seal",
        /// A key was rotated, or could not be.
        Key "key",
        /// A value breaks a rule for values.
        Governance "governance",
        /// Somebody asks too much.
        Throttled "throttled",
        /// A principal came from an address that it never came from before.
        NewAddress "new-address",
        /// Somebody tries out whether alerts arrive.
        Test "test",
        /// Something is wrong with a node: its disk, its clock, its certificate.
        Node "node",
        /// A snapshot that was due was not made, or a drill failed.
        Snapshot "snapshot",
        /// The cluster came back from a snapshot, or went on after a loss.
        Recovery "recovery",
        /// A node found damage on its disk, or could not repair it.
        Damage "damage",
    }
}

words! {
    /// How much it matters.
    Severity, "severity" {
        /// Good to know.
        Note "note",
        /// Somebody should look today.
        Warning "warning",
        /// Somebody should look now.
        Critical "critical",
    }
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Number of the record that raised it.
    pub id: u64,
    /// What it is about.
    pub kind: AlertKind,
    /// How much it matters: the most that any of its repetitions did.
    pub severity: Severity,
    /// Whom or what it concerns; repetitions are told by kind and subject.
    pub subject: String,
    /// What happened, the first time.
    pub text: String,
    /// When it was raised.
    pub first: Stamp,
    /// When it was last raised again.
    pub last: Stamp,
    /// How often, from 1.
    pub count: u64,
    /// Where it still has to be delivered. Invariant: sorted, every one is a sink that exists.
    pub owed: Vec<SinkName>,
    /// Deliveries that failed.
    pub attempts: u32,
    /// Who has taken note of it, and when.
    pub acknowledged: Option<(PrincipalName, Stamp)>,
}

impl Alert {
    /// Whether it is delivered everywhere that it should go.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.owed.is_empty()
    }
}

/// What is counted of alerts for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertCounts {
    /// Alerts that made room for newer ones.
    pub dropped: u64,
    /// Those of them that had not been delivered.
    pub lost: u64,
}

/// Alerts and where they go.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// By id, so that the oldest comes first. Invariant: at most `limits::ALERTS_MAX`.
    alerts: OrdMap<u64, Arc<Alert>>,
    /// The newest alert of each kind and subject; follows from `alerts`.
    newest: OrdMap<(AlertKind, String), u64>,
    sinks: OrdMap<SinkName, Arc<Sink>>,
    counts: AlertCounts,
}

/// Kinds of rows in the digest.
mod row {
    pub(super) const ALERT: u8 = 64;
    pub(super) const SINK: u8 = 65;
    pub(super) const COUNTS: u8 = 66;
}

impl Outbox {
    /// All alerts, oldest first.
    pub fn alerts(&self) -> impl DoubleEndedIterator<Item = &Arc<Alert>> {
        self.alerts.values()
    }

    /// The alert with this id.
    #[must_use]
    pub fn alert(&self, id: u64) -> Option<&Arc<Alert>> {
        self.alerts.get(&id)
    }

    /// All sinks, by name.
    pub fn sinks(&self) -> impl Iterator<Item = &Arc<Sink>> {
        self.sinks.values()
    }

    /// How many sinks there are.
    #[must_use]
    pub fn sinks_count(&self) -> usize {
        self.sinks.len()
    }

    /// The sink with this name.
    #[must_use]
    pub fn sink(&self, name: &SinkName) -> Option<&Arc<Sink>> {
        self.sinks.get(name)
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> AlertCounts {
        self.counts
    }

    /// The alert that another one of this kind and subject at `now` would count up, if there is one.
    #[must_use]
    pub fn repeated(&self, kind: AlertKind, subject: &str, now: Stamp) -> Option<&Arc<Alert>> {
        let alert = self.alerts.get(self.newest.get(&(kind, subject.to_owned()))?)?;
        (now < alert.first.plus_ms(limits::ALERT_REPEAT_MS)).then_some(alert)
    }

    /// What each sink should be handed next at `now`: the alert that failed least often, of those the oldest.
    pub fn due(&self, now: Stamp) -> impl Iterator<Item = (&Arc<Sink>, &Arc<Alert>)> {
        let ready = self.sinks.values().filter(move |sink| sink.resumes <= now);
        ready.filter_map(|sink| {
            let owed = self.alerts.values().filter(|alert| alert.owed.contains(&sink.name));
            owed.min_by_key(|alert| (alert.attempts, alert.id)).map(|alert| (sink, alert))
        })
    }

    pub(super) fn raise(&mut self, raised: (AlertKind, Severity, &str, &str), at: &At<'_>, digest: &mut Digest) {
        let (kind, severity, subject, text) = raised;
        if let Some(id) = self.repeated(kind, subject, at.stamp).map(|alert| alert.id) {
            self.change(id, digest, |alert| {
                alert.count += 1;
                alert.last = at.stamp;
                alert.severity = alert.severity.max(severity);
            });
            return;
        }
        if self.alerts.len() >= limits::ALERTS_MAX {
            self.drop_one(digest);
        }
        let wanting = self.sinks.values().filter(|sink| sink.least <= severity);
        self.insert(
            Alert {
                id: at.seq.0,
                kind,
                severity,
                subject: subject.to_owned(),
                text: text.to_owned(),
                first: at.stamp,
                last: at.stamp,
                count: 1,
                owed: wanting.map(|sink| sink.name.clone()).collect(),
                attempts: 0,
                acknowledged: None,
            },
            digest,
        );
    }

    fn insert(&mut self, alert: Alert, digest: &mut Digest) {
        digest.add(row::ALERT, &alert);
        self.newest.insert((alert.kind, alert.subject.clone()), alert.id);
        self.alerts.insert(alert.id, Arc::new(alert));
    }

    /// Makes room: what somebody has taken note of goes first, then what matters least, then what was delivered; of those the kind that
    /// there is most of, so that many alerts of one kind never drive out the few of another, and of that the oldest.
    fn drop_one(&mut self, digest: &mut Digest) {
        let mut of_kind: BTreeMap<AlertKind, usize> = BTreeMap::new();
        self.alerts.values().for_each(|alert| *of_kind.entry(alert.kind).or_default() += 1);
        let worth = |alert: &Alert| {
            let rarity = Reverse(of_kind[&alert.kind]);
            (alert.acknowledged.is_none(), alert.severity, !alert.is_delivered(), rarity, alert.id)
        };
        let Some(gone) = self.alerts.values().min_by_key(|alert| worth(alert)).cloned() else { return };
        self.alerts.remove(&gone.id);
        digest.subtract(row::ALERT, &*gone);
        let key = (gone.kind, gone.subject.clone());
        if self.newest.get(&key) == Some(&gone.id) {
            self.newest.remove(&key);
        }
        // Counts of nothing are no row.
        if self.counts != AlertCounts::default() {
            digest.subtract(row::COUNTS, &self.counts);
        }
        self.counts.dropped += 1;
        // Without a sink nothing was delivered to anybody.
        let told = gone.is_delivered() && !self.sinks.is_empty();
        self.counts.lost += u64::from(!told && gone.acknowledged.is_none());
        digest.add(row::COUNTS, &self.counts);
    }

    /// Whether there is a sink for alerts of this severity.
    #[must_use]
    pub fn is_wanted(&self, severity: Severity) -> bool {
        self.sinks.values().any(|sink| sink.least <= severity)
    }

    /// Changes an alert; `false` where it is gone.
    fn change(&mut self, id: u64, digest: &mut Digest, change: impl FnOnce(&mut Alert)) -> bool {
        let Some(slot) = self.alerts.get_mut(&id) else { return false };
        digest.subtract(row::ALERT, &**slot);
        let alert = Arc::make_mut(slot);
        change(alert);
        digest.add(row::ALERT, alert);
        true
    }

    fn change_sink(&mut self, name: &SinkName, digest: &mut Digest, change: impl FnOnce(&mut Sink)) -> bool {
        let Some(slot) = self.sinks.get_mut(name) else { return false };
        digest.subtract(row::SINK, &**slot);
        let sink = Arc::make_mut(slot);
        change(sink);
        digest.add(row::SINK, sink);
        true
    }

    pub(super) fn acknowledge(
        &mut self,
        id: u64,
        by: PrincipalName,
        at: &At<'_>,
        digest: &mut Digest,
    ) -> Result<(), &'static str> {
        let known = self.change(id, digest, |alert| alert.acknowledged = Some((by, at.stamp)));
        if known { Ok(()) } else { Err("its alert does not exist") }
    }

    pub(super) fn delivered(&mut self, id: u64, name: &SinkName, at: &At<'_>, digest: &mut Digest) -> Result<(), &'static str> {
        let known = self.change(id, digest, |alert| alert.owed.retain(|owed| owed != name));
        let known = known
            && self.change_sink(name, digest, |sink| {
                sink.delivered += 1;
                sink.failures = 0;
                sink.resumes = at.stamp;
                sink.last_error = String::new();
            });
        if known { Ok(()) } else { Err("its alert or its sink does not exist") }
    }

    pub(super) fn attempted(
        &mut self,
        id: u64,
        name: &SinkName,
        error: &str,
        at: &At<'_>,
        digest: &mut Digest,
    ) -> Result<(), &'static str> {
        let known = self.change(id, digest, |alert| alert.attempts = alert.attempts.saturating_add(1));
        let known = known
            && self.change_sink(name, digest, |sink| {
                sink.failures = sink.failures.saturating_add(1);
                sink.resumes = at.stamp.plus_ms(sink.wait_ms());
                error.clone_into(&mut sink.last_error);
            });
        if known { Ok(()) } else { Err("its alert or its sink does not exist") }
    }

    /// A sink is there from now on, or another one under its name. What was owed to the old one is owed to the new one.
    pub(super) fn put_sink(&mut self, sink: Sink, digest: &mut Digest) {
        digest.add(row::SINK, &sink);
        if let Some(old) = self.sinks.insert(sink.name.clone(), Arc::new(sink)) {
            digest.subtract(row::SINK, &*old);
        }
    }

    pub(super) fn delete_sink(&mut self, name: &SinkName, digest: &mut Digest) -> Result<(), &'static str> {
        let old = self.sinks.remove(name).ok_or("its sink does not exist")?;
        digest.subtract(row::SINK, &*old);
        let owing: Vec<u64> = self.alerts.values().filter(|alert| alert.owed.contains(name)).map(|alert| alert.id).collect();
        for id in owing {
            self.change(id, digest, |alert| alert.owed.retain(|owed| owed != name));
        }
        Ok(())
    }

    pub(super) fn take_alert(&mut self, alert: Arc<Alert>) {
        // Pieces come oldest first, so that the newest of a kind and subject comes last.
        self.newest.insert((alert.kind, alert.subject.clone()), alert.id);
        self.alerts.insert(alert.id, alert);
    }

    pub(super) fn take_sink(&mut self, sink: Arc<Sink>) {
        self.sinks.insert(sink.name.clone(), sink);
    }

    pub(super) fn take_counts(&mut self, counts: AlertCounts) {
        self.counts = counts;
    }

    pub(super) fn add_rows(&self, digest: &mut Digest) {
        self.alerts.values().for_each(|alert| digest.add(row::ALERT, &**alert));
        self.sinks.values().for_each(|sink| digest.add(row::SINK, &**sink));
        if self.counts != AlertCounts::default() {
            digest.add(row::COUNTS, &self.counts);
        }
    }
}
