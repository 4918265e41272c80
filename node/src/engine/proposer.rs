//! The leader's desk: decides commands one after the other on a head, gathers decisions into batches, answers when they commit.
//!
//! Commit at once when idle; while batches are in flight the next one gathers (group commit), and a full one joins them
//! (pipelining). The head is built after a read barrier in the leader's term and dropped on any doubt; batches that rest on a
//! dropped head are refused by the machine, because their ground has moved.

use crate::clock::Clock;
use crate::engine::Published;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use node_domain::ids::Revision;
use node_domain::{Answer, Ask, Batch, Command, Decision, Head, Rejection};
use proto_record::codec::{self, Kind};
use raft::{Proposal, ProposeError, Replica, Reply, Role};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use storage::planted;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Batches in flight at most.
const PIPELINE_MAX: usize = 4;
/// A batch with this many decisions does not wait for the one in flight.
const FULL_DECISIONS: usize = 256;
/// A batch is cut when it has grown to this; the largest command may come on top.
const FULL_BYTES: usize = 1 << 20;

const _: () = assert!(FULL_BYTES + node_domain::limits::DECISION_BYTES_MAX < raft::PAYLOAD_BYTES_MAX);
/// Commands that may wait for the desk.
pub(crate) const QUEUE_MAX: usize = 8192;
/// How long the desk waits before it asks for a barrier again.
const BARRIER_RETRY: Duration = Duration::from_millis(20);
/// A leader that no quorum has answered for so long tells those who wait that it does not know: another node may lead by now. Longer
/// than an election takes, so that it never speaks too early.
const STRANDED: Duration = Duration::from_secs(1);
/// How often it is looked for that.
const LOOK: Duration = Duration::from_millis(100);

/// What became of a command whose records have committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decided {
    /// Its last record.
    pub(crate) index: u64,
    /// What the caller is told.
    pub(crate) answer: Result<Answer, Rejection>,
}

/// Why a command has no outcome here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Undecided {
    /// It did not happen: ask the leader, or again.
    NotHappened(String),
    /// It may or may not have happened: ask again with the same request id.
    Unknown(String),
}

/// What a submission is answered with.
pub(crate) type Outcome = Result<Decided, Undecided>;

/// Where an outcome goes.
pub(crate) enum ReplyTo {
    /// To a request that this node took.
    Here(oneshot::Sender<Outcome>),
    /// To another node, by the id it chose.
    Peer(mpsc::UnboundedSender<(u64, Outcome)>, u64),
}

impl ReplyTo {
    fn is_closed(&self) -> bool {
        match self {
            ReplyTo::Here(sender) => sender.is_closed(),
            ReplyTo::Peer(sender, _) => sender.is_closed(),
        }
    }

    fn send(self, outcome: Outcome) {
        match self {
            // Whoever asked may have gone; the records stand all the same.
            ReplyTo::Here(sender) => drop(sender.send(outcome)),
            ReplyTo::Peer(sender, id) => drop(sender.send((id, outcome))),
        }
    }
}

/// A command at the desk.
pub(crate) struct Submission {
    pub(crate) ask: Ask,
    pub(crate) command: Command,
    pub(crate) reply: ReplyTo,
}

/// A decision waiting for its commit.
struct Waiting {
    reply: ReplyTo,
    index: u64,
    answer: Result<Answer, Rejection>,
}

struct InFlight {
    proposal: Proposal,
    waiting: Vec<Waiting>,
}

/// The batch being gathered.
#[derive(Default)]
struct Gathering {
    based_on: Revision,
    decisions: Vec<Decision>,
    waiting: Vec<Waiting>,
    bytes: usize,
}

impl Gathering {
    fn is_full(&self) -> bool {
        self.decisions.len() >= FULL_DECISIONS || self.bytes >= FULL_BYTES
    }

    /// The batch as it goes into the log: one entry, or as many as it takes where the guess of its size was wrong. Each fits, for no
    /// decision is larger than an entry.
    fn into_payloads(self) -> Vec<(Bytes, Vec<Waiting>)> {
        let Gathering { based_on, decisions, mut waiting, .. } = self;
        let batch = Batch { based_on, decisions };
        let payload = Bytes::from(codec::encode(Kind::Batch, &batch));
        if payload.len() <= raft::PAYLOAD_BYTES_MAX || batch.decisions.len() < 2 {
            return vec![(payload, waiting)];
        }
        let mut first = batch;
        let middle = first.decisions.len() / 2;
        let decisions = first.decisions.split_off(middle);
        let (later, based_on) = (waiting.split_off(middle), Revision(based_on.0 + first.record_count()));
        let gathering = |based_on, decisions, waiting| Gathering { based_on, decisions, waiting, bytes: 0 };
        let mut payloads = gathering(first.based_on, first.decisions, waiting).into_payloads();
        payloads.extend(gathering(based_on, decisions, later).into_payloads());
        payloads
    }
}

