//! Finding a state that has come apart from the others': the leader writes down what the digest of its state was at a record, and every
//! node that folds this compares it with what it remembers of its own.
//!
//! A node that differs stops folding, marks its directory, and starts again with the state of another member. Its log and its journal stay:
//! they are the same on all nodes.

use super::{Repairs, submit};
use crate::api::Door;
use node_domain::Batch;
use node_domain::event::Event;
use node_domain::ids::Revision;
use node_domain::repair::{RepairEvent, RepairPart, RepairUpkeep};
use parking_lot::Mutex;
use raft::{Replica, Role};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::Disk;
use storage::disk::{read_all, replace};
use tokio::sync::watch;

/// Revisions whose digests are remembered: far more than are folded between a check being made and being folded.
const REMEMBERED: usize = 4096;
const FILE: &str = "came-apart.json";
const BYTES_MAX: u64 = 1 << 16;
/// How often a node takes another member's state and comes apart again before it stays out.
const TRIES: u32 = 3;

/// What one node remembers of its own digests, and what came of comparing them.
pub(crate) struct Digests {
    remembered: Mutex<VecDeque<(Revision, [u8; 32])>>,
    agreed: watch::Sender<Revision>,
    disk: Arc<dyn Disk>,
    data: PathBuf,
}

/// Beside a state that is not to be believed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CameApart {
    pub(crate) why: String,
    /// How often the node has started from another state since.
    pub(crate) tries: u32,
}

impl CameApart {
    /// The mark in a node's directory, if there is one.
    ///
    /// # Errors
    /// When the disk refuses, or the mark does not read.
    pub(crate) fn read(disk: &dyn Disk, data: &Path) -> io::Result<Option<CameApart>> {
        let path = data.join(FILE);
        if !disk.exists(&path)? {
            return Ok(None);
        }
        let bytes = read_all(&*disk.open(&path)?, BYTES_MAX)?;
        // A mark that does not read is a mark all the same.
        let unread = |_| CameApart { why: "the mark of an earlier check does not read".to_owned(), tries: 0 };
        Ok(Some(serde_json::from_slice(&bytes).unwrap_or_else(unread)))
    }

    /// Counts one more try.
    ///
    /// # Errors
    /// When the disk refuses; in words, when there were enough.
    pub(crate) fn try_again(mut self, disk: &dyn Disk, data: &Path) -> io::Result<CameApart> {
        if self.tries >= TRIES {
            return Err(io::Error::other(format!(
                "{}; it took another member's state {TRIES} times and came apart again: keep the directory, and add a node with an empty \
                 one and a new number (holdfast cluster add)",
                self.why
            )));
        }
        self.tries += 1;
        self.write(disk, data)?;
        Ok(self)
    }

    fn write(&self, disk: &dyn Disk, data: &Path) -> io::Result<()> {
        replace(disk, &data.join(FILE), &serde_json::to_vec_pretty(self)?)
    }
}

impl Digests {
    pub(crate) fn new(disk: Arc<dyn Disk>, data: PathBuf) -> Digests {
        Digests { remembered: Mutex::default(), agreed: watch::channel(Revision(0)).0, disk, data }
    }

    /// Compares what the batch says of the past with what is remembered of it. Says what differs.
    ///
    /// # Errors
    /// When the state has come apart; the directory is marked then.
    pub(crate) fn compare(&self, batch: &Batch) -> Result<(), String> {
        for event in batch.decisions.iter().flat_map(|decision| &decision.events) {
            let Event::Repair(RepairEvent::StateChecked { revision, digest }) = event else { continue };
            let own = {
                let remembered = self.remembered.lock();
                let at = remembered.binary_search_by_key(revision, |(revision, _)| *revision);
                at.ok().map(|at| remembered[at].1)
            };
            // Not so where the node started, or took a snapshot, after that record.
            let Some(own) = own else { continue };
            if own != *digest {
                let why = format!("the state at record {} is not what it was on the leader: this copy has come apart", revision.0);
                self.mark(&why);
                return Err(why);
            }
            self.agreed.send_replace(*revision);
        }
        Ok(())
    }

    fn mark(&self, why: &str) {
        let before = CameApart::read(&*self.disk, &self.data).ok().flatten();
        let mark = CameApart { why: why.to_owned(), tries: before.map_or(0, |mark| mark.tries) };
        if let Err(error) = mark.write(&*self.disk, &self.data) {
            tracing::error!(%error, "the directory could not be marked; the log says again that the state has come apart");
        }
    }

