//! A damaged snapshot is replaced by a new one.

use super::Repairs;
use node_domain::repair::RepairPart;
use raft::Replica;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait before another try.
const RETRY: Duration = Duration::from_secs(2);

/// Takes a new snapshot whenever one was found damaged. Never ends.
pub(crate) async fn renew(replica: Replica, repairs: Arc<Repairs>) {
    let mut changed = repairs.watch();
    loop {
        if repairs.is_under_way(RepairPart::Snapshot) {
            match replica.trigger_snapshot().await {
                Ok(Some(index)) => {
                    tracing::info!(index, "a new snapshot stands in for the damaged one");
                    repairs.done(RepairPart::Snapshot);
                }
                Ok(None) => tokio::time::sleep(RETRY).await,
                Err(error) => {
                    repairs.failed(RepairPart::Snapshot, error.to_string());
                    tokio::time::sleep(RETRY).await;
                }
            }
            continue;
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}
