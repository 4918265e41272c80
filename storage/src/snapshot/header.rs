//! What a snapshot says it is, in the clear.

use std::path::Path;

use super::{FORMAT, MAGIC, PREFIX_BYTES, SnapshotError, cut_short};
use crate::disk::DiskFile;

pub(super) const HEADER_BYTES_MAX: usize = 1024 * 1024;
const FULL: u8 = 1;
const INCREMENT: u8 = 2;

/// What a snapshot is of. It stands in the clear, and every chunk and the signature are bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// Counts restores.
    pub epoch: u32,
    /// The clock of the node that made it, milliseconds since 1970.
    pub created_ms: u64,
    /// Which version of the root key its key comes from. Proven by the first chunk that opens, like everything here.
    pub key_version: u32,
    /// A whole state, or what happened after another one.
    pub contents: Contents,
    /// The state that it leads to.
    pub at: StatePoint,
    /// Secrets in that state.
    pub secrets: u64,
    /// Where in the log it stands, as Raft encodes it.
    pub position: Vec<u8>,
}

/// What the records of a snapshot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The whole state, with its sealed values.
    Full,
    /// The batches that were committed after a state: replayed on it they lead to `at`.
    Increment {
        /// Number of that state's newest record.
        revision: u64,
        /// The journal's chain at it.
        chain: [u8; 32],
    },
}

/// One state of a cluster, as far as it can be told from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatePoint {
    /// Number of its newest record.
    pub revision: u64,
    /// Stamp of that record, microseconds since 1970.
    pub stamp_us: u64,
    /// The journal's chain at it.
    pub chain: [u8; 32],
    /// Digest of its rows.
    pub digest: [u8; 32],
}

impl SnapshotHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(256 + self.position.len());
        rest.extend_from_slice(&FORMAT.to_be_bytes());
        rest.extend_from_slice(&self.cluster);
        rest.extend_from_slice(&self.epoch.to_be_bytes());
        rest.extend_from_slice(&self.created_ms.to_be_bytes());
        rest.extend_from_slice(&self.key_version.to_be_bytes());
        let (kind, revision, chain) = match self.contents {
            Contents::Full => (FULL, 0, [0; 32]),
            Contents::Increment { revision, chain } => (INCREMENT, revision, chain),
        };
        rest.push(kind);
        rest.extend_from_slice(&revision.to_be_bytes());
        rest.extend_from_slice(&chain);
        rest.extend_from_slice(&self.at.revision.to_be_bytes());
        rest.extend_from_slice(&self.at.stamp_us.to_be_bytes());
        rest.extend_from_slice(&self.at.chain);
        rest.extend_from_slice(&self.at.digest);
        rest.extend_from_slice(&self.secrets.to_be_bytes());
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
        let mut rest = checked.get(PREFIX_BYTES..).ok_or_else(damaged)?;
        match u32::from_be_bytes(take(&mut rest).ok_or_else(damaged)?) {
            FORMAT => SnapshotHeader::decode_rest(rest).ok_or_else(damaged),
            format if format > FORMAT => Err(SnapshotError::Newer { path: path.to_owned(), format }),
            format => Err(SnapshotError::Older { path: path.to_owned(), format }),
        }
    }

    fn decode_rest(mut rest: &[u8]) -> Option<SnapshotHeader> {
        let rest = &mut rest;
        let cluster = take(rest)?;
        let epoch = u32::from_be_bytes(take(rest)?);
        let created_ms = u64::from_be_bytes(take(rest)?);
        let key_version = u32::from_be_bytes(take(rest)?);
        let [kind] = take(rest)?;
        let (revision, chain) = (u64::from_be_bytes(take(rest)?), take(rest)?);
        let contents = match kind {
            FULL => Contents::Full,
            INCREMENT => Contents::Increment { revision, chain },
            _ => return None,
        };
        let at = StatePoint {
            revision: u64::from_be_bytes(take(rest)?),
            stamp_us: u64::from_be_bytes(take(rest)?),
            chain: take(rest)?,
            digest: take(rest)?,
        };
        let secrets = u64::from_be_bytes(take(rest)?);
        let len = u32::from_be_bytes(take(rest)?) as usize;
        let position = (rest.len() == len).then(|| rest.to_vec())?;
        Some(SnapshotHeader { cluster, epoch, created_ms, key_version, contents, at, secrets, position })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

/// The header, and its bytes.
pub(super) fn read(file: &dyn DiskFile, path: &Path) -> Result<(SnapshotHeader, Vec<u8>), SnapshotError> {
    let io = |source| SnapshotError::io("reading", path)(source);
    let mut prefix = [0; PREFIX_BYTES];
    let read = file.read_at(&mut prefix, 0).map_err(io)?;
    let (magic, len) = prefix.split_at(MAGIC.len());
    let start = read.min(MAGIC.len());
    if magic[..start] != MAGIC[..start] || read == 0 {
        return Err(SnapshotError::NotASnapshot { path: path.to_owned() });
    }
    let len = u32::from_be_bytes(len.try_into().expect("four bytes are left of the prefix")) as usize;
    if read < PREFIX_BYTES {
        return Err(cut_short(path, read as u64));
    }
    if len > HEADER_BYTES_MAX {
        return Err(SnapshotError::damaged(path, 0, "its header claims to be impossibly long"));
    }
    let mut bytes = vec![0; PREFIX_BYTES + len];
    let read = file.read_at(&mut bytes, 0).map_err(io)?;
    if read < bytes.len() {
        return Err(cut_short(path, read as u64));
    }
    let header = SnapshotHeader::decode(path, &bytes)?;
    Ok((header, bytes))
}
