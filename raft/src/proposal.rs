//! Putting a payload into the log: at once, in order, and with an answer to await.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use openraft::{
    errors::{ClientWriteError, ForwardReason, ForwardToLeader},
    impls::ProgressResponder,
    raft::ClientWriteResult,
};
use tokio::task::coop;

use crate::{
    config::PAYLOAD_BYTES_MAX,
    machine::Reply,
    role,
    types::{Payload, Raft, TypeConfig},
};

/// Why a payload has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It did not enter the log: another node leads.
    #[error("this node does not lead{}", of_leader(*leader))]
    NotLeader {
        /// The leader, where one is known.
        leader: Option<u64>,
    },
    /// It did not enter the log: this node leads, but has not heard from a quorum of late, or never since it was elected.
    #[error("no quorum answers this node, which leads")]
    NoQuorum,
    /// It did not enter the log: as much as may wait is waiting.
    #[error("too much is waiting to enter the log, try again")]
    Busy,
    /// It did not enter the log: it is too large for one.
    #[error("payload has {bytes} bytes, at most {PAYLOAD_BYTES_MAX} fit a log entry")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It may or may not commit; asking again is safe only with something in the payload that makes the second time harmless.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// It did not enter the log: the node has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

fn of_leader(leader: Option<u64>) -> String {
    leader.map_or_else(|| " and knows no leader".to_owned(), |id| format!(", node {id} does"))
}

/// A payload on its way. Dropping it takes nothing back.
pub struct Proposal(State);

enum State {
    Refused(Option<ProposeError>),
    Entered(AnswerReceiver, Raft),
}

type AnswerReceiver = openraft::alias::OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>;

impl Proposal {
    fn refused(error: ProposeError) -> Proposal {
        Proposal(State::Refused(Some(error)))
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Refused(error) => write!(formatter, "Proposal(refused: {error:?})"),
            State::Entered(..) => write!(formatter, "Proposal(waiting)"),
        }
    }
}

impl Future for Proposal {
    type Output = Result<(u64, Reply), ProposeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Refused(error) => {
                Poll::Ready(Err(error.take().unwrap_or_else(|| ProposeError::Unknown("it was answered before".to_owned()))))
            }
            State::Entered(answer, raft) => Pin::new(answer).poll(context).map(|answer| match answer {
                Ok(Ok(response)) => Ok((response.log_id.index, response.data)),
                Ok(Err(error)) => Err(refusal(error)),
                Err(_) => Err(ProposeError::Unknown(format!("the node went away: {}", role::stop_reason(raft)))),
            }),
        }
    }
}

fn refusal(error: ClientWriteError<TypeConfig>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(ForwardToLeader { reason: ForwardReason::LeaseExpired, .. }) => ProposeError::NoQuorum,
        ClientWriteError::ForwardToLeader(ForwardToLeader { leader_id, .. }) => ProposeError::NotLeader { leader: leader_id },
        other => ProposeError::Unknown(other.to_string()),
    }
}

/// Where payloads enter the log.
#[derive(Clone)]
pub(crate) struct Proposer {
    raft: Raft,
    /// Set while one payload waits for room in raft's queue; later ones are refused so that none overtakes it.
    clogged: Arc<AtomicBool>,
}

impl Proposer {
    pub(crate) fn new(raft: Raft) -> Proposer {
        Proposer { raft, clogged: Arc::default() }
    }

    /// Queues `payload` before it returns, so that two calls in order enter the log in order.
    pub(crate) fn propose(&self, payload: Bytes) -> Proposal {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Proposal::refused(ProposeError::TooLarge { bytes: payload.len() });
        }
        if self.clogged.load(Ordering::Acquire) {
            return Proposal::refused(ProposeError::Busy);
        }
        if role::is_stopped(&self.raft) {
            return Proposal::refused(ProposeError::Stopped(role::stop_reason(&self.raft)));
        }
        let (responder, answer) = ProgressResponder::complete_only();
        let raft = self.raft.clone();
        // Without `unconstrained` a task that has used up its budget would be told to wait though there is room.
        let mut queueing =
            Box::pin(coop::unconstrained(async move { raft.client_write_ff(Payload(payload), Some(responder)).await }));
        match queueing.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Proposal(State::Entered(answer, self.raft.clone())),
            Poll::Ready(Err(fatal)) => Proposal::refused(ProposeError::Stopped(fatal.to_string())),
            Poll::Pending => {
                // The queue is full, or raft is just stopping. The future must run to its end in either case: openraft's
                // search for the reason it stopped may not be cancelled.
                self.clogged.store(true, Ordering::Release);
                let clogged = Arc::clone(&self.clogged);
                tokio::spawn(async move {
                    if queueing.await.is_ok() {
                        clogged.store(false, Ordering::Release);
                    }
                });
                Proposal(State::Entered(answer, self.raft.clone()))
            }
        }
    }
}
