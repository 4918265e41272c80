//! Whether an answer was older than what had been acknowledged before it was asked for.
//!
//! It follows from linearizability; by itself it is quick, needs no search, and says in one sentence what went wrong.

use std::collections::BTreeMap;

use crate::{
    operation::{Operation, Outcome},
    verdict::{Finding, Verdict},
};

/// No answer names a version older than one that had been acknowledged, or shown, to anybody before the question left.
#[must_use]
pub fn never_stale(operations: &[Operation]) -> Verdict {
    let mut verdict = Verdict::of("no answer is older than what was known before it was asked for", operations.len());
    let mut by_key: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations.iter().filter(|operation| newest_named(operation).is_some()) {
        by_key.entry(&operation.key).or_default().push(operation);
    }
    for (key, operations) in by_key {
        let mut by_call = operations.clone();
        by_call.sort_by_key(|operation| operation.called_ns);
        let mut by_return = operations;
        by_return.sort_by_key(|operation| operation.returned_ns);
        let mut returned = by_return.into_iter().peekable();
        let mut newest: Option<&Operation> = None;
        for operation in by_call {
            while let Some(earlier) = returned.next_if(|earlier| earlier.returned_ns < operation.called_ns) {
                if newest.is_none_or(|newest| newest_named(newest) < newest_named(earlier)) {
                    newest = Some(earlier);
                }
            }
            if let Some(known) = newest.filter(|known| newest_named(operation) < newest_named(known)) {
                let version = |operation| newest_named(operation).unwrap_or_default();
                let what = format!(
                    "{key}: v{} was told although v{} was known before it was asked for",
                    version(operation),
                    version(known)
                );
                verdict.violated(Finding::new(what, [known.clone(), operation.clone()]));
            }
        }
    }
    verdict
}

/// The newest version at the moment of the operation, as its answer has it.
fn newest_named(operation: &Operation) -> Option<u64> {
    match operation.outcome {
        Outcome::Written { version }
        | Outcome::Found { version, .. }
        | Outcome::Seen { version, .. }
        | Outcome::Hidden { version } => Some(version),
        Outcome::Refused { found } => found,
        Outcome::NotDone | Outcome::Unknown => None,
    }
}
