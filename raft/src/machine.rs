//! What raft replicates in front of: a deterministic fold of opaque payloads, and snapshot files of it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::disk::Disk;

/// The state that every node folds from the same log.
///
/// Synchronous and in memory: `apply` runs on the one task that applies, and whatever it waits for, the whole node waits for.
///
/// When a node starts, the machine stands where [`newest_snapshot`](Machine::newest_snapshot) says, or is empty where there is
/// none; raft then applies every committed entry after it again.
pub trait Machine: Send + Sync + 'static {
    /// Folds one payload. Called in log order, each index once, by one task.
    ///
    /// # Errors
    /// Only when the payload cannot belong to this state, which no peer and no user can cause: the node stops rather than
    /// diverge from the others.
    fn apply(&self, index: u64, payload: &Bytes) -> Result<Reply, Unfit>;

    /// A run of entries ending with `last_index` has been applied; answers to their proposers leave after this returns. Here
    /// views are published and waiters woken, once a run.
    fn applied(&self, last_index: u64);

    /// Captures the state as it is now, cheaply, on the task that applies. The returned function streams it to a file whose
    /// header carries `position`, and returns when the file can no longer be lost; it runs on a blocking thread, while later
    /// entries are applied, and may fail without harm.
    ///
    /// `index` is the last one folded; of two snapshots the one with the higher index is the newer.
    fn capture(&self, index: u64, position: Vec<u8>) -> SnapshotWrite;

    /// The disk that its snapshot files are on.
    fn disk(&self) -> Arc<dyn Disk>;

    /// The newest complete snapshot on this node.
    ///
    /// # Errors
    /// When the directory or a header cannot be read.
    fn newest_snapshot(&self) -> io::Result<Option<StoredSnapshot>>;

    /// A fresh name for a snapshot that is about to be received; two calls never return the same one. A file of that kind which
    /// is there when the node starts was left behind by a crash, and nobody asks for it any more.
    ///
    /// # Errors
    /// When there is no place for it.
    fn receive_path(&self) -> io::Result<PathBuf>;

    /// Reads the whole of a received file and returns the position in its header. Blocking.
    ///
    /// # Errors
    /// When any byte is not as it was written, or the snapshot is not this cluster's. The file is then dropped and asked for
    /// again, and the state is untouched.
    fn verify_snapshot(&self, file: &Path) -> io::Result<Vec<u8>>;

    /// Takes over a file that verified: it becomes the newest snapshot and its contents replace the state, all or nothing.
    /// Blocking; nothing is applied meanwhile.
    ///
    /// # Errors
    /// When the disk fails. The node stops.
    fn install_snapshot(&self, file: &Path) -> io::Result<()>;
}

/// Streams a captured state to a file and returns its path when it is durable.
pub type SnapshotWrite = Box<dyn FnOnce() -> io::Result<PathBuf> + Send>;

/// A complete snapshot file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Where it is.
    pub path: PathBuf,
    /// The position that [`Machine::capture`] was given for it.
    pub position: Vec<u8>,
}

/// What became of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The entry was raft's own: nothing was proposed with it.
    Nothing,
    /// The payload was folded in and the state is now at `revision`.
    Accepted {
        /// The state's revision after it.
        revision: u64,
    },
    /// The payload rested on a state that had moved on, so it was dropped; the state is still at `revision`.
    Stale {
        /// The state's revision before and after it.
        revision: u64,
    },
}

/// A committed payload that does not fit the state: a bug, or a state that has diverged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry does not fit the state: {0}")]
pub struct Unfit(pub String);
