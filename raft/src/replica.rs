//! One node's replica: starts raft over a log, a machine and a transport, and is the handle to all of it.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use openraft::{
    Instant, LinearizerOption, RaftNetworkFactory, ReadPolicy,
    async_runtime::watch::WatchReceiver,
    errors::{ForwardToLeader, LinearizableReadError, RaftError},
    network::NetSnapshot,
};
use parking_lot::Mutex;
use storage::wal::Wal;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    compaction::{Compaction, Request},
    config::ReplicaConfig,
    disk_watch::DiskWatch,
    log_store::LogStore,
    machine::Machine,
    proposal::{Proposal, Proposer},
    role::{self, Leader, Role},
    snapshot_file::SnapshotFile,
    state_machine::{StateMachine, encode_position},
    status::{self, ReplicaStatus},
    transport::{Inbox, LostLog},
    types::{Raft, SnapshotMeta, StoredMembership, TypeConfig},
};

/// How long the log may take to be purged.
const PURGE_PATIENCE: Duration = Duration::from_secs(10);

/// The handle to this node's replica. Clones share it.
#[derive(Clone)]
pub struct Replica {
    inner: Arc<Inner>,
}

struct Inner {
    id: u64,
    config: ReplicaConfig,
    raft: Raft,
    proposer: Proposer,
    machine: Arc<dyn Machine>,
    wal: Wal,
    role: watch::Receiver<Role>,
    applied: watch::Receiver<Option<u64>>,
    snapshots: mpsc::Sender<Request>,
    lost: Arc<watch::Sender<Option<LostLog>>>,
    stalled: watch::Receiver<bool>,
    held: Arc<AtomicU64>,
    tasks: Mutex<JoinSet<()>>,
}

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The intervals contradict each other.
    #[error("replication settings: {0}")]
    Config(#[from] openraft::ConfigError),
    /// The machine's snapshot cannot be used.
    #[error("read where the newest snapshot stands: {0}")]
    Snapshot(#[source] io::Error),
    /// The log or the state is not what raft left behind.
    #[error("start raft: {0}")]
    Raft(String),
}

/// Why a read cannot be linearized here and now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Only the leader can say.
    #[error("this node does not lead")]
    NotLeader {
        /// The leader, where one is known.
        leader: Option<u64>,
    },
    /// No quorum confirmed in time that this node still leads.
    #[error("no quorum answers: {0}")]
    NoQuorum(String),
    /// The node has stopped.
    #[error("this node has stopped: {0}")]
    Stopped(String),
}

