//! Materialized state: sealed rows in sled, written behind the log, always rebuildable from it.
//!
//! `sled 0.34.7` is not durable at a power cut: its `flush` calls `sync_file_range`, and 36 of 40 random cuts lost data or left a
//! database that did not open. So nothing here is believed durable before [`Database::make_durable`], and a database that does not open is
//! [`MaterializedError::Unusable`]: the caller moves it aside and rebuilds it.

mod filling;
mod shelf;

use std::{
    fs::{File, TryLockError},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

pub use filling::Filling;
use parking_lot::Mutex;
use shelf::{Lying, Shelf};
use sled::IVec;
use storage_crypto::{Entropy, Key, OsEntropy};

use crate::{
    disk::is_disk_failure,
    keyspace::{FORMAT, FORMAT_KEY, Keyspace, MARKER_KEY, Place},
    segment::Owner,
};

/// How long a database may be held by what is left of the one before it, and how often that is looked at.
const LET_GO: Duration = Duration::from_secs(5);
const LET_GO_LOOK: Duration = Duration::from_millis(5);

/// How a database is kept.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// Bytes of sled's page cache.
    pub cache_bytes: u64,
    /// Where nonces come from.
    pub entropy: Arc<dyn Entropy>,
    /// Whether rows lie in memory, for a node whose disk and threads are simulated: the directory is no more than what the database is called in
    /// errors, it is empty when it is opened, and nothing is left of it when it is dropped. All else is as on a disk.
    pub in_memory: bool,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        DatabaseOptions { cache_bytes: 32 * 1024 * 1024, entropy: Arc::new(OsEntropy), in_memory: false }
    }
}

/// A change of one row. The first byte of the key is the table it belongs to, and the only part that is readable on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOp {
    /// The row's key.
    pub key: Vec<u8>,
    /// Its new value, nothing to remove it.
    pub value: Option<Vec<u8>>,
}

