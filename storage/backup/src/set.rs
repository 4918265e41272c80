//! What a set holds, and which of its files lead to a wished point.

use crate::entry::{Entry, EntryKind};
use std::collections::BTreeSet;

/// The entries of a set.
#[derive(Clone, Debug, Default)]
pub struct BackupSet {
    /// Believed entries, by epoch, revision and name.
    pub entries: Vec<Entry>,
    /// Entries that are not believed: name and why.
    pub bad: Vec<(String, String)>,
    /// Files without an entry: a backup that was cut short, or one that is being written.
    pub strays: Vec<String>,
}

/// Which state somebody wants back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The newest there is.
    Newest,
    /// As of this record.
    Revision(u64),
    /// As of this time, microseconds since 1970.
    Time(u64),
}

/// The files that lead to a point, in the order of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where it starts.
    pub full: Entry,
    /// What is replayed on it.
    pub increments: Vec<Entry>,
}

/// Why no files lead there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No full snapshot at all.
    #[error("there is no full snapshot in {0} entries: save one first (holdfast snapshot save)")]
    NoFull(usize),
    /// Before the oldest.
    #[error("the oldest full snapshot is at record {revision} ({stamp_us} µs): nothing before it can be brought back")]
    TooEarly {
        /// Where it stands.
        revision: u64,
        /// Its time.
        stamp_us: u64,
    },
    /// After the newest.
    #[error("the snapshots reach to record {revision} ({stamp_us} µs) only{}", .gap.map(|at| format!("; increments after record {at} join nothing: one before them is missing")).unwrap_or_default())]
    TooLate {
        /// Where the reachable ones end.
        revision: u64,
        /// Its time.
        stamp_us: u64,
        /// Where one begins that cannot be reached, where there is one.
        gap: Option<u64>,
    },
    /// Several clusters or timelines in one place.
    #[error("the set holds snapshots of more than one cluster: give each cluster a place of its own")]
    Mixed,
}

impl Plan {
    /// The last file used.
    #[must_use]
    pub fn last(&self) -> &Entry {
        self.increments.last().unwrap_or(&self.full)
    }

    /// All files in order.
    pub fn files(&self) -> impl Iterator<Item = &Entry> {
        std::iter::once(&self.full).chain(&self.increments)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files().map(|entry| entry.bytes).sum()
    }
}