/// The desk of one node; it works while the node leads.
pub(crate) struct Proposer {
    replica: Replica,
    published: Arc<Published>,
    clock: Arc<dyn Clock>,
    head: Option<Head>,
    gathering: Gathering,
    /// Whether no batch is in flight.
    is_idle: bool,
    /// Cancelled, and replaced, when the batches in flight will not be waited for any more.
    stranded: CancellationToken,
}

type Flights = FuturesOrdered<std::pin::Pin<Box<dyn Future<Output = (Result<(u64, Reply), ProposeError>, Vec<Waiting>)> + Send>>>;

impl Proposer {
    pub(crate) fn new(replica: Replica, published: Arc<Published>, clock: Arc<dyn Clock>) -> Proposer {
        let (gathering, stranded) = (Gathering::default(), CancellationToken::new());
        Proposer { replica, published, clock, head: None, gathering, is_idle: true, stranded }
    }

    /// Works until the submissions end.
    pub(crate) async fn run(mut self, mut submissions: mpsc::Receiver<Submission>) {
        let mut role = self.replica.watch_role();
        let mut stalled = self.replica.watch_stalled();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut flights: Flights = FuturesOrdered::new();
        loop {
            let leading = leads(&role) && !*stalled.borrow();
            if (!leading && !keeps_old_head()) || self.head.is_none() {
                self.abandon("another node leads");
            }
            if leading && self.head.is_none() && flights.is_empty() {
                self.build_head().await;
            }
            self.cut(&mut flights);
            self.is_idle = flights.is_empty();
            tokio::select! {
                biased;
                Some((outcome, waiting)) = flights.next(), if !flights.is_empty() => self.landed(outcome, waiting),
                changed = role.changed() => {
                    if !keeps_old_head() { self.head = None; }
                    if changed.is_err() { break; }
                }
                Ok(()) = stalled.changed() => self.give_up_waiting(),
                _ = look.tick(), if !flights.is_empty() => if self.is_stranded() { self.give_up_waiting() },
                submission = submissions.recv(), if !self.gathering.is_full() => {
                    let Some(submission) = submission else { break };
                    self.take(submission, leading);
                    // Whatever else is there already joins the same batch.
                    while !self.gathering.is_full() {
                        let Ok(submission) = submissions.try_recv() else { break };
                        self.take(submission, leading);
                    }
                }
            }
        }
        self.abandon("this node is stopping");
        while let Some((outcome, waiting)) = flights.next().await {
            self.landed(outcome, waiting);
        }
    }

    /// A head at all that is committed. Without a quorum there is none, and submissions are sent away.
    async fn build_head(&mut self) {
        match self.replica.read_barrier().await {
            Ok(_) => self.head = Some(Head::new(self.published.view().state.clone())),
            Err(error) => {
                tracing::debug!(%error, "no head yet");
                tokio::time::sleep(BARRIER_RETRY).await;
            }
        }
    }

    fn take(&mut self, submission: Submission, leading: bool) {
        let Submission { ask, command, reply } = submission;
        if reply.is_closed() {
            // Whoever asked has gone, and asks again or not: a record of it would help nobody.
            return;
        }
        let Some(head) = self.head.as_mut().filter(|_| leading) else {
            reply.send(Err(Undecided::NotHappened("this node does not lead".into())));
            return;
        };
        if self.gathering.decisions.is_empty() {
            self.gathering.based_on = head.revision();
            if planted::is_back("stale-head") && self.is_idle {
                self.gathering.based_on = self.published.view().state.revision();
            }
        }
        match head.decide(self.clock.now(), ask, command) {
            Ok((decision, answer)) => {
                let reply = too_early(reply, head.revision().0, &decision, &answer);
                self.gathering.bytes += decision.events.iter().map(node_domain::Event::size_hint).sum::<usize>();
                self.gathering.waiting.push(Waiting { reply, index: head.revision().0, answer });
                self.gathering.decisions.push(decision);
            }
            Err(misfit) => {
                // Decided on a state that it does not fit: a bug. Nothing of it was proposed; start from committed state again.
                tracing::error!(%misfit, "a decision does not fit the head");
                reply.send(Err(Undecided::NotHappened(misfit.to_string())));
                self.head = None;
            }
        }
    }

    fn cut(&mut self, flights: &mut Flights) {
        let waits = flights.len() >= PIPELINE_MAX || (!flights.is_empty() && !self.gathering.is_full());
        if self.gathering.decisions.is_empty() || waits {
            return;
        }
        for (payload, waiting) in std::mem::take(&mut self.gathering).into_payloads() {
            self.send_off(payload, waiting, flights);
        }
    }

