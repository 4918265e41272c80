//! How long nobody was answered.

use std::time::Duration;

use super::history::Write;

/// What one fault cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    /// The longest time in which no writer at all was acknowledged.
    pub(super) cluster: Duration,
    /// The longest time in which some writer was not.
    pub(super) writer: Duration,
}

/// The gaps from `fault` to `end`, with the acknowledgements of that time in the order of their answers.
pub(super) fn of(writes: &[Write], writers: usize, fault: Duration, end: Duration) -> Gap {
    let within = || writes.iter().filter(move |write| write.ended >= fault && write.ended <= end);
    let cluster = longest_silence(within().map(|write| write.ended), fault, end);
    let of_writer =
        |writer| longest_silence(within().filter(|write| write.writer == writer).map(|write| write.ended), fault, end);
    Gap { cluster, writer: (0..writers).map(of_writer).max().unwrap_or_default() }
}

/// Whether every writer has been acknowledged a write that it began after `fault`.
pub(super) fn is_over(writes: &[Write], writers: usize, fault: Duration) -> bool {
    (0..writers).all(|writer| writes.iter().any(|write| write.writer == writer && write.began > fault))
}

/// An answer that was on its way when the leader went must not hide the silence after it: the longest one counts, not the first.
fn longest_silence(answers: impl Iterator<Item = Duration>, from: Duration, to: Duration) -> Duration {
    let mut last = from;
    let mut longest = Duration::ZERO;
    for answer in answers.chain([to]) {
        longest = longest.max(answer.saturating_sub(last));
        last = last.max(answer);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn write(writer: usize, began_ms: u64, ended_ms: u64) -> Write {
        let (began, ended) = (Duration::from_millis(began_ms), Duration::from_millis(ended_ms));
        Write { writer, request: Uuid::nil(), version: 1, began, ended }
    }

    #[test]
    fn the_longest_silence_counts_and_not_the_answer_that_was_on_its_way() {
        let writes = [write(0, 90, 101), write(1, 95, 102), write(0, 102, 700), write(1, 110, 900), write(0, 701, 905)];
        let gap = of(&writes, 2, Duration::from_millis(100), Duration::from_millis(905));
        assert_eq!(gap.cluster, Duration::from_millis(598));
        assert_eq!(gap.writer, Duration::from_millis(798));
    }

    #[test]
    fn a_fault_is_over_when_every_writer_has_begun_and_ended_a_write_after_it() {
        let fault = Duration::from_millis(100);
        let writes = [write(0, 110, 120), write(1, 99, 130)];
        assert!(!is_over(&writes, 2, fault));
        assert!(is_over(&[&writes[..], &[write(1, 131, 140)]].concat(), 2, fault));
    }

    #[test]
    fn silence_to_the_end_counts() {
        let gap = of(&[], 1, Duration::from_millis(100), Duration::from_millis(400));
        assert_eq!(gap.cluster, Duration::from_millis(300));
    }
}
