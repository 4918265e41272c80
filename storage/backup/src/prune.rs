//! Which files of a set may go.

use crate::{
    entry::{Entry, EntryKind},
    set::BackupSet,
};
use std::collections::BTreeSet;

/// What stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest full snapshots, with all that joins them. At least one always stays.
    pub fulls: usize,
    /// Everything made at or after this time stays besides, milliseconds since 1970.
    pub since_ms: u64,
}

/// The entries that go, those first that nothing else needs. A full snapshot goes only with every increment that needs it, and an
/// increment that stays keeps its full snapshot.
#[must_use]
pub fn doomed(set: &BackupSet, keep: Keep) -> Vec<Entry> {
    let old = |entry: &Entry| entry.created_ms < keep.since_ms;
    let fulls: Vec<&Entry> = set.fulls().collect();
    let newest = fulls.len().saturating_sub(keep.fulls.max(1));
    let stays = |at: usize, full: &Entry| at >= newest || !old(full);
    let mut kept: BTreeSet<&str> = BTreeSet::new();
    for (_, full) in fulls.iter().enumerate().filter(|(at, full)| stays(*at, full)) {
        kept.extend(set.reach(full).iter().map(|entry| entry.file.as_str()));
    }
    // From the newest on: where several lead to one that stays, the nearest one is enough.
    for full in fulls.iter().rev().filter(|full| !kept.contains(full.file.as_str())).collect::<Vec<_>>() {
        let reached = set.reach(full);
        let needed = reached.iter().any(|entry| !old(entry) && !kept.contains(entry.file.as_str()));
        if needed {
            kept.extend(reached.iter().map(|entry| entry.file.as_str()));
        }
    }
    let orphaned: BTreeSet<&str> = set.orphans().iter().map(|entry| entry.file.as_str()).collect();
    let goes = |entry: &&Entry| {
        let name = entry.file.as_str();
        !kept.contains(name) && (!orphaned.contains(name) || old(entry))
    };
    let mut doomed: Vec<Entry> = set.entries.iter().filter(goes).cloned().collect();
    // Increments before what they need, the last ones first: whenever this stops, what is left is whole.
    doomed.sort_by_key(|entry| (entry.kind == EntryKind::Full, std::cmp::Reverse(entry.revision)));
    doomed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::{full, increment};

    fn names(set: &BackupSet, fulls: usize, since_ms: u64) -> Vec<String> {
        doomed(set, Keep { fulls, since_ms }).into_iter().map(|entry| entry.file).collect()
    }

    #[test]
    fn the_newest_full_snapshots_stay_with_what_joins_them() {
        let set = BackupSet::new(vec![full(10), increment(10, 20), full(30), increment(30, 40), increment(40, 50)]);
        assert_eq!(names(&set, 1, 1000), ["10-20", "full-10"]);
        assert_eq!(names(&set, 2, 1000), Vec::<String>::new());
        assert_eq!(names(&set, 0, 1000), ["10-20", "full-10"], "one always stays");
    }

    #[test]
    fn what_is_young_stays_and_keeps_the_full_snapshot_it_needs() {
        let set = BackupSet::new(vec![full(10), increment(10, 20), full(30)]);
        assert_eq!(names(&set, 1, 15), Vec::<String>::new(), "the increment of 20 is younger than 15 and needs the full of 10");
        assert_eq!(names(&set, 1, 25), ["10-20", "full-10"]);
    }

    #[test]
    fn no_full_snapshot_goes_that_something_kept_needs_whatever_is_asked() {
        let set = BackupSet::new(vec![
            full(10),
            increment(10, 20),
            increment(20, 30),
            full(15),
            increment(15, 20),
            full(40),
            increment(40, 60),
        ]);
        for fulls in 0..4 {
            for since_ms in (0..70).step_by(5) {
                let gone: BTreeSet<String> = names(&set, fulls, since_ms).into_iter().collect();
                let left = BackupSet::new(set.entries.iter().filter(|entry| !gone.contains(&entry.file)).cloned().collect());
                assert!(left.orphans().is_empty(), "keep {fulls} since {since_ms} leaves {:?}", left.orphans());
                assert!(left.fulls().count() >= 1.max(fulls.min(3)));
                assert!(
                    left.entries.iter().filter(|entry| entry.created_ms >= since_ms).count()
                        >= set.entries.iter().filter(|entry| entry.created_ms >= since_ms).count()
                );
            }
        }
    }
}
