//! Makes a snapshot file on this node, checks it, and writes its entry.

use super::increment::{self, After, NoIncrement};
use super::{BackupError, failed};
use crate::boot::Ambient;
use crate::engine::snapshots::Snapshots;
use crate::engine::{Published, Sealing, View};
use raft::Replica;
use raft::timeline::{LogPayloads, read_position};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::{Disk, SnapshotHeader, SnapshotWriter};
use storage_backup::Entry;

/// A link to the newest snapshot may come too late when others are made at the same time.
const LINK_TRIES: usize = 3;

/// What makes snapshots for backup sets on one node.
pub(crate) struct Backups {
    ambient: Ambient,
    directory: PathBuf,
    replica: Replica,
    snapshots: Arc<Snapshots>,
    published: Arc<Published>,
    sealing: Arc<Sealing>,
    log: LogPayloads,
    made: AtomicU64,
}

/// A file that was made, with its entry. The file goes with it.
pub(crate) struct Made {
    pub(crate) path: PathBuf,
    pub(crate) entry: Entry,
    pub(crate) signed: Vec<u8>,
    /// Why it is a full one though an increment was asked for; empty where there is nothing to say.
    pub(crate) note: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        // Best effort: the next start sweeps.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Backups {
    /// What makes them, in `directory`, which is swept: what is there was left behind by a crash.
    pub(crate) fn new(
        ambient: &Ambient,
        directory: PathBuf,
        replica: Replica,
        snapshots: Arc<Snapshots>,
        (published, sealing, log): (Arc<Published>, Arc<Sealing>, LogPayloads),
    ) -> io::Result<Backups> {
        ambient.disk.create_dir_all(&directory)?;
        for name in ambient.disk.list(&directory)? {
            ambient.disk.remove(&directory.join(name))?;
        }
        let (ambient, made) = (ambient.clone(), AtomicU64::new(0));
        Ok(Backups { ambient, directory, replica, snapshots, published, sealing, log, made })
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        self.ambient.disk.clone()
    }

    pub(crate) fn sealing(&self) -> &Sealing {
        &self.sealing
    }

    /// Makes a snapshot of the state as it is now: the increment after `after` where that can be, a full one else.
    pub(crate) async fn make(self: Arc<Self>, after: Option<After>) -> Result<Made, BackupError> {
        let mut note = String::new();
        if let Some(after) = after {
            let own = self.clone();
            let made = tokio::task::spawn_blocking(move || own.increment(&after)).await.map_err(failed)?;
            match made {
                Ok(made) => return Ok(made),
                Err(NoIncrement::NeedsFull(why)) => note = format!("a full snapshot instead of an increment: {why}"),
                Err(NoIncrement::Failed(error)) => return Err(error),
            }
        }
        let path = self.full().await?;
        let own = self.clone();
        tokio::task::spawn_blocking(move || own.finish(path, None, note)).await.map_err(failed)?
    }

    fn next_path(&self) -> PathBuf {
        self.directory.join(format!("{:08}.making", self.made.fetch_add(1, Ordering::Relaxed)))
    }

    /// The node's own snapshot of now, under another name, so that it stays while it is sent.
    async fn full(&self) -> Result<PathBuf, BackupError> {
        let mut last = None;
        for _ in 0..LINK_TRIES {
            self.replica.trigger_snapshot().await.map_err(failed)?;
            let newest = self.snapshots.newest().map_err(failed)?;
            let newest = newest.ok_or_else(|| failed("there is nothing in this cluster yet"))?;
            let path = self.next_path();
            match std::fs::hard_link(&newest.path, &path) {
                Ok(()) => return Ok(path),
                Err(error) => last = Some(error),
            }
        }
        Err(failed(last.map_or_else(String::new, |error| format!("link the newest snapshot: {error}"))))
    }

    fn increment(&self, after: &After) -> Result<Made, NoIncrement> {
        let view = self.published.view();
        after.check(&view)?;
        let header = after.header(&view, self.ambient.clock.now().as_ms(), self.replica.position());
        self.write_increment(after, &header, &view)
    }

    /// The increment that leads from `after` to where a full snapshot stands that was made since: without it no point between them could be
    /// restored.
    pub(crate) async fn make_bridge(self: Arc<Self>, after: After, full: PathBuf) -> Result<Made, BackupError> {
        let bridge = move || {
            let view = self.published.view();
            let full = storage::snapshot::read_header(&*self.ambient.disk, &full).map_err(failed).map_err(NoIncrement::Failed)?;
            self.write_increment(&after, &after.header_up_to(&full), &view)
        };
        tokio::task::spawn_blocking(bridge).await.map_err(failed)?.map_err(failed)
    }

    fn write_increment(&self, after: &After, header: &SnapshotHeader, view: &View) -> Result<Made, NoIncrement> {
        let fault = |error: &dyn std::fmt::Display| NoIncrement::Failed(failed(error));
        let path = self.next_path();
        let key = self.snapshots.key_of(&path, header.key_version).map_err(|error| fault(&error))?;
        let (disk, entropy) = (self.ambient.disk.clone(), self.ambient.entropy.clone());
        let mut writer = SnapshotWriter::create(disk, &path, header, &key, entropy).map_err(|error| fault(&error))?;
        let index = increment::write(&self.log, after, &header.at, view, &mut writer)?;
        writer.finish(&self.sealing.signer()).map_err(|error| fault(&error))?;
        self.finish(path, Some(index), String::new()).map_err(NoIncrement::Failed)
    }

    /// Reads what was written once more, as whoever gets it would, and signs an entry for it.
    fn finish(&self, path: PathBuf, log_index: Option<u64>, note: String) -> Result<Made, BackupError> {
        let made = self.entry(&path, log_index);
        if made.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        let entry = made?;
        let signed = entry.sign(&self.sealing.signer());
        Ok(Made { path, entry, signed, note })
    }

    fn entry(&self, path: &Path, log_index: Option<u64>) -> Result<Entry, BackupError> {
        let disk: &dyn Disk = &*self.ambient.disk;
        let checked = storage::snapshot::check(disk, path, |_| ()).map_err(failed)?;
        let log_index = match log_index {
            Some(index) => index,
            None => read_position(&checked.header.position).map_err(failed)?.index,
        };
        Ok(Entry::of(&checked, log_index))
    }
}
