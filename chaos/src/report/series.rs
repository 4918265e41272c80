//! What happened in each slice of a run.

use std::collections::BTreeSet;

use chaos_history::{Operation, Outcome};

/// Slices that a chart can show apart.
const SLICES_MAX: u64 = 600;

/// One slice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Slice {
    /// Calls that were answered in it, and calls that ended without an answer.
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Of the answered: half took at most so many milliseconds, and 99 of 100.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Slices of equal length.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) slice_ms: u64,
    pub(crate) slices: Vec<Slice>,
}

/// Cuts a run into slices of a second, or longer ones where there would be too many. The items of one call count as one.
pub(crate) fn of(operations: &[Operation]) -> Series {
    let end_ms = operations.iter().map(|operation| operation.returned_ns / 1_000_000).max().unwrap_or(0);
    let slice_ms = (end_ms / SLICES_MAX).div_ceil(1_000).max(1) * 1_000;
    let count = usize::try_from(end_ms / slice_ms + 1).unwrap_or(1);
    let mut took: Vec<Vec<u64>> = vec![Vec::new(); count];
    let mut slices = vec![Slice::default(); count];
    let mut calls = BTreeSet::new();
    for operation in operations {
        let own_key = operation.request.is_nil().then_some(&operation.key);
        if !calls.insert((operation.request, own_key, operation.returned_ns / 1_000_000, operation.is_answered())) {
            continue;
        }
        let at = usize::try_from(operation.returned_ns / 1_000_000 / slice_ms).unwrap_or(0).min(count - 1);
        match operation.outcome {
            Outcome::Unknown | Outcome::NotDone => slices[at].failed += 1,
            _ => {
                slices[at].answered += 1;
                took[at].push(operation.returned_ns - operation.called_ns);
            }
        }
    }
    for (slice, took) in slices.iter_mut().zip(&mut took) {
        took.sort_unstable();
        slice.p50_ms = quantile_ms(took, 0.50);
        slice.p99_ms = quantile_ms(took, 0.99);
    }
    Series { slice_ms, slices }
}

fn quantile_ms(sorted_ns: &[u64], share: f64) -> f64 {
    let rank = ((sorted_ns.len() as f64 * share).ceil() as usize).clamp(1, sorted_ns.len().max(1));
    sorted_ns.get(rank - 1).map_or(0.0, |ns| *ns as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use chaos_history::Call;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_call_counts_once_in_the_second_in_which_it_ended() {
        let operation = |request: u128, ended_ms: u64, outcome: Outcome| Operation {
            client: 0,
            request: Uuid::from_u128(request),
            record: None,
            called_ns: (ended_ms - 100) * 1_000_000,
            returned_ns: ended_ms * 1_000_000,
            key: "k".into(),
            call: Call::Get,
            outcome,
            words: String::new(),
        };
        let found = || Outcome::Refused { found: None };
        let series = of(&[operation(1, 500, found()), operation(1, 500, found()), operation(2, 2_500, Outcome::Unknown)]);
        assert_eq!((series.slice_ms, series.slices.len()), (1_000, 3));
        assert_eq!((series.slices[0].answered, series.slices[2].failed), (1, 1));
        assert!((series.slices[0].p99_ms - 100.0).abs() < 1e-6);
        assert_eq!(of(&[]).slices.len(), 1);
    }
}
