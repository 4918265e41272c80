//! Rows in sled: sealed, all or nothing, rebuildable.

use std::path::Path;
use std::sync::Arc;

use storage::materialized::Filling;
use storage::{Database, DatabaseOptions, MaterializedError, RowOp};
use storage_crypto::{SeededEntropy, entropy::random};

use crate::support::{OWNER, key};

fn open(dir: &Path) -> Result<Database, MaterializedError> {
    Database::open(dir, &key(), OWNER, "production", DatabaseOptions::default())
}

fn in_memory(dir: &Path) -> Database {
    let options = DatabaseOptions { in_memory: true, ..DatabaseOptions::default() };
    Database::open(dir, &key(), OWNER, "production", options).unwrap()
}

fn put(key: &str, value: &str) -> RowOp {
    RowOp { key: key.into(), value: Some(value.into()) }
}

fn remove(key: &str) -> RowOp {
    RowOp { key: key.into(), value: None }
}

#[test]
fn rows_and_their_marker_are_read_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).unwrap();
    assert_eq!(db.marker(), None);
    db.apply(vec![put("sdb/password", "one"), put("sapi/key", "two"), put("ggroup", "three")], 5).unwrap();
    db.apply(vec![put("sdb/password", "four"), remove("sapi/key")], 6).unwrap();
    assert_eq!(db.make_durable().unwrap(), Some(6));
    drop(db);
    let db = open(dir.path()).unwrap();
    assert_eq!(db.marker(), Some(6));
    assert_eq!(db.get(b"sdb/password").unwrap().unwrap(), b"four");
    assert_eq!(db.get(b"sapi/key").unwrap(), None);
    let mut rows: Vec<_> = db.iter().map(Result::unwrap).collect();
    rows.sort();
    assert_eq!(rows, [(b"ggroup".to_vec(), b"three".to_vec()), (b"sdb/password".to_vec(), b"four".to_vec())]);
    assert_eq!(db.iter_table(b's').count(), 1);
}

#[test]
fn rows_that_a_database_is_filled_with_are_read_back_and_it_is_not_whole_before_somebody_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let database = Arc::new(open(&directory.path().join("db")).unwrap());
    let keys: Vec<String> = (0..5000).map(|number| format!("row/{number}")).collect();
    let mut filling = Filling::new(directory.path()).unwrap();
    keys.iter()
        .for_each(|key| filling.take(&database, key.clone().into_bytes(), format!("value of {key}").into_bytes()).unwrap());
    filling.finish().unwrap();
    assert_eq!(database.make_durable().unwrap(), None);
    database.apply(Vec::new(), 7).unwrap();
    assert_eq!(database.make_durable().unwrap(), Some(7));
    drop(database);
    let database = open(&directory.path().join("db")).unwrap();
    assert_eq!(database.marker(), Some(7));
    for key in &keys {
        assert_eq!(database.get(key.as_bytes()).unwrap(), Some(format!("value of {key}").into_bytes()), "{key}");
    }
    assert_eq!(database.iter().count(), keys.len());
}

#[test]
fn long_values_in_files_of_their_own_are_made_durable_too() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).unwrap();
    let long = "x".repeat(3 << 20);
    db.apply(vec![put("slong", &long)], 1).unwrap();
    assert_eq!(db.make_durable().unwrap(), Some(1));
    drop(db);
    assert_eq!(open(dir.path()).unwrap().get(b"slong").unwrap().unwrap(), long.as_bytes());
}

#[test]
fn nothing_readable_is_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).unwrap();
    let rows = (0..200).map(|number| put(&format!("scanary-key-{number}"), &format!("canary-value-{number}")));
    db.apply(rows.collect(), 1).unwrap();
    db.make_durable().unwrap();
    drop(db);
    let bytes = std::fs::read(dir.path().join("db")).unwrap();
    assert!(bytes.len() > 20_000);
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
}

#[test]
fn another_key_name_or_node_opens_no_row() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().apply(vec![put("sa", "b")], 1).unwrap();
    let elsewhere = [
        Database::open(dir.path(), &key(), OWNER, "staging", DatabaseOptions::default()),
        Database::open(dir.path(), &key(), storage::Owner { node: 8, ..OWNER }, "production", DatabaseOptions::default()),
        Database::open(dir.path(), &storage_crypto::Key::from_bytes([1; 32]), OWNER, "production", DatabaseOptions::default()),
    ];
    for opened in elsewhere {
        assert!(matches!(opened, Err(MaterializedError::Damaged { .. })));
    }
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The marker, all rows, and those of each of two tables, as a database gives them.
fn held(db: &Database) -> (Option<u64>, Rows, [Rows; 2]) {
    let mut all: Rows = db.iter().map(Result::unwrap).collect();
    all.sort();
    (db.marker(), all, [b's', b'v'].map(|table| db.iter_table(table).map(Result::unwrap).collect()))
}

