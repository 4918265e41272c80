//! When to ask again, and how long to wait first.
//!
//! Asking again is always safe: the request id stays the same, and the cluster does one id once. The question is only whether
//! another attempt can end differently.

use std::{error::Error, time::Duration};

use tonic::{Code, Status, TimeoutExpired};
use uuid::Uuid;

/// The cluster says with this that the call may be sent again as it is.
const AGAIN: (&str, &str) = ("holdfast-retry", "same-request-id");
/// The cluster says with this that it does not know whether the call was done.
const OUTCOME: (&str, &str) = ("holdfast-outcome", "unknown");
const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Whether another node, or the same one later, may give the answer.
pub(crate) fn may_help(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::Unknown => true,
        // A connection that breaks in the middle of a call surfaces as either, with the cause below it.
        Code::Internal | Code::Cancelled => status.source().is_some(),
        _ => asks_for_it(status),
    }
}

/// Whether the limit that was sent along cut the call off, here or at the node: gRPC's library calls that cancelled.
pub(crate) fn is_out_of_time(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == TimeoutExpired(()).to_string()
}

/// Whether the call may have been done, or may yet be, in spite of this status.
pub(crate) fn leaves_outcome_unknown(status: &Status) -> bool {
    let said = status.metadata().get(OUTCOME.0).is_some_and(|value| value == OUTCOME.1);
    let node_answered = status.source().is_none();
    match status.code() {
        Code::DeadlineExceeded | Code::Unknown => true,
        // A node that answers so says itself whether the call may have happened; a broken connection cannot.
        Code::Unavailable if node_answered => said,
        _ => said || (may_help(status) && !was_never_sent(status)),
    }
}

/// The connection was never made: no node has seen the call.
fn was_never_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(cause) = source {
        if cause.is::<tonic::ConnectError>() {
            return true;
        }
        source = cause.source();
    }
    false
}

fn asks_for_it(status: &Status) -> bool {
    status.metadata().get(AGAIN.0).is_some_and(|value| value == AGAIN.1)
}

/// The wait before attempt `attempt` (the first retry is 1): between half and all of 20 ms, 40 ms … 500 ms.
pub(crate) fn wait(attempt: u32) -> Duration {
    let full = WAIT_MIN.saturating_mul(1 << attempt.saturating_sub(1).min(8)).min(WAIT_MAX);
    let chance = Uuid::new_v4().as_bytes()[0];
    full / 2 + full / 2 * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_end_differently_is_asked_again() {
        for code in [Code::Unavailable, Code::Unknown] {
            assert!(may_help(&Status::new(code, "")));
        }
        for code in [Code::NotFound, Code::PermissionDenied, Code::Aborted, Code::Internal, Code::DeadlineExceeded] {
            assert!(!may_help(&Status::new(code, "")), "{code:?}");
        }
        let mut status = Status::aborted("the ground has moved");
        status.metadata_mut().insert(AGAIN.0, AGAIN.1.parse().unwrap());
        assert!(may_help(&status));
    }

    #[test]
    fn a_node_says_whether_the_call_may_have_happened() {
        let mut status = Status::unavailable("the leader changed");
        assert!(!leaves_outcome_unknown(&status));
        status.metadata_mut().insert(OUTCOME.0, OUTCOME.1.parse().unwrap());
        assert!(leaves_outcome_unknown(&status));
        assert!(leaves_outcome_unknown(&Status::deadline_exceeded("")));
        assert!(!leaves_outcome_unknown(&Status::aborted("db is at v2, not v1")));
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert!(leaves_outcome_unknown(&broken));
        let refused = Status::from_error(Box::new(tonic::ConnectError("connection refused".into())));
        assert!(!leaves_outcome_unknown(&refused));
    }

    #[test]
    fn a_call_that_its_limit_cut_off_is_told_from_one_that_was_cancelled() {
        assert!(is_out_of_time(&Status::from_error(Box::new(TimeoutExpired(())))));
        assert!(!is_out_of_time(&Status::cancelled("the connection closed")));
        assert!(!is_out_of_time(&Status::unavailable("Timeout expired")));
    }

    #[test]
    fn waits_grow_to_half_a_second_and_differ() {
        assert!(wait(1) >= WAIT_MIN / 2 && wait(1) <= WAIT_MIN);
        for attempt in 6..40 {
            assert!(wait(attempt) >= WAIT_MAX / 2 && wait(attempt) <= WAIT_MAX);
        }
        let waits: std::collections::HashSet<_> = (0..64).map(|_| wait(5)).collect();
        assert!(waits.len() > 4);
    }
}
