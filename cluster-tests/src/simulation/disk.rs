//! Disks of simulated nodes: in memory, slow by chance, and one life of a node's process at a time.

use super::chance;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use storage::workers::{Drive, Step, Wake};
use storage::{Disk, DiskFile, MemoryDisk};
use tokio::sync::mpsc;

/// How long what was queued for a disk waits until it is written and synced.
const LATENCY_MS: std::ops::RangeInclusive<u64> = 1..=4;
/// And now and then.
const SLOW_MS: u64 = 60;

/// Takes the steps of logs and journals, each some time after it was woken.
pub(super) fn drive() -> Drive {
    Rc::new(|mut step: Step| -> Wake {
        let (sender, mut wakes) = mpsc::unbounded_channel::<()>();
        tokio::spawn(async move {
            while wakes.recv().await.is_some() {
                let wait = if chance::happens(1) { SLOW_MS } else { chance::of(LATENCY_MS) };
                tokio::time::sleep(Duration::from_millis(wait)).await;
                while wakes.try_recv().is_ok() {}
                step();
            }
        });
        Box::new(move || {
            // A task that is gone has nothing to write any more.
            let _ = sender.send(());
        })
    })
}

/// A node's disk as one life of it has it: its data lies in another directory each time, because sled and the lock are real files there.
pub(super) struct LifeDisk {
    /// What outlives it.
    disk: MemoryDisk,
    data: PathBuf,
}

impl LifeDisk {
    pub(super) fn new(disk: &MemoryDisk, data: &Path) -> LifeDisk {
        LifeDisk { disk: disk.booted(), data: data.to_owned() }
    }

    fn place<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.data).unwrap_or(path)
    }
}

impl Disk for LifeDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(self.place(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(self.place(dir))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(self.place(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create_new(self.place(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(self.place(from), self.place(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(self.place(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(self.place(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(self.place(path))
    }
}

/// Puts a real file on a disk, durable.
pub(super) fn lay_down(disk: &MemoryDisk, name: &Path, contents: &[u8]) -> io::Result<()> {
    let file = disk.create_new(name)?;
    file.write_all_at(contents, 0)?;
    file.sync_data()?;
    disk.sync_dir(name.parent().unwrap_or(Path::new("")))
}