impl BackupSet {
    /// A set of these entries.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> BackupSet {
        entries.sort_by(|one, other| (one.epoch, one.revision, &one.file).cmp(&(other.epoch, other.revision, &other.file)));
        BackupSet { entries, ..BackupSet::default() }
    }

    /// Full snapshots, oldest first.
    pub fn fulls(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.kind == EntryKind::Full)
    }

    /// The newest state that a full snapshot and increments lead to, where the next increment may go on.
    #[must_use]
    pub fn newest(&self) -> Option<&Entry> {
        self.fulls().flat_map(|full| self.reach(full)).max_by_key(|entry| (entry.epoch, entry.revision))
    }

    /// Everything that can be reached from a full snapshot, itself first.
    #[must_use]
    pub fn reach<'a>(&'a self, full: &'a Entry) -> Vec<&'a Entry> {
        let mut reached = vec![full];
        let mut names = BTreeSet::from([&full.file]);
        let mut at = 0;
        while let Some(from) = reached.get(at).copied() {
            for next in self.entries.iter().filter(|next| from.joins(next)) {
                if names.insert(&next.file) {
                    reached.push(next);
                }
            }
            at += 1;
        }
        reached
    }

    /// Increments that no full snapshot leads to.
    #[must_use]
    pub fn orphans(&self) -> Vec<&Entry> {
        let reached: BTreeSet<&str> = self.fulls().flat_map(|full| self.reach(full)).map(|entry| entry.file.as_str()).collect();
        self.entries.iter().filter(|entry| !reached.contains(entry.file.as_str())).collect()
    }

    /// The files that lead to a point: from the newest full snapshot before it, by as few increments as there are.
    ///
    /// # Errors
    /// When nothing leads there.
    pub fn plan(&self, wanted: Wanted) -> Result<Plan, PlanError> {
        if self.entries.windows(2).any(|pair| pair[0].cluster != pair[1].cluster) {
            return Err(PlanError::Mixed);
        }
        let first = self.fulls().next().ok_or(PlanError::NoFull(self.entries.len()))?;
        let newest_epoch = self.fulls().map(|full| full.epoch).max().unwrap_or(first.epoch);
        let before = |full: &&Entry| match wanted {
            Wanted::Newest => full.epoch == newest_epoch,
            Wanted::Revision(revision) => full.revision <= revision,
            Wanted::Time(stamp_us) => full.stamp_us <= stamp_us,
        };
        let fulls: Vec<&Entry> = self.fulls().filter(before).collect();
        if fulls.is_empty() {
            return Err(PlanError::TooEarly { revision: first.revision, stamp_us: first.stamp_us });
        }
        let reaches = |entry: &Entry| match wanted {
            Wanted::Newest => false,
            Wanted::Revision(revision) => entry.revision >= revision,
            Wanted::Time(stamp_us) => entry.stamp_us >= stamp_us,
        };
        let paths = || fulls.iter().rev().map(|full| self.path(full, reaches));
        if wanted == Wanted::Newest {
            let best = paths().max_by_key(|plan| (plan.last().revision, plan.full.revision));
            return best.ok_or(PlanError::NoFull(self.entries.len()));
        }
        if let Some(plan) = paths().find(|plan| reaches(plan.last())) {
            return Ok(plan);
        }
        let ends = paths().map(|plan| (plan.last().revision, plan.last().stamp_us)).max();
        let (revision, stamp_us) = ends.unwrap_or((first.revision, first.stamp_us));
        let gap = self.orphans().iter().map(|entry| entry.after_revision).find(|at| *at >= revision);
        Err(PlanError::TooLate { revision, stamp_us, gap })
    }

    /// The shortest way from a full snapshot to what `reaches`, or to the furthest there is.
    fn path(&self, full: &Entry, reaches: impl Fn(&Entry) -> bool) -> Plan {
        let mut paths: Vec<Vec<&Entry>> = vec![vec![]];
        let mut seen = BTreeSet::from([&full.file]);
        let mut furthest: Vec<&Entry> = Vec::new();
        let mut at = 0;
        while let Some(path) = paths.get(at).cloned() {
            let end = path.last().copied().unwrap_or(full);
            if reaches(end) {
                furthest = path;
                break;
            }
            if end.revision > furthest.last().map_or(full.revision, |entry| entry.revision) {
                furthest.clone_from(&path);
            }
            for next in self.entries.iter().filter(|next| end.joins(next)) {
                if seen.insert(&next.file) {
                    paths.push([&path[..], &[next]].concat());
                }
            }
            at += 1;
        }
        Plan { full: full.clone(), increments: furthest.into_iter().cloned().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::{full, increment};

    fn names(plan: Plan) -> Vec<String> {
        plan.files().map(|entry| entry.file.clone()).collect()
    }

    #[test]
    fn a_point_is_reached_from_the_newest_full_snapshot_before_it() {
        let set = BackupSet::new(vec![full(10), increment(10, 20), increment(20, 30), full(25), increment(30, 40)]);
        assert_eq!(names(set.plan(Wanted::Revision(10)).unwrap()), ["full-10"]);
        assert_eq!(names(set.plan(Wanted::Revision(12)).unwrap()), ["full-10", "10-20"]);
        assert_eq!(names(set.plan(Wanted::Revision(25)).unwrap()), ["full-25"]);
        assert_eq!(names(set.plan(Wanted::Revision(28)).unwrap()), ["full-10", "10-20", "20-30"]);
        assert_eq!(names(set.plan(Wanted::Time(35_000)).unwrap()), ["full-10", "10-20", "20-30", "30-40"]);
        assert_eq!(names(set.plan(Wanted::Newest).unwrap()), ["full-10", "10-20", "20-30", "30-40"]);
    }

    #[test]
    fn an_increment_that_leads_nowhere_does_not_hide_the_way() {
        let set = BackupSet::new(vec![full(0), increment(0, 10), increment(0, 8), increment(8, 20)]);
        assert_eq!(names(set.plan(Wanted::Revision(15)).unwrap()), ["full-0", "0-8", "8-20"]);
    }

    #[test]
    fn what_is_missing_is_said() {
        let set = BackupSet::new(vec![full(10), increment(10, 20), increment(30, 40)]);
        let early = set.plan(Wanted::Revision(9)).unwrap_err().to_string();
        assert!(early.starts_with("the oldest full snapshot is at record 10"), "{early}");
        let late = set.plan(Wanted::Revision(35)).unwrap_err().to_string();
        assert!(late.contains("reach to record 20") && late.contains("increments after record 30 join nothing"), "{late}");
        assert_eq!(set.orphans().len(), 1);
        assert_eq!(BackupSet::default().plan(Wanted::Newest), Err(PlanError::NoFull(0)));
        let other = Entry { cluster: "other".into(), ..full(11) };
        assert_eq!(BackupSet::new(vec![full(10), other]).plan(Wanted::Newest), Err(PlanError::Mixed));
    }

    #[test]
    fn an_increment_of_another_timeline_does_not_join() {
        let forked = Entry { after_chain: "another".into(), ..increment(10, 20) };
        let later = Entry { epoch: 2, ..increment(10, 20) };
        for stranger in [forked, later] {
            assert!(!full(10).joins(&stranger));
        }
        assert!(full(10).joins(&increment(10, 20)));
    }
}
