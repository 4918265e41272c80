//! Who belongs to the cluster, and how that changes.

use std::collections::{BTreeMap, BTreeSet};

use openraft::{
    ChangeMembers,
    async_runtime::watch::WatchReceiver,
    errors::{ClientWriteError, Fatal, ForwardToLeader, InitializeError, RaftError},
};

use crate::{
    replica::Replica,
    types::{Member, Membership, TypeConfig},
};

/// Why the membership did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Only the leader changes it.
    #[error("this node does not lead, node {} does", .leader.map_or("?".to_owned(), |id| id.to_string()))]
    NotLeader {
        /// The leader, where one is known.
        leader: Option<u64>,
    },
    /// The cluster has been founded already, or this node has data.
    #[error("this node already belongs to a cluster")]
    AlreadyFounded,
    /// A node with this id is a member; ids are never used twice.
    #[error("node {0} is a member already")]
    AlreadyMember(u64),
    /// No node with this id is a member.
    #[error("node {0} is not a member: add it as a learner first")]
    NotMember(u64),
    /// The learner lacks too many entries to vote.
    #[error("node {id} lacks {lag} log entries, at most {lag_max} may be missing to become a voter")]
    Behind {
        /// The learner.
        id: u64,
        /// Entries it lacks.
        lag: u64,
        /// How many it may lack.
        lag_max: u64,
    },
    /// Another reason of raft's: a change is in progress, or nobody would be left.
    #[error("membership was not changed: {0}")]
    Refused(String),
    /// Leadership was not handed over in time; this node may still lead.
    #[error("node {to} did not take over within {waited_ms} ms")]
    NotTransferred {
        /// Who should have.
        to: u64,
        /// How long it was given.
        waited_ms: u64,
    },
    /// The node has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

/// One member, as the newest membership in the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// Its node id.
    pub id: u64,
    /// Its addresses and zone.
    pub member: Member,
    /// Whether it votes; a learner only follows.
    pub voter: bool,
}

fn states(membership: &Membership) -> BTreeMap<u64, MemberState> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let states = membership.nodes().map(|(id, member)| {
        let state = MemberState { id: *id, member: member.clone(), voter: voters.contains(id) };
        (*id, state)
    });
    states.collect()
}

impl Replica {
    /// Every member by id, as the newest membership in the log has it: another leader may still take that one back.
    #[must_use]
    pub fn members(&self) -> BTreeMap<u64, MemberState> {
        states(self.raft().server_metrics().borrow_watched().membership_config.membership())
    }