/// Why a database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MaterializedError {
    /// sled did not open, failed, panicked, or did not become durable: what it holds is lost, and can be rebuilt.
    #[error("database {path} is unusable: {why}; move it aside and rebuild it from the log", path = path.display())]
    Unusable {
        /// Its directory.
        path: PathBuf,
        /// What sled said.
        why: String,
    },
    /// A row is not what was written.
    #[error("a row of database {path} does not open: {why}; move it aside and rebuild it from the log", path = path.display())]
    Damaged {
        /// The database's directory.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// A release that does not exist yet for this one.
    #[error("database {path} was written by a newer holdfast (format {format}, this one reads up to {FORMAT})", path = path.display())]
    Newer {
        /// Its directory.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The disk refused.
    #[error("{doing} {path}: {source}", path = path.display())]
    Io {
        /// What was being tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// One sled database in a directory of its own, or one in memory.
pub struct Database {
    shelf: Shelf,
    dir: PathBuf,
    keyspace: Keyspace,
    entropy: Arc<dyn Entropy>,
    /// The newest marker applied; also keeps [`Database::make_durable`] and [`Database::apply`] apart.
    applied: Mutex<Option<u64>>,
}

impl Database {
    /// Opens the database in `dir`, or creates it. `name` is bound into every row.
    ///
    /// # Errors
    /// [`MaterializedError::Unusable`] when sled does not open it, and when its rows were sealed with another key.
    pub fn open(
        dir: &Path,
        key: &Key,
        owner: Owner,
        name: &str,
        options: DatabaseOptions,
    ) -> Result<Database, MaterializedError> {
        let shelf = if options.in_memory {
            Shelf::Memory(Mutex::default())
        } else {
            wait_until_let_go(dir);
            let config = sled::Config::default().path(dir).flush_every_ms(None).cache_capacity(options.cache_bytes);
            Shelf::Sled(guard(dir, || config.open())?)
        };
        let database = Database {
            shelf,
            dir: dir.to_owned(),
            keyspace: Keyspace::new(key, owner, name),
            entropy: options.entropy,
            applied: Mutex::new(None),
        };
        database.check_format()?;
        *database.applied.lock() = database.stored_marker()?;
        Ok(database)
    }

    fn check_format(&self) -> Result<(), MaterializedError> {
        match self.guarded(|| self.shelf.get(&FORMAT_KEY))? {
            None => self.guarded(|| self.shelf.insert(&FORMAT_KEY, &FORMAT.to_be_bytes())),
            Some(stored) => match stored.as_ref().try_into().map(u32::from_be_bytes) {
                Ok(FORMAT) => Ok(()),
                Ok(format) if format > FORMAT => Err(MaterializedError::Newer { path: self.dir.clone(), format }),
                _ => Err(self.unusable("its format row is damaged")),
            },
        }
    }

    /// Applies changes and the marker that stands for them, all or nothing. Not durable before [`Database::make_durable`].
    ///
    /// # Errors
    /// When sled fails; the database has to be rebuilt then.
    pub fn apply(&self, ops: Vec<RowOp>, marker: u64) -> Result<(), MaterializedError> {
        let mut rows: Vec<_> = ops.into_iter().map(|op| self.lying(op)).collect();
        rows.push((IVec::from(&MARKER_KEY), Some(self.keyspace.seal_marker(marker, &*self.entropy).into())));
        let mut applied = self.applied.lock();
        self.guarded(|| self.shelf.apply(rows))?;
        *applied = Some(marker);
        Ok(())
    }

    /// Lays one sealed row down, and leaves the marker as it is.
    fn insert(&self, place: &Place, blob: &[u8]) -> Result<(), MaterializedError> {
        self.guarded(|| self.shelf.insert(place, blob))
    }

    /// The value of the row with this key.
    ///
    /// # Errors
    /// When sled fails, or the row is not what was written.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, MaterializedError> {
        let place = self.keyspace.place(key);
        let Some(blob) = self.guarded(|| self.shelf.get(&place))? else { return Ok(None) };
        let (stored, value) = self.open_row(&place, &blob)?;
        if stored == key { Ok(Some(value)) } else { Err(self.damaged("two keys share one place")) }
    }

    /// Every row, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), MaterializedError>> + '_ {
        self.rows(self.shelf.scan(&[]))
    }

    /// Every row of one table, in no useful order.
    pub fn iter_table(&self, table: u8) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), MaterializedError>> + '_ {
        self.rows(self.shelf.scan(&[table]))
    }

    fn rows<'a>(
        &'a self,
        mut stored: impl Iterator<Item = sled::Result<Lying>> + 'a,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), MaterializedError>> + 'a {
        std::iter::from_fn(move || {
            loop {
                let next = self.guarded(|| stored.next().transpose());
                let (place, blob) = match next {
                    Ok(row) => row?,
                    Err(error) => return Some(Err(error)),
                };
                if Keyspace::is_row(&place) {
                    return Some(self.open_row(&place, &blob));
                }
            }
        })
    }

    /// The marker of the newest changes applied, durable or not; nothing in a database that has none.
    #[must_use]
    pub fn marker(&self) -> Option<u64> {
        *self.applied.lock()
    }

    /// Makes everything applied so far durable, reads the marker back, and returns it.
    ///
    /// # Errors
    /// When a sync fails or the marker read back is another. Nothing is known about the database then: rebuild it.
    pub fn make_durable(&self) -> Result<Option<u64>, MaterializedError> {
        let applied = self.applied.lock();
        self.guarded(|| self.shelf.flush())?;
        if let Shelf::Sled(_) = self.shelf {
            // What a sync that failed has left behind, nobody knows.
            self.sync().map_err(|error| self.unusable(&error.to_string()))?;
        }
        let stored = self.stored_marker()?;
        if stored == *applied { Ok(stored) } else { Err(self.unusable("the marker read back is not the one applied")) }
    }

    /// Makes its files durable.
    fn sync(&self) -> Result<(), MaterializedError> {
        // `flush` hands everything to the operating system; only this makes it durable.
        for name in ["db", "conf"] {
            self.sync_file(&self.dir.join(name))?;
        }
        self.sync_files_starting_with(&self.dir, "snap.")?;
        // Values too long for a page lie in files of their own.
        let blobs = self.dir.join("blobs");
        if blobs.is_dir() {
            self.sync_files_starting_with(&blobs, "")?;
            self.sync_file(&blobs)?;
        }
        self.sync_file(&self.dir)?;
        if let Some(parent) = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.sync_file(parent)?;
        }
        Ok(())
    }

    fn stored_marker(&self) -> Result<Option<u64>, MaterializedError> {
        let Some(blob) = self.guarded(|| self.shelf.get(&MARKER_KEY))? else { return Ok(None) };
        self.keyspace.open_marker(&blob).map(Some).map_err(|error| self.damaged(&error.to_string()))
    }

    /// A change as it lies.
    fn lying(&self, op: RowOp) -> (IVec, Option<IVec>) {
        let place = self.keyspace.place(&op.key);
        let blob = op.value.map(|value| self.keyspace.seal_row(&place, &op.key, &value, &*self.entropy).into());
        (IVec::from(&place), blob)
    }

    fn open_row(&self, place: &[u8], blob: &[u8]) -> Result<(Vec<u8>, Vec<u8>), MaterializedError> {
        self.keyspace.open_row(place, blob).map_err(|error| self.damaged(&error.to_string()))
    }

    fn sync_files_starting_with(&self, dir: &Path, prefix: &str) -> Result<(), MaterializedError> {
        let io = |source| MaterializedError::Io { doing: "listing", path: dir.to_owned(), source };
        for entry in std::fs::read_dir(dir).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                self.sync_file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// A file that is gone was removed by sled since it was listed, and needs no sync.
    fn sync_file(&self, path: &Path) -> Result<(), MaterializedError> {
        match File::open(path).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|source| MaterializedError::Io { doing: "syncing", path: path.to_owned(), source }),
        }
    }

    fn guarded<T>(&self, work: impl FnOnce() -> sled::Result<T>) -> Result<T, MaterializedError> {
        guard(&self.dir, work)
    }

    fn unusable(&self, why: &str) -> MaterializedError {
        MaterializedError::Unusable { path: self.dir.clone(), why: why.to_owned() }
    }

    fn damaged(&self, why: &str) -> MaterializedError {
        MaterializedError::Damaged { path: self.dir.clone(), why: why.to_owned() }
    }
}

/// Whether something on the disk is not what was written. Where there is no space, or no handle, all that was there still is.
fn is_loss(error: &io::Error) -> bool {
    is_disk_failure(error) || matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Threads of sled hold its file for a moment after it was closed: a node that starts again in the same process would take its own
/// database for somebody else's. Whoever else holds it shows when it is opened.
fn wait_until_let_go(dir: &Path) {
    let deadline = Instant::now() + LET_GO;
    while Instant::now() < deadline {
        // What cannot be opened is for sled to name.
        let Ok(file) = File::open(dir.join("db")) else { return };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LET_GO_LOOK),
            _ => return,
        }
    }
}

/// sled panics where a file is not what it expects, most of all after a power cut.
fn guard<T>(dir: &Path, work: impl FnOnce() -> sled::Result<T>) -> Result<T, MaterializedError> {
    let unusable = |why| MaterializedError::Unusable { path: dir.to_owned(), why };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Err(sled::Error::Io(source))) if !is_loss(&source) => {
            Err(MaterializedError::Io { doing: "using database", path: dir.to_owned(), source })
        }
        Ok(result) => result.map_err(|error| unusable(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(unusable(format!("it panicked: {}", text.unwrap_or_default())))
        }
    }
}
