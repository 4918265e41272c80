//! Classic bugs, put back one by one: each must be found.

use crate::{Wanted, process, say, show};
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
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..wanted.jobs {
            scope.spawn(|| {
                while let Some((bug, about)) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
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
    show(&format!("{} of {} bugs were found; seeds needed, median: {median}", seeds.len(), BUGS.len()));
    seeds.len() < BUGS.len()
}

/// How many seeds it took, and what was found.
fn hunt(bug: &str, wanted: &Wanted) -> Option<(u64, String)> {
    (0..wanted.seeds).find_map(|count| {
        let finding = process::of(wanted.from + count, wanted, Some(bug)).findings.into_iter().next()?;
        Some((count + 1, finding.chars().take(160).collect()))
    })
}
