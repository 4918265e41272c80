//! Disks of simulated nodes: in memory, slow by chance, and one life of a node's process at a time.

use super::chance;
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use storage::workers::{Drive, Step, Wake};
use storage::{Disk, DiskFile, MemoryDisk};
use tokio::sync::mpsc;

/// How long what was queued for a disk waits until it is written and synced.
const LATENCY_MS: std::ops::RangeInclusive<u64> = 1..=4;
/// And now and then.
const SLOW_MS: u64 = 60;

thread_local! {
    /// The pace of the disk that was used last. A log is opened in one go: whoever takes its steps over learns here whose it is.
    static LAST_USED: RefCell<Pace> = RefCell::default();
}

/// How slow a disk is: what is queued for it waits up to so many milliseconds longer. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<AtomicU64>);

impl Pace {
    pub(super) fn slow(&self, ms_max: u64) {
        self.0.store(ms_max, Ordering::Relaxed);
    }

    fn wait(&self) -> Duration {
        let usual = if chance::happens(1) { SLOW_MS } else { chance::of(LATENCY_MS) };
        Duration::from_millis(usual + chance::of(0..=self.0.load(Ordering::Relaxed)))
    }
}

/// Takes the steps of logs and journals, each some time after it was woken.
pub(super) fn drive() -> Drive {
    Rc::new(|mut step: Step| -> Wake {
        let pace = LAST_USED.with_borrow(Clone::clone);
        let (sender, mut wakes) = mpsc::unbounded_channel::<()>();
        tokio::spawn(async move {
            while wakes.recv().await.is_some() {
                tokio::time::sleep(pace.wait()).await;
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

/// A node's disk as one life of it has it: its data lies in another directory each time, because its lock is a real file there.
pub(super) struct LifeDisk {
    disk: MemoryDisk,
    data: PathBuf,
    pace: Pace,
}

impl LifeDisk {
    /// `booted` is the disk as this life sees it.
    pub(super) fn new(booted: MemoryDisk, data: &Path, pace: Pace) -> LifeDisk {
        LifeDisk { disk: booted, data: data.to_owned(), pace }
    }

    fn place<'a>(&self, path: &'a Path) -> &'a Path {
        LAST_USED.with_borrow_mut(|last| last.clone_from(&self.pace));
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

/// Bytes of a log that are not what they were.
pub(super) struct Rotten {
    path: PathBuf,
    at: usize,
    /// The bits that turned.
    mask: Vec<u8>,
}

/// How a log goes bad.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decay {
    /// One bit turns.
    Bit,
    /// What was meant for another place of the log lies in this sector.
    Misdirected,
}

/// What a disk writes at once.
const SECTOR: usize = 512;

impl Rotten {
    /// Damages a log at a place where it cannot pass for a write that was cut off; none where there is no such place.
    pub(super) fn decay(disk: &MemoryDisk, log: &Path, decay: Decay) -> io::Result<Option<Rotten>> {
        let (mut files, mut places) = (Vec::new(), Vec::new());
        for path in disk.list(log)?.into_iter().map(|name| log.join(name)) {
            let bytes = storage::disk::read_all(&*disk.open(&path)?, 1 << 30)?;
            let frames = storage::segment::vouched(&path, &bytes);
            // Behind the last of them stands what vouches for it.
            let end = frames.last().map_or(0, |frame| frame.end);
            places.extend(frames.into_iter().map(|frame| (files.len(), frame.start, frame.end)));
            files.push((path, bytes, end));
        }
        let Some((file, starts, ends)) = chance::one(&places) else { return Ok(None) };
        let (path, bytes, end) = &files[file];
        let at = usize::try_from(chance::of(starts as u64..=ends as u64 - 1)).unwrap_or(0);
        let (at, mask) = match decay {
            Decay::Bit => (at, vec![1 << chance::of(0..=7)]),
            Decay::Misdirected => {
                let Some((other, from, _)) = chance::one(&places) else { return Ok(None) };
                let (sector, from) = (at / SECTOR * SECTOR, from / SECTOR * SECTOR);
                let (here, there) = (&bytes[sector..(sector + SECTOR).min(*end)], &files[other].1[from..]);
                (sector, here.iter().zip(there).map(|(here, there)| here ^ there).collect())
            }
        };
        let hits = |turned: usize| mask[turned] != 0 && (starts..ends).contains(&(at + turned));
        if !(0..mask.len()).any(hits) {
            return Ok(None);
        }
        let rotten = Rotten { path: path.clone(), at, mask };
        rotten.turn(disk);
        Ok(Some(rotten))
    }

    /// Puts back what was there: as an operator does who has the file.
    pub(super) fn turn(&self, disk: &MemoryDisk) {
        let turn = |bytes: &mut Vec<u8>| bytes[self.at..].iter_mut().zip(&self.mask).for_each(|(byte, mask)| *byte ^= mask);
        disk.tamper(&self.path, turn);
    }
}