#[test]
fn a_database_in_memory_holds_what_one_on_a_disk_holds_whatever_is_done_to_both() {
    let dir = tempfile::tempdir().unwrap();
    let memory = in_memory(dir.path());
    let both = [open(dir.path()).unwrap(), memory];
    let chance = SeededEntropy::new(31);
    let below = |bound: u16| u16::from_be_bytes(random(&chance)) % bound;
    for step in 0..300u64 {
        let names: Vec<String> = (0..below(12)).map(|_| format!("{}{}", ["s", "v"][usize::from(below(2))], below(60))).collect();
        let ops = names.iter().map(|name| if below(3) == 0 { remove(name) } else { put(name, &format!("{step} of {name}")) });
        let ops: Vec<RowOp> = ops.collect();
        for db in &both {
            db.apply(ops.clone(), step).unwrap();
        }
        let [disk, memory] = &both;
        assert_eq!(held(disk), held(memory), "after step {step}");
        assert_eq!(disk.get(b"s7").unwrap(), memory.get(b"s7").unwrap(), "after step {step}");
        if step % 20 == 0 {
            assert_eq!(disk.make_durable().unwrap(), memory.make_durable().unwrap());
        }
    }
    assert!(both[1].iter().count() > 20, "there was something to compare");
}

#[test]
fn who_walks_all_rows_meets_each_that_stays_whatever_is_written_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let memory = in_memory(dir.path());
    for db in [open(dir.path()).unwrap(), memory] {
        db.apply((0..500).map(|number| put(&format!("s{number}"), "stays")).collect(), 1).unwrap();
        let mut met = std::collections::BTreeSet::new();
        for (count, row) in db.iter().enumerate() {
            let (key, value) = row.unwrap();
            if value == b"stays" {
                assert!(met.insert(key), "none twice");
            }
            if count < 400 {
                db.apply(vec![put(&format!("v{count}"), "comes"), remove(&format!("v{}", count / 2))], 2).unwrap();
            }
        }
        assert_eq!(met.len(), 500);
    }
}

#[test]
fn a_newer_format_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    {
        let db = raw(dir.path());
        db.insert([0xFE], &9u32.to_be_bytes()).unwrap();
        db.flush().unwrap();
    }
    let refusal = open(dir.path()).err().unwrap().to_string();
    assert!(refusal.ends_with("was written by a newer holdfast (format 9, this one reads up to 1)"), "{refusal}");
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless_and_never_a_wrong_value() {
    let origin = tempfile::tempdir().unwrap();
    let db = open(origin.path()).unwrap();
    for number in 0..400 {
        db.apply(vec![put(&format!("s{number}"), &"value".repeat(20))], number).unwrap();
    }
    db.make_durable().unwrap();
    drop(db);
    let whole = std::fs::read(origin.path().join("db")).unwrap();
    let (mut noticed, mut harmless) = (0, 0);
    // A panic inside sled is caught; its report would only drown the others.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    for trial in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(origin.path().join("conf"), dir.path().join("conf")).unwrap();
        let mut bytes = whole.clone();
        let at = trial * 4099 % bytes.len();
        bytes[at] ^= 1 << (trial % 8);
        std::fs::write(dir.path().join("db"), bytes).unwrap();
        let rows = open(dir.path()).and_then(|db| db.iter().collect::<Result<Vec<_>, _>>());
        match rows {
            Err(_) => noticed += 1,
            Ok(rows) => {
                assert!(rows.iter().all(|(_, value)| *value == "value".repeat(20).as_bytes()));
                harmless += 1;
            }
        }
    }
    std::panic::set_hook(hook);
    println!("sled, flipped bits: {noticed} noticed, {harmless} harmless, 0 wrong values");
}

#[test]
fn what_is_left_of_the_database_before_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let held = std::fs::File::open(dir.path().join("db")).unwrap();
    held.lock().unwrap();
    let letting_go = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(held);
    });
    let opened = open(dir.path());
    assert!(opened.is_ok(), "{:?}", opened.err());
    letting_go.join().unwrap();
}

