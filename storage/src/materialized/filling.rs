//! Fills databases that are empty: rows come in any order, and are written in the one in which they lie.
//!
//! sled writes a page again for every few rows that come to it. Measured, 600,000 rows of 200 bytes: 9.8 s of CPU where 60,000 at a time are
//! put in order, 4.0 s where all are, 2.2 s where they are inserted one by one and not in batches, which lose the order again.
//!
//! So rows are sealed as they come and gathered; what does not fit in memory lies, sorted, in unnamed files beside the databases, and is merged
//! at the end. Memory is bounded whatever the number of rows; disk is needed once more meanwhile. Two threads share it, each with the places that
//! begin alike.

mod sorter;

use super::{Database, MaterializedError};
use crate::behind::Behind;
use crate::keyspace::Place;
use crate::workers;
use sorter::Sorter;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// Bytes of sealed rows that are in memory at once.
const GATHERED_BYTES: usize = 32 << 20;
/// Who seals and sorts.
const SORTERS: usize = 2;
/// Rows go to a thread in bunches of so many bytes, and so many bunches may wait.
const BUNCH_BYTES: usize = 64 << 10;
const BUNCHES_AHEAD: usize = 4;

/// Rows on their way into databases. Dropped before it is [finished](Filling::finish), it writes none.
pub struct Filling {
    directory: PathBuf,
    /// By the first bit of where a row lies in its table.
    parts: [Part; SORTERS],
}

/// A row that has yet to be sealed.
struct Row {
    database: Arc<Database>,
    place: Place,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Some of the rows, and who sorts them.
struct Part {
    bunch: Vec<Row>,
    bunch_bytes: usize,
    sorter: Behind<Vec<Row>, Sorter, MaterializedError>,
}

impl Filling {
    /// Begins. `directory` is where rows may lie meanwhile.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn new(directory: &Path) -> Result<Filling, MaterializedError> {
        Filling::holding(directory, GATHERED_BYTES)
    }

    /// With room in memory for so many bytes of rows.
    fn holding(directory: &Path, gathered_bytes: usize) -> Result<Filling, MaterializedError> {
        let part = || {
            let sorter = Sorter::new(directory, gathered_bytes / SORTERS);
            let sorter = Behind::start("filling", BUNCHES_AHEAD, sorter, Sorter::take_all);
            sorter.map(|sorter| Part { bunch: Vec::new(), bunch_bytes: 0, sorter })
        };
        let [first, second] = [part(), part()].map(|part| part.map_err(|source| no_thread(directory, source)));
        Ok(Filling { directory: directory.to_owned(), parts: [first?, second?] })
    }

    /// Takes a row of a database. Of two with one key the later one counts.
    ///
    /// # Errors
    /// When what does not fit in memory cannot be laid on the disk.
    pub fn take(&mut self, database: &Arc<Database>, key: Vec<u8>, value: Vec<u8>) -> Result<(), MaterializedError> {
        let place = database.keyspace.place(&key);
        let part = &mut self.parts[usize::from(place[1] >> 7)];
        part.bunch_bytes += key.len() + value.len();
        part.bunch.push(Row { database: database.clone(), place, key, value });
        if part.bunch_bytes < BUNCH_BYTES {
            return Ok(());
        }
        part.hand_over().map_err(|failed| given_up(failed, &self.directory))
    }

