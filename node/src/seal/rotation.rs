//! New versions of the root key, with all members, from the node that leads.
//!
//! A version is drawn once, put into the seal file of every member, durably, and only then counts, by one record that wraps all keys
//! of the state by it. Killed anywhere, the cluster goes on with the older version, and the next rotation takes up the one that was
//! drawn. `ops/docs/decisions/0010-keys.md` says why two leaders cannot undo each other.

use super::kms::Keeper;
use super::peers::{Holdings, Peers};
use super::rekey::Staged;
use crate::api::Door;
use crate::fault;
use node_domain::command::Upkeep;
use node_domain::keys::KeysUpkeep;
use node_domain::{Command, Rejection};
use proto::peer::v1::DescribeResponse;
use raft::{MemberState, Replica, Role};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// How long one record about keys may take to commit.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a rotation is tried again because a key was added meanwhile.
const TRIES: u32 = 5;

/// Rotations of one node; it makes them while it leads.
pub(crate) struct Rotation {
    pub(crate) holdings: Holdings,
    pub(crate) peers: Peers,
    replica: Replica,
    door: Arc<Door>,
    pub(super) keeper: Keeper,
    /// One change of the seal file at a time, and the new seal that waits to be proven.
    pub(super) turn: tokio::sync::Mutex<Option<Staged>>,
}

/// What was dropped, and what stays and why.
pub(crate) struct Dropped {
    pub(crate) versions: Vec<u32>,
    pub(crate) kept: Vec<String>,
}

impl Rotation {
    pub(crate) fn new(holdings: Holdings, peers: Peers, replica: Replica, door: Arc<Door>, keeper: Keeper) -> Rotation {
        Rotation { holdings, peers, replica, door, keeper, turn: tokio::sync::Mutex::new(None) }
    }

    /// Only the leader changes the seal file; the client asks the next node.
    pub(crate) fn check_leading(&self) -> Result<(), Status> {
        if matches!(*self.replica.watch_role().borrow(), Role::Leader { .. }) {
            return Ok(());
        }
        let leader =
            self.replica.leader().map_or_else(|| "none is known".to_owned(), |leader| format!("node {} does", leader.id));
        Err(Status::unavailable(format!("this node does not lead ({leader}): only the leader changes the seal")))
    }

    /// Draws a new version of the root key, or takes up the one that a crash left behind, and makes it count.
    pub(crate) async fn rotate(&self) -> Result<(u32, u64), Status> {
        let _turn = self.turn.lock().await;
        self.check_leading()?;
        let others = self.all_described().await?;
        let version = self.drawn(&others).await?;
        fault::point("rotate-root: drawn");
        self.hand_to(others.iter().map(|(member, _)| member)).await?;
        fault::point("rotate-root: handed to all");
        let index = self.make_count(version, &others).await?;
        fault::point("rotate-root: counts");
        self.journal_seal().await?;
        Ok((version, index))
    }

    /// What every other member holds. Nobody may be missing: what is wrapped by a key that one of them lacks is lost to it. A member
    /// that is ahead had the last word of an earlier leader: its file is taken first.
    pub(super) async fn all_described(&self) -> Result<Vec<(MemberState, DescribeResponse)>, Status> {
        let members = self.peers.others();
        let answers = futures::future::join_all(members.iter().map(|member| self.peers.describe(member))).await;
        let mut described = Vec::new();
        let mut missing = Vec::new();
        for (member, answer) in members.into_iter().zip(answers) {
            match answer {
                Ok(answer) => described.push((member, answer)),
                Err(why) => missing.push(why),
            }
        }
        if !missing.is_empty() {
            let words = format!("every member must answer, and nothing was changed: {}", missing.join("; "));
            return Err(Status::failed_precondition(words));
        }
        let ahead = described.iter().max_by_key(|(_, answer)| answer.generation);
        if let Some((member, answer)) = ahead
            && answer.generation > self.holdings.custody.generation()
        {
            let (file, handover) = self.peers.fetch(member).await.map_err(Status::failed_precondition)?;
            self.holdings.adopt(file, handover).await.map_err(Status::failed_precondition)?;
        }
        Ok(described)
    }

    /// The version that is to count: one beyond every version that anybody holds, or one that was drawn and never counted.
    async fn drawn(&self, others: &[(MemberState, DescribeResponse)]) -> Result<u32, Status> {
        let current = self.door.view().state.keys().root();
        let held = self.holdings.custody.roots();
        if let Some(pending) = held.iter().copied().find(|version| *version > current) {
            tracing::info!(version = pending, "taking up a root key that was drawn before");
            return Ok(pending);
        }
        let theirs = others.iter().flat_map(|(_, answer)| answer.root_versions.iter().copied());
        let version = theirs.chain(held).max().unwrap_or(current).saturating_add(1);
        let (custody, key) = (self.holdings.custody.clone(), self.holdings.sealing.new_root());
        let added = raft::offload(move || custody.add_root(version, key)).await;
        added
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(version)
    }

