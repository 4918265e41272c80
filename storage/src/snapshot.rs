//! Snapshots: one streamed file format for Raft installation, backup and drills.
//!
//! ```text
//! header     magic "HFSNAP01" | length u32 | format u32 | cluster 16 | epoch u32 | created_ms u64 | key version u32 |
//!            contents u8 | revision u64, chain 32 before | revision u64, stamp_us u64, chain 32, digest 32 after | secrets u64 |
//!            position u32-prefixed | crc32 of all before
//! chunk      kind u8 = 1 | length u32 | sealed( LZ4( (length u32 | record)* ) )                          | crc32
//! end        kind u8 = 2 | length u32 | sealed( records u64 | chunks u64 | BLAKE3 of the file before )   | crc32
//! signature  kind u8 = 3 | length u32 | public key 32 | Ed25519( context | BLAKE3 of the file before )   | crc32
//! ```
//! Every chunk is sealed with a key derived from the snapshot key and the header, and bound to its number and kind: a chunk that was cut,
//! changed, moved or taken from another snapshot does not open, and no record of it is returned. Nothing follows the signature, which
//! whoever has no key can check ([`check`]): what the file says it is, and that no byte of it changed since it was signed.
//! Memory does not grow with the file, neither when it is written nor when it is read.

mod header;
mod parts;
mod reader;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
};

use storage_crypto::{Binding, Key, PublicKey, Purpose};

pub use self::{
    header::{Contents, SnapshotHeader, StatePoint},
    parts::{Checked, check},
    reader::{Records, SnapshotReader},
    writer::SnapshotWriter,
};
use crate::disk::{self, Disk, DiskFile};

/// The newest format of snapshots that this release reads and writes.
pub const FORMAT: u32 = 2;

/// The longest record.
pub const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"HFSNAP01";
/// A chunk is closed by the record that takes it to this length.
const CHUNK_BYTES: usize = 1024 * 1024;
/// What a chunk can hold at most, before compression: it was below `CHUNK_BYTES`, and one longest record was added.
const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + 4 + RECORD_BYTES_MAX;
/// The same sealed, where the records did not compress.
const SEALED_BYTES_MAX: usize = CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / 16 + 1024;
const PREFIX_BYTES: usize = MAGIC.len() + 4;
const RECORDS: u8 = 1;
const END: u8 = 2;
const SIGNATURE: u8 = 3;
/// Kind and length.
const PART_HEAD_BYTES: usize = 5;
/// Kind, length and checksum.
const PART_OVERHEAD_BYTES: usize = PART_HEAD_BYTES + 4;
const SIGNED_CONTEXT: &[u8] = b"holdfast/v1/snapshot signature";
const KEY_CONTEXT: &str = "holdfast/v1/snapshot chunks";

/// What a verified snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// Records in it.
    pub records: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file before its signature: stands for the whole snapshot.
    pub digest: [u8; 32],
    /// Whose signature it bears.
    pub signer: PublicKey,
}

/// Why a snapshot was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file is not a snapshot.
    #[error("{path} is not a holdfast snapshot", path = path.display())]
    NotASnapshot {
        /// The file.
        path: PathBuf,
    },
    /// A release that does not exist yet for this one.
    #[error("snapshot {path} was written by a newer holdfast (format {format}, this one reads up to {FORMAT})", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The form of an unreleased build.
    #[error("snapshot {path} has format {format}, which no release wrote: this one reads {FORMAT}", path = path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The file ends before the snapshot does.
    #[error("snapshot {path} is cut short at byte {offset}: use another snapshot", path = path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Where something is missing.
        offset: u64,
    },
    /// The chunks were sealed with another key.
    #[error("snapshot {path} was sealed with another key: it belongs to another cluster or to another root key", path = path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written.
    #[error("snapshot {path} is damaged at byte {offset}: {why}; use another snapshot", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged part starts.
        offset: u64,
        /// How it shows.
        why: String,
    },
    /// A record that no snapshot can hold.
    #[error("a record of {0} bytes does not fit a snapshot, at most {RECORD_BYTES_MAX} are allowed")]
    RecordTooLong(usize),
    /// The disk refused.
    #[error("{doing} snapshot {path}: {source}", path = path.display())]
    Io {
        /// What was being tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl SnapshotError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError + use<> {
        let path = path.to_owned();
        move |source| SnapshotError::Io { doing, path, source }
    }

    fn damaged(path: &Path, offset: u64, why: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged { path: path.to_owned(), offset, why: why.into() }
    }
}

/// Reads what a snapshot says it is, without its key. Believe it once [`check`] or [`SnapshotReader::verify`] has passed.
///
/// # Errors
/// When the file is no snapshot, of a newer release, or damaged in its header.
pub fn read_header(disk: &dyn Disk, path: &Path) -> Result<SnapshotHeader, SnapshotError> {
    let file = disk.open(path).map_err(SnapshotError::io("opening", path))?;
    header::read(&*file, path).map(|(header, _)| header)
}

/// What the writer and the reader seal and open chunks with.
struct ChunkSeal {
    key: Key,
    header_hash: [u8; 32],
}

impl ChunkSeal {
    fn new(key: &Key, header: &[u8]) -> ChunkSeal {
        let header_hash = *blake3::hash(header).as_bytes();
        ChunkSeal { key: key.derive(KEY_CONTEXT, &header_hash), header_hash }
    }

    fn binding(&self, number: u64, kind: u8) -> Binding {
        Binding::new(Purpose::SnapshotChunk).bytes(&self.header_hash).u64(number).u64(u64::from(kind))
    }
}

/// Replaces whatever is at `path` with the finished file at `partial`, durably.
fn put_in_place(disk: &dyn Disk, partial: &Path, path: &Path) -> io::Result<()> {
    disk.rename(partial, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn cut_short(path: &Path, offset: u64) -> SnapshotError {
    SnapshotError::CutShort { path: path.to_owned(), offset }
}

fn read_exact(file: &dyn DiskFile, path: &Path, bytes: &mut [u8], offset: u64) -> Result<(), SnapshotError> {
    match disk::read_exact_at(file, bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_short(path, offset)),
        result => result.map_err(SnapshotError::io("reading", path)),
    }
}
