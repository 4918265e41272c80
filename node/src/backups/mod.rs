//! Snapshots for disaster recovery: making them on this node, and putting them where they should lie.
//!
//! A full one is the node's own Raft snapshot: the same file. An increment is read from the log: the batches that were committed after the
//! state where another snapshot stands, which prove their place because they lead to the chain that the state has now.

mod increment;
mod making;
mod saving;

pub(crate) use increment::After;
pub(crate) use making::{Backups, Made};
pub(crate) use saving::{Saving, saved};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// It could not be made.
    #[error("make a snapshot: {0}")]
    Make(String),
    /// It could not be put where it should lie.
    #[error(transparent)]
    Store(#[from] storage_backup::StoreError),
    /// The journal does not say so.
    #[error("the snapshot is saved, and the journal does not know of it: {0}")]
    Journal(String),
    /// Nobody said where.
    #[error("setting backup.to names no place for snapshots: set it, or save to a directory (holdfast snapshot save --to DIR)")]
    NoPlace,
}

fn failed(error: impl std::fmt::Display) -> BackupError {
    BackupError::Make(error.to_string())
}
