//! Snapshots: one streamed file format for Raft installation, backup and drills.
//!
//! ```text
//! header  magic "HFSNAP01" | length u32 | format u32 | cluster 16 | epoch u32 | created_ms u64 | key version u32 | position u32-prefixed |
//!         crc32 of all before
//! chunk   kind u8 = 1 | length u32 | sealed( LZ4( (length u32 | record)* ) )
//! end     kind u8 = 2 | length u32 | sealed( records u64 | chunks u64 | BLAKE3 of the file before this chunk )
//! ```
//! Every chunk is sealed with a key derived from the snapshot key and the header, and bound to its number and kind: a chunk that was cut,
//! changed, moved or taken from another snapshot does not open, and no record of it is returned. Nothing follows the end chunk.
//! Memory does not grow with the file, neither when it is written nor when it is read.

mod reader;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
};

use storage_crypto::{Binding, Key, Purpose};

pub use self::{
    reader::{Records, SnapshotReader},
    writer::SnapshotWriter,
};
use crate::disk::{self, Disk, DiskFile};

/// The newest format of snapshots that this release reads and writes.
pub const FORMAT: u32 = 1;

/// The longest record.
pub const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"HFSNAP01";
/// A chunk is closed by the record that takes it to this length.
const CHUNK_BYTES: usize = 1024 * 1024;
/// What a chunk can hold at most, before compression: it was below `CHUNK_BYTES`, and one longest record was added.
const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + 4 + RECORD_BYTES_MAX;
/// The same sealed, where the records did not compress.
const SEALED_BYTES_MAX: usize = CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / 16 + 1024;
const HEADER_BYTES_MAX: usize = 1024 * 1024;
const PREFIX_BYTES: usize = MAGIC.len() + 4;
const RECORDS: u8 = 1;
const END: u8 = 2;
const KEY_CONTEXT: &str = "holdfast/v1/snapshot chunks";

/// What a snapshot is of. It stands in the clear, and every chunk is bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// Counts restores.
    pub epoch: u32,
    /// The leader's clock when it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Which version of the root key its key comes from. Proven by the first chunk that opens, like everything here.
    pub key_version: u32,
    /// Where in the log it stands, as Raft encodes it.
    pub position: Vec<u8>,
}

/// What a verified snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSummary {
    /// Records in it.
    pub records: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file before its end chunk: stands for the whole snapshot.
    pub digest: [u8; 32],
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

/// Reads what a snapshot says it is, without its key. Believe it once [`SnapshotReader::verify`] has passed.
///
/// # Errors
/// When the file is no snapshot, of a newer release, or damaged in its header.
pub fn read_header(disk: &dyn Disk, path: &Path) -> Result<SnapshotHeader, SnapshotError> {
    let file = disk.open(path).map_err(SnapshotError::io("opening", path))?;
    read_encoded_header(&*file, path).map(|(header, _)| header)
}

/// The header, and its bytes.
fn read_encoded_header(file: &dyn DiskFile, path: &Path) -> Result<(SnapshotHeader, Vec<u8>), SnapshotError> {
    let io = |source| SnapshotError::io("reading", path)(source);
    let mut prefix = [0; PREFIX_BYTES];
    let read = file.read_at(&mut prefix, 0).map_err(io)?;
    let (magic, len) = prefix.split_at(MAGIC.len());
    let start = read.min(MAGIC.len());
    if magic[..start] != MAGIC[..start] || read == 0 {
        return Err(SnapshotError::NotASnapshot { path: path.to_owned() });
    }
    let len = u32::from_be_bytes(len.try_into().expect("four bytes are left of the prefix")) as usize;
    let cut = |offset| SnapshotError::CutShort { path: path.to_owned(), offset };
    if read < PREFIX_BYTES {
        return Err(cut(read as u64));
    }
    if len > HEADER_BYTES_MAX {
        return Err(SnapshotError::damaged(path, 0, "its header claims to be impossibly long"));
    }
    let mut bytes = vec![0; PREFIX_BYTES + len];
    let read = file.read_at(&mut bytes, 0).map_err(io)?;
    if read < bytes.len() {
        return Err(cut(read as u64));
    }
    let header = SnapshotHeader::decode(path, &bytes)?;
    Ok((header, bytes))
}

impl SnapshotHeader {
    fn encode(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(64 + self.position.len());
        rest.extend_from_slice(&FORMAT.to_be_bytes());
        rest.extend_from_slice(&self.cluster);
        rest.extend_from_slice(&self.epoch.to_be_bytes());
        rest.extend_from_slice(&self.created_ms.to_be_bytes());
        rest.extend_from_slice(&self.key_version.to_be_bytes());
        rest.extend_from_slice(&u32::try_from(self.position.len()).expect("a position is short").to_be_bytes());
        rest.extend_from_slice(&self.position);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&u32::try_from(rest.len() + 4).expect("a header is short").to_be_bytes());
        bytes.extend_from_slice(&rest);
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<SnapshotHeader, SnapshotError> {
        let damaged = || SnapshotError::damaged(path, 0, "its header does not read");
        let (checked, crc) = bytes.split_last_chunk().ok_or_else(damaged)?;
        if crc32fast::hash(checked) != u32::from_be_bytes(*crc) {
            return Err(SnapshotError::damaged(path, 0, "its header's checksum is wrong"));
        }
        let rest = checked.get(PREFIX_BYTES..).ok_or_else(damaged)?;
        let (format, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        match u32::from_be_bytes(*format) {
            FORMAT => {}
            format if format > FORMAT => return Err(SnapshotError::Newer { path: path.to_owned(), format }),
            _ => return Err(damaged()),
        }
        let (cluster, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (created_ms, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (key_version, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (len, position) = rest.split_first_chunk().ok_or_else(damaged)?;
        if u32::from_be_bytes(*len) as usize != position.len() {
            return Err(damaged());
        }
        Ok(SnapshotHeader {
            cluster: *cluster,
            epoch: u32::from_be_bytes(*epoch),
            created_ms: u64::from_be_bytes(*created_ms),
            key_version: u32::from_be_bytes(*key_version),
            position: position.to_vec(),
        })
    }
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

fn read_chunk_head(file: &dyn DiskFile, path: &Path, offset: u64) -> Result<(u8, usize), SnapshotError> {
    let mut head = [0; 5];
    let read = file.read_at(&mut head, offset).map_err(SnapshotError::io("reading", path))?;
    if read < head.len() {
        return Err(SnapshotError::CutShort { path: path.to_owned(), offset: offset + read as u64 });
    }
    let (kind, len) = head.split_first().expect("the head has five bytes");
    let len = u32::from_be_bytes(len.try_into().expect("four bytes follow the kind")) as usize;
    if !matches!(*kind, RECORDS | END) || len > SEALED_BYTES_MAX {
        return Err(SnapshotError::damaged(path, offset, "what stands there is no chunk"));
    }
    Ok((*kind, len))
}

fn read_exact(file: &dyn DiskFile, path: &Path, bytes: &mut [u8], offset: u64) -> Result<(), SnapshotError> {
    match disk::read_exact_at(file, bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(SnapshotError::CutShort { path: path.to_owned(), offset })
        }
        result => result.map_err(SnapshotError::io("reading", path)),
    }
}
