//! Whether a file of a set is what its entry says.

use crate::entry::{Entry, file_name};
use std::path::Path;
use storage::{
    Disk, RealDisk,
    snapshot::{self, Checked, SnapshotError, SnapshotReader},
};
use storage_crypto::{Key, PublicKey, hex};

/// The key of snapshots under a version of the root key, where it is at hand.
pub type Keys<'a> = &'a dyn Fn(u32) -> Option<Key>;

/// A file that is whole and is what its entry says.
#[derive(Clone, Debug)]
pub struct CheckedEntry {
    /// What was found without a key.
    pub checked: Checked,
    /// Records in it, where it was opened.
    pub records: Option<u64>,
}

/// Why a file of a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EntryFault {
    /// It is damaged, or was sealed by another key.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It is whole, and another one than its entry says.
    #[error("{file} is not what its entry says: {what} differs")]
    Differs {
        /// The file.
        file: String,
        /// In what.
        what: &'static str,
    },
    /// Somebody else's signature.
    #[error("{file} is signed by {found}, not by {expected}")]
    Signer {
        /// The file.
        file: String,
        /// Whose it is.
        found: PublicKey,
        /// Whose it should be.
        expected: PublicKey,
    },
    /// It cannot be opened with what is at hand.
    #[error("{file} is sealed by version {version} of the root key, which the seal file does not hold")]
    NoKey {
        /// The file.
        file: String,
        /// The version.
        version: u32,
    },
}

/// Checks one file of this machine without any key. `progress` is told how many bytes were read so far.
///
/// # Errors
/// When any byte is not as it was written.
pub fn check_file(path: &Path, progress: impl FnMut(u64)) -> Result<Checked, SnapshotError> {
    snapshot::check(&RealDisk, path, progress)
}

/// Reads the whole file at `path` and compares it with its entry. With `keys` it is opened besides; `signer` is whose signature it must
/// bear. `progress` is told how many bytes were read so far, each time the file is read.
///
/// # Errors
/// When any byte is not as it was written, or it is another file.
pub fn check_entry(
    disk: &dyn Disk,
    path: &Path,
    entry: &Entry,
    signer: Option<PublicKey>,
    keys: Option<Keys<'_>>,
    progress: impl FnMut(u64),
) -> Result<CheckedEntry, EntryFault> {
    let checked = snapshot::check(disk, path, progress)?;
    let differs = |what| EntryFault::Differs { file: entry.file.clone(), what };
    let expected = Entry::of(&checked, entry.log_index);
    if (expected.kind, &expected.digest) != (entry.kind, &entry.digest) {
        return Err(differs(if expected.kind == entry.kind { "its digest" } else { "its kind" }));
    }
    if file_name(&checked) != entry.file {
        return Err(differs("its name"));
    }
    if expected != *entry {
        return Err(differs("what it says of the state"));
    }
    if let Some(expected) = signer.filter(|expected| *expected != checked.signer) {
        return Err(EntryFault::Signer { file: entry.file.clone(), found: checked.signer, expected });
    }
    let Some(keys) = keys else { return Ok(CheckedEntry { checked, records: None }) };
    let version = checked.header.key_version;
    let key = keys(version).ok_or_else(|| EntryFault::NoKey { file: entry.file.clone(), version })?;
    let summary = SnapshotReader::open(disk, path, &key)?.verify()?;
    if hex::encode(&summary.digest) != entry.digest {
        return Err(differs("its digest"));
    }
    Ok(CheckedEntry { checked, records: Some(summary.records) })
}
