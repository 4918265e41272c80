//! Sealed frames in pre-written segments: what the write-ahead log and the journal have in common.
//!
//! ```text
//! segment file  {number:016x}.seg: zero-filled when made, then frames from offset 0, each on a multiple of 8
//!               (one without records, for its watermark alone, on a multiple of 512)
//! frame         magic "HFF1" | crc32 of all that follows and of the segment's number | length u32 | count u32 | number u64
//!               | first u64 | offset u64 | watermark u64 | body, sealed and bound to cluster, node, segment and this header
//! first frame   body = format u8 | capacity u64 | what the log or the journal carries over from the segment before
//! ```
//! Numbers are big endian. `number` counts frames across segments without a gap. `watermark` is the number below which every frame
//! was durable when this one was written: it is what tells a torn tail, which is dropped, from damage to something that was
//! acknowledged, which is not. See `segment/recovery.rs`.

pub(crate) mod appender;
pub(crate) mod frame;
pub(crate) mod maker;
pub(crate) mod recovery;
mod vouched;

pub use vouched::vouched;

use std::{
    io,
    path::{Path, PathBuf},
};

/// Whose data a directory holds; every frame and row is bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// The node's id within the cluster.
    pub node: u64,
}

/// Bytes in a segment unless the options say otherwise (measured: `wal.md`, 64 MB segments stall the writer for 40 ms).
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The number of the first segment that a node ever writes.
pub(crate) const FIRST_SEGMENT: u64 = 1;

const EXTENSION: &str = ".seg";
const MAKING_EXTENSION: &str = ".making";

/// No segment, frame, entry or record has a higher number: at a million in a second it takes 146,000 years to get there. What says so was not
/// written by a log, and counting on from it must not fail.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

/// The newest format of segments that this release reads and writes.
pub const FORMAT: u8 = 1;

/// Why a directory of segments was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The disk refused.
    #[error("{doing} {path}: {source}", path = path.display())]
    Io {
        /// What was being tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something that had been durable is damaged or missing.
    #[error(
        "{path} is damaged at offset {offset}: {why}; nothing was changed: keep the directory, remove this node from the cluster and \
         let it join again with an empty directory under a new node id",
        path = path.display()
    )]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How it shows.
        why: String,
    },
    /// The frames were sealed with another key.
    #[error("{path} was sealed with another storage key: it belongs to another node's identity", path = path.display())]
    WrongKey {
        /// The first file that did not open.
        path: PathBuf,
    },
    /// A release that does not exist yet for this one.
    #[error("{path} was written by a newer holdfast (format {format}, this one reads up to {FORMAT})", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u8,
    },
}

impl SegmentError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SegmentError + use<> {
        let path = path.to_owned();
        move |source| SegmentError::Io { doing, path, source }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, why: impl Into<String>) -> SegmentError {
        SegmentError::Corrupt { path: path.to_owned(), offset, why: why.into() }
    }
}

pub(crate) fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}{EXTENSION}"))
}

pub(crate) fn making_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}{MAKING_EXTENSION}"))
}

/// The number in the name of a segment. A name with a number that no log gets to is another file's.
pub(crate) fn segment_id(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    let id = (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?;
    id.filter(|id| *id <= NUMBER_MAX)
}

/// What the first frame of a segment says about the segment itself.
pub(crate) struct SegmentStart<'a> {
    /// The length that the file was made with; it is never shorter later.
    pub(crate) capacity: u64,
    /// What the log or the journal carries over.
    pub(crate) carried: &'a [u8],
}

impl SegmentStart<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(9 + self.carried.len());
        body.push(FORMAT);
        body.extend_from_slice(&self.capacity.to_be_bytes());
        body.extend_from_slice(self.carried);
        body
    }
}

impl<'a> SegmentStart<'a> {
    pub(crate) fn decode(path: &Path, body: &'a [u8]) -> Result<SegmentStart<'a>, SegmentError> {
        match body.split_first() {
            Some((&FORMAT, rest)) => {
                let (capacity, carried) =
                    rest.split_first_chunk().ok_or_else(|| SegmentError::corrupt(path, 0, "its first frame is cut short"))?;
                Ok(SegmentStart { capacity: u64::from_be_bytes(*capacity), carried })
            }
            Some((&format, _)) if format > FORMAT => Err(SegmentError::Newer { path: path.to_owned(), format }),
            _ => Err(SegmentError::corrupt(path, 0, "its first frame names no known format")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_that_can_be_counted_on_from_names_a_segment() {
        assert_eq!(segment_id("00000000000000ff.seg"), Some(255));
        for other in ["ffffffffffffffff.seg", "4000000000000001.seg", "ff.seg", "00000000000000fg.seg", "00000000000000ff.making"]
        {
            assert_eq!(segment_id(other), None, "{other}");
        }
    }
}
