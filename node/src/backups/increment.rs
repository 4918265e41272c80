//! An increment: the batches that lead from one state to another, out of the log.

use super::{BackupError, failed};
use crate::engine::View;
use crate::engine::standing::{chain_decision, point};
use bytes::Bytes;
use node_domain::Batch;
use proto_record::chain::Link;
use proto_record::codec::{self, Kind};
use raft::timeline::{LogPayloads, LogPayloadsError};
use storage::{Contents, SnapshotHeader, SnapshotWriter, StatePoint};

/// How much of the log is read at once.
const READ_BYTES: usize = 2 << 20;

/// The state that an increment starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) epoch: u32,
    pub(crate) revision: u64,
    pub(crate) chain: Link,
    pub(crate) log_index: u64,
}

/// Why there is no increment.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoIncrement {
    /// A full snapshot has to take its place.
    #[error("{0}")]
    NeedsFull(String),
    /// Nothing can be made.
    #[error(transparent)]
    Failed(BackupError),
}

impl After {
    /// What the header of an increment says that leads from here to the state of a full snapshot.
    pub(super) fn header_up_to(&self, full: &SnapshotHeader) -> SnapshotHeader {
        SnapshotHeader { contents: Contents::Increment { revision: self.revision, chain: self.chain }, ..full.clone() }
    }

    /// What the header of an increment says that leads from here to `view`.
    pub(super) fn header(&self, view: &View, created_ms: u64, position: Vec<u8>) -> SnapshotHeader {
        SnapshotHeader {
            cluster: *view.state.cluster(),
            epoch: view.state.epoch(),
            created_ms,
            key_version: view.state.keys().root(),
            contents: Contents::Increment { revision: self.revision, chain: self.chain },
            at: point(&view.state, &view.chain),
            secrets: view.state.secret_count(),
            position,
        }
    }

    pub(super) fn check(&self, view: &View) -> Result<(), NoIncrement> {
        let why = if self.epoch != view.state.epoch() {
            format!("the newest snapshot of the set is of epoch {}, the cluster is at {}", self.epoch, view.state.epoch())
        } else if self.revision > view.state.revision().0 {
            "the newest snapshot of the set is ahead of this cluster: it is of another timeline".to_owned()
        } else {
            return Ok(());
        };
        Err(NoIncrement::NeedsFull(why))
    }
}

/// Writes the batches that lead from `after` to the state `at`, and returns the index of the last of them. `view` is of the same timeline.
pub(super) fn write(
    log: &LogPayloads,
    after: &After,
    at: &StatePoint,
    view: &View,
    writer: &mut SnapshotWriter,
) -> Result<u64, NoIncrement> {
    let (mut revision, mut chain, mut index) = (after.revision, after.chain, after.log_index);
    while revision < at.revision {
        let entries = log.after(index, READ_BYTES).map_err(|error| match error {
            LogPayloadsError::Gone { .. } => NoIncrement::NeedsFull(error.to_string()),
            LogPayloadsError::Io(_) => NoIncrement::Failed(failed(error)),
        })?;
        if entries.is_empty() {
            return Err(NoIncrement::NeedsFull("the log ends before the state".to_owned()));
        }
        for (entry, payload) in entries {
            index = entry;
            let Some((payload, batch)) = resting_on(payload, revision)? else { continue };
            for decision in &batch.decisions {
                chain = chain_decision(decision, revision, chain, &view.state);
                revision += decision.events.len() as u64;
            }
            writer.push(&payload).map_err(|error| NoIncrement::Failed(failed(error)))?;
            if revision >= at.revision {
                break;
            }
        }
    }
    if (revision, chain) != (at.revision, at.chain) {
        return Err(NoIncrement::NeedsFull("the log does not lead from the newest snapshot of the set to the state".to_owned()));
    }
    Ok(index)
}

/// The batch, where there is one and it was folded in at this revision.
fn resting_on(payload: Option<Bytes>, revision: u64) -> Result<Option<(Bytes, Batch)>, NoIncrement> {
    let Some(payload) = payload else { return Ok(None) };
    let batch: Batch = codec::decode(Kind::Batch, &payload).map_err(|error| NoIncrement::Failed(failed(error)))?;
    Ok((batch.based_on.0 == revision).then_some((payload, batch)))
}
