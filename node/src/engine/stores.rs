//! The sled databases: one for the system, one for each environment in its own directory (R1.5).

use node_domain::ids::EnvironmentName;
use node_domain::sealed::Payload;
use parking_lot::RwLock;
use proto_record::codec::{self, Kind};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use storage::Owner;
use storage::materialized::{Database, DatabaseOptions, MaterializedError, RowOp};
use storage_crypto::key::Key;

use crate::engine::values::ValueKey;
use crate::fault;

/// The system's database, among those of environments (whose names cannot start with a dot).
const SYSTEM: &str = ".system";

/// All databases of one node.
pub(crate) struct Stores {
    directory: PathBuf,
    key: Key,
    owner: Owner,
    open: RwLock<HashMap<String, Arc<Database>>>,
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

    pub(crate) fn secret(path: &str) -> Vec<u8> {
        [b"s", path.as_bytes()].concat()
    }

    pub(crate) fn payload(key: ValueKey) -> Vec<u8> {
        [b"v".as_slice(), &key.0.0.to_be_bytes(), &key.1.to_be_bytes()].concat()
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
        Stores { directory, key, owner, open: RwLock::default() }
    }

    /// The sealed bytes of one version, from the environment's database.
    pub(crate) fn payload(&self, environment: &EnvironmentName, key: ValueKey) -> Result<Option<Payload>, MaterializedError> {
        let database = self.database(&Home::Environment(environment.clone()))?;
        let Some(mut row) = database.get(&row::payload(key))? else { return Ok(None) };
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
        self.database(home)?.apply(rows, marker)
    }

    /// Writes many rows of one database that is being rebuilt, and leaves its marker at the beginning.
    pub(crate) fn load(&self, home: &Home, rows: Vec<RowOp>) -> Result<(), MaterializedError> {
        rows.iter().for_each(|row| fault::row_written(&row.key));
        self.database(home)?.load(rows)
    }

    /// Makes all that was written durable.
    pub(crate) fn make_durable(&self) -> Result<(), MaterializedError> {
        let databases: Vec<_> = self.open.read().values().cloned().collect();
        databases.iter().try_for_each(|database| database.make_durable().map(drop))
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
        Database::open(&self.directory.join(name), &self.key, self.owner, name, DatabaseOptions::default())
    }

    /// Whether every database of these homes is there and stands at `revision` or later.
    pub(crate) fn reach(&self, homes: &[Home], revision: u64) -> bool {
        homes.iter().all(|home| self.database(home).is_ok_and(|database| database.marker() >= Some(revision)))
    }

    /// Closes all databases and moves their directory aside: they are about to be rebuilt.
    pub(crate) fn start_anew(&self) -> std::io::Result<()> {
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
