//! The journal: every record's leaf by its sequence number, chained, append-only, in sealed segments, one compressed block per batch.
//!
//! Appending hands a block to a thread and returns: a block can be read at once and is durable after the next [`Journal::sync`].
//! Reading recomputes the hash chain inside each block, so that a record is never returned with a link that it does not have.

mod aside;
mod block;
mod handle;
mod index;
mod mend;
mod open;
mod shared;
mod writer;

use std::{io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use storage_crypto::{Entropy, Key, OsEntropy};

pub use self::aside::set_aside;
pub use self::block::{Block, StoredRecord};
pub use self::mend::{Checked, JournalSpan};
use self::{block::ChainError, handle::Inner};
use crate::{
    disk::Disk,
    segment::{Owner, SEGMENT_BYTES, SegmentError},
    wal::Done,
};

/// How the journal is kept.
#[derive(Clone)]
pub struct JournalOptions {
    /// Bytes in a segment. A longer block gets a longer segment for itself.
    pub segment_bytes: u64,
    /// Leaf bytes of the newest blocks that stay in memory for those who follow the journal.
    pub cache_bytes: usize,
    /// Leaf bytes that may wait for the writer before [`Journal::append`] blocks its caller.
    pub queue_bytes_max: usize,
    /// How long the writer waits for more blocks to write with the first; zero: not at all, and each block is written by itself.
    pub gathering: Duration,
    /// Where nonces come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            segment_bytes: SEGMENT_BYTES,
            cache_bytes: 8 * 1024 * 1024,
            queue_bytes_max: 64 * 1024 * 1024,
            gathering: Duration::from_millis(10),
            entropy: Arc::new(OsEntropy),
        }
    }
}

/// Where the journal ends. All zero where it has never held anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalHead {
    /// The oldest record that is kept.
    pub first_seq: u64,
    /// The number that the next record will have; 0 where any may be the first.
    pub next_seq: u64,
    /// The link after the last record.
    pub chain: [u8; 32],
}

impl JournalHead {
    /// Whether there is no record to read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first_seq == self.next_seq
    }
}

/// Counters since the journal was opened, and its size now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Blocks written.
    pub blocks: u64,
    /// Records in them.
    pub records: u64,
    /// Their leaves' bytes before compression.
    pub leaf_bytes: u64,
    /// Bytes written for them.
    pub written_bytes: u64,
    /// `fdatasync` calls.
    pub syncs: u64,
    /// Segments in use.
    pub segments: u64,
    /// Leaf bytes that wait for the writer.
    pub queued_bytes: u64,
}

/// Why the journal did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory was not opened, or a segment in it does not read.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A record does not have the link that its place in the chain gives it.
    #[error("journal record {seq} in {path} is not what was written: {why}; the journal was changed or is damaged", path = path.display())]
    Corrupt {
        /// The first record of which nothing can be said any more.
        seq: u64,
        /// The file that holds it, or the journal's directory for a block in memory.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// A block does not follow the last one.
    #[error("journal block {first_seq} does not follow the head at {next_seq}: {why}")]
    NotNext {
        /// The block's first record.
        first_seq: u64,
        /// The record that has to come next.
        next_seq: u64,
        /// What differs.
        why: &'static str,
    },
    /// A record older than the oldest that is kept.
    #[error("journal record {seq} is not kept here, the journal starts at {first_seq}")]
    NotKept {
        /// What was asked for.
        seq: u64,
        /// The oldest there is.
        first_seq: u64,
    },
    /// An earlier write or sync failed, or the journal is closed.
    #[error("{0}")]
    Failed(String),
}

impl JournalError {
    /// The file that is damaged, where that is what is wrong.
    #[must_use]
    pub fn damaged(&self) -> Option<&Path> {
        match self {
            JournalError::Segment(SegmentError::Corrupt { path, .. }) | JournalError::Corrupt { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl From<JournalError> for io::Error {
    fn from(error: JournalError) -> Self {
        io::Error::other(error)
    }
}

/// The journal of one node. Clones are the same journal.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

impl Journal {
    /// Opens the journal in `dir`, or starts one where there is none, and starts its thread.
    ///
    /// Only the newest segment is read; older ones are checked when they are read from.
    ///
    /// # Errors
    /// When something that had been durable is damaged or missing, was sealed with another key or by a newer release, or the
    /// disk refuses. Nothing is truncated then.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        key: Key,
        owner: Owner,
        options: JournalOptions,
    ) -> Result<(Journal, JournalHead), JournalError> {
        let inner = open::open(disk, dir, key, owner, options)?;
        let head = inner.head();
        Ok((Journal(Arc::new(inner)), head))
    }

    /// Appends a block. It can be read at once; it is durable after the next [`Journal::sync`]. The first block of an empty journal may
    /// start anywhere; every other has to start at the head, with the head's link.
    ///
    /// Blocks the caller while more than `queue_bytes_max` wait to be written.
    ///
    /// # Errors
    /// When the block does not follow, or writing failed before.
    pub fn append(&self, block: Block) -> Result<(), JournalError> {
        self.0.append(block)
    }

    /// Calls `done` when everything appended so far is durable.
    pub fn sync(&self, done: Done) {
        self.0.sync(done);
    }

    /// Waits until everything appended so far is durable.
    ///
    /// # Errors
    /// When a write or sync failed, now or before.
    pub fn sync_blocking(&self) -> Result<(), JournalError> {
        let (done, answer) = Done::channel();
        self.sync(done);
        match answer.recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(JournalError::Failed(error.to_string())),
            Err(_) => Err(JournalError::Failed("the journal's writer is gone".to_owned())),
        }
    }

    /// Records from `from_seq` on, without a gap, until either limit is reached; at least one if there is one. Empty at the head.
    ///
    /// # Errors
    /// When `from_seq` is older than what is kept, or what is stored is not what was written.
    pub fn read(&self, from_seq: u64, max_records: usize, max_bytes: usize) -> Result<Vec<StoredRecord>, JournalError> {
        self.0.read(from_seq, max_records, max_bytes)
    }

    /// Reads the whole journal block by block and checks every checksum, seal and link. Says where the verified journal ends.
    ///
    /// # Errors
    /// At the first record that is not what was written.
    pub fn verify(&self) -> Result<JournalHead, JournalError> {
        self.0.verify()
    }

    /// Where the journal ends, blocks that are not durable yet included.
    #[must_use]
    pub fn head(&self) -> JournalHead {
        self.0.head()
    }

    /// The oldest record that is kept.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.0.head().first_seq
    }

    /// The first error of a write or sync. Once there is one, nothing is written any more.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.0.failed()
    }

    /// Discards every record, as after the installation of a snapshot on a node whose journal is empty or went another way. The next
    /// block has to start at `first_seq` with `chain`. What there was stays on disk as `*.superseded`, and can be
    /// [put back](Journal::put_back). Durable on return.
    ///
    /// # Errors
    /// When a write or sync fails; after a crash in between, either the old journal or the new one is there.
    pub fn reset(&self, first_seq: u64, chain: [u8; 32]) -> Result<(), JournalError> {
        self.0.reset(first_seq, chain)
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        self.0.stats()
    }

    /// Writes and syncs what is queued, and ends the thread.
    pub fn close(self) {
        self.0.close();
    }
}

fn corrupt(path: &Path, error: ChainError) -> JournalError {
    JournalError::Corrupt { seq: error.seq, path: path.to_owned(), why: error.why }
}

/// Leaf bytes of a block.
fn leaf_bytes(leaves: &[Bytes]) -> usize {
    leaves.iter().map(Bytes::len).sum()
}
