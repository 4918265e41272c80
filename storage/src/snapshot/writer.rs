//! Writes a snapshot under a temporary name, and gives it its own only when it is whole and durable.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use storage_crypto::{Entropy, Key, PublicKey, Signer, sealed};

use super::{
    CHUNK_BYTES, ChunkSeal, END, PART_OVERHEAD_BYTES, RECORD_BYTES_MAX, RECORDS, SIGNATURE, SnapshotError, SnapshotHeader,
    SnapshotSummary, parts::signed, put_in_place,
};
use crate::disk::{Disk, DiskFile};
use crate::planted;

/// A snapshot that is being written. Dropped before [`SnapshotWriter::finish`], it leaves nothing behind.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    partial: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    seal: ChunkSeal,
    entropy: Arc<dyn Entropy>,
    hasher: blake3::Hasher,
    offset: u64,
    chunk: Vec<u8>,
    chunks: u64,
    records: u64,
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
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let io = |source| SnapshotError::io("creating", path)(source);
        if disk.exists(&partial).map_err(io)? {
            disk.remove(&partial).map_err(io)?;
        }
        let file = disk.create_new(&partial).map_err(io)?;
        let header = header.encode();
        let mut writer = SnapshotWriter {
            disk,
            path: path.to_owned(),
            partial,
            file: Some(file),
            seal: ChunkSeal::new(key, &header),
            entropy,
            hasher: blake3::Hasher::new(),
            offset: 0,
            chunk: Vec::new(),
            chunks: 0,
            records: 0,
        };
        writer.write(&header)?;
        Ok(writer)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it is longer than [`RECORD_BYTES_MAX`], or the disk refuses; the snapshot is lost then.
    pub fn push(&mut self, record: &[u8]) -> Result<(), SnapshotError> {
        let len = u32::try_from(record.len()).ok().filter(|_| record.len() <= RECORD_BYTES_MAX);
        let len = len.ok_or(SnapshotError::RecordTooLong(record.len()))?;
        self.chunk.extend_from_slice(&len.to_be_bytes());
        self.chunk.extend_from_slice(record);
        self.records += 1;
        if self.chunk.len() >= CHUNK_BYTES { self.write_records() } else { Ok(()) }
    }

    /// Writes the end, signs, syncs the file and gives it its name. Durable on return.
    ///
    /// # Errors
    /// When the disk refuses; there is no snapshot then.
    pub fn finish(mut self, signer: &Signer) -> Result<SnapshotSummary, SnapshotError> {
        if !self.chunk.is_empty() {
            self.write_records()?;
        }
        let before = *self.hasher.finalize().as_bytes();
        let mut end = Vec::with_capacity(48);
        end.extend_from_slice(&self.records.to_be_bytes());
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
        Ok(SnapshotSummary { records: self.records, bytes: self.offset, digest, signer })
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

    fn write_records(&mut self) -> Result<(), SnapshotError> {
        let compressed = lz4_flex::block::compress_prepend_size(&self.chunk);
        self.chunk.clear();
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

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: the next snapshot at this path replaces it anyway.
            let _ = self.disk.remove(&self.partial);
        }
    }
}
