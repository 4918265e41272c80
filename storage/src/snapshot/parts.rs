//! The parts of a snapshot as they stand on disk: what can be checked without any key.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use storage_crypto::PublicKey;

use super::{
    END, PART_HEAD_BYTES, PART_OVERHEAD_BYTES, RECORDS, SEALED_BYTES_MAX, SIGNATURE, SIGNED_CONTEXT, SnapshotError,
    SnapshotHeader, cut_short, header, read_exact,
};
use crate::disk::{Disk, DiskFile};

/// What a snapshot without its key was found to be: whole, unchanged since it was signed, and signed by this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it says it is.
    pub header: SnapshotHeader,
    /// Bytes of the file.
    pub bytes: u64,
    /// Chunks of records in it.
    pub chunks: u64,
    /// BLAKE3 of the file before its signature: stands for the whole snapshot.
    pub digest: [u8; 32],
    /// Whose signature it bears. It counts for what is known of that key.
    pub signer: PublicKey,
}

/// Reads the whole file and checks what can be checked without its key: structure, checksums, digest, signature, and that it ends where it
/// says. `progress` is told how many bytes were read so far.
///
/// # Errors
/// When anything at all is missing, changed, moved or left over.
pub fn check(disk: &dyn Disk, path: &Path, mut progress: impl FnMut(u64)) -> Result<Checked, SnapshotError> {
    let file = disk.open(path).map_err(SnapshotError::io("opening", path))?;
    let (header, encoded) = header::read(&*file, path)?;
    let mut parts = Parts::new(file, path.to_owned(), &encoded);
    loop {
        match parts.next()? {
            Part::Records(_) => progress(parts.offset),
            Part::End(_) => {}
            Part::Signature { digest, signer } => {
                progress(parts.offset);
                return Ok(Checked { header, bytes: parts.offset, chunks: parts.chunks, digest, signer });
            }
        }
    }
}

/// One part, checksum and place proven.
pub(super) enum Part {
    /// A sealed chunk of records.
    Records(Vec<u8>),
    /// The sealed end.
    End(Vec<u8>),
    /// The signature, which fits what was read; nothing follows it.
    Signature { digest: [u8; 32], signer: PublicKey },
}

/// Reads parts in order.
pub(super) struct Parts {
    file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    /// Where the next part starts.
    pub(super) offset: u64,
    /// Chunks of records so far.
    pub(super) chunks: u64,
    /// The header's bytes and those of every part so far.
    pub(super) hasher: blake3::Hasher,
    ended: bool,
}

impl Parts {
    pub(super) fn new(file: Arc<dyn DiskFile>, path: PathBuf, header: &[u8]) -> Parts {
        let mut hasher = blake3::Hasher::new();
        hasher.update(header);
        Parts { file, path, offset: header.len() as u64, chunks: 0, hasher, ended: false }
    }

    pub(super) fn damaged(&self, why: impl Into<String>) -> SnapshotError {
        SnapshotError::damaged(&self.path, self.offset, why)
    }

    /// The next part. After the signature there is none.
    pub(super) fn next(&mut self) -> Result<Part, SnapshotError> {
        let (kind, mut part) = self.read()?;
        let part_bytes = part.len() as u64;
        match (kind, self.ended) {
            (RECORDS, false) => self.chunks += 1,
            (END, false) => self.ended = true,
            (SIGNATURE, true) => {
                let signature = self.signature(&part)?;
                self.offset += part_bytes;
                return Ok(signature);
            }
            _ => return Err(self.damaged("a part stands where it cannot")),
        }
        self.hasher.update(&part);
        self.offset += part_bytes;
        part.truncate(part.len() - 4);
        part.drain(..PART_HEAD_BYTES);
        Ok(if kind == RECORDS { Part::Records(part) } else { Part::End(part) })
    }

    /// The bytes of a part, head and checksum included.
    fn read(&self) -> Result<(u8, Vec<u8>), SnapshotError> {
        let mut head = [0; PART_HEAD_BYTES];
        let read = self.file.read_at(&mut head, self.offset).map_err(SnapshotError::io("reading", &self.path))?;
        if read < head.len() {
            return Err(cut_short(&self.path, self.offset + read as u64));
        }
        let [kind, len @ ..] = head;
        let len = u32::from_be_bytes(len) as usize;
        if !matches!(kind, RECORDS | END | SIGNATURE) || len > SEALED_BYTES_MAX {
            return Err(self.damaged("what stands there is no part of a snapshot"));
        }
        let mut part = vec![0; len + PART_OVERHEAD_BYTES];
        read_exact(&*self.file, &self.path, &mut part, self.offset)?;
        let (checked, crc) = part.split_last_chunk().expect("a part has more than a checksum");
        if crc32fast::hash(checked) != u32::from_be_bytes(*crc) {
            return Err(self.damaged("a checksum is wrong"));
        }
        Ok((kind, part))
    }

    fn signature(&self, part: &[u8]) -> Result<Part, SnapshotError> {
        let body = &part[PART_HEAD_BYTES..part.len() - 4];
        let (public, signature) = body.split_first_chunk().ok_or_else(|| self.damaged("its signature does not read"))?;
        let signature = signature.try_into().map_err(|_| self.damaged("its signature does not read"))?;
        let digest = *self.hasher.finalize().as_bytes();
        let signer = PublicKey(*public);
        if !signer.verify(&signed(&digest), signature) {
            return Err(self.damaged("its signature is wrong"));
        }
        let len = self.file.len().map_err(SnapshotError::io("reading", &self.path))?;
        if len != self.offset + part.len() as u64 {
            return Err(self.damaged("something follows its end"));
        }
        Ok(Part::Signature { digest, signer })
    }
}

/// What is signed.
pub(super) fn signed(digest: &[u8; 32]) -> Vec<u8> {
    [SIGNED_CONTEXT, digest].concat()
}
