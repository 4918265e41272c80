//! The sled databases: one for the system, one for each environment in its own directory (R1.5).

use node_domain::ids::EnvironmentName;
use node_domain::sealed::Payload;
use parking_lot::RwLock;
use proto_record::codec::{self, Kind};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use storage::Owner;
use storage::materialized::{Database, DatabaseOptions, Filling, MaterializedError, RowOp};
use storage::workers;
use storage_crypto::key::Key;
use tokio::sync::watch;

use crate::engine::values::ValueKey;
use crate::fault;

/// The system's database, among those of environments (whose names cannot start with a dot).
const SYSTEM: &str = ".system";
/// Stands beside the databases where one of them turned out to be unusable, and says why. It goes when they are built anew.
const UNUSABLE: &str = ".unusable";

/// All databases of one node.
pub(crate) struct Stores {
    directory: PathBuf,
    key: Key,
    owner: Owner,
    open: RwLock<HashMap<String, Arc<Database>>>,
    lost: watch::Sender<Option<String>>,
}

/// Which database a row belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Home {
    System,
    Environment(EnvironmentName),
}

/// Keys of rows: what they are about, before they are hashed.
pub(crate) mod row {
    use super::ValueKey;
    use node_domain::ids::SecretId;

    pub(crate) fn secret(path: &str) -> Vec<u8> {
        [b"s", path.as_bytes()].concat()
    }

    /// The table of values.
    pub(crate) const PAYLOADS: u8 = b'v';

    pub(crate) fn payload(key: ValueKey) -> Vec<u8> {
        [&[PAYLOADS][..], &key.0.0.to_be_bytes(), &key.1.to_be_bytes()].concat()
    }

    /// What a row of the table of values is about.
    pub(crate) fn value_key(row: &[u8]) -> Option<ValueKey> {
        let (secret, version) = row.strip_prefix(&[PAYLOADS])?.split_first_chunk()?;
        Some((SecretId(u64::from_be_bytes(*secret)), u64::from_be_bytes(version.try_into().ok()?)))
    }

    pub(crate) fn environment() -> Vec<u8> {
        b"e".to_vec()
    }

    pub(crate) fn token(accessor: &[u8]) -> Vec<u8> {
        [b"t", accessor].concat()
    }

    pub(crate) fn policy(name: &str) -> Vec<u8> {
        [b"p", name.as_bytes()].concat()
    }
}

impl Stores {
    pub(crate) fn new(directory: PathBuf, key: Key, owner: Owner) -> Stores {
        Stores { directory, key, owner, open: RwLock::default(), lost: watch::Sender::new(None) }
    }

    /// The sealed bytes of one version, from the environment's database.
    pub(crate) fn payload(&self, environment: &EnvironmentName, key: ValueKey) -> Result<Option<Payload>, MaterializedError> {
        let database = self.database(&Home::Environment(environment.clone()))?;
        let Some(mut row) = self.answered(&database, database.get(&row::payload(key)))? else { return Ok(None) };
        if fault::is_damaged_row(&row::payload(key))
            && let Some(last) = row.last_mut()
        {
            *last ^= 1;
        }
        codec::decode(Kind::Row, &row).map(Some).map_err(|error| MaterializedError::Damaged {
            path: self.directory.join(environment.as_str()),
            why: format!("the row of secret {} v{}: {error}", key.0.0, key.1),
        })
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// Writes rows of one database and moves its marker.
    pub(crate) fn write(&self, home: &Home, rows: Vec<RowOp>, marker: u64) -> Result<(), MaterializedError> {
        rows.iter().for_each(|row| fault::row_written(&row.key));
        let database = self.database(home)?;
        self.answered(&database, database.apply(rows, marker))
    }

    /// Begins to fill databases that were started anew.
    pub(crate) fn fill(&self) -> io::Result<Rows<'_>> {
        std::fs::create_dir_all(&self.directory)?;
        Ok(Rows { stores: self, filling: Filling::new(&self.directory).map_err(io::Error::other)? })
    }

