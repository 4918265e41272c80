//! Decides when a snapshot is due and takes it, so that the log stays short.
//!
//! openraft stops a node whose snapshot fails. A full disk must not do that, so the file is written here first; only when it is
//! durable is openraft told to build one, and given the finished file. A failure is logged and tried again.

use std::{
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use storage::wal::Wal;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time,
};

use crate::{
    config::ReplicaConfig,
    role::Role,
    state_machine::{StateMachine, blocking},
    types::Raft,
};

/// Answered with the index that the new snapshot holds, none where nothing has been applied yet.
pub(crate) type Request = oneshot::Sender<io::Result<Option<u64>>>;

pub(crate) struct Compaction {
    raft: Raft,
    wal: Wal,
    entries_max: u64,
    bytes_max: u64,
    check: Duration,
    purging: Purging,
    taken: Taken,
}

/// How far the log may be purged.
struct Purging {
    /// Entries that stay though a snapshot holds them.
    kept: u64,
    /// The first entry that somebody else needs; `u64::MAX` where nobody does.
    held: Arc<AtomicU64>,
    /// Beyond so many bytes of log nobody is waited for.
    held_bytes_max: u64,
    /// What was asked for last.
    asked: u64,
}

/// When the newest snapshot was taken, in terms of the log.
struct Taken {
    /// The last entry in it.
    index: u64,
    /// Bytes that the log had been given since it was opened.
    bytes: u64,
    /// Bytes that it had before that, and that no snapshot is known to hold.
    carried: u64,
}

impl Compaction {
    pub(crate) fn new(raft: Raft, wal: Wal, config: &ReplicaConfig, snapshot_index: u64, held: Arc<AtomicU64>) -> Compaction {
        let stats = wal.stats();
        // As far as is known, nothing of what the log held at the start is in a snapshot.
        let taken = Taken { index: snapshot_index, bytes: stats.bytes, carried: stats.live_bytes };
        let ReplicaConfig { snapshot_entries, snapshot_bytes, snapshot_check, .. } = *config;
        let purging = Purging { kept: config.entries_kept, held, held_bytes_max: config.held_bytes_max, asked: 0 };
        Compaction { raft, wal, entries_max: snapshot_entries, bytes_max: snapshot_bytes, check: snapshot_check, purging, taken }
    }

    /// Runs until the replica stops or nobody can ask any more.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut role: watch::Receiver<Role>,
        applied: watch::Receiver<Option<u64>>,
    ) {
        let mut checks = time::interval(self.check);
        checks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut stopped = pin!(async move {
            // An error means that nobody tells any more: the same.
            let _ = role.wait_for(|role| matches!(role, Role::Stopped { .. })).await;
        });
        loop {
            tokio::select! {
                () = &mut stopped => return,
                request = requests.recv() => {
                    let Some(answer) = request else { return };
                    // The asker may have gone.
                    let _ = answer.send(self.take().await);
                }
                _ = checks.tick() => {
                    let applied = *applied.borrow();
                    if self.is_due(applied) && let Err(error) = self.take().await {
                        tracing::error!(%error, "snapshot failed, the log stays until one succeeds");
                    }
                    self.purge().await;
                }
            }
        }
    }

    fn is_due(&self, applied: Option<u64>) -> bool {
        let Taken { index, bytes, carried } = self.taken;
        let entries = applied.unwrap_or(0).saturating_sub(index);
        let bytes = carried + self.wal.stats().bytes.saturating_sub(bytes);
        // Without a single entry a new snapshot would free nothing.
        entries > 0 && (entries >= self.entries_max || bytes >= self.bytes_max)
    }

    /// Captures between two entries, writes beside the task that applies, then lets openraft pick up the file and purge.
    async fn take(&mut self) -> io::Result<Option<u64>> {
        let bytes = self.wal.stats().bytes;
        let capture = self.raft.with_state_machine(|machine: &mut StateMachine| {
            let captured = machine.capture();
            Box::pin(async move { captured })
        });
        let Some((position, write)) = capture.await.map_err(io::Error::other)? else { return Ok(None) };
        let index = position.last_log_id.map_or(0, |log_id| log_id.index);
        let path = blocking(write).await?;
        let offer = self.raft.with_state_machine(move |machine: &mut StateMachine| {
            machine.offer(position, path);
            Box::pin(async {})
        });
        offer.await.map_err(io::Error::other)?;
        self.raft.trigger().snapshot().await.map_err(io::Error::other)?;
        self.taken = Taken { index, bytes, carried: 0 };
        let known = |metrics: &openraft::RaftMetrics<_>| metrics.snapshot.is_some_and(|log_id| log_id.index >= index);
        let picked_up = self.raft.wait(Some(PICK_UP_TIMEOUT)).metrics(known, "snapshot picked up").await;
        picked_up.map_err(io::Error::other)?;
        self.purge().await;
        Ok(Some(index))
    }

    /// Lets the log go as far as the newest snapshot, those who need more of it, and the space that they may take allow.
    async fn purge(&mut self) {
        let Purging { kept, ref held, held_bytes_max, asked } = self.purging;
        let snapshot = self.taken.index;
        let Some(wanted) = snapshot.checked_sub(kept) else { return };
        let held = held.load(Ordering::Acquire);
        let upto = if self.wal.stats().live_bytes > held_bytes_max { wanted } else { wanted.min(held.saturating_sub(1)) };
        if upto <= asked {
            return;
        }
        // A replica that has stopped says so elsewhere.
        if self.raft.trigger().purge_log(upto).await.is_ok() {
            self.purging.asked = upto;
        }
    }
}

/// openraft only opens the finished file.
const PICK_UP_TIMEOUT: Duration = Duration::from_secs(30);
