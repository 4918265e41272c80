//! What workers counted in one slot.

use std::time::Duration;

use super::histogram::Histogram;

/// A worker that has seen so many errors asks no more.
const ERRORS_MAX: u64 = 100;

/// Answers by node, and errors.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// How long the answers of each node took.
    pub(crate) by_node: Vec<Histogram>,
    /// Operations that were answered, by node: of a call for many, each counts.
    pub(crate) done: Vec<u64>,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
}

impl Tally {
    /// Of `nodes` nodes, nothing yet.
    pub(crate) fn of(nodes: usize) -> Tally {
        Tally { by_node: vec![Histogram::default(); nodes], done: vec![0; nodes], errors: 0, first_error: None }
    }

    /// A call with `operations` in it was answered by `node`.
    pub(crate) fn answered(&mut self, node: usize, took: Duration, operations: u64) {
        self.by_node[node].record(took);
        self.done[node] += operations;
    }

    pub(crate) fn failed(&mut self, why: &str) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| why.to_owned());
    }

    pub(crate) fn is_hopeless(&self) -> bool {
        self.errors >= ERRORS_MAX
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        self.by_node.iter_mut().zip(&other.by_node).for_each(|(sum, part)| sum.add(part));
        self.done.iter_mut().zip(&other.done).for_each(|(sum, part)| *sum += part);
        self.errors += other.errors;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }

    pub(crate) fn operations(&self) -> u64 {
        self.done.iter().sum()
    }

    /// All nodes together.
    pub(crate) fn latencies(&self) -> Histogram {
        let mut sum = Histogram::default();
        self.by_node.iter().for_each(|part| sum.add(part));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_node_by_node_and_keep_the_first_error() {
        let (mut sum, mut part) = (Tally::of(2), Tally::of(2));
        sum.answered(0, Duration::from_micros(5), 1);
        part.answered(1, Duration::from_micros(7), 32);
        part.failed("refused");
        sum.add(&part);
        sum.failed("another");
        assert_eq!((sum.done.as_slice(), sum.operations(), sum.errors), ([1, 32].as_slice(), 33, 2));
        assert_eq!(sum.first_error.as_deref(), Some("refused"));
        assert_eq!(sum.latencies().count(), 2);
    }
}
