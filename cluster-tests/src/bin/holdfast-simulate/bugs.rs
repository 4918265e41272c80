//! Classic bugs, put back one by one: each must be found.

use crate::process::Bug;
use crate::{Wanted, probes, process, say, show};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use storage::planted::BUGS;

/// Whether one of the bugs was not found within the wanted number of seeds.
pub(crate) fn missed(wanted: &Wanted) -> bool {
    if !cfg!(debug_assertions) {
        say("error: bugs can be put back in debug builds only");
        return true;
    }
    let wanted_ones = |(name, _): &&(&str, &str)| wanted.only_bug.as_ref().is_none_or(|only| only == name);
    let bugs: Vec<(&str, &str)> = BUGS.iter().filter(wanted_ones).copied().collect();
    if bugs.is_empty() {
        say("error: --only names no bug that can be put back");
        return true;
    }
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..wanted.jobs {
            scope.spawn(|| {
                while let Some((bug, about)) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let took = hunt(bug, wanted);
                    show(&match &took {
                        Some((seeds, finding)) => format!("found {bug} ({about}) after {seeds} seeds: {finding}"),
                        None => format!("MISSED {bug} ({about}) in {} seeds", wanted.seeds),
                    });
                    if let Ok(mut found) = found.lock() {
                        found.insert(*bug, took.map(|(seeds, _)| seeds));
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_default();
    let mut seeds: Vec<u64> = found.values().copied().flatten().collect();
    seeds.sort_unstable();
    let median = seeds.get(seeds.len() / 2).map_or("none".to_owned(), u64::to_string);
    show(&format!("{} of {} bugs were found; seeds needed, median: {median}", seeds.len(), bugs.len()));
    seeds.len() < bugs.len()
}

/// How many seeds it took, and what was found.
fn hunt(bug: &str, wanted: &Wanted) -> Option<(u64, String)> {
    let mut wanted = wanted.clone();
    wanted.probe = probes::of(bug).map(|_| bug.to_owned());
    (0..wanted.seeds).find_map(|count| {
        let seed = wanted.from + count;
        let finding = process::of(seed, &wanted, Bug::Back(bug)).findings.into_iter().next()?;
        // What is found without the bug, too, is not found because of it: a full disk, a machine that is too slow, another bug.
        if let Some(other) = process::of(seed, &wanted, Bug::Away).findings.first() {
            say(&format!("error: seed {seed} finds something where {bug} was not put back: {other}"));
            return None;
        }
        Some((count + 1, finding.chars().take(160).collect()))
    })
}
