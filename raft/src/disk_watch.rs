//! A leader whose disk stalls must not go on leading: every write waits for it, while its heartbeats keep everybody else from standing.
//!
//! A hung disk never returns an error, so the log's writer is watched from outside. When one write takes longer than
//! [`ReplicaConfig::disk_stall`](crate::ReplicaConfig::disk_stall), the node counts as stalled: it hands leadership to the voter
//! that lacks the least and sends no heartbeats, so that the others elect when the hand-over does not reach anybody. It takes part
//! again when its disk does.

use std::time::Duration;

use storage::wal::Wal;
use tokio::{sync::watch, time};

use crate::{role::Role, status, types::Raft};
use openraft::async_runtime::watch::WatchReceiver;

/// Looks at the log's writer in a small part of the time that it may take.
const LOOKS: u32 = 20;

pub(crate) struct DiskWatch {
    pub(crate) raft: Raft,
    pub(crate) wal: Wal,
    pub(crate) limit: Duration,
    pub(crate) stalled: watch::Sender<bool>,
}

impl DiskWatch {
    /// Watches until raft stops.
    pub(crate) async fn run(self, mut role: watch::Receiver<Role>) {
        let mut look = time::interval(self.limit / LOOKS);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => self.look().await,
                changed = role.changed() => if changed.is_err() || matches!(*role.borrow(), Role::Stopped { .. }) { return },
            }
        }
    }

    async fn look(&self) {
        let under_way = self.wal.stalled_for().filter(|taken| *taken > self.limit);
        let was = *self.stalled.borrow();
        match under_way {
            Some(taken) if !was => {
                tracing::error!(?taken, "the disk of the log stalls: this node does not lead until it writes again");
                self.raft.runtime_config().heartbeat(false);
                self.stalled.send_replace(true);
                self.hand_over().await;
            }
            None if was => {
                tracing::info!("the disk of the log writes again");
                self.raft.runtime_config().heartbeat(true);
                self.stalled.send_replace(false);
            }
            _ => {}
        }
    }

    /// Asks the voter that lacks the least to take over; does not wait, because nothing that this node writes would end.
    async fn hand_over(&self) {
        let next = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
            status::of(&metrics).nearest_of(|id| voters.contains(&id))
        };
        let Some(next) = next else { return };
        match self.raft.trigger().transfer_leader(next).await {
            Ok(()) => tracing::warn!(to = next, "asked another node to take over"),
            Err(error) => tracing::warn!(%error, "could not ask another node to take over"),
        }
    }
}
