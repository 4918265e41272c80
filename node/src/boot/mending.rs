//! What a running node does to keep itself whole.

use super::Ambient;
use crate::api::Door;
use crate::config::Config;
use crate::managers::until;
use crate::repair::records::RecordRepair;
use crate::repair::{address_book, snapshots};
use raft::Replica;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Starts it; it ends at `stop`.
pub(super) fn start(
    config: &Config,
    ambient: &Ambient,
    door: &Arc<Door>,
    replica: &Replica,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) {
    let (peers, repairs) = (door.mending.peers.clone(), door.mending.repairs.clone());
    let records = RecordRepair { journal: door.journal.clone(), peers, repairs: repairs.clone(), door: door.clone() };
    until(stop, tasks, records.run());
    until(stop, tasks, snapshots::renew(replica.clone(), repairs.clone()));
    until(stop, tasks, address_book::keep(ambient.disk.clone(), config.node.data.clone(), replica.clone()));
    let door = door.clone();
    until(stop, tasks, async move { repairs.tell(&door).await });
}