    fn send_off(&mut self, payload: Bytes, waiting: Vec<Waiting>, flights: &mut Flights) {
        metrics::histogram!("holdfast_batch_decisions").record(waiting.len() as f64);
        let flight = InFlight { proposal: self.replica.propose(payload), waiting };
        let stranded = self.stranded.clone();
        flights.push_back(Box::pin(async move {
            let outcome = tokio::select! {
                outcome = flight.proposal => outcome,
                () = stranded.cancelled() => Err(ProposeError::Unknown("no quorum answers this node".into())),
            };
            (outcome, flight.waiting)
        }));
    }

    /// Whether this node leads, and nobody has followed for a while.
    fn is_stranded(&self) -> bool {
        let alone = self.replica.members().values().filter(|member| member.voter).count() < 2;
        !alone && self.replica.status().quorum_acknowledged.is_some_and(|ago| ago > STRANDED)
    }

    /// Whoever waits is told that the outcome is unknown: the batches may still commit, here or under another leader.
    fn give_up_waiting(&mut self) {
        self.head = None;
        std::mem::take(&mut self.stranded).cancel();
    }

    fn landed(&mut self, outcome: Result<(u64, Reply), ProposeError>, waiting: Vec<Waiting>) {
        let undecided = match outcome {
            Ok((_, Reply::Accepted { .. })) => {
                for Waiting { reply, index, answer } in waiting {
                    reply.send(Ok(Decided { index, answer }));
                }
                return;
            }
            Ok((_, Reply::Stale { revision })) => Undecided::NotHappened(format!("its ground has moved to revision {revision}")),
            Ok((_, Reply::Nothing)) => Undecided::Unknown("the log answered for another entry".into()),
            Err(ProposeError::Unknown(reason)) => Undecided::Unknown(reason),
            Err(error) => Undecided::NotHappened(error.to_string()),
        };
        tracing::debug!(?undecided, count = waiting.len(), "a batch did not land");
        // The head has decided what will never be: everything after it rests on nothing.
        self.head = None;
        waiting.into_iter().for_each(|waiting| waiting.reply.send(Err(undecided.clone())));
    }

    /// Sends away what was gathered on a head that is gone.
    fn abandon(&mut self, why: &str) {
        self.head = None;
        let gathering = std::mem::take(&mut self.gathering);
        for waiting in gathering.waiting {
            waiting.reply.send(Err(Undecided::NotHappened(why.to_owned())));
        }
    }
}

/// Bugs that were put back: what was decided in an earlier term is taken for the ground of today.
fn keeps_old_head() -> bool {
    planted::is_back("stale-head") || planted::is_back("late-batch-applied")
}

/// Answers before the commit, where a bug that does so was put back.
fn too_early(reply: ReplyTo, index: u64, decision: &Decision, answer: &Result<Answer, Rejection>) -> ReplyTo {
    let is_read = matches!(answer, Ok(Answer::Readable(_)));
    let bug = if is_read { "reveal-before-record" } else { "answer-before-commit" };
    if !planted::is_back(bug) || decision.events.is_empty() {
        return reply;
    }
    reply.send(Ok(Decided { index, answer: answer.clone() }));
    ReplyTo::Here(oneshot::channel().0)
}

fn leads(role: &watch::Receiver<Role>) -> bool {
    matches!(*role.borrow(), Role::Leader { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::unasked;
    use node_domain::Event;
    use node_domain::ids::Stamp;
    use node_domain::operation::Operation;

    /// A decision of so many bytes, and whoever waits for it.
    fn decided(index: u64, bytes: usize) -> (Decision, Waiting) {
        let (operation, environment, rejection) = (Operation::SecretPut, String::new(), Rejection::NotAuthenticated);
        let event = Event::Refused { operation, environment, subject: "x".repeat(bytes), rejection };
        (
            unasked(Stamp(index), event),
            Waiting { reply: ReplyTo::Here(oneshot::channel().0), index, answer: Err(Rejection::NotAuthenticated) },
        )
    }

    #[test]
    fn a_batch_that_has_grown_too_large_goes_in_entries_that_fit_and_follow_each_other() {
        let sizes = [10, 3 << 20, 3 << 20, 10, 6 << 20, 10];
        let (decisions, waiting) = (1..).zip(sizes).map(|(index, bytes)| decided(index, bytes)).unzip();
        let gathering = Gathering { based_on: Revision(0), decisions, waiting, bytes: 0 };
        let (mut revision, mut indexes) = (0, Vec::new());
        for (payload, waiting) in gathering.into_payloads() {
            assert!(payload.len() <= raft::PAYLOAD_BYTES_MAX);
            let batch: Batch = codec::decode(Kind::Batch, &payload).unwrap();
            assert_eq!((batch.based_on.0, batch.decisions.len()), (revision, waiting.len()));
            revision += batch.record_count();
            indexes.extend(waiting.iter().map(|waiting| waiting.index));
        }
        assert_eq!(indexes, [1, 2, 3, 4, 5, 6]);
    }
}