    /// Every member by id, once this node knows that the newest membership in its log is committed; none before.
    #[must_use]
    pub fn agreed_members(&self) -> Option<BTreeMap<u64, MemberState>> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let is_agreed = *metrics.membership_config.log_id() <= metrics.local_committed;
        is_agreed.then(|| states(metrics.membership_config.membership()))
    }

    /// Founds a cluster of `members`, all voters. Once in its life, on one node, which must be among them.
    ///
    /// # Errors
    /// When this node has a log or a vote already, or is not among them.
    pub async fn initialize(&self, members: BTreeMap<u64, Member>) -> Result<(), MembershipError> {
        let raft = self.raft().clone();
        let founded = self.uncancelled(async move { raft.initialize(members).await }).await;
        founded.map_err(MembershipError::Stopped)?.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => MembershipError::AlreadyFounded,
            RaftError::APIError(other) => MembershipError::Refused(other.to_string()),
            RaftError::Fatal(fatal) => MembershipError::Stopped(fatal.to_string()),
        })
    }

    /// Adds a node that follows without a vote. Returns when the cluster has agreed, not when the node has caught up.
    ///
    /// The caller keeps ids unique for ever: a node that lost its data must come back under a new id, because an old id
    /// with an empty log can lose what was committed.
    ///
    /// # Errors
    /// When this node does not lead, the id is taken, or a change is in progress.
    pub async fn add_learner(&self, id: u64, member: Member) -> Result<(), MembershipError> {
        if self.members().contains_key(&id) {
            return Err(MembershipError::AlreadyMember(id));
        }
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, member)])), true).await
    }

    /// Gives a learner a vote.
    ///
    /// # Errors
    /// When this node does not lead, the node is unknown or lacks too many entries, or a change is in progress.
    pub async fn promote(&self, id: u64) -> Result<(), MembershipError> {
        self.check_member(id)?;
        self.check_caught_up(id)?;
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
    }

    /// Takes a voter's vote: it stays as a learner, which goes on following. To a learner nothing happens. A leader that does it to itself
    /// steps down when the others know; better it hands over first.
    ///
    /// # Errors
    /// When this node does not lead, the node is unknown, it is the last voter, or a change is in progress.
    pub async fn demote(&self, id: u64) -> Result<(), MembershipError> {
        self.check_member(id)?;
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id])), true).await
    }

    fn check_member(&self, id: u64) -> Result<(), MembershipError> {
        if self.members().contains_key(&id) { Ok(()) } else { Err(MembershipError::NotMember(id)) }
    }

    fn check_caught_up(&self, id: u64) -> Result<(), MembershipError> {
        let lag_max = self.config().learner_lag_max;
        match self.status().followers.iter().find(|follower| follower.id == id) {
            Some(follower) if follower.lag > lag_max => Err(MembershipError::Behind { id, lag: follower.lag, lag_max }),
            _ => Ok(()),
        }
    }

    /// Makes exactly `voters` vote; a voter that is not among them stays as a learner.
    ///
    /// # Errors
    /// When this node does not lead, one of them is no member, or a change is in progress.
    pub async fn change_voters(&self, voters: BTreeSet<u64>) -> Result<(), MembershipError> {
        let members = self.members();
        if let Some(unknown) = voters.iter().find(|id| !members.contains_key(id)) {
            return Err(MembershipError::NotMember(*unknown));
        }
        self.change(ChangeMembers::ReplaceAllVoters(voters), true).await
    }

    /// Gives `by`, a learner that has caught up, the vote of `old`, in one change, so that there is never one vote fewer; then removes `old`
    /// for good.
    ///
    /// # Errors
    /// When this node does not lead, one of them is unknown, `by` lacks too many entries, or a change is in progress. When only the removal
    /// failed, `old` has no vote any more.
    pub async fn replace(&self, old: u64, by: u64) -> Result<(), MembershipError> {
        let members = self.members();
        let gone = members.get(&old).ok_or(MembershipError::NotMember(old))?;
        let new = members.get(&by).ok_or(MembershipError::NotMember(by))?;
        if gone.voter && !new.voter {
            self.check_caught_up(by)?;
            let others = members.values().filter(|member| member.voter && member.id != old).map(|member| member.id);
            self.change_voters(others.chain([by]).collect()).await?;
        }
        self.remove(old).await
    }

    /// Removes a node for good, whether it votes or not. A leader may remove itself: it steps down when the others know.
    ///
    /// # Errors
    /// When this node does not lead, the node is unknown, it is the last voter, or a change is in progress.
    pub async fn remove(&self, id: u64) -> Result<(), MembershipError> {
        let member = self.members().remove(&id).ok_or(MembershipError::NotMember(id))?;
        let ids = BTreeSet::from([id]);
        let change = if member.voter { ChangeMembers::RemoveVoters(ids) } else { ChangeMembers::RemoveNodes(ids) };
        self.change(change, false).await
    }

    /// Hands leadership to `to` and returns when this node sees it lead.
    ///
    /// # Errors
    /// When this node does not lead, `to` has no vote, or it did not take over in time.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), MembershipError> {
        let leader = self.leader().map(|leader| leader.id);
        if leader == Some(to) {
            return Ok(());
        }
        if leader != Some(self.id()) {
            return Err(MembershipError::NotLeader { leader });
        }
        if !self.members().get(&to).is_some_and(|member| member.voter) {
            return Err(MembershipError::NotMember(to));
        }
        // A target that cannot win leaves the cluster without a leader for as long as an ordinary election.
        let patience = self.config().election_max * 4;
        let raft = self.raft().clone();
        let transferred = self.uncancelled(async move {
            raft.trigger().transfer_leader(to).await?;
            let led = raft.wait(Some(patience)).metrics(|metrics| metrics.current_leader == Some(to), "handed over").await;
            Ok::<_, Fatal<TypeConfig>>(led.is_ok())
        });
        match transferred.await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(MembershipError::NotTransferred { to, waited_ms: patience.as_millis() as u64 }),
            Ok(Err(fatal)) => Err(MembershipError::Stopped(fatal.to_string())),
            Err(reason) => Err(MembershipError::Stopped(reason)),
        }
    }

    /// `retain`: whether a voter that loses its vote stays as a learner.
    async fn change(&self, change: ChangeMembers<u64, Member>, retain: bool) -> Result<(), MembershipError> {
        let raft = self.raft().clone();
        let changed = self.uncancelled(async move { raft.change_membership(change, retain).await }).await;
        match changed.map_err(MembershipError::Stopped)? {
            Ok(_) => Ok(()),
            Err(RaftError::Fatal(fatal)) => Err(MembershipError::Stopped(fatal.to_string())),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader { leader_id, .. }))) => {
                Err(MembershipError::NotLeader { leader: leader_id })
            }
            Err(RaftError::APIError(other)) => Err(MembershipError::Refused(other.to_string())),
        }
    }
}
