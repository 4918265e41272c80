//! A machine that remembers every payload, with real snapshot files.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use raft::{Machine, Reply, SnapshotWrite, StoredSnapshot, Unfit};
use storage::disk::{Disk, RealDisk};

/// A payload that fits no state.
pub(crate) const UNFIT: &[u8] = b"unfit";

pub(crate) struct Memory {
    dir: PathBuf,
    payloads: Mutex<Vec<Bytes>>,
    received: AtomicU64,
    /// Snapshots cannot be written: the disk is full.
    pub(crate) full: Arc<AtomicBool>,
    /// How many of the next received snapshots turn out to be damaged.
    pub(crate) damaged: AtomicU64,
    /// How many were installed.
    pub(crate) installed: AtomicU64,
}

impl Memory {
    /// Stands where the newest snapshot in `dir` says.
    pub(crate) fn open(dir: &Path) -> Arc<Memory> {
        fs::create_dir_all(dir).unwrap();
        let memory = Memory {
            dir: dir.to_owned(),
            payloads: Mutex::default(),
            received: AtomicU64::new(0),
            full: Arc::default(),
            damaged: AtomicU64::new(0),
            installed: AtomicU64::new(0),
        };
        if let Some(snapshot) = memory.newest_snapshot().unwrap() {
            *memory.payloads.lock().unwrap() = files::read(&snapshot.path).unwrap().payloads;
        }
        Arc::new(memory)
    }

    pub(crate) fn payloads(&self) -> Vec<Bytes> {
        self.payloads.lock().unwrap().clone()
    }

    /// Whether something that was being received is still there.
    pub(crate) fn has_incoming_files(&self) -> bool {
        let mut files = fs::read_dir(&self.dir).unwrap().map(|file| file.unwrap().path());
        files.any(|path| path.extension().is_some_and(|extension| extension == "incoming"))
    }

    fn path(&self, index: u64) -> PathBuf {
        self.dir.join(format!("{index:020}.snapshot"))
    }

    fn newest(&self) -> io::Result<Option<PathBuf>> {
        let mut newest = None;
        for file in fs::read_dir(&self.dir)? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "snapshot") {
                newest = newest.max(Some(path));
            }
        }
        Ok(newest)
    }
}

impl Machine for Memory {
    fn apply(&self, _index: u64, payload: &Bytes) -> Result<Reply, Unfit> {
        if payload == UNFIT {
            return Err(Unfit("the test says so".to_owned()));
        }
        let mut payloads = self.payloads.lock().unwrap();
        payloads.push(payload.clone());
        Ok(Reply::Accepted { revision: payloads.len() as u64 })
    }

    fn applied(&self, _last_index: u64) {}

    fn capture(&self, index: u64, position: Vec<u8>) -> SnapshotWrite {
        let (payloads, full) = (self.payloads(), Arc::clone(&self.full));
        let path = self.path(index);
        Box::new(move || {
            if full.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            files::write(&path, &files::Snapshot { index, position, payloads })?;
            Ok(path)
        })
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(RealDisk)
    }

    fn newest_snapshot(&self) -> io::Result<Option<StoredSnapshot>> {
        let Some(path) = self.newest()? else { return Ok(None) };
        Ok(Some(StoredSnapshot { position: files::read(&path)?.position, path }))
    }

    fn receive_path(&self) -> io::Result<PathBuf> {
        Ok(self.dir.join(format!("{}.incoming", self.received.fetch_add(1, Ordering::SeqCst))))
    }

    fn verify_snapshot(&self, file: &Path) -> io::Result<Vec<u8>> {
        if self.damaged.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |damaged| damaged.checked_sub(1)).is_ok() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged, the test says so"));
        }
        Ok(files::read(file)?.position)
    }

    fn install_snapshot(&self, file: &Path) -> io::Result<()> {
        let snapshot = files::read(file)?;
        fs::rename(file, self.path(snapshot.index))?;
        *self.payloads.lock().unwrap() = snapshot.payloads;
        self.installed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A snapshot file: the index, then every payload.
mod files {
    use std::{io, path::Path, sync::Arc};

    use bytes::Bytes;
    use storage::{
        RealDisk,
        snapshot::{Contents, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter, StatePoint},
    };
    use storage_crypto::{Key, OsEntropy, Signer};

    pub(super) struct Snapshot {
        pub(super) index: u64,
        pub(super) position: Vec<u8>,
        pub(super) payloads: Vec<Bytes>,
    }

    fn key() -> Key {
        Key::from_bytes([3; 32])
    }

    pub(super) fn write(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
        let header = SnapshotHeader {
            cluster: [1; 16],
            epoch: 1,
            created_ms: 0,
            key_version: 1,
            contents: Contents::Full,
            at: StatePoint { revision: snapshot.index, ..StatePoint::default() },
            secrets: 0,
            position: snapshot.position.clone(),
        };
        let mut writer =
            SnapshotWriter::create(Arc::new(RealDisk), path, &header, &key(), Arc::new(OsEntropy)).map_err(io::Error::other)?;
        writer.push(&snapshot.index.to_be_bytes()).map_err(io::Error::other)?;
        for payload in &snapshot.payloads {
            writer.push(payload).map_err(io::Error::other)?;
        }
        writer.finish(&Signer::derive(&key(), "holdfast/v1/test signing", b"")).map(drop).map_err(io::Error::other)
    }

    pub(super) fn read(path: &Path) -> io::Result<Snapshot> {
        read_verified(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn read_verified(path: &Path) -> Result<Snapshot, SnapshotError> {
        let reader = SnapshotReader::open(&RealDisk, path, &key())?;
        reader.verify()?;
        let mut records = reader.records();
        let index = records.next().expect("the index comes first")?;
        let payloads = records.collect::<Result<_, _>>()?;
        let index = u64::from_be_bytes((*index).try_into().expect("an index has eight bytes"));
        Ok(Snapshot { index, position: reader.header().position.clone(), payloads })
    }
}
