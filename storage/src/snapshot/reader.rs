//! Reads a snapshot chunk by chunk: a record is returned only after its chunk has proven to be what was written.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use storage_crypto::{Key, OpenError, PublicKey, planted, sealed};

use super::{
    CHUNK_BYTES_MAX, ChunkSeal, END, RECORDS, SnapshotError, SnapshotHeader, SnapshotSummary, header,
    parts::{Part, Parts},
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
        let (header, encoded_header) = header::read(&*file, path)?;
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
                record.map_err(|why| chunks.parts.damaged(why))?;
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
        let parts = Parts::new(self.file.clone(), self.path.clone(), &self.encoded_header);
        Chunks { seal: &self.seal, parts, records: 0, summary: None }
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
                self.ended = record.is_err();
                return Some(record.map_err(|why| self.chunks.parts.damaged(why)));
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
    seal: &'a ChunkSeal,
    parts: Parts,
    records: u64,
    summary: Option<SnapshotSummary>,
}

impl Chunks<'_> {
    /// The next chunk of records, decompressed; nothing once the end and the signature have been read and fit what was read.
    fn next(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        let (number, digest) = (self.parts.chunks, self.parts.hasher.clone());
        let part = self.parts.next();
        if part.is_err() && planted::is_back("half-snapshot-visible") {
            let (records, bytes) = (self.records, self.parts.offset);
            self.summary = Some(SnapshotSummary { records, bytes, digest: [0; 32], signer: PublicKey([0; 32]) });
            return Ok(None);
        }
        match part? {
            Part::Records(sealed) => self.records_of(number, &sealed).map(Some),
            Part::End(sealed) => {
                let end = self.open(number, END, &sealed)?;
                let digest = digest.finalize();
                let expected = [&self.records.to_be_bytes()[..], &number.to_be_bytes(), digest.as_bytes()].concat();
                if end != expected {
                    return Err(self.parts.damaged("its end does not fit what was read"));
                }
                let Part::Signature { digest, signer } = self.parts.next()? else {
                    return Err(self.parts.damaged("its signature is missing"));
                };
                self.summary = Some(SnapshotSummary { records: self.records, bytes: self.parts.offset, digest, signer });
                Ok(None)
            }
            Part::Signature { .. } => Err(self.parts.damaged("its end is missing")),
        }
    }

    fn records_of(&self, number: u64, sealed: &[u8]) -> Result<Bytes, SnapshotError> {
        let body = self.open(number, RECORDS, sealed)?;
        let (plain_len, _) = lz4_flex::block::uncompressed_size(&body).map_err(|_| self.parts.damaged("a chunk is empty"))?;
        if plain_len > CHUNK_BYTES_MAX {
            return Err(self.parts.damaged("a chunk claims to be impossibly long"));
        }
        let records = lz4_flex::block::decompress_size_prepended(&body);
        records.map(Bytes::from).map_err(|_| self.parts.damaged("a chunk does not decompress"))
    }

    fn open(&self, number: u64, kind: u8, sealed: &[u8]) -> Result<Vec<u8>, SnapshotError> {
        sealed::open_bulk(&self.seal.key, &self.seal.binding(number, kind), sealed).map_err(|error| match error {
            // Another key shows at the first chunk; later ones were opened before with this one.
            OpenError::WrongKey if number == 0 => SnapshotError::WrongKey { path: self.parts.path.clone() },
            other => self.parts.damaged(other.to_string()),
        })
    }

    fn summary(&self) -> Result<SnapshotSummary, SnapshotError> {
        self.summary.ok_or_else(|| self.parts.damaged("it was not read to its end"))
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
