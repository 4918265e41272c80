//! Snapshots of one node: a directory of files, each a state with its sealed values at one index, and the way back.
//!
//! A file's records are the chain, then the [`Piece`]s of the state, then the sealed bytes of its versions, in the order in which the writer's
//! databases hold them. Writing and reading hold a bounded number of records at a time.

use crate::boot::Ambient;
use crate::engine::materializer::{Materializer, everything, row_of, row_of_value};
use crate::engine::standing::{Record, Standing, values_of};
use crate::engine::stores::{Home, Stores};
use crate::engine::values::{ValueKey, Values};
use crate::engine::{Published, Sealing};
use crate::fault;
use node_domain::State;
use node_domain::ids::Stamp;
use node_domain::state::Piece;
use parking_lot::Mutex;
use raft::StoredSnapshot;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::disk::is_disk_failure;
use storage::materialized::MaterializedError;
use storage::planted;
use storage::snapshot::{SnapshotError, read_header};
use storage::{Contents, Disk, Owner, SnapshotHeader, SnapshotReader, SnapshotWriter};
use storage_crypto::entropy::Entropy;
use storage_crypto::key::Key;

/// Snapshots kept beside the newest one, in case it does not verify.
const KEPT: usize = 2;
const EXTENSION: &str = "snapshot";
const RECEIVED_EXTENSION: &str = "received";
/// What did not verify: the newest one is kept for whoever wants to know why.
const DAMAGED_EXTENSION: &str = "damaged";

/// What the snapshots of a node amount to when it starts.
pub(crate) enum Restored {
    /// A state, from which the log goes on.
    Standing(Box<Standing>),
    /// There is none, and the log starts at the beginning.
    Beginning,
    /// The log goes on from entry `index_min`, and no snapshot here reaches it: another member has to give one.
    Lost { index_min: u64 },
}

/// A snapshot that is whole, as far as can be said without its key.
#[derive(Debug, thiserror::Error)]
#[error(
    "snapshot {} is sealed by version {version} of the root key, which this node's seal file does not hold: adopt the cluster's seal \
     file from another node (holdfast operator adopt)", path.display()
)]
struct MissingRoot {
    path: PathBuf,
    version: u32,
}

/// Whether an error says that a file is not what was written; not so where this node lacks a key, or is of another release.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    let cause = error.get_ref();
    // That the databases cannot be filled from it says nothing of the snapshot.
    if cause.is_some_and(|cause| cause.is::<MissingRoot>() || cause.is::<MaterializedError>()) {
        return false;
    }
    match cause.and_then(|cause| cause.downcast_ref::<SnapshotError>()) {
        Some(SnapshotError::Newer { .. } | SnapshotError::Older { .. }) => false,
        Some(SnapshotError::Io { source, .. }) => is_disk_failure(source),
        Some(_) => true,
        None => error.raw_os_error().is_none() || is_disk_failure(error),
    }
}

/// The snapshots of one node.
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn crate::clock::Clock>,
    directory: PathBuf,
    sealing: Arc<Sealing>,
    owner: Owner,
    stores: Arc<Stores>,
    received: AtomicU64,
    /// One snapshot is written or installed at a time.
    turn: Mutex<()>,
}

impl Snapshots {
    pub(crate) fn open(
        ambient: &Ambient,
        directory: PathBuf,
        sealing: Arc<Sealing>,
        owner: Owner,
        stores: Arc<Stores>,
    ) -> io::Result<Snapshots> {
        ambient.disk.create_dir_all(&directory)?;
        let snapshots = Snapshots {
            disk: ambient.disk.clone(),
            entropy: ambient.entropy.clone(),
            clock: ambient.clock.clone(),
            directory,
            sealing,
            owner,
            stores,
            received: AtomicU64::new(0),
            turn: Mutex::new(()),
        };
        snapshots.sweep()?;
        Ok(snapshots)
    }

