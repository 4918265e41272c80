//! A look at replication for operators and metrics.

use std::time::Duration;

use openraft::{Instant, RaftMetrics, alias::SerdeInstantOf};

use crate::types::{LogId, TypeConfig};

/// Where one node stands. Indexes are those of the log; none where there is none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// This node.
    pub id: u64,
    /// The term it is in.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// Last entry in its log.
    pub last_log: Option<u64>,
    /// Last entry that it knows to be committed.
    pub committed: Option<u64>,
    /// Last entry that it knows the cluster to have committed, whether it has it or not.
    pub cluster_committed: Option<u64>,
    /// Last entry folded into its state.
    pub applied: Option<u64>,
    /// Last entry in its newest snapshot.
    pub snapshot: Option<u64>,
    /// Last entry removed from its log.
    pub purged: Option<u64>,
    /// On a leader: how long ago it sent what a quorum has answered. When it grows, the leader is losing its cluster.
    pub quorum_acknowledged: Option<Duration>,
    /// On a leader: everybody else.
    pub followers: Vec<FollowerStatus>,
}

impl ReplicaStatus {
    /// On a leader: of those that `may`, the other member that lacks the least, and answered it last.
    #[must_use]
    pub fn nearest_of(&self, may: impl Fn(u64) -> bool) -> Option<u64> {
        let candidates = self.followers.iter().filter(|follower| may(follower.id) && follower.acknowledged.is_some());
        candidates.min_by_key(|follower| (follower.lag, follower.acknowledged)).map(|follower| follower.id)
    }
}

/// What a leader knows of another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Its node id.
    pub id: u64,
    /// Last entry it is known to have.
    pub matched: Option<u64>,
    /// Entries in the leader's log that it is not known to have.
    pub lag: u64,
    /// How long ago the leader sent what it answered last; none when it has not answered this leader yet.
    pub acknowledged: Option<Duration>,
}

pub(crate) fn of(metrics: &RaftMetrics<TypeConfig>) -> ReplicaStatus {
    ReplicaStatus {
        id: metrics.id,
        term: metrics.current_term,
        leader: metrics.current_leader,
        last_log: metrics.last_log_index,
        committed: index(metrics.local_committed),
        cluster_committed: index(metrics.cluster_committed),
        applied: index(metrics.last_applied),
        snapshot: index(metrics.snapshot),
        purged: index(metrics.purged),
        quorum_acknowledged: metrics.last_quorum_acked.map(age),
        followers: followers(metrics),
    }
}

fn followers(metrics: &RaftMetrics<TypeConfig>) -> Vec<FollowerStatus> {
    let Some(replication) = &metrics.replication else { return Vec::new() };
    let length = metrics.last_log_index.map_or(0, |index| index + 1);
    let others = replication.iter().filter(|(id, _)| **id != metrics.id);
    let states = others.map(|(id, matched)| {
        let acknowledged = metrics.heartbeat.as_ref().and_then(|heartbeat| *heartbeat.get(id)?).map(age);
        let lag = length.saturating_sub(matched.map_or(0, |log_id| log_id.index + 1));
        FollowerStatus { id: *id, matched: index(*matched), lag, acknowledged }
    });
    states.collect()
}

fn index(log_id: Option<LogId>) -> Option<u64> {
    log_id.map(|log_id| log_id.index)
}

fn age(instant: SerdeInstantOf<TypeConfig>) -> Duration {
    instant.into_inner().elapsed()
}
