//! A disk that has lost what its node had acknowledged: put back to an earlier day, or lying about what it keeps.
//!
//! The leader that it had acknowledged it to tells the node, which stops, and leaves a marker beside its data: the next leader does not
//! remember, and must not take such a node for one that holds what a quorum counted on.

use crate::api::Door;
use node_domain::Command;
use node_domain::command::Upkeep;
use node_domain::guard::{AlertKind, GuardUpkeep, Severity};
use raft::Replica;
use raft::transport::{Acknowledged, LostLog};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::Disk;

/// Beside the data of a node that may not come back.
const MARKER: &str = "lost-log";
/// How long an alert about another node may take to commit.
const PATIENCE: Duration = Duration::from_secs(30);
/// How soon one that did not commit is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a node that ends goes on saying why to whoever asks, so that the leader hears of it: it raises the alert.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Refuses data that was found to be an older state of itself.
pub(crate) fn check(data: &Path) -> Result<(), String> {
    match std::fs::read_to_string(data.join(MARKER)) {
        Ok(found) => Err(format!("{} says: {}", data.join(MARKER).display(), found.trim())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("read {}: {error}", data.join(MARKER).display())),
    }
}

/// Ends the node when a leader finds that this one's log is not what it was.
pub(crate) async fn watch_own(replica: Replica, disk: Arc<dyn Disk>, data: PathBuf) -> Result<(), String> {
    let mut lost = replica.watch_lost_log();
    let Ok(found) = lost.wait_for(Option::is_some).await.map(|found| found.clone()) else { return Ok(()) };
    let words = found.map(|found| found.to_string()).unwrap_or_default();
    tracing::error!("{words}");
    let (place, text) = (data.join(MARKER), format!("{words}\n"));
    let written = raft::offload(move || storage::disk::replace(&*disk, &place, text.as_bytes())).await;
    if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        tracing::error!(%error, "the marker of a lost log was not written: do not start this node again");
    }
    tokio::time::sleep(LAST_WORDS).await;
    Err(words)
}

/// Raises an alert for every other node whose log was found to be an older one.
pub(crate) async fn raise_others(acknowledged: Acknowledged, door: Arc<Door>) {
    let mut lost = acknowledged.watch_lost();
    let mut raised = Vec::new();
    loop {
        let found: Vec<LostLog> = lost.borrow_and_update().values().filter(|found| !raised.contains(*found)).cloned().collect();
        for found in found {
            while !raise(&door, &found).await {
                tokio::time::sleep(AGAIN).await;
            }
            raised.push(found);
        }
        if lost.changed().await.is_err() {
            return;
        }
    }
}

/// Whether the alert is in the state.
async fn raise(door: &Door, found: &LostLog) -> bool {
    let upkeep = GuardUpkeep::Raise {
        kind: AlertKind::Node,
        severity: Severity::Critical,
        subject: format!("the log of node {}", found.node),
        text: found.to_string(),
    };
    let command = Command::Upkeep(Box::new(Upkeep::Guard(upkeep)));
    match door.submit_own("replication", command, PATIENCE).await {
        Ok(_) => true,
        Err(lost) => {
            tracing::warn!(%lost, node = found.node, "no alert is raised yet about the lost log of another node; trying on");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_was_found_to_be_older_is_refused_with_what_was_found() {
        let directory = tempfile::tempdir().unwrap();
        check(directory.path()).unwrap();
        std::fs::write(directory.path().join(MARKER), "the log of node 2 ends before entry 7\n").unwrap();
        let refused = check(directory.path()).unwrap_err();
        assert!(refused.ends_with("lost-log says: the log of node 2 ends before entry 7"), "{refused}");
    }
}
