//! Writes a snapshot under a temporary name, and gives it its own only when it is whole and durable.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use storage_crypto::{Entropy, Key, PublicKey, Signer, sealed};

use super::{
    CHUNK_BYTES, ChunkSeal, END, PART_OVERHEAD_BYTES, RECORD_BYTES_MAX, RECORDS, SIGNATURE, SnapshotError, SnapshotHeader,
    SnapshotSummary, parts::signed, put_in_place,
};
use crate::behind::Behind;
use crate::disk::{Disk, DiskFile};
use crate::planted;

/// Chunks that may wait to be sealed and written.
const CHUNKS_AHEAD: usize = 2;

/// A snapshot that is being written. Dropped before [`SnapshotWriter::finish`], it leaves nothing behind.
pub struct SnapshotWriter {
    path: PathBuf,
    chunk: Vec<u8>,
    records: u64,
    parts: Behind<Vec<u8>, Parts, SnapshotError>,
}

impl SnapshotWriter {
    /// Starts a snapshot that will lie at `path`. Until it is finished it is `path` with `.partial` behind it; one left by a crash is
    /// replaced.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        header: &SnapshotHeader,
        key: &Key,
        entropy: Arc<dyn Entropy>,
    ) -> Result<SnapshotWriter, SnapshotError> {
        let mut partial = path.to_owned().into_os_string();
        if !planted::is_back("half-snapshot-visible") {
            partial.push(".partial");
        }
        let partial = PathBuf::from(partial);
        let io = |source| SnapshotError::io("creating", path)(source);
        if disk.exists(&partial).map_err(io)? {
            disk.remove(&partial).map_err(io)?;
        }
        let file = disk.create_new(&partial).map_err(io)?;
        let header = header.encode();
        let mut parts = Parts {
            disk,
            path: path.to_owned(),
            partial,
            file: Some(file),
            seal: ChunkSeal::new(key, &header),
            entropy,
            hasher: blake3::Hasher::new(),
            offset: 0,
            chunks: 0,
        };
        parts.write(&header)?;
        // Chunks are compressed, sealed and written while the next is gathered.
        let parts = Behind::start("snapshot-writer", CHUNKS_AHEAD, parts, Parts::write_records);
        let parts = parts.map_err(SnapshotError::io("starting a thread for", path))?;
        Ok(SnapshotWriter { path: path.to_owned(), chunk: Vec::new(), records: 0, parts })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it is longer than [`RECORD_BYTES_MAX`], or the disk refused one before; the snapshot is lost then.
    pub fn push(&mut self, record: &[u8]) -> Result<(), SnapshotError> {
        let len = u32::try_from(record.len()).ok().filter(|_| record.len() <= RECORD_BYTES_MAX);
        let len = len.ok_or(SnapshotError::RecordTooLong(record.len()))?;
        self.chunk.extend_from_slice(&len.to_be_bytes());
        self.chunk.extend_from_slice(record);
        self.records += 1;
        if self.chunk.len() >= CHUNK_BYTES { self.hand_over() } else { Ok(()) }
    }

    /// Writes the end, signs, syncs the file and gives it its name. Durable on return.
    ///
    /// # Errors
    /// When the disk refuses; there is no snapshot then.
    pub fn finish(mut self, signer: &Signer) -> Result<SnapshotSummary, SnapshotError> {
        if !self.chunk.is_empty() {
            self.hand_over()?;
        }
        let parts = self.parts.end().map_err(|failed| self.lost(failed))?;
        parts.finish(self.records, signer)
    }

    fn hand_over(&mut self) -> Result<(), SnapshotError> {
        let next = Vec::with_capacity(self.chunk.capacity());
        self.parts.give(std::mem::replace(&mut self.chunk, next)).map_err(|failed| self.lost(failed))
    }

    fn lost(&self, failed: Option<SnapshotError>) -> SnapshotError {
        failed.unwrap_or_else(|| SnapshotError::io("writing", &self.path)(io::Error::other("it was given up")))
    }
}

/// What is on the disk of it.
struct Parts {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    partial: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    seal: ChunkSeal,
    entropy: Arc<dyn Entropy>,
    hasher: blake3::Hasher,
    offset: u64,
    chunks: u64,
}

impl Parts {
    fn finish(mut self, records: u64, signer: &Signer) -> Result<SnapshotSummary, SnapshotError> {
        let before = *self.hasher.finalize().as_bytes();
        let mut end = Vec::with_capacity(48);
        end.extend_from_slice(&records.to_be_bytes());
        end.extend_from_slice(&self.chunks.to_be_bytes());
        end.extend_from_slice(&before);
        self.write_chunk(END, &end)?;
        let digest = *self.hasher.finalize().as_bytes();
        let signer = self.sign(signer, &digest)?;
        if !planted::is_back("snapshot-not-synced") {
            self.sync()?;
        }
        put_in_place(&*self.disk, &self.partial, &self.path).map_err(SnapshotError::io("finishing", &self.path))?;
        self.file = None;
        Ok(SnapshotSummary { records, bytes: self.offset, digest, signer })
    }

    fn sign(&mut self, signer: &Signer, digest: &[u8; 32]) -> Result<PublicKey, SnapshotError> {
        let public = signer.public();
        let signature = signer.sign(&signed(digest));
        self.write_part(SIGNATURE, signature.len() + public.0.len(), |part| {
            part.extend_from_slice(&public.0);
            part.extend_from_slice(&signature);
        })?;
        Ok(public)
    }

    fn write_records(&mut self, chunk: Vec<u8>) -> Result<(), SnapshotError> {
        let compressed = lz4_flex::block::compress_prepend_size(&chunk);
        self.write_chunk(RECORDS, &compressed)?;
        // Paces the disk: one sync at the end of gigabytes would stall the log behind it.
        if self.chunks.is_multiple_of(8) { self.sync() } else { Ok(()) }
    }

    fn write_chunk(&mut self, kind: u8, body: &[u8]) -> Result<(), SnapshotError> {
        let (entropy, binding) = (self.entropy.clone(), self.seal.binding(self.chunks, kind));
        let key = self.seal.key.duplicate();
        self.chunks += 1;
        self.write_part(kind, body.len() + sealed::OVERHEAD_BYTES, |part| {
            sealed::seal_into(&key, 1, &binding, body, &*entropy, part);
        })
    }

    /// Kind, length, what `fill` adds (`len` bytes), checksum.
    fn write_part(&mut self, kind: u8, len: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), SnapshotError> {
        let mut part = Vec::with_capacity(len + PART_OVERHEAD_BYTES);
        part.push(kind);
        part.extend_from_slice(&u32::try_from(len).expect("a part is limited to a few mebibytes").to_be_bytes());
        fill(&mut part);
        let crc = crc32fast::hash(&part);
        part.extend_from_slice(&crc.to_be_bytes());
        self.write(&part)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let file = self.file.as_ref().expect("the file is open until the snapshot is finished");
        file.write_all_at(bytes, self.offset).map_err(SnapshotError::io("writing", &self.partial))?;
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn sync(&self) -> Result<(), SnapshotError> {
        let file = self.file.as_ref().expect("the file is open until the snapshot is finished");
        file.sync_data().map_err(SnapshotError::io("syncing", &self.partial))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: the next snapshot at this path replaces it anyway.
            let _ = self.disk.remove(&self.partial);
        }
    }
}
