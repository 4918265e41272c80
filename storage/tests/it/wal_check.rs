//! Older segments of a log at work, read again: as they were written, or damage that is found.

use bytes::Bytes;
use storage::{Done, MemoryDisk, Wal, WalDriver, WalError};

use crate::support::{WAL_DIR, files, frames, open_manual, payload};

const ENTRIES: u64 = 60;

/// A log of several segments that goes on being written.
fn at_work(disk: &MemoryDisk) -> (Wal, WalDriver) {
    let (wal, mut driver, _) = open_manual(disk, 4096).unwrap();
    for index in 1..=ENTRIES {
        wal.append(vec![(index, payload(index, 0, 300))], Done::new(|result| result.unwrap()));
        driver.step();
    }
    (wal, driver)
}

#[test]
fn older_segments_read_as_they_were_written_and_not_once_they_have_gone() {
    let disk = MemoryDisk::new();
    let (wal, mut driver) = at_work(&disk);
    let older = wal.older_segments();
    assert!(older.len() > 3, "{older:?}");
    for segment in &older {
        assert!(wal.check(*segment, &disk).unwrap() > 300);
    }
    wal.purge_through(ENTRIES - 1, Bytes::from_static(b"meta"), Done::new(|result| result.unwrap()));
    driver.step();
    assert!(wal.older_segments().is_empty());
    for segment in older {
        assert_eq!(wal.check(segment, &disk).unwrap(), 0);
    }
}

#[test]
fn damage_to_any_frame_of_an_older_segment_is_found_while_the_log_is_at_work() {
    let disk = MemoryDisk::new();
    let (wal, _driver) = at_work(&disk);
    let all = files(&disk, WAL_DIR);
    for (segment, (path, bytes)) in wal.older_segments().into_iter().zip(&all) {
        let (starts, _) = frames(bytes);
        for at in starts.iter().flat_map(|start| [start + 1, start + 9, start + 60]) {
            disk.tamper(path, |bytes| bytes[at] ^= 4);
            let found = wal.check(segment, &disk).unwrap_err();
            let WalError::Corrupt { path: named, .. } = &found else { panic!("{found}") };
            assert_eq!(named, path);
            disk.tamper(path, |bytes| bytes[at] ^= 4);
        }
        assert!(wal.check(segment, &disk).unwrap() > 0);
    }
}
