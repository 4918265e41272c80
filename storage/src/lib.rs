//! What is durable on one node: the write-ahead log, the journal, materialized state, snapshots, and the node's identity.
//!
//! Truth is the newest snapshot, the [`wal`] after it and the [`journal`]; [`materialized`] state (sled) is written behind and can always
//! be rebuilt from that truth. Everything on disk is sealed with keys that are handed in, starts with a format version and is checksummed; what is
//! durable when a call returns is said in its documentation. Everything but sled goes through a [`Disk`].
//!
//! # This crate never
//! knows what a secret is, opens a socket, reads a clock, or truncates what it once called durable: damage is refused, with
//! everything left as it was found.

#![forbid(unsafe_code)]

mod behind;
pub mod disk;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod journal;
mod keyspace;
pub mod materialized;
pub mod segment;
pub mod snapshot;
pub mod wal;
pub mod workers;

pub use disk::{Disk, DiskFile, RealDisk, memory::MemoryDisk, unhurried::Pace, unhurried::UnhurriedDisk};
pub use identity::{DataDirLock, Identity, IdentityError};
pub use journal::{Block, Journal, JournalError, JournalHead, JournalOptions, JournalSpan, JournalStats, StoredRecord};
pub use materialized::{Database, DatabaseOptions, MaterializedError, RowOp};
pub use segment::{Owner, SegmentError};
pub use snapshot::{Contents, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotSummary, SnapshotWriter, StatePoint};
pub use storage_crypto::planted;
pub use wal::{Done, Recovered, Wal, WalDriver, WalError, WalOptions, WalStats};