impl Replica {
    /// Starts the replica of node `id`. Returns when every entry known to be committed is applied again; leadership and the
    /// rest arrive later, see [`watch_role`](Replica::watch_role).
    ///
    /// `machine` must stand where its newest snapshot says. A replica without a cluster waits to be founded
    /// ([`initialize`](Replica::initialize)) or to hear from a leader that added it.
    ///
    /// # Errors
    /// When the settings contradict each other, or log and snapshot do not belong together.
    pub async fn start<T>(
        id: u64,
        config: ReplicaConfig,
        wal: Wal,
        machine: Arc<dyn Machine>,
        transport: T,
    ) -> Result<Replica, StartError>
    where
        T: RaftNetworkFactory<TypeConfig>,
        T::Network: NetSnapshot<TypeConfig, SnapshotData = SnapshotFile>,
    {
        let settings = config.openraft()?;
        let state_machine = StateMachine::new(Arc::clone(&machine)).map_err(StartError::Snapshot)?;
        let applied = state_machine.watch_applied();
        let snapshot_index = applied.borrow().unwrap_or(0);
        let log = LogStore::new(wal.clone());
        let raft = Raft::new(id, settings, transport, log, state_machine).await;
        let raft = raft.map_err(|fatal| StartError::Raft(fatal.to_string()))?;
        // Raft publishes where it stands before it answers anything.
        raft.with_raft_state(|_| ()).await.map_err(|fatal| StartError::Raft(fatal.to_string()))?;

        let (role_sender, role) = watch::channel(role::of(&raft.server_metrics().borrow_watched()));
        let (snapshots, requests) = mpsc::channel(1);
        let held = Arc::new(AtomicU64::new(u64::MAX));
        let compaction = Compaction::new(raft.clone(), wal.clone(), &config, snapshot_index, held.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(role::follow(raft.clone(), role_sender));
        tasks.spawn(compaction.run(requests, role.clone(), applied.clone()));
        let (stalls, stalled) = watch::channel(false);
        let disk_watch = DiskWatch { raft: raft.clone(), wal: wal.clone(), limit: config.disk_stall, stalled: stalls };
        tasks.spawn(disk_watch.run(role.clone()));
        let (proposer, tasks) = (Proposer::new(raft.clone()), Mutex::new(tasks));
        let lost = Arc::default();
        let inner = Inner { id, config, raft, proposer, machine, wal, role, applied, snapshots, lost, stalled, held, tasks };
        Ok(Replica { inner: Arc::new(inner) })
    }

    /// This node.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// How it was set up.
    #[must_use]
    pub fn config(&self) -> &ReplicaConfig {
        &self.inner.config
    }

    /// Puts `payload` into the log. It is queued when this returns, so two calls in order enter the log in order, and any
    /// number may be on their way; await the proposal for its index and reply, which come after it was committed, folded
    /// and published.
    ///
    /// There is no timeout: on a leader without a quorum the answer waits until there is one again, or until another
    /// leader's log has replaced the entry.
    ///
    /// # Errors
    /// Through the proposal: see [`ProposeError`](crate::ProposeError).
    pub fn propose(&self, payload: Bytes) -> Proposal {
        self.inner.proposer.propose(payload)
    }

    /// Who leads, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> Option<Leader> {
        role::leader(&self.raft().metrics().borrow_watched())
    }

    /// What this node is, as it changes. The last value is [`Role::Stopped`].
    #[must_use]
    pub fn watch_role(&self) -> watch::Receiver<Role> {
        self.inner.role.clone()
    }

