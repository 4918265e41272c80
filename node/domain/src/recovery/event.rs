//! What happened to snapshots, and what a cluster came back from.

use crate::event::What;
use crate::ids::{Revision, Stamp};
use crate::operation::Operation;
use serde::{Deserialize, Serialize};

/// One thing that happened. New kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryEvent {
    /// A snapshot lies whole where it should.
    SnapshotSaved(Box<SavedSnapshot>),
    /// A snapshot that was due was not made.
    SnapshotFailed {
        /// Where it should have gone.
        to: String,
        /// What went wrong.
        why: String,
    },
    /// The first record of a timeline that starts at a snapshot: all tokens and wrappings from before it have ended.
    Restored(Box<Restored>),
    /// The first record of a timeline that one surviving node went on with, after a majority was lost.
    Recovered(Box<Recovered>),
    /// What a drill found.
    DrillReported(Box<Drill>),
    /// Snapshots were deleted from where they lay.
    SnapshotsPruned {
        /// Where.
        from: String,
        /// How many.
        count: u64,
        /// Their bytes.
        bytes: u64,
    },
}

/// A snapshot in a backup set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSnapshot {
    /// Its name in the set.
    pub file: String,
    /// Where the set is, without credentials.
    pub to: String,
    /// For an increment: the newest record of the state that it starts from.
    pub after: Option<Revision>,
    /// The newest record of the state that it leads to.
    pub revision: Revision,
    /// Where the log stood, for the next increment.
    pub log_index: u64,
    /// BLAKE3 of the file before its signature.
    pub digest: [u8; 32],
    /// Its bytes.
    pub bytes: u64,
    /// Secrets in the state that it leads to.
    pub secrets: u64,
    /// Why it is a full one though an increment was due; empty where there is nothing to say.
    pub note: String,
}

/// What a timeline started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The epoch that starts with it.
    pub epoch: u32,
    /// The epoch of the snapshot.
    pub from_epoch: u32,
    /// The newest record that came back.
    pub revision: Revision,
    /// Its stamp.
    pub stamp: Stamp,
    /// The files, in the order of use.
    pub files: Vec<String>,
    /// Where they lay.
    pub from: String,
    /// BLAKE3 of the last of them.
    pub digest: [u8; 32],
    /// Who did it, as the machine knew them.
    pub by: String,
}

/// What a timeline went on from after a loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// The epoch that starts with it.
    pub epoch: u32,
    /// The node whose data it is.
    pub node: u64,
    /// The newest record that it had: later ones, if there were any, are lost.
    pub revision: Revision,
    /// Its stamp.
    pub stamp: Stamp,
    /// Records that this node had and did not know to be committed; they count from now on.
    pub unsure: u64,
    /// Members from before that are gone.
    pub lost: Vec<u64>,
    /// Who did it, as the machine knew them.
    pub by: String,
}

/// What a drill found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// Whether everything was as it should be.
    pub passed: bool,
    /// Where the snapshots lay.
    pub from: String,
    /// The newest record that came back.
    pub revision: Revision,
    /// Secrets that came back.
    pub secrets: u64,
    /// From the first byte read to the first secret answered.
    pub took_ms: u64,
    /// BLAKE3 of the report.
    pub report: [u8; 32],
}

impl RecoveryEvent {
    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            RecoveryEvent::SnapshotSaved(_) => Operation::SnapshotSaved,
            RecoveryEvent::SnapshotFailed { .. } => Operation::SnapshotFailed,
            RecoveryEvent::Restored(_) => Operation::ClusterRestored,
            RecoveryEvent::Recovered(_) => Operation::ClusterRecovered,
            RecoveryEvent::DrillReported(_) => Operation::DrillReport,
            RecoveryEvent::SnapshotsPruned { .. } => Operation::SnapshotPruned,
        }
    }

    /// Whether the state changes by it, beyond the count of records.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !matches!(self, RecoveryEvent::SnapshotsPruned { .. })
    }

    /// About how many bytes of varying size it takes in the log, never much less than it does.
    #[must_use]
    pub fn varying_bytes(&self) -> usize {
        match self {
            RecoveryEvent::SnapshotSaved(saved) => saved.file.len() + saved.to.len() + saved.note.len(),
            RecoveryEvent::SnapshotFailed { to, why } => to.len() + why.len(),
            RecoveryEvent::Restored(restored) => {
                restored.from.len() + restored.by.len() + restored.files.iter().map(|file| file.len() + 4).sum::<usize>()
            }
            RecoveryEvent::Recovered(recovered) => recovered.by.len() + recovered.lost.len() * 9,
            RecoveryEvent::DrillReported(drill) => drill.from.len(),
            RecoveryEvent::SnapshotsPruned { from, .. } => from.len(),
        }
    }

    /// What it is about, for the fields of a record.
    #[must_use]
    pub fn about_what(&self) -> What<'_> {
        match self {
            RecoveryEvent::SnapshotSaved(saved) => What::system(&saved.file),
            RecoveryEvent::SnapshotFailed { to, .. } => What::system(to),
            RecoveryEvent::Restored(restored) => What::system(&restored.from),
            RecoveryEvent::Recovered(recovered) => What::system(&recovered.by),
            RecoveryEvent::DrillReported(drill) => What::system(&drill.from),
            RecoveryEvent::SnapshotsPruned { from, .. } => What::system(from),
        }
    }
}
