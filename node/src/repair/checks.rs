//! Finding a state that has come apart from the others': what most voters say the digest of their state was after a record is written
//! down, and every node that folds this compares it with what it remembers of its own.
//!
//! A node that differs stops folding, marks its directory, and starts again with the state of another member. Its log and its journal
//! stay: they are the same on all nodes. The node that leads is no exception.

use super::apart::CameApart;
use super::{Repairs, submit};
use crate::api::Door;
use node_domain::Batch;
use node_domain::event::Event;
use node_domain::ids::Revision;
use node_domain::repair::{RepairEvent, RepairPart, RepairUpkeep};
use parking_lot::Mutex;
use raft::{Replica, Role};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage::Disk;
use tokio::sync::watch;

/// Batches whose digests are remembered: far more than are folded between a check being made and being folded.
const REMEMBERED: usize = 16_384;
/// How long a node that is asked for a digest waits until it has come to that record.
pub(crate) const CATCH_UP: Duration = Duration::from_secs(1);

/// The digest of a state.
pub(crate) type Digest = [u8; 32];

/// What one node remembers of its own digests, and what came of comparing them.
pub(crate) struct Digests {
    remembered: Mutex<VecDeque<(Revision, Digest)>>,
    newest: watch::Sender<Revision>,
    agreed: watch::Sender<Revision>,
    disk: Arc<dyn Disk>,
    data: PathBuf,
}

impl Digests {
    pub(crate) fn new(disk: Arc<dyn Disk>, data: PathBuf) -> Digests {
        let (newest, agreed) = (watch::channel(Revision(0)).0, watch::channel(Revision(0)).0);
        Digests { remembered: Mutex::default(), newest, agreed, disk, data }
    }

    /// Remembers the digest after a batch.
    pub(crate) fn remember(&self, revision: Revision, digest: Digest) {
        let mut remembered = self.remembered.lock();
        // A batch without records leaves both where they were.
        if remembered.back().is_some_and(|(last, _)| *last == revision) {
            return;
        }
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back((revision, digest));
        drop(remembered);
        self.newest.send_replace(revision);
    }

    /// The state was replaced: what is remembered was of another one.
    pub(crate) fn forget(&self) {
        self.remembered.lock().clear();
    }

    /// The digest after a record, where it is remembered.
    pub(crate) fn at(&self, revision: Revision) -> Option<Digest> {
        let remembered = self.remembered.lock();
        let at = remembered.binary_search_by_key(&revision, |(revision, _)| *revision).ok()?;
        Some(remembered[at].1)
    }

    /// As [`at`](Digests::at), for a record that may have yet to be folded.
    pub(crate) async fn soon_at(&self, revision: Revision) -> Option<Digest> {
        let mut newest = self.newest.subscribe();
        let reached = newest.wait_for(|newest| *newest >= revision);
        // Whoever is too late is not counted.
        let _ = tokio::time::timeout(CATCH_UP, reached).await;
        self.at(revision)
    }

    /// Compares what the batch of log entry `index` says of the past with what is remembered of it.
    ///
    /// # Errors
    /// When the state has come apart; the directory is marked then.
    pub(crate) fn compare(&self, index: u64, batch: &Batch) -> Result<(), String> {
        for event in batch.decisions.iter().flat_map(|decision| &decision.events) {
            let Event::Repair(RepairEvent::StateChecked { revision, digest }) = event else { continue };
            // Nothing is remembered where the node started, or took a snapshot, after that record.
            let Some(own) = self.at(*revision) else { continue };
            if own != *digest {
                let why =
                    format!("the state at record {} is not what it was on most members: this copy has come apart", revision.0);
                tracing::error!(why, "this node stops folding");
                if let Err(error) = CameApart::mark(&*self.disk, &self.data, index, &why) {
                    tracing::error!(%error, "the directory could not be marked; the next check says again that the state has come apart");
                }
                return Err(why);
            }
            self.agreed.send_replace(*revision);
        }
        Ok(())
    }

    /// Whether the state here has come apart from the others'.
    pub(crate) fn came_apart(&self) -> bool {
        CameApart::read(&*self.disk, &self.data).is_ok_and(|mark| mark.is_some())
    }

    /// Takes the mark away once a new state has been found to agree. Never ends.
    pub(crate) async fn settle(self: Arc<Self>, repairs: Arc<Repairs>) {
        let mut agreed = self.agreed.subscribe();
        while agreed.changed().await.is_ok() {
            if !repairs.is_under_way(RepairPart::State) {
                continue;
            }
            match self.unmark().await {
                Ok(()) => repairs.done(RepairPart::State),
                Err(error) => tracing::error!(error, "the mark of a state that had come apart was not removed"),
            }
        }
    }