    /// Remembers the digest after a batch.
    pub(crate) fn remember(&self, revision: Revision, digest: [u8; 32]) {
        let mut remembered = self.remembered.lock();
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back((revision, digest));
    }

    /// The state was replaced: what is remembered was of another one.
    pub(crate) fn forget(&self) {
        self.remembered.lock().clear();
    }

    /// Takes the mark away once the new state has been found to agree. Never ends.
    pub(crate) async fn settle(self: Arc<Self>, repairs: Arc<Repairs>) {
        let mut agreed = self.agreed.subscribe();
        loop {
            if agreed.changed().await.is_err() {
                return;
            }
            if !repairs.is_under_way(RepairPart::State) {
                continue;
            }
            let path = self.data.join(FILE);
            match self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.data)) {
                Ok(()) => repairs.done(RepairPart::State),
                Err(error) => tracing::error!(%error, "the mark of a state that had come apart was not removed"),
            }
        }
    }
}

/// Has the digest of the leader's state written down, while this node leads and something has happened since. Never ends.
pub(crate) async fn check(door: Arc<Door>, replica: Replica, period: Duration) {
    let mut checked = Revision(0);
    loop {
        tokio::time::sleep(period).await;
        let view = door.view();
        let revision = view.state.revision();
        let leads = matches!(*replica.watch_role().borrow(), Role::Leader { .. });
        // The record of a check is itself a record: after it nothing has happened yet.
        if !leads || !view.state.is_founded() || revision.0 <= checked.0 + 1 {
            continue;
        }
        let upkeep = RepairUpkeep::CheckState { revision, digest: view.state.digest() };
        drop(view);
        if submit(&door, upkeep).await {
            checked = door.view().state.revision().max(revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_domain::ids::Stamp;
    use node_domain::Decision;
    use storage::MemoryDisk;

    fn digests() -> (Arc<dyn Disk>, Digests) {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        disk.create_dir_all(Path::new("/d")).unwrap();
        (disk.clone(), Digests::new(disk, PathBuf::from("/d")))
    }

    fn check_of(revision: u64, digest: [u8; 32]) -> Batch {
        let event = Event::Repair(RepairEvent::StateChecked { revision: Revision(revision), digest });
        let decision = Decision {
            stamp: Stamp(1),
            actor: None,
            accessor: None,
            policies: Revision(0),
            request: [0; 16],
            fingerprint: 0,
            source: String::new(),
            events: vec![event],
        };
        Batch { based_on: Revision(9), decisions: vec![decision] }
    }

    #[test]
    fn a_digest_that_differs_marks_the_directory_and_one_that_agrees_does_not() {
        let (disk, digests) = digests();
        digests.remember(Revision(5), [5; 32]);
        digests.remember(Revision(7), [7; 32]);
        digests.compare(&check_of(7, [7; 32])).unwrap();
        digests.compare(&check_of(6, [9; 32])).unwrap();
        assert!(CameApart::read(&*disk, Path::new("/d")).unwrap().is_none());
        let why = digests.compare(&check_of(5, [6; 32])).unwrap_err();
        assert!(why.contains("record 5 is not what it was on the leader"), "{why}");
        assert!(CameApart::read(&*disk, Path::new("/d")).unwrap().is_some());
    }

    #[test]
    fn a_node_that_comes_apart_again_and_again_stays_out() {
        let (disk, digests) = digests();
        for _ in 0..TRIES {
            digests.mark("apart");
            CameApart::read(&*disk, Path::new("/d")).unwrap().unwrap().try_again(&*disk, Path::new("/d")).unwrap();
        }
        digests.mark("apart");
        let refusal = CameApart::read(&*disk, Path::new("/d")).unwrap().unwrap().try_again(&*disk, Path::new("/d")).unwrap_err();
        assert!(refusal.to_string().contains("came apart again"), "{refusal}");
    }

    #[test]
    fn only_so_much_is_remembered() {
        let (_, digests) = digests();
        for revision in 0..10_000 {
            digests.remember(Revision(revision), [1; 32]);
        }
        assert_eq!(digests.remembered.lock().len(), REMEMBERED);
        digests.compare(&check_of(1, [2; 32])).unwrap();
        digests.compare(&check_of(9_999, [2; 32])).unwrap_err();
    }
}