    /// Confirms with a quorum that this node leads, and waits until it has applied all that was committed when it asked.
    /// Returns the index that a linearizable read must have seen, and that is applied.
    ///
    /// # Errors
    /// When this node does not lead, or no quorum answers within [`ReplicaConfig::barrier_timeout`].
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        let raft = self.raft().clone();
        let option = LinearizerOption::from(ReadPolicy::ReadIndex).with_wait_timeout(self.inner.config.barrier_timeout);
        let read = self.uncancelled(async move { raft.ensure_linearizable(option).await }).await;
        match read.map_err(ReadError::Stopped)? {
            Ok(read) => Ok(read.index()),
            Err(RaftError::Fatal(fatal)) => Err(ReadError::Stopped(fatal.to_string())),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(ForwardToLeader { leader_id, .. }))) => {
                Err(ReadError::NotLeader { leader: leader_id })
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(error))) => {
                Err(ReadError::NoQuorum(error.to_string()))
            }
        }
    }

    /// Index of the last entry folded into the state and published; none where there is none.
    #[must_use]
    pub fn applied_index(&self) -> Option<u64> {
        *self.inner.applied.borrow()
    }

    /// The same, as it moves.
    #[must_use]
    pub fn watch_applied(&self) -> watch::Receiver<Option<u64>> {
        self.inner.applied.clone()
    }

    /// Keeps the log from entry `first` on for somebody who still needs it, up to [`ReplicaConfig::held_bytes_max`]; `None` lets go.
    pub fn hold_log(&self, first: Option<u64>) {
        self.inner.held.store(first.unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Takes a snapshot now and lets the log be purged to it. Returns the index it holds, none where nothing has been applied.
    ///
    /// # Errors
    /// When it could not be written; the node goes on with its longer log.
    pub async fn trigger_snapshot(&self) -> io::Result<Option<u64>> {
        let (sender, answer) = oneshot::channel();
        let stopped = || io::Error::other("this node has stopped");
        self.inner.snapshots.send(sender).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Removes the log up to an entry that the newest snapshot holds, though others may want it still: they get the snapshot. Returns when
    /// it is gone.
    ///
    /// # Errors
    /// When the node stops, or the entries are not gone in time.
    pub async fn purge_through(&self, index: u64) -> Result<(), String> {
        let raft = self.raft().clone();
        let purged = self.uncancelled(async move {
            raft.trigger().purge_log(index).await.map_err(|fatal| fatal.to_string())?;
            let gone = |metrics: &openraft::RaftMetrics<TypeConfig>| metrics.purged.is_some_and(|purged| purged.index >= index);
            raft.wait(Some(PURGE_PATIENCE)).metrics(gone, "purged").await.map(drop).map_err(|error| error.to_string())
        });
        purged.await?
    }

    /// Where this node stands now, as a snapshot of its state would say.
    #[must_use]
    pub fn position(&self) -> Vec<u8> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        encode_position(&SnapshotMeta {
            last_log_id: metrics.last_applied,
            last_membership: StoredMembership::clone(&metrics.membership_config),
        })
    }

    /// Where replication stands.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        status::of(&self.raft().metrics().borrow_watched())
    }

    /// How long the cluster has been silent for this node: since a quorum answered it, where it leads; since it heard the leader, where it
    /// does not. None where it has heard of no leader yet, or has stopped.
    pub async fn silence(&self) -> Option<Duration> {
        let status = self.status();
        if status.leader == Some(self.id()) {
            let voters = self.members().values().filter(|member| member.voter).count();
            return if voters == 1 { Some(Duration::ZERO) } else { status.quorum_acknowledged };
        }
        status.leader?;
        let raft = self.raft().clone();
        let heard = self.uncancelled(async move { raft.with_raft_state(|state| state.vote_last_modified()).await }).await;
        heard.ok()?.ok()?.map(|instant| instant.elapsed())
    }

    /// Waits until replication stands as wanted, and returns where it stands.
    ///
    /// # Errors
    /// When the node stops first.
    pub async fn wait_for_status(&self, wanted: impl Fn(&ReplicaStatus) -> bool + Send) -> Result<ReplicaStatus, String> {
        let reached = self.raft().wait(None).metrics(move |metrics| wanted(&status::of(metrics)), "a status").await;
        reached.map(|metrics| status::of(&metrics)).map_err(|_| role::stop_reason(self.raft()))
    }

    /// The receiving half, for a transport to hand messages to.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        let Inner { id, machine, wal, lost, .. } = &*self.inner;
        Inbox::new(*id, self.raft().clone(), Arc::clone(machine), wal.clone(), Arc::clone(lost))
    }

    /// Whether a leader told this node that its log ends before what it had acknowledged. The node takes nothing from that leader any
    /// more, and is to stop for good.
    #[must_use]
    pub fn watch_lost_log(&self) -> watch::Receiver<Option<LostLog>> {
        self.inner.lost.subscribe()
    }

    /// The first error of the write-ahead log, after which nothing is acknowledged any more.
    #[must_use]
    pub fn log_failure(&self) -> Option<String> {
        self.inner.wal.failed()
    }

    /// Whether the disk of its log stalls, as it changes: a node that leads should then decide nothing more.
    #[must_use]
    pub fn watch_stalled(&self) -> watch::Receiver<bool> {
        self.inner.stalled.clone()
    }

    /// Stops raft and everything started with it. The log is left to whoever opened it.
    pub async fn shutdown(&self) {
        let raft = self.raft().clone();
        let stopped = self.uncancelled(async move { raft.shutdown().await }).await;
        if let Err(reason) | Ok(Err(reason)) = stopped.map(|joined| joined.map_err(|error| error.to_string())) {
            tracing::warn!(%reason, "raft did not stop cleanly");
        }
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock());
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::warn!(%error, "a task of the replica did not end cleanly");
            }
        }
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    /// Runs a call into openraft to its end, even when the caller goes away. openraft must not be cancelled while it looks
    /// up why it stopped: the next caller would meet a state that it holds impossible, and panic.
    pub(crate) async fn uncancelled<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        tokio::spawn(call).await.map_err(|_| role::stop_reason(self.raft()))
    }
}