    async fn unmark(&self) -> Result<(), String> {
        if !self.came_apart() {
            return Ok(());
        }
        let (disk, data) = (self.disk.clone(), self.data.clone());
        let cleared = raft::offload(move || CameApart::clear(&*disk, &data)).await;
        cleared.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// Has the states of all members compared, while this node leads and something has happened since. Never ends.
pub(crate) async fn check(door: Arc<Door>, replica: Replica, digests: Arc<Digests>, period: Duration) {
    let mut checked = Revision(0);
    loop {
        tokio::time::sleep(period).await;
        let (is_understood, revision) = {
            let view = door.view();
            // Whoever announces a level knows the record, and how to answer for it.
            (view.state.is_founded() && view.state.members().level() > 0, view.state.revision())
        };
        let leads = matches!(*replica.watch_role().borrow(), Role::Leader { .. });
        // The record of a check is itself a record: after it nothing has happened yet.
        if !leads || !is_understood || revision.0 <= checked.0 + 1 {
            continue;
        }
        let Some(own) = digests.at(revision) else { continue };
        let mut voters = replica.members();
        voters.retain(|_, member| member.voter);
        let others = voters.values().filter(|member| member.id != replica.id());
        let mut said = door.mending.peers.digests(others.map(|voter| (voter.id, voter.member.clone())).collect(), revision).await;
        said.push(own);
        let repairs = &door.mending.repairs;
        match judged(&said, voters.len()) {
            Judged::Agreed(digest) => {
                if submit(&door, RepairUpkeep::CheckState { revision, digest }).await {
                    checked = revision;
                }
            }
            Judged::Unknown => tracing::debug!(revision = revision.0, "too few members said what their state was"),
            Judged::Apart => {
                repairs.began(RepairPart::State, format!("members differ in their state at record {}", revision.0));
                repairs.failed(RepairPart::State, "no majority of the voters has one state: nobody can tell which is right");
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// A majority of the voters has this one.
    Agreed(Digest),
    /// Those that are missing may make a majority of one.
    Unknown,
    /// All have spoken, and no majority agrees.
    Apart,
}

/// What so many voters make of these digests.
fn judged(said: &[Digest], voters: usize) -> Judged {
    let mut counts = BTreeMap::<Digest, usize>::new();
    for digest in said {
        *counts.entry(*digest).or_default() += 1;
    }
    match counts.into_iter().find(|(_, count)| *count > voters / 2) {
        Some((digest, _)) => Judged::Agreed(digest),
        None if said.len() >= voters => Judged::Apart,
        None => Judged::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::unasked;
    use node_domain::ids::Stamp;
    use std::path::Path;
    use storage::MemoryDisk;

    fn digests() -> Digests {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        Digests::new(Arc::new(disk), PathBuf::from("/d"))
    }

    fn check_of(revision: u64, digest: Digest) -> Batch {
        let event = Event::Repair(RepairEvent::StateChecked { revision: Revision(revision), digest });
        Batch { based_on: Revision(9), decisions: vec![unasked(Stamp(1), event)] }
    }

    #[test]
    fn a_digest_that_differs_marks_the_directory_and_one_that_agrees_does_not() {
        let digests = digests();
        digests.remember(Revision(5), [5; 32]);
        digests.remember(Revision(7), [7; 32]);
        digests.compare(20, &check_of(7, [7; 32])).unwrap();
        digests.compare(21, &check_of(6, [9; 32])).unwrap();
        assert!(!digests.came_apart());
        let why = digests.compare(22, &check_of(5, [6; 32])).unwrap_err();
        assert!(why.contains("record 5 is not what it was on most members"), "{why}");
        let mark = CameApart::read(&*digests.disk, &digests.data).unwrap().unwrap();
        assert_eq!((mark.index, mark.times), (22, 1));
    }

    #[test]
    fn only_so_much_is_remembered_and_nothing_of_another_state() {
        let digests = digests();
        for revision in 0..REMEMBERED as u64 + 100 {
            digests.remember(Revision(revision), [1; 32]);
        }
        assert_eq!(digests.remembered.lock().len(), REMEMBERED);
        assert_eq!((digests.at(Revision(99)), digests.at(Revision(100))), (None, Some([1; 32])));
        digests.forget();
        assert_eq!(digests.at(Revision(100)), None);
    }

    #[test]
    fn most_voters_decide_which_state_is_right_whoever_leads() {
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        assert_eq!(judged(&[a], 1), Judged::Agreed(a));
        assert_eq!(judged(&[b, a, a], 3), Judged::Agreed(a));
        assert_eq!(judged(&[a, a], 3), Judged::Agreed(a));
        assert_eq!(judged(&[a, b], 3), Judged::Unknown);
        assert_eq!(judged(&[a, b, c], 3), Judged::Apart);
        assert_eq!(judged(&[a, b], 2), Judged::Apart);
        assert_eq!(judged(&[a, a, b, c], 5), Judged::Unknown);
    }
}
