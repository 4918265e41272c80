//! Self-repair: what a node finds damaged on its own disk, how it gets it back, and who hears of it.
//!
//! `ops/docs/self-repair.md` says what is done about which file. The rule behind it: what Raft has promised to others (log, vote) is
//! never made up again; everything else is, from what the node has or from the other members, and proves itself before it is believed.

pub(crate) mod address_book;
pub(crate) mod apart;
pub(crate) mod checks;
pub(crate) mod peers;
pub(crate) mod records;
pub(crate) mod scrub;
pub(crate) mod service;
pub(crate) mod snapshots;
pub(crate) mod values;

use crate::api::Door;
use node_domain::Command;
use node_domain::command::Upkeep;
use node_domain::repair::{RepairPart, RepairStep, RepairUpkeep};
use parking_lot::Mutex;
use scrub::Progress;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long one report may take to commit, and how long to wait before it is tried again.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);

/// The repairs of one node: those that are under way, and what the journal has yet to be told of them.
pub(crate) struct Repairs {
    known: Mutex<Known>,
    changed: watch::Sender<u64>,
    scrubbed: Mutex<Progress>,
}

#[derive(Default)]
struct Known {
    open: BTreeMap<RepairPart, Open>,
    /// Bounded: a part that is open already is not reported again.
    untold: VecDeque<(RepairPart, RepairStep)>,
}

struct Open {
    found: String,
    failed: Option<String>,
}

/// One repair under way, for people.
pub(crate) struct UnderWay {
    pub(crate) part: RepairPart,
    pub(crate) found: String,
    /// Why it does not succeed.
    pub(crate) failed: Option<String>,
}

impl Repairs {
    pub(crate) fn new() -> Arc<Repairs> {
        Arc::new(Repairs { known: Mutex::default(), changed: watch::channel(0).0, scrubbed: Mutex::default() })
    }

    /// Damage was found. Told once, until the part is whole again.
    pub(crate) fn began(&self, part: RepairPart, found: impl Into<String>) {
        let found = found.into();
        metrics::counter!("holdfast_damage_found_total", "part" => part.word()).increment(1);
        let mut known = self.known.lock();
        if known.open.contains_key(&part) {
            return;
        }
        tracing::error!(part = part.word(), found, "damage was found; it is being repaired");
        known.open.insert(part, Open { found: found.clone(), failed: None });
        known.untold.push_back((part, RepairStep::Began { found }));
        drop(known);
        self.changed.send_modify(|count| *count += 1);
    }

    /// The part is whole again.
    pub(crate) fn done(&self, part: RepairPart) {
        let mut known = self.known.lock();
        if known.open.remove(&part).is_none() {
            return;
        }
        tracing::info!(part = part.word(), "repaired");
        metrics::counter!("holdfast_repairs_total", "part" => part.word()).increment(1);
        known.untold.push_back((part, RepairStep::Done));
        drop(known);
        self.changed.send_modify(|count| *count += 1);
    }

    /// It could not be repaired, and goes on being tried. Told once.
    pub(crate) fn failed(&self, part: RepairPart, why: impl Into<String>) {
        let why = why.into();
        let mut known = self.known.lock();
        let Some(open) = known.open.get_mut(&part) else { return };
        if open.failed.replace(why.clone()).is_some() {
            return;
        }
        tracing::error!(part = part.word(), why, "the repair does not succeed");
        known.untold.push_back((part, RepairStep::Failed { why }));
        drop(known);
        self.changed.send_modify(|count| *count += 1);
    }

    /// What is being repaired.
    pub(crate) fn under_way(&self) -> Vec<UnderWay> {
        let known = self.known.lock();
        let all = known.open.iter();
        all.map(|(part, open)| UnderWay { part: *part, found: open.found.clone(), failed: open.failed.clone() }).collect()
    }

    /// Notes how far the scrub has come.
    pub(crate) fn scrubbed(&self, note: impl FnOnce(&mut Progress)) {
        note(&mut self.scrubbed.lock());
    }

    /// How far the scrub has come.
    pub(crate) fn progress(&self) -> Progress {
        *self.scrubbed.lock()
    }

    /// Whether this part is being repaired.
    pub(crate) fn is_under_way(&self, part: RepairPart) -> bool {
        self.known.lock().open.contains_key(&part)
    }

    /// Counts up when something began, ended or failed.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells the journal, in order, as soon as there is a leader that takes it. Never ends.
    pub(crate) async fn tell(&self, door: &Door) {
        let mut changed = self.watch();
        loop {
            let next = self.known.lock().untold.front().cloned();
            let Some((part, step)) = next else {
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
                continue;
            };
            let report = RepairUpkeep::Report { node: door.node_id, part, step };
            // Before its founding a cluster has no journal to tell.
            if door.view().state.is_founded() && submit(door, report).await {
                self.known.lock().untold.pop_front();
            } else {
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Has the journal take something down in the cluster's name; whether it did.
pub(crate) async fn submit(door: &Door, upkeep: RepairUpkeep) -> bool {
    let command = Command::Upkeep(Box::new(Upkeep::Repair(upkeep)));
    match door.submit_own("repair", command, PATIENCE).await {
        Ok(_) => true,
        Err(lost) => {
            tracing::debug!(%lost, "the journal does not know yet of a repair");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untold(repairs: &Repairs) -> Vec<String> {
        let known = repairs.known.lock();
        known.untold.iter().map(|(part, step)| format!("{} {step:?}", part.word())).collect()
    }

    #[test]
    fn a_part_is_reported_once_until_it_is_whole_again() {
        let repairs = Repairs::new();
        for _ in 0..100 {
            repairs.began(RepairPart::Value, "a row");
            repairs.failed(RepairPart::Value, "nobody has it");
        }
        assert_eq!(untold(&repairs), ["value Began { found: \"a row\" }", "value Failed { why: \"nobody has it\" }"]);
        assert_eq!(repairs.under_way().len(), 1);
        repairs.done(RepairPart::Value);
        repairs.done(RepairPart::Value);
        repairs.failed(RepairPart::Journal, "it was never open");
        assert_eq!(untold(&repairs).len(), 3);
        assert!(repairs.under_way().is_empty());
    }
}
