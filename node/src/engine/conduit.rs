//! Brings a command to whoever leads, and its outcome back, until it is decided or its deadline has passed.
//!
//! A second try carries the same request id: the receipts in the state make writing exactly once.

use crate::engine::forward::Forwarder;
use crate::engine::proposer::{Decided, Outcome, ReplyTo, Submission, Undecided};
use crate::engine::{Published, View};
use node_domain::ids::Stamp;
use node_domain::{Ask, Command, Head};
use raft::{Replica, Role};
use std::sync::Arc;
use std::time::Duration;
use storage::planted;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The first wait before another try; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(100);
/// After failing for so long this node says so, although the caller would wait on: an election is over by then, and where this node
/// alone is cut off another one can answer. Clients go on to it with the same request id.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command without an outcome at its deadline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    /// Nothing happened.
    #[error("no leader answered in time: {0}")]
    Unavailable(String),
    /// It may have happened: the same request id tells.
    #[error("the outcome is unknown: {0}; ask again with the same request id")]
    Unknown(String),
}

/// The way to the leader.
pub(crate) struct Conduit {
    replica: Replica,
    published: Arc<Published>,
    desk: mpsc::Sender<Submission>,
    forwarder: Forwarder,
}

impl Conduit {
    pub(crate) fn new(
        replica: Replica,
        published: Arc<Published>,
        desk: mpsc::Sender<Submission>,
        forwarder: Forwarder,
    ) -> Conduit {
        Conduit { replica, published, desk, forwarder }
    }

    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    /// Brings a command to its outcome, and waits until this node has applied it.
    pub(crate) async fn submit(&self, ask: Ask, command: Command, deadline: Instant) -> Result<(Decided, Arc<View>), Lost> {
        let decided = self.decide(ask, command, deadline).await?;
        if planted::is_back("answer-before-apply") {
            return Ok((decided, self.published.view()));
        }
        let late = || Lost::Unknown("decided, but this node has not applied it yet".into());
        let view = tokio::time::timeout_at(deadline, self.published.at(decided.index)).await.map_err(|_| late())?;
        Ok((decided, view))
    }

    /// Has this node decide a command while it leads. It is tried once, and never brought to another leader.
    pub(crate) async fn submit_here(&self, ask: Ask, command: Command, deadline: Instant) -> Result<Decided, Lost> {
        match tokio::time::timeout_at(deadline, self.try_here(ask, command)).await {
            Ok(Ok(decided)) => Ok(decided),
            Ok(Err(Undecided::NotHappened(why))) => Err(Lost::Unavailable(why)),
            Ok(Err(Undecided::Unknown(why))) => Err(Lost::Unknown(why)),
            Err(_) => Err(Lost::Unknown("no answer before the deadline".into())),
        }
    }

    async fn decide(&self, mut ask: Ask, command: Command, deadline: Instant) -> Result<Decided, Lost> {
        let mut wait = RETRY_MIN;
        // Once a try may have happened, no later failure takes that doubt away.
        let mut doubt: Option<String> = None;
        let mut failing: Option<Instant> = None;
        let mut role = self.replica.watch_role();
        loop {
            // What happens from here on is news; all that came before is not, or the wait below would never be one.
            role.mark_unchanged();
            let last = match tokio::time::timeout_at(deadline, self.try_once(&ask, &command)).await {
                Ok(Ok(decided)) => return Ok(decided),
                Ok(Err(Undecided::NotHappened(why))) => why,
                Ok(Err(Undecided::Unknown(why))) => {
                    doubt = Some(why.clone());
                    why
                }
                // The try was cut off on its way.
                Err(_) => return Err(Lost::Unknown(doubt.unwrap_or_else(|| "no answer before the deadline".into()))),
            };
            if planted::is_back("retried-as-new") {
                ask.request = uuid::Uuid::new_v4().into_bytes();
            }
            if planted::is_back("doubt-forgotten") {
                doubt = None;
            }
            let failing = *failing.get_or_insert_with(Instant::now);
            if Instant::now() + wait >= deadline.min(failing + PATIENCE) {
                return Err(doubt.map_or(Lost::Unavailable(last), Lost::Unknown));
            }
            let news = async {
                if role.changed().await.is_err() {
                    // Replication has ended: there will be none.
                    std::future::pending::<()>().await;
                }
            };
            let _ = tokio::time::timeout(wait, news).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    async fn try_once(&self, ask: &Ask, command: &Command) -> Outcome {
        if let Role::Stopped { reason } = &*self.replica.watch_role().borrow() {
            return Err(Undecided::NotHappened(format!("this node has stopped: {reason}")));
        }
        match self.replica.leader() {
            Some(leader) if leader.id == self.replica.id() => self.try_here(ask.clone(), command.clone()).await,
            Some(leader) => self.forwarder.send(leader, ask.clone(), command.clone()).await,
            None => Err(Undecided::NotHappened("no leader is known".into())),
        }
    }

    async fn try_here(&self, ask: Ask, command: Command) -> Outcome {
        if planted::is_back("lease-read") && matches!(command, Command::Read { .. }) {
            return self.by_lease(ask, command);
        }
        let (sender, outcome) = oneshot::channel();
        let submission = Submission { ask, command, reply: ReplyTo::Here(sender) };
        let stopping = || Undecided::NotHappened("this node is stopping".into());
        self.desk.send(submission).await.map_err(|_| stopping())?;
        outcome.await.unwrap_or_else(|_| Err(Undecided::Unknown("the desk went away".into())))
    }

    /// What a node would say that takes its leadership for granted: a bug that was put back.
    fn by_lease(&self, ask: Ask, command: Command) -> Outcome {
        let state = self.published.view().state.clone();
        let index = state.revision().0;
        let decided = Head::new(state).decide(Stamp(0), ask, command);
        let (_, answer) = decided.map_err(|misfit| Undecided::NotHappened(misfit.to_string()))?;
        Ok(Decided { index, answer })
    }
}