    /// Hands this node's seal file to these members; durable on all of them on return.
    pub(super) async fn hand_to(&self, members: impl Iterator<Item = &MemberState>) -> Result<(), Status> {
        let (file, handover) = self.holdings.custody.offer();
        for (at, member) in members.enumerate() {
            self.peers.adopt(member, &file, &handover).await.map_err(Status::failed_precondition)?;
            fault::point(&format!("seal file: handed to {}", at + 1));
        }
        Ok(())
    }

    async fn make_count(&self, version: u32, others: &[(MemberState, DescribeResponse)]) -> Result<u64, Status> {
        let handed: BTreeSet<u64> = others.iter().map(|(member, _)| member.id).collect();
        for _ in 0..TRIES {
            if self.peers.others().iter().any(|member| !handed.contains(&member.id)) {
                return Err(Status::aborted("a member joined while the root key was rotated: rotate again"));
            }
            let (sealing, view) = (self.holdings.sealing.clone(), self.door.view());
            let wrapped = raft::offload(move || sealing.wrap_all(&view.state, version)).await;
            let wrapped = wrapped.map_err(|error| Status::internal(error.to_string()))?;
            let wrapped = wrapped.map_err(|error| Status::failed_precondition(error.to_string()))?;
            match self.upkeep(KeysUpkeep::RotateRoot { version, wrapped }).await? {
                Ok(index) => return Ok(index),
                Err(Rejection::Invalid(why)) => tracing::info!(why, "the root key is rotated once more"),
                Err(rejection) => return Err(crate::api::status::refused(&rejection)),
            }
        }
        Err(Status::aborted("keys are added faster than the root key can be rotated: try again"))
    }

    /// Says in the journal what the seal is now.
    pub(super) async fn journal_seal(&self) -> Result<u64, Status> {
        let changed = self.upkeep(KeysUpkeep::SealChanged(self.holdings.custody.about())).await?;
        changed.map_err(|rejection| crate::api::status::refused(&rejection))
    }

    async fn upkeep(&self, upkeep: KeysUpkeep) -> Result<Result<u64, Rejection>, Status> {
        submit(&self.door, "keys", upkeep).await
    }

    /// Forgets versions of the root key that nobody needs: neither the state, nor a snapshot on any member.
    pub(crate) async fn drop_old(&self) -> Result<Dropped, Status> {
        let _turn = self.turn.lock().await;
        self.check_leading()?;
        let others = self.all_described().await?;
        let current = self.door.view().state.keys().root();
        if self.holdings.sealing.roots_in(&self.door.view().state).iter().any(|version| *version != current) {
            // Something was wrapped by the older version while the newer one came: it comes along now.
            self.make_count(current, &others).await?;
        }
        let holdings = self.holdings.clone();
        let own = raft::offload(move || holdings.needed()).await.map_err(|error| Status::internal(error.to_string()))?;
        let mut needed: Vec<(u64, u32)> = own
            .map_err(|error| Status::internal(error.to_string()))?
            .into_iter()
            .map(|version| (self.replica.id(), version))
            .collect();
        // What they need may have changed with the record above.
        for (member, _) in &others {
            let answer = self.peers.describe(member).await.map_err(Status::failed_precondition)?;
            needed.extend(answer.roots_needed.into_iter().map(|version| (member.id, version)));
        }
        let old = self.holdings.custody.roots().into_iter().filter(|version| *version < current);
        let (stay, go): (Vec<u32>, Vec<u32>) = old.partition(|version| needed.iter().any(|(_, needed)| needed == version));
        let why = |version: &u32| {
            let nodes: Vec<String> =
                needed.iter().filter(|(_, needed)| needed == version).map(|(node, _)| node.to_string()).collect();
            format!("v{version}: a snapshot on node {} needs it", nodes.join(", "))
        };
        let kept = stay.iter().map(why).collect();
        if !go.is_empty() {
            let (custody, versions) = (self.holdings.custody.clone(), go.clone());
            let dropped = raft::offload(move || custody.drop_roots(&versions, current)).await;
            let dropped = dropped.map_err(|error| Status::internal(error.to_string()))?;
            dropped.map_err(|error| Status::failed_precondition(error.to_string()))?;
            self.hand_to(others.iter().map(|(member, _)| member)).await?;
            self.journal_seal().await?;
        }
        Ok(Dropped { versions: go, kept })
    }
}

/// Has the cluster ask something of itself about keys; its last record, or the refusal.
pub(crate) async fn submit(door: &Door, who: &str, upkeep: KeysUpkeep) -> Result<Result<u64, Rejection>, Status> {
    let command = Command::Upkeep(Box::new(Upkeep::Keys(upkeep)));
    let submitted = door.submit_own(who, command, PATIENCE).await;
    let (decided, _) = submitted.map_err(|lost| crate::api::status::lost(&lost))?;
    Ok(decided.answer.map(|_| decided.index))
}
