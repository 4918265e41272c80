//! What a running node does to keep itself whole.

use super::Ambient;
use super::opening::Opened;
use crate::api::Door;
use crate::config::Config;
use crate::managers::until;
use crate::repair::records::RecordRepair;
use crate::repair::scrub::{self, Holdings};
use crate::repair::{self, address_book, checks};
use raft::Replica;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Starts it; it ends at `stop`.
pub(super) fn start(
    config: &Config,
    ambient: &Ambient,
    (opened, door): (&Opened, &Arc<Door>),
    replica: &Replica,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) {
    let repairs = door.mending.repairs.clone();
    let records = Arc::new(RecordRepair::new(door.clone()));
    until(stop, tasks, records.clone().run());
    let (wal, snapshots) = (opened.wal.clone(), opened.snapshots.clone());
    let read = Holdings { door: door.clone(), replica: replica.clone(), wal, snapshots, records };
    scrub::start(read, ambient.disk.clone(), config.scrub, tasks, stop);
    if config.scrub.state_check_ms > 0 {
        let period = Duration::from_millis(config.scrub.state_check_ms);
        until(stop, tasks, checks::check(door.clone(), replica.clone(), opened.digests.clone(), period));
    }
    until(stop, tasks, opened.digests.clone().settle(repairs.clone()));
    until(stop, tasks, repair::snapshots::renew(replica.clone(), repairs.clone()));
    until(stop, tasks, address_book::keep(ambient.disk.clone(), config.node.data.clone(), replica.clone()));
    let door = door.clone();
    until(stop, tasks, async move { repairs.tell(&door).await });
}
