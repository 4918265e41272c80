//! A snapshot between two nodes is a handle to a file, never its bytes in memory.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use storage::disk::{self, Disk, DiskFile};

/// An open snapshot file. It stays readable when a newer snapshot takes its place on disk while it is being sent.
#[derive(Clone)]
pub struct SnapshotFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    length: u64,
}

impl SnapshotFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn open(disk: &dyn Disk, path: impl Into<PathBuf>) -> io::Result<SnapshotFile> {
        let path = path.into();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("open snapshot {}: {error}", path.display()));
        let file = disk.open(&path).map_err(named)?;
        let length = file.len().map_err(named)?;
        Ok(SnapshotFile { path, file, length })
    }

    /// Where the file was when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads up to `bytes_max` from `offset`; empty at the end. Blocking.
    ///
    /// # Errors
    /// When the disk does not give it back.
    pub fn read(&self, offset: u64, bytes_max: usize) -> io::Result<Bytes> {
        let wanted = self.length.saturating_sub(offset).min(bytes_max as u64);
        let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(bytes_max)];
        disk::read_exact_at(&*self.file, &mut bytes, offset)?;
        Ok(bytes.into())
    }
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SnapshotFile({}, {} bytes)", self.path.display(), self.length)
    }
}
