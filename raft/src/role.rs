//! What a node is in its cluster, derived from openraft's metrics.

use openraft::{RaftMetrics, ServerState, async_runtime::watch::WatchReceiver, errors::Fatal, metrics::RaftServerMetrics};
use tokio::sync::watch;

use crate::types::{Member, Raft, TypeConfig};

/// What this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads in `term`. It does so once: a node with a higher id may take over within the term, and this one then leads
    /// again in a later term only. Whether a quorum still follows it, a [read barrier](crate::Replica::read_barrier) tells.
    Leader {
        /// The term it leads in.
        term: u64,
    },
    /// It follows, and votes.
    Follower {
        /// The node it follows, none while it has heard of no leader.
        leader: Option<u64>,
    },
    /// It follows without a vote, or is no member yet.
    Learner {
        /// The node it follows, none while it has heard of no leader.
        leader: Option<u64>,
    },
    /// It stands for election.
    Candidate,
    /// It has stopped for good, and why.
    Stopped {
        /// The fault, in words; "stopped" when it was asked to.
        reason: String,
    },
}

/// The node that leads, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its node id.
    pub id: u64,
    /// Its addresses; none while its membership has not reached this node.
    pub member: Option<Member>,
    /// The term it leads in.
    pub term: u64,
}

pub(crate) fn of(metrics: &RaftServerMetrics<TypeConfig>) -> Role {
    let leader = metrics.current_leader;
    match metrics.state {
        // Openraft publishes the vote when it is durable, and the term in it is the one it leads in only from then on.
        ServerState::Leader if metrics.vote.leader_id.node_id == metrics.id => Role::Leader { term: metrics.vote.leader_id.term },
        ServerState::Leader | ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower { leader },
        ServerState::Learner => Role::Learner { leader },
        ServerState::Shutdown => Role::Stopped { reason: "stopped".to_owned() },
    }
}

pub(crate) fn leader(metrics: &RaftMetrics<TypeConfig>) -> Option<Leader> {
    let id = metrics.current_leader?;
    let member = metrics.membership_config.membership().get_node(&id).cloned();
    Some(Leader { id, member, term: metrics.current_term })
}

/// Keeps `role` current until raft stops, and then says why it did.
pub(crate) async fn follow(raft: Raft, role: watch::Sender<Role>) {
    let mut metrics = raft.server_metrics();
    loop {
        let current = of(&metrics.borrow_and_update());
        set(&role, current);
        if metrics.changed().await.is_err() {
            break;
        }
    }
    set(&role, Role::Stopped { reason: stop_reason(&raft) });
}

fn set(role: &watch::Sender<Role>, current: Role) {
    role.send_if_modified(|known| {
        let changed = *known != current;
        *known = current;
        changed
    });
}

/// Whether raft has stopped, or is about to.
pub(crate) fn is_stopped(raft: &Raft) -> bool {
    raft.metrics().borrow_watched().running_state.is_err()
}

/// Why raft stopped, in words.
pub(crate) fn stop_reason(raft: &Raft) -> String {
    match &raft.metrics().borrow_watched().running_state {
        Ok(()) => "raft ended without a reason: it panicked".to_owned(),
        Err(Fatal::Stopped) => "stopped".to_owned(),
        Err(fatal) => fatal.to_string(),
    }
}