    /// What this node's clock says.
    pub(crate) fn now(&self) -> Stamp {
        self.clock.now()
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    /// Removes what a crash left half written.
    fn sweep(&self) -> io::Result<()> {
        for path in self.files()? {
            if path.extension().is_some_and(|extension| extension != EXTENSION && extension != DAMAGED_EXTENSION) {
                self.disk.remove(&path)?;
            }
        }
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = self.disk.list(&self.directory)?;
        files.sort();
        Ok(files.into_iter().map(|name| self.directory.join(name)).collect())
    }

    /// Complete snapshots, newest first.
    pub(crate) fn complete(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = self.files()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        files.reverse();
        Ok(files)
    }

    /// The name of a snapshot: they sort by the revision of their state, whoever wrote them.
    fn name(&self, revision: u64) -> PathBuf {
        name(&self.directory, revision)
    }

    /// Writes a state with its values, once the databases have reached it; durable on return. Older snapshots than the kept ones go.
    ///
    /// `published` tells whether a value that is not there was destroyed since the state was captured, or lost.
    pub(crate) fn write(
        &self,
        position: Vec<u8>,
        standing: &Standing,
        materializer: &Materializer,
        values: &Values,
        published: &Published,
    ) -> io::Result<PathBuf> {
        // Nobody may say where the databases stand while they are filled from another snapshot.
        let _turn = self.turn.lock();
        materializer.flush_to(standing.state.clone())?;
        let path = self.name(standing.state.revision().0);
        let created_ms = self.clock.now().as_ms();
        // The version of this state's own root key: every node that has come so far holds it.
        let key_version = standing.state.keys().root();
        let key = self.key(&path, key_version)?;
        let header = SnapshotHeader {
            cluster: self.owner.cluster,
            epoch: standing.state.epoch(),
            created_ms,
            key_version,
            contents: Contents::Full,
            at: standing.point(),
            secrets: standing.state.secret_count(),
            position,
        };
        let mut writer =
            SnapshotWriter::create(self.disk.clone(), &path, &header, &key, self.entropy.clone()).map_err(io::Error::other)?;
        let mut push = |record: &Record| writer.push(&record.encode()).map_err(io::Error::other);
        push(&Record::Chain(standing.chain))?;
        for piece in standing.state.pieces() {
            if matches!(piece, Piece::Receipt(_)) && planted::is_back("receipts-not-in-snapshots") {
                continue;
            }
            push(&Record::Piece(piece))?;
        }
        if fault::is_set("snapshot: values are read late") {
            std::thread::sleep(std::time::Duration::from_secs(3));
        }
        for environment in standing.state.environments() {
            if planted::is_back("values-not-in-snapshots") {
                continue;
            }
            let name = &environment.about.name;
            let mut missing: HashSet<ValueKey> = environment.secrets.values().flat_map(|secret| values_of(secret)).collect();
            self.stores.each_payload(name, |key, payload| {
                if missing.remove(&key) { push(&Record::Value(name.clone(), key, payload)) } else { Ok(()) }
            })?;
            for key in missing.into_iter().collect::<BTreeSet<_>>() {
                match values.find_uncached(name, key).map_err(io::Error::other)? {
                    Some(payload) => push(&Record::Value(name.clone(), key, (*payload).clone()))?,
                    // Destroyed since the state was captured: the log after it says so again.
                    None if !published.view().state.holds_value(name, key.0, key.1) => {}
                    None => return Err(io::Error::other(format!("the value of secret {} v{} is missing", key.0.0, key.1))),
                }
            }
        }
        writer.finish(&self.sealing.signer()).map_err(io::Error::other)?;
        self.prune()?;
        Ok(path)
    }

    /// The key of snapshots under a version of the root key, for whoever writes or reads one elsewhere.
    pub(crate) fn key_of(&self, path: &Path, version: u32) -> io::Result<Key> {
        self.key(path, version)
    }

    /// The key of a snapshot, by the version of the root key that its header names: the version stands in what every chunk is bound to.
    fn key(&self, path: &Path, version: u32) -> io::Result<Key> {
        let missing = || io::Error::other(MissingRoot { path: path.to_owned(), version });
        self.sealing.snapshot_key(version).ok_or_else(missing)
    }

    fn reader(&self, path: &Path) -> io::Result<SnapshotReader> {
        self.reader_by(&*self.disk, path)
    }

    fn reader_by(&self, disk: &dyn Disk, path: &Path) -> io::Result<SnapshotReader> {
        let version = read_header(disk, path).map_err(io::Error::other)?.key_version;
        SnapshotReader::open(disk, path, &self.key(path, version)?).map_err(io::Error::other)
    }

    /// Versions of the root key that a snapshot on this node needs.
    pub(crate) fn roots(&self) -> io::Result<std::collections::BTreeSet<u32>> {
        let _turn = self.turn.lock();
        let headers = self.complete()?.into_iter().map(|path| read_header(&*self.disk, &path).map_err(io::Error::other));
        headers.map(|header| Ok(header?.key_version)).collect()
    }

    fn prune(&self) -> io::Result<()> {
        for path in self.complete()?.into_iter().skip(KEPT) {
            self.disk.remove(&path)?;
        }
        self.disk.sync_dir(&self.directory)
    }

    pub(crate) fn newest(&self) -> io::Result<Option<StoredSnapshot>> {
        for path in self.complete()? {
            match read_header(&*self.disk, &path) {
                Ok(header) => return Ok(Some(StoredSnapshot { path, position: header.position })),
                // Found again by whoever repairs; until then an older one serves.
                Err(error) => tracing::error!(%error, "a snapshot is passed over"),
            }
        }
        Ok(None)
    }

    pub(crate) fn receive_path(&self) -> io::Result<PathBuf> {
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        Ok(self.directory.join(format!("{number:020}.{RECEIVED_EXTENSION}")))
    }

    /// Reads a whole file and returns the position in its header.
    pub(crate) fn verify(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.verify_by(&*self.disk, path)
    }

    /// As [`verify`](Snapshots::verify), by another way to the same disk, such as a slow one.
    pub(crate) fn verify_by(&self, disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
        let reader = self.reader_by(disk, path)?;
        if reader.header().cluster != self.owner.cluster {
            return Err(io::Error::other(format!("snapshot {} is another cluster's", path.display())));
        }
        reader.verify().map_err(io::Error::other)?;
        Ok(reader.header().position.clone())
    }

    /// Takes over a received file that has verified: names it, and rebuilds the databases from it. Waits for a snapshot that is being
    /// written, whose values would be taken away under it.
    pub(crate) fn install(&self, received: &Path, materializer: &Materializer, values: &Values) -> io::Result<Standing> {
        let _turn = self.turn.lock();
        let path = self.name(read_header(&*self.disk, received).map_err(io::Error::other)?.at.revision);
        self.disk.rename(received, &path)?;
        self.disk.sync_dir(&self.directory)?;
        self.restore(&path, materializer, values)
    }

    /// The state of the newest snapshot that verifies, with the databases brought to it or beyond. `purged` is the last entry that the
    /// log does not hold any more: an older snapshot serves only where the log goes on from it. What does not verify is set aside, and
    /// told to `damaged`.
    pub(crate) fn restore_newest(
        &self,
        materializer: &Materializer,
        values: &Values,
        purged: Option<u64>,
        mut damaged: impl FnMut(String),
    ) -> io::Result<Restored> {
        for path in self.complete()? {
            match self.bring_up(&path, materializer, values, purged) {
                Ok(Some(standing)) => return Ok(Restored::Standing(Box::new(standing))),
                Ok(None) => damaged(format!("snapshot {} is too old for the log", path.display())),
                Err(error) if is_damage(&error) => {
                    self.set_aside(&path)?;
                    damaged(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(index_min) = purged {
            return Ok(Restored::Lost { index_min });
        }
        // The log reaches back to the beginning and writes every row again: whatever is there is not needed, and may be another's.
        self.stores.start_anew()?;
        Ok(Restored::Beginning)
    }

    /// `None` where the log does not go on from the snapshot.
    fn bring_up(
        &self,
        path: &Path,
        materializer: &Materializer,
        values: &Values,
        purged: Option<u64>,
    ) -> io::Result<Option<Standing>> {
        let header = read_header(&*self.disk, path).map_err(io::Error::other)?;
        if raft::snapshot_index(&header.position)? < purged {
            return Ok(None);
        }
        let rebuild = || {
            tracing::warn!("the materialized state is missing, damaged or older than the newest snapshot: rebuilding it");
            self.restore(path, materializer, values).map(Some)
        };
        // One says enough: then the snapshot is read once.
        if !self.stores.reach(&[Home::System], header.at.revision) {
            return rebuild();
        }
        let standing = Standing::read(&self.reader(path)?, path, |_, _, _| Ok(()))?;
        let names = standing.state.environments().map(|environment| environment.about.name.clone());
        let homes: Vec<Home> = names.map(Home::Environment).collect();
        if self.stores.reach(&homes, header.at.revision) { Ok(Some(standing)) } else { rebuild() }
    }

    /// Takes a snapshot out of use and keeps it beside the others, the newest such file alone.
    pub(crate) fn set_aside(&self, path: &Path) -> io::Result<()> {
        for old in self.files()?.iter().filter(|path| path.extension().is_some_and(|extension| extension == DAMAGED_EXTENSION)) {
            self.disk.remove(old)?;
        }
        self.disk.rename(path, &path.with_extension(DAMAGED_EXTENSION))?;
        self.disk.sync_dir(&self.directory)
    }

    /// Takes all snapshots out of use but the one of this revision: they hold a state that is not to be believed.
    pub(crate) fn set_others_aside(&self, revision: u64) -> io::Result<()> {
        let believed = self.name(revision);
        self.complete()?.iter().filter(|path| **path != believed).try_for_each(|path| self.set_aside(path))
    }

    /// The state of a snapshot, with the databases rebuilt from it.
    fn restore(&self, path: &Path, materializer: &Materializer, values: &Values) -> io::Result<Standing> {
        materializer.flush()?;
        let reader = self.reader(path)?;
        values.clear();
        self.stores.start_anew()?;
        // Until the last row is in, the databases say that they stand at the beginning, whoever flushes: a crash halfway starts anew.
        materializer.flush_to(State::empty(self.owner.cluster))?;
        let mut rows = self.stores.fill()?;
        let standing = Standing::read(&reader, path, |environment, key, payload| {
            rows.take(row_of_value(&environment, key, Some(&payload))).map_err(io::Error::other)
        })?;
        let mut changed = everything(&standing.state);
        changed.try_for_each(|changed| rows.take(row_of(&standing.state, &changed))).map_err(io::Error::other)?;
        drop(changed);
        rows.finish().map_err(io::Error::other)?;
        materializer.flush_to(standing.state.clone())?;
        Ok(standing)
    }
}

/// The name of the snapshot at a revision: they sort by it, whoever wrote them.
pub(crate) fn name(directory: &Path, revision: u64) -> PathBuf {
    directory.join(format!("{revision:020}.{EXTENSION}"))
}

/// The complete snapshots in a directory of a node that does not run, newest first.
pub(crate) fn complete_in(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<PathBuf>> {
    if !disk.exists(directory)? {
        return Ok(Vec::new());
    }
    let mut files = disk.list(directory)?;
    files.sort();
    let paths = files.into_iter().rev().map(|name| directory.join(name));
    Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_the_databases_cannot_be_filled_is_no_damage_of_the_snapshot() {
        let path = PathBuf::from("state/production");
        let refused = MaterializedError::Unusable { path, why: "no space left on device".into() };
        assert!(!is_damage(&io::Error::other(refused)));
        assert!(is_damage(&io::Error::other("a record that does not decode")));
    }
}
