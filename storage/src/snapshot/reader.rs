//! Reads a snapshot chunk by chunk: a record is returned only after its chunk has proven to be what was written.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use storage_crypto::{Key, OpenError, sealed};

use super::{
    CHUNK_BYTES_MAX, ChunkSeal, END, SnapshotError, SnapshotHeader, SnapshotSummary, read_chunk_head, read_encoded_header,
    read_exact,
};
use crate::disk::{Disk, DiskFile};

/// A snapshot to read.
pub struct SnapshotReader {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    header: SnapshotHeader,
    encoded_header: Vec<u8>,
    seal: ChunkSeal,
}

impl SnapshotReader {
    /// Opens the snapshot at `path` with the snapshot key. Only the header is read.
    ///
    /// # Errors
    /// As [`super::read_header`].
    pub fn open(disk: &dyn Disk, path: &Path, key: &Key) -> Result<SnapshotReader, SnapshotError> {
        let file = disk.open(path).map_err(SnapshotError::io("opening", path))?;
        let (header, encoded_header) = read_encoded_header(&*file, path)?;
        let seal = ChunkSeal::new(key, &encoded_header);
        Ok(SnapshotReader { file, path: path.to_owned(), header, encoded_header, seal })
    }

    /// What the snapshot says it is. Proven as soon as one chunk has opened.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// Reads the whole file and checks every byte of it, before anything is done with what it holds.
    ///
    /// # Errors
    /// When anything at all is missing, changed, moved or left over.
    pub fn verify(&self) -> Result<SnapshotSummary, SnapshotError> {
        let mut chunks = self.chunks();
        while let Some(chunk) = chunks.next()? {
            // Records are cut out to see that they can be.
            for record in Cut(chunk) {
                record.map_err(|why| SnapshotError::damaged(&self.path, chunks.offset, why))?;
                chunks.records += 1;
            }
        }
        chunks.summary()
    }

    /// Every record in order. The end is an error unless the snapshot was whole.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records { chunks: self.chunks(), cut: Cut(Bytes::new()), ended: false }
    }

    fn chunks(&self) -> Chunks<'_> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.encoded_header);
        Chunks { reader: self, offset: self.encoded_header.len() as u64, number: 0, records: 0, hasher, end: None }
    }
}

/// Iterates over the records of a snapshot.
pub struct Records<'a> {
    chunks: Chunks<'a>,
    cut: Cut,
    ended: bool,
}

impl Iterator for Records<'_> {
    type Item = Result<Bytes, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            if let Some(record) = self.cut.next() {
                self.chunks.records += 1;
                let (path, offset) = (&self.chunks.reader.path, self.chunks.offset);
                self.ended = record.is_err();
                return Some(record.map_err(|why| SnapshotError::damaged(path, offset, why)));
            }
            let next = self.chunks.next().and_then(|chunk| match chunk {
                Some(chunk) => Ok(Some(chunk)),
                None => self.chunks.summary().map(|_| None),
            });
            match next {
                Ok(Some(chunk)) => self.cut = Cut(chunk),
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

struct Chunks<'a> {
    reader: &'a SnapshotReader,
    offset: u64,
    number: u64,
    records: u64,
    hasher: blake3::Hasher,
    end: Option<(Vec<u8>, [u8; 32])>,
}

impl Chunks<'_> {
    /// The next chunk of records, decompressed; nothing once the end chunk has been read and nothing follows it.
    fn next(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        let SnapshotReader { file, path, seal, .. } = self.reader;
        let (kind, len) = read_chunk_head(&**file, path, self.offset)?;
        let mut chunk = vec![0; 5 + len];
        read_exact(&**file, path, &mut chunk, self.offset)?;
        let damaged = |why: &str| SnapshotError::damaged(path, self.offset, why);
        let body = sealed::open_bulk(&seal.key, &seal.binding(self.number, kind), &chunk[5..]).map_err(|error| match error {
            // Another key shows at the first chunk; later ones were opened before with this one.
            OpenError::WrongKey if self.number == 0 => SnapshotError::WrongKey { path: path.clone() },
            other => damaged(&other.to_string()),
        })?;
        if kind == END {
            let len = file.len().map_err(SnapshotError::io("reading", path))?;
            if len != self.offset + chunk.len() as u64 {
                return Err(damaged("something follows its end"));
            }
            self.end = Some((body, *self.hasher.finalize().as_bytes()));
            self.offset = len;
            return Ok(None);
        }
        let (plain_len, _) = lz4_flex::block::uncompressed_size(&body).map_err(|_| damaged("a chunk is empty"))?;
        if plain_len > CHUNK_BYTES_MAX {
            return Err(damaged("a chunk claims to be impossibly long"));
        }
        let records = lz4_flex::block::decompress_size_prepended(&body).map_err(|_| damaged("a chunk does not decompress"))?;
        self.hasher.update(&chunk);
        self.offset += chunk.len() as u64;
        self.number += 1;
        Ok(Some(Bytes::from(records)))
    }

    /// What the end chunk says, if it is what was read.
    fn summary(&self) -> Result<SnapshotSummary, SnapshotError> {
        let damaged = || SnapshotError::damaged(&self.reader.path, self.offset, "its end does not fit what was read");
        let (end, digest) = self.end.as_ref().ok_or_else(damaged)?;
        let expected = [&self.records.to_be_bytes()[..], &self.number.to_be_bytes(), digest].concat();
        if *end != expected {
            return Err(damaged());
        }
        Ok(SnapshotSummary { records: self.records, bytes: self.offset, digest: *digest })
    }
}

/// Cuts a chunk into its records.
struct Cut(Bytes);

impl Iterator for Cut {
    type Item = Result<Bytes, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some(len) = self.0.first_chunk().map(|len| u32::from_be_bytes(*len) as usize) else {
            self.0.clear();
            return Some(Err("a record is cut short"));
        };
        drop(self.0.split_to(4));
        if len > self.0.len() {
            self.0.clear();
            return Some(Err("a record is cut short"));
        }
        Some(Ok(self.0.split_to(len)))
    }
}