    /// Writes everything, and leaves the databases' markers as they are: they are whole when somebody says so. Not durable before
    /// [`Database::make_durable`].
    ///
    /// # Errors
    /// When a database or the disk fails. Some of the rows are there then.
    pub fn finish(mut self) -> Result<(), MaterializedError> {
        let mut sorters = Vec::with_capacity(SORTERS);
        for part in &mut self.parts {
            let ended = part.hand_over().and_then(|()| part.sorter.end());
            sorters.push(ended.map_err(|failed| given_up(failed, &self.directory))?);
        }
        if workers::are_simulated() {
            return sorters.into_iter().try_for_each(Sorter::finish);
        }
        let directory = &self.directory;
        thread::scope(|scope| {
            let write =
                |sorter: Sorter| thread::Builder::new().name("filling".to_owned()).spawn_scoped(scope, || sorter.finish());
            let writing =
                sorters.into_iter().map(write).collect::<Result<Vec<_>, _>>().map_err(|source| no_thread(directory, source))?;
            let mut written =
                writing.into_iter().map(|writing| writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            written.try_for_each(|written| written)
        })
    }
}

impl Part {
    fn hand_over(&mut self) -> Result<(), Option<MaterializedError>> {
        self.bunch_bytes = 0;
        self.sorter.give(std::mem::take(&mut self.bunch))
    }
}

fn no_thread(directory: &Path, source: io::Error) -> MaterializedError {
    MaterializedError::Io { doing: "starting a thread for", path: directory.to_owned(), source }
}

fn given_up(failed: Option<MaterializedError>, directory: &Path) -> MaterializedError {
    failed
        .unwrap_or_else(|| MaterializedError::Unusable { path: directory.to_owned(), why: "filling it was given up".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::materialized::DatabaseOptions;
    use crate::segment::Owner;
    use storage_crypto::{Key, SeededEntropy, entropy::random};

    const OWNER: Owner = Owner { cluster: [4; 16], node: 1 };

    fn databases(dir: &Path) -> [Arc<Database>; 2] {
        let (key, options) = (Key::from_bytes([5; 32]), DatabaseOptions::default());
        let in_memory = DatabaseOptions { in_memory: true, ..options.clone() };
        let sled = Database::open(&dir.join("one"), &key, OWNER, "one", options).unwrap();
        [Arc::new(sled), Arc::new(Database::open(&dir.join("two"), &key, OWNER, "two", in_memory).unwrap())]
    }

    #[test]
    fn what_comes_in_any_order_is_all_there_the_later_of_two_with_one_key_with_few_bytes_in_memory_and_with_many() {
        for gathered_bytes in [1400, 40_000, GATHERED_BYTES] {
            let dir = tempfile::tempdir().unwrap();
            let databases = databases(dir.path());
            let mut filling = Filling::holding(dir.path(), gathered_bytes).unwrap();
            let mut expected = [std::collections::BTreeMap::new(), std::collections::BTreeMap::new()];
            let chance = SeededEntropy::new(gathered_bytes as u64);
            for count in 0..3000 {
                let [which, number, many] = random(&chance);
                let (at, key) =
                    (usize::from(which % 2), format!("{}/{number}/{}", ["s", "v", "t"][usize::from(which) % 3], many % 8));
                let value = format!("{count} of {key}").into_bytes();
                filling.take(&databases[at], key.clone().into_bytes(), value.clone()).unwrap();
                expected[at].insert(key.into_bytes(), value);
            }
            filling.finish().unwrap();
            for (database, expected) in databases.iter().zip(expected) {
                assert_eq!(database.iter().collect::<Result<std::collections::BTreeMap<_, _>, _>>().unwrap(), expected);
                assert_eq!(
                    (database.marker(), database.make_durable().unwrap()),
                    (None, None),
                    "nobody has said that it is whole"
                );
            }
        }
    }

    #[test]
    fn a_place_where_nothing_can_be_laid_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let databases = databases(dir.path());
        let mut filling = Filling::holding(&dir.path().join("gone"), 2).unwrap();
        let taken = filling.take(&databases[1], b"skey".to_vec(), vec![1; BUNCH_BYTES]);
        let refused = taken.and_then(|()| filling.finish()).unwrap_err();
        assert!(matches!(&refused, MaterializedError::Io { path, .. } if path.ends_with("gone")), "{refused}");
    }

    #[test]
    fn what_is_given_up_writes_nothing_and_holds_no_database() {
        let dir = tempfile::tempdir().unwrap();
        let databases = databases(dir.path());
        let mut filling = Filling::new(dir.path()).unwrap();
        for number in 0..4000 {
            filling.take(&databases[1], format!("s{number}").into_bytes(), vec![1; 100]).unwrap();
        }
        drop(filling);
        assert_eq!((databases[1].iter().count(), Arc::strong_count(&databases[1])), (0, 1));
    }
}
