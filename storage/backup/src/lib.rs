//! Backup sets: full snapshots, and the increments that join them, in a directory or under a prefix of an object store.
//!
//! Each file of a set has a signed [`Entry`] beside it, which is written last: a file without one is not in the set. What a set holds, and
//! which files lead to a wished point, is decided by [`BackupSet`]; where the files lie is the business of [`Store`].
//!
//! # This crate never
//! opens a file's contents without being handed its key, believes an entry whose signature is wrong, or deletes a full snapshot that
//! increments which stay need.

#![forbid(unsafe_code)]

mod check;
mod entry;
mod prune;
mod set;
mod store;

pub use check::{CheckedEntry, EntryFault, Keys, check_entry, check_file};
pub use entry::{ENTRY_EXTENSION, Entry, EntryError, EntryKind, file_name};
pub use prune::{Keep, doomed};
pub use set::{BackupSet, Plan, PlanError, Wanted};
pub use storage::{
    RealDisk,
    snapshot::{Checked, Contents, SnapshotError, SnapshotHeader, StatePoint},
};
pub use store::{Store, StoreError};