#[test]
fn a_database_that_sled_does_not_open_is_unusable() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    std::fs::write(dir.path().join("conf"), b"not what sled wrote").unwrap();
    let refusal = open(dir.path()).err().unwrap();
    assert!(matches!(refusal, MaterializedError::Unusable { .. }), "{refusal}");
    assert!(refusal.to_string().contains("move it aside and rebuild it from the log"), "{refusal}");
}

/// sled itself, once nobody has the database any more: its threads hold it for a moment longer than its owner.
fn raw(dir: &Path) -> sled::Db {
    let held = std::fs::File::open(dir.join("db")).unwrap();
    held.lock().unwrap();
    drop(held);
    sled::open(dir).unwrap()
}

/// The rows of a database as they lie on the disk, without the reserved ones.
fn raw_rows(dir: &Path) -> Vec<(sled::IVec, sled::IVec)> {
    raw(dir).iter().map(Result::unwrap).filter(|(place, _)| place.len() > 1).collect()
}

fn write_raw(dir: &Path, place: &[u8], blob: &[u8]) {
    let db = raw(dir);
    db.insert(place, blob).unwrap();
    db.flush().unwrap();
}

#[test]
fn rows_swapped_in_a_stopped_database_are_found_and_never_read_as_each_other() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().apply(vec![put("sa", "of a"), put("sb", "of b"), put("sc", "of c")], 1).unwrap();
    let rows = raw_rows(dir.path());
    write_raw(dir.path(), &rows[0].0, &rows[1].1);
    write_raw(dir.path(), &rows[1].0, &rows[0].1);
    let db = open(dir.path()).unwrap();
    let read: Vec<_> = ["sa", "sb", "sc"].iter().map(|key| db.get(key.as_bytes())).collect();
    let damaged = read.iter().filter(|read| matches!(read, Err(MaterializedError::Damaged { .. }))).count();
    assert_eq!(damaged, 2, "{read:?}");
    for (read, right) in read.into_iter().zip(["of a", "of b", "of c"]) {
        assert!(read.is_err() || read.unwrap().unwrap() == right.as_bytes());
    }
    assert!(db.iter().any(|row| row.is_err()), "whoever walks all rows finds it, too");
}

#[test]
fn a_row_of_another_database_or_another_node_does_not_open() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(here.path()).unwrap().apply(vec![put("sa", "here")], 1).unwrap();
    let place = raw_rows(here.path())[0].0.clone();
    let others = [("staging", OWNER), ("production", storage::Owner { node: 8, ..OWNER })];
    for (name, owner) in others {
        let other = there.path().join(format!("{name}-{}", owner.node));
        let db = Database::open(&other, &key(), owner, name, DatabaseOptions::default()).unwrap();
        db.apply(vec![put("sa", "there")], 1).unwrap();
        drop(db);
        let (_, blob) = raw_rows(&other)[0].clone();
        write_raw(here.path(), &place, &blob);
        let read = open(here.path()).unwrap().get(b"sa");
        assert!(matches!(read, Err(MaterializedError::Damaged { .. })), "{name}: {read:?}");
    }
}

/// sled writes in segments of this length.
const SEGMENT: usize = 512 * 1024;

#[test]
fn a_database_that_opens_well_and_is_damaged_deeper_down_says_so_when_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let rows = |round: u32| (0..6000).map(move |number| put(&format!("s{number}"), &format!("{round} {}", "x".repeat(300))));
    let db = open(dir.path()).unwrap();
    db.apply(rows(1).collect(), 1).unwrap();
    db.make_durable().unwrap();
    drop(db);
    // Opened once more, it knows where everything lies, and looks at little the next time.
    drop(open(dir.path()).unwrap());
    let file = dir.path().join("db");
    let whole = std::fs::read(&file).unwrap();
    let mut refused_in_use = 0;
    for segment in (0..whole.len()).step_by(SEGMENT) {
        let damaged = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            std::fs::copy(entry.path(), damaged.path().join(entry.file_name())).unwrap();
        }
        let mut bytes = whole.clone();
        for page in (segment..whole.len().min(segment + SEGMENT)).step_by(4096).skip(2) {
            bytes[page + 2048.min(whole.len() - page - 1)] ^= 1;
        }
        std::fs::write(damaged.path().join("db"), bytes).unwrap();
        let Ok(db) = open(damaged.path()) else { continue };
        if db.marker() != Some(1) {
            continue;
        }
        if let Err(refused) = db.apply(rows(2).collect(), 2) {
            assert!(matches!(refused, MaterializedError::Unusable { .. }), "{refused}");
            refused_in_use += 1;
        }
    }
    assert!(refused_in_use > 0, "damage shows when a database is opened, everywhere");
}
