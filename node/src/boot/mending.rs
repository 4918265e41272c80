//! What a running node does to keep itself whole.

use crate::api::Door;
use crate::repair::peers::RepairPeers;
use crate::repair::records::RecordRepair;
use crate::repair::{Repairs, address_book, snapshots};
use raft::Replica;
use std::path::PathBuf;
use std::sync::Arc;
use storage::Disk;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What is kept whole, and from where.
pub(super) struct Mended {
    pub(super) door: Arc<Door>,
    pub(super) replica: Replica,
    pub(super) peers: RepairPeers,
    pub(super) repairs: Arc<Repairs>,
    /// Disk and directory of the node's data.
    pub(super) place: (Arc<dyn Disk>, PathBuf),
}

/// Starts it; it ends at `stop`.
pub(super) fn start(mended: &Mended, tasks: &mut JoinSet<Result<(), String>>, stop: &CancellationToken) {
    let Mended { door, replica, peers, repairs, place } = mended;
    let records = RecordRepair { journal: door.journal.clone(), peers: peers.clone(), repairs: repairs.clone() };
    until(stop, tasks, records.run());
    until(stop, tasks, snapshots::renew(replica.clone(), repairs.clone()));
    let (disk, data) = place.clone();
    until(stop, tasks, address_book::keep(disk, data, replica.clone()));
    let (door, repairs) = (door.clone(), repairs.clone());
    until(stop, tasks, async move { repairs.tell(&door).await });
}

fn until(stop: &CancellationToken, tasks: &mut JoinSet<Result<(), String>>, work: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tasks.spawn(async move {
        let _ = stop.run_until_cancelled(work).await;
        Ok(())
    });
}