    /// Every sealed value of an environment that opens, in the order in which they lie: each page is read once. What does not open is
    /// passed over.
    pub(crate) fn each_payload(
        &self,
        environment: &EnvironmentName,
        mut take: impl FnMut(ValueKey, Payload) -> io::Result<()>,
    ) -> io::Result<()> {
        let database = self.database(&Home::Environment(environment.clone())).map_err(io::Error::other)?;
        for row in database.iter_table(row::PAYLOADS) {
            match self.answered(&database, row) {
                Ok((key, value)) if !fault::is_damaged_row(&key) => {
                    if let (Some(key), Ok(payload)) = (row::value_key(&key), codec::decode(Kind::Row, &value)) {
                        take(key, payload)?;
                    }
                }
                Ok(_) | Err(MaterializedError::Damaged { .. }) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(())
    }

    /// Makes all that was written durable.
    pub(crate) fn make_durable(&self) -> Result<(), MaterializedError> {
        let databases: Vec<_> = self.open.read().values().cloned().collect();
        databases.iter().try_for_each(|database| self.answered(database, database.make_durable()).map(drop))
    }

    /// Turns into the reason when a database has turned out to be unusable: the node has to start again then, and builds them anew.
    pub(crate) fn watch_lost(&self) -> watch::Receiver<Option<String>> {
        self.lost.subscribe()
    }

    /// Whether one has: see [`watch_lost`](Stores::watch_lost).
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    /// What a database answered. One can open well, with a marker that is well, and be damaged deeper down; sled does so after a power
    /// cut. Until it is built anew, every start would end in the same way.
    fn answered<T>(&self, database: &Arc<Database>, answer: Result<T, MaterializedError>) -> Result<T, MaterializedError> {
        if let Err(error @ MaterializedError::Unusable { .. }) = &answer {
            let open = self.open.read();
            // One that is on its way out says nothing of those that come.
            if open.values().any(|known| Arc::ptr_eq(known, database)) && !self.is_lost() {
                tracing::error!(%error, "the materialized state is built anew");
                if let Err(unmarked) = self.mark(&error.to_string()) {
                    tracing::error!(%unmarked, "it could not be marked as unusable");
                }
                self.lost.send_replace(Some(error.to_string()));
            }
        }
        answer
    }

    fn mark(&self, why: &str) -> io::Result<()> {
        let mut mark = File::create(self.directory.join(UNUSABLE))?;
        mark.write_all(why.as_bytes())?;
        mark.sync_all()?;
        File::open(&self.directory)?.sync_all()
    }

    /// The database, opened or made. One that cannot be opened is moved aside and started anew: everything in it is rebuilt from
    /// snapshot and log.
    fn database(&self, home: &Home) -> Result<Arc<Database>, MaterializedError> {
        let name = match home {
            Home::System => SYSTEM,
            Home::Environment(name) => name.as_str(),
        };
        if let Some(database) = self.open.read().get(name) {
            return Ok(database.clone());
        }
        let mut open = self.open.write();
        if let Some(database) = open.get(name) {
            return Ok(database.clone());
        }
        let database = Arc::new(self.open_database(name)?);
        open.insert(name.to_owned(), database.clone());
        Ok(database)
    }

    fn open_database(&self, name: &str) -> Result<Database, MaterializedError> {
        let options = DatabaseOptions { in_memory: workers::are_simulated(), ..DatabaseOptions::default() };
        Database::open(&self.directory.join(name), &self.key, self.owner, name, options)
    }

    /// Whether every database of these homes is there, and stands at `revision` or later, and none was found to be unusable.
    pub(crate) fn reach(&self, homes: &[Home], revision: u64) -> bool {
        !self.directory.join(UNUSABLE).exists()
            && homes.iter().all(|home| self.database(home).is_ok_and(|database| database.marker() >= Some(revision)))
    }

    /// Closes all databases and moves their directory aside: they are about to be rebuilt.
    pub(crate) fn start_anew(&self) -> io::Result<()> {
        // Held to the end: nobody may open a database in a directory that is on its way out.
        let mut open = self.open.write();
        open.clear();
        if !self.directory.exists() {
            return Ok(());
        }
        let aside = self.directory.with_extension("superseded");
        if aside.exists() {
            std::fs::remove_dir_all(&aside)?;
        }
        std::fs::rename(&self.directory, &aside)?;
        std::fs::remove_dir_all(&aside)
    }
}

/// Rows on their way into databases that were started anew.
pub(crate) struct Rows<'a> {
    stores: &'a Stores,
    filling: Filling,
}

impl Rows<'_> {
    /// Takes a row, to be written when all are there.
    pub(crate) fn take(&mut self, (home, RowOp { key, value }): (Home, RowOp)) -> Result<(), MaterializedError> {
        let Some(value) = value else { return Ok(()) };
        fault::row_written(&key);
        self.filling.take(&self.stores.database(&home)?, key, value)
    }

    /// Writes them all; durable on return. Markers are still at the beginning.
    pub(crate) fn finish(self) -> Result<(), MaterializedError> {
        self.filling.finish()?;
        self.stores.make_durable()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_domain::ids::SecretId;

    fn unusable() -> Result<(), MaterializedError> {
        Err(MaterializedError::Unusable { path: "state/.system".into(), why: "a page is damaged".into() })
    }

    #[test]
    fn an_unusable_database_keeps_all_from_being_used_until_they_are_built_anew() {
        let directory = tempfile::tempdir().unwrap();
        let owner = Owner { cluster: [1; 16], node: 1 };
        let stores = || Stores::new(directory.path().join("state"), Key::from_bytes([7; 32]), owner);
        let (first, system) = (stores(), [Home::System]);
        first.write(&Home::System, Vec::new(), 5).unwrap();
        first.make_durable().unwrap();
        let before = first.database(&Home::System).unwrap();
        assert!(first.reach(&system, 5) && !first.is_lost());
        first.answered(&before, unusable()).unwrap_err();
        assert!(first.watch_lost().borrow().as_ref().is_some_and(|why| why.contains("a page is damaged")));
        drop((before, first));
        // Whoever comes next must not believe a marker that is well.
        let next = stores();
        assert!(!next.reach(&system, 5));
        let closed = next.database(&Home::System).unwrap();
        next.start_anew().unwrap();
        next.write(&Home::System, Vec::new(), 6).unwrap();
        assert!(next.reach(&system, 6));
        // What was closed since says nothing of what is there now.
        next.answered(&closed, unusable()).unwrap_err();
        assert!(next.reach(&system, 6) && !next.is_lost());
    }

    #[test]
    fn a_row_of_a_value_says_whose_it_is() {
        let key = (SecretId(0x0102_0304_0506_0708), 9);
        assert_eq!(row::value_key(&row::payload(key)), Some(key));
        assert_eq!(row::value_key(&row::secret("db/password")), None);
        assert_eq!(row::value_key(&row::payload(key)[..16]), None);
    }
}
