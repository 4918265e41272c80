//! What the state knows of snapshots, restores and drills.

use super::{Drill, RecoveryEvent, SavedSnapshot};
use crate::ids::{Revision, Stamp};
use crate::limits;
use crate::state::{At, Digest, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Kinds of rows in the digest: 112 to 119 are of recovery.
mod row {
    pub(super) const PIECE: u8 = 112;
}

/// The part of the state that is about recovery.
#[derive(Clone, Debug, Default)]
pub struct RecoveryState {
    /// The newest snapshot that was saved, whole or not.
    saved: Option<Arc<SavedAt>>,
    /// The newest that holds a whole state.
    full: Option<Arc<SavedAt>>,
    /// The last drill.
    drill: Option<Arc<DrillAt>>,
    /// When a snapshot failed that was due, and none was saved since.
    failed: Option<Stamp>,
    /// Where timelines started, oldest first. Invariant: at most `limits::TIMELINES_MAX`.
    timelines: Vec<Timeline>,
}

/// A snapshot, and when the journal heard of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAt {
    /// Which one.
    pub snapshot: SavedSnapshot,
    /// When.
    pub at: Stamp,
}

/// A drill, and when the journal heard of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillAt {
    /// What it found.
    pub drill: Drill,
    /// When.
    pub at: Stamp,
}

/// A start of the cluster's history besides its founding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Its epoch.
    pub epoch: u32,
    /// The newest record from before.
    pub after: Revision,
    /// Since when.
    pub since: Stamp,
    /// The journal begins with it, as after a restore. After a recovery it goes on.
    pub anew: bool,
}

/// One piece of it in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RecoveryPiece {
    Saved(Arc<SavedAt>),
    Full(Arc<SavedAt>),
    Drill(Arc<DrillAt>),
    Failed(Stamp),
    /// Oldest first.
    Timeline(Timeline),
}

impl RecoveryState {
    /// The newest snapshot that was saved, whole or not.
    #[must_use]
    pub fn saved(&self) -> Option<&SavedAt> {
        self.saved.as_deref()
    }

    /// The newest that holds a whole state.
    #[must_use]
    pub fn full(&self) -> Option<&SavedAt> {
        self.full.as_deref()
    }

    /// The last drill that was reported.
    #[must_use]
    pub fn drill(&self) -> Option<&DrillAt> {
        self.drill.as_deref()
    }

    /// When a snapshot failed that was due, where none was saved since.
    #[must_use]
    pub fn failed(&self) -> Option<Stamp> {
        self.failed
    }

    /// Where timelines started besides the founding, oldest first.
    #[must_use]
    pub fn timelines(&self) -> &[Timeline] {
        &self.timelines
    }

    pub(crate) fn fold(&mut self, event: &RecoveryEvent, at: &At<'_>, digest: &mut Digest) {
        // There are a handful of rows: all of them out, and in again.
        self.pieces().for_each(|piece| digest.subtract(row::PIECE, &piece));
        match event {
            RecoveryEvent::SnapshotSaved(snapshot) => {
                let saved = Arc::new(SavedAt { snapshot: SavedSnapshot::clone(snapshot), at: at.stamp });
                if snapshot.after.is_none() {
                    self.full = Some(saved.clone());
                }
                (self.saved, self.failed) = (Some(saved), None);
            }
            RecoveryEvent::SnapshotFailed { .. } => self.failed = Some(at.stamp),
            RecoveryEvent::DrillReported(drill) => {
                self.drill = Some(Arc::new(DrillAt { drill: Drill::clone(drill), at: at.stamp }));
            }
            RecoveryEvent::Restored(restored) => {
                self.start_timeline(Timeline { epoch: restored.epoch, after: restored.revision, since: at.stamp, anew: true });
            }
            RecoveryEvent::Recovered(recovered) => {
                self.start_timeline(Timeline { epoch: recovered.epoch, after: recovered.revision, since: at.stamp, anew: false });
            }
            RecoveryEvent::SnapshotsPruned { .. } => {}
        }
        self.pieces().for_each(|piece| digest.add(row::PIECE, &piece));
    }

    /// An increment after a snapshot of another timeline would prove nothing.
    fn start_timeline(&mut self, timeline: Timeline) {
        (self.saved, self.full, self.failed) = (None, None, None);
        self.timelines.push(timeline);
        let beyond = self.timelines.len().saturating_sub(limits::TIMELINES_MAX);
        self.timelines.drain(..beyond);
    }

    /// All pieces, lazily.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = RecoveryPiece> + '_ {
        let saved = self.saved.iter().cloned().map(RecoveryPiece::Saved);
        saved
            .chain(self.full.iter().cloned().map(RecoveryPiece::Full))
            .chain(self.drill.iter().cloned().map(RecoveryPiece::Drill))
            .chain(self.failed.map(RecoveryPiece::Failed))
            .chain(self.timelines.iter().cloned().map(RecoveryPiece::Timeline))
    }

    /// Takes in one piece of a snapshot.
    pub(crate) fn take(&mut self, piece: RecoveryPiece) {
        match piece {
            RecoveryPiece::Saved(saved) => self.saved = Some(saved),
            RecoveryPiece::Full(full) => self.full = Some(full),
            RecoveryPiece::Drill(drill) => self.drill = Some(drill),
            RecoveryPiece::Failed(at) => self.failed = Some(at),
            RecoveryPiece::Timeline(timeline) => self.timelines.push(timeline),
        }
    }

    /// Adds all rows to a digest that is computed anew.
    pub(crate) fn add_rows(&self, digest: &mut Digest) {
        self.pieces().for_each(|piece| digest.add(row::PIECE, &piece));
    }
}

impl State {
    pub(crate) fn fold_recovery(&mut self, event: &RecoveryEvent, at: &At<'_>) -> Result<(), &'static str> {
        let starts = match event {
            RecoveryEvent::Restored(restored) => Some((restored.epoch, restored.revision)),
            RecoveryEvent::Recovered(recovered) => Some((recovered.epoch, recovered.revision)),
            _ => None,
        };
        if let Some((epoch, after)) = starts {
            // The snapshot that a timeline starts from carries its epoch already; epochs between belong to timelines that were left.
            if epoch < self.epoch {
                return Err("its epoch was before");
            }
            if after != self.revision {
                return Err("it does not start where the state stands");
            }
            self.epoch = epoch;
        }
        if matches!(event, RecoveryEvent::Restored(_)) {
            self.end_everything_lent()?;
            self.forget_members();
        }
        self.recovery.fold(event, at, &mut self.digest);
        Ok(())
    }

    /// Whoever holds a token or a wrapping from before a restore may be whom it was restored because of.
    fn end_everything_lent(&mut self) -> Result<(), &'static str> {
        while let Some(accessor) = self.accessors.keys().next().copied() {
            self.end_token(&accessor)?;
        }
        self.identity.end_wrappings(&mut self.digest)
    }

    /// The same state as the beginning of a later timeline. Its first record says where that came from.
    #[must_use]
    pub fn in_epoch(&self, epoch: u32) -> State {
        State { epoch, ..self.clone() }
    }
}
