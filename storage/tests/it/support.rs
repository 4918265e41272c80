//! Words that the tests share.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use storage::{Disk, MemoryDisk, Owner, Recovered, Wal, WalDriver, WalError, WalOptions};
use storage_crypto::{Key, SeededEntropy};

pub(crate) const OWNER: Owner = Owner { cluster: [1; 16], node: 7 };
pub(crate) const WAL_DIR: &str = "/wal";

pub(crate) fn key() -> Key {
    Key::from_bytes([42; 32])
}

pub(crate) fn small_segments(bytes: u64) -> WalOptions {
    WalOptions { segment_bytes: bytes, cache_bytes: 300, entropy: Arc::new(SeededEntropy::new(1)), ..WalOptions::default() }
}

pub(crate) fn open_manual(disk: &MemoryDisk, segment_bytes: u64) -> Result<(Wal, WalDriver, Recovered), WalError> {
    Wal::open_manual(Arc::new(disk.booted()), Path::new(WAL_DIR), key(), OWNER, small_segments(segment_bytes))
}

pub(crate) fn payload(index: u64, salt: u64, len: usize) -> Bytes {
    let seed = index.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD134_2543_DE82_EF95);
    let bytes = (0..len as u64).map(|at| (seed.rotate_left((at % 64) as u32) ^ at) as u8);
    bytes.collect::<Vec<_>>().into()
}

/// A small ext4 file system on a loop device: mounted while the value lives.
pub(crate) struct LoopFs {
    image: PathBuf,
    pub(crate) mount: PathBuf,
    _dir: tempfile::TempDir,
}

impl LoopFs {
    /// Nothing, with the reason printed, where file systems cannot be mounted.
    pub(crate) fn create(mebibytes: u64) -> Option<LoopFs> {
        let dir = tempfile::tempdir().unwrap();
        let (image, mount) = (dir.path().join("image"), dir.path().join("mount"));
        std::fs::create_dir(&mount).unwrap();
        std::fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        let made = run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        let fs = LoopFs { image, mount, _dir: dir };
        match made.and_then(|()| fs.mount()) {
            Ok(()) => Some(fs),
            Err(reason) => {
                println!("SKIPPED: no file system can be mounted here: {reason}");
                None
            }
        }
    }

    pub(crate) fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", self.image.to_str().unwrap(), self.mount.to_str().unwrap()])
    }

    pub(crate) fn unmount(&self) -> Result<(), String> {
        // A process that was just killed may hold the mount for a moment longer.
        for _ in 0..200 {
            if run("umount", &[self.mount.to_str().unwrap()]).is_ok() {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        run("umount", &[self.mount.to_str().unwrap()])
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        let _ = self.unmount();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())) }
}

/// The files in a directory of a disk in memory, by name. Whoever uses it may be renaming some: all are of one moment at which none was.
pub(crate) fn files(disk: &MemoryDisk, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(dir);
    loop {
        let names = disk.list(dir).unwrap().into_iter();
        let read: io::Result<Vec<_>> = names
            .map(|name| {
                let path = dir.join(name);
                let bytes = storage::disk::read_all(&*disk.open(&path)?, u64::MAX)?;
                Ok((path, bytes))
            })
            .collect();
        match read {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
            read => return read.unwrap(),
        }
    }
}

/// A disk in memory that holds these files, durably.
pub(crate) fn disk_of(files: &[(PathBuf, Vec<u8>)]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (path, bytes) in files {
        let file = disk.create_new(path).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }
    disk
}

/// Where frames start in a segment, and where the last one ends.
pub(crate) fn frames(bytes: &[u8]) -> (Vec<usize>, usize) {
    let starts: Vec<usize> = (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"HFF1")).collect();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    (starts, end)
}
