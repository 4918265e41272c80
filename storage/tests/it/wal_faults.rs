//! Failed syncs, full disks, wrong requests, and the threads around the log.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use storage::{Done, MemoryDisk, RealDisk, Wal, WalOptions, disk::memory::Faults};
use storage_crypto::SeededEntropy;

use crate::support::{LoopFs, OWNER, WAL_DIR, key, open_manual, payload, small_segments};

fn open(disk: &MemoryDisk) -> Wal {
    Wal::open(Arc::new(disk.booted()), Path::new(WAL_DIR), key(), OWNER, small_segments(16 * 1024)).unwrap().0
}

fn append(wal: &Wal, index: u64) -> std::io::Result<()> {
    let (done, answer) = Done::channel();
    wal.append(vec![(index, payload(index, 0, 300))], done);
    answer.recv().unwrap()
}

const MANY: u64 = 64;

fn append_many(wal: &Wal, first: u64) -> std::io::Result<()> {
    let (done, answer) = Done::channel();
    wal.append((first..first + MANY).map(|index| (index, payload(index, 0, 300))).collect(), done);
    answer.recv().unwrap()
}

#[test]
fn the_first_failed_sync_is_final_and_nothing_after_it_is_acknowledged() {
    for failing in (1..12).chain((12..60).step_by(5)) {
        let disk = MemoryDisk::new();
        disk.set_faults(Faults { fail_sync_from: Some(failing), ..Faults::default() });
        let opened = Wal::open(Arc::new(disk.booted()), Path::new(WAL_DIR), key(), OWNER, small_segments(16 * 1024));
        let mut acknowledged = 0;
        if let Ok((wal, _)) = opened {
            let results: Vec<_> = (1..=60).map(|index| append(&wal, index).is_ok()).collect();
            acknowledged = results.iter().take_while(|ok| **ok).count() as u64;
            assert!(results[acknowledged as usize..].iter().all(|ok| !ok), "acknowledged after a failure: {results:?}");
            assert!(acknowledged < 60 && wal.failed().unwrap().contains("failed: "), "{:?}", wal.failed());
            let (done, answer) = Done::channel();
            wal.save_vote(Bytes::from_static(b"vote"), done);
            assert!(answer.recv().unwrap().is_err(), "a vote was acknowledged after a failure");
            wal.close();
        }
        disk.set_faults(Faults::default());
        disk.cut_power(&SeededEntropy::new(failing));
        let (_, _, recovered) = open_manual(&disk, 16 * 1024).unwrap();
        let last = recovered.last.map_or(0, |(index, _)| index);
        assert!(last >= acknowledged, "{acknowledged} were acknowledged, {last} are there (sync {failing} failed)");
    }
}

#[test]
fn what_a_failed_sync_left_in_memory_is_durable_once_the_next_process_has_read_it() {
    for seed in 0..20 {
        let disk = MemoryDisk::new();
        let (wal, mut driver, _) = open_manual(&disk, 16 * 1024).unwrap();
        for index in 1..=5 {
            wal.append(vec![(index, payload(index, 0, 300))], Done::new(|result| result.unwrap()));
            driver.step();
        }
        disk.set_faults(Faults { fail_sync_from: Some(disk.syncs() + 1), ..Faults::default() });
        wal.append(vec![(6, payload(6, 0, 300))], Done::new(|result| drop(result.unwrap_err())));
        driver.step();
        disk.kill();
        disk.set_faults(Faults::default());
        let (_, _, recovered) = open_manual(&disk, 16 * 1024).unwrap();
        let found = recovered.last.unwrap().0;
        assert_eq!(found, 6, "its bytes are in the memory of the system");
        disk.cut_power(&SeededEntropy::new(seed));
        let (_, _, recovered) = open_manual(&disk, 16 * 1024).unwrap();
        assert_eq!(recovered.last.unwrap().0, found, "what a process was given is gone (seed {seed})");
    }
}

#[test]
fn requests_are_answered_in_order_and_a_closed_log_answers_too() {
    let disk = MemoryDisk::new();
    let wal = open(&disk);
    let order = Arc::new(Mutex::new(Vec::new()));
    for index in 1..=500 {
        let order = Arc::clone(&order);
        wal.append(
            vec![(index, payload(index, 0, 100))],
            Done::new(move |result| {
                result.unwrap();
                order.lock().unwrap().push(index);
            }),
        );
    }
    let late = wal.clone();
    wal.close();
    assert_eq!(*order.lock().unwrap(), (1..=500).collect::<Vec<_>>());
    assert_eq!(append(&late, 501).unwrap_err().to_string(), "write-ahead log is closed");
}

#[test]
fn a_dropped_request_is_answered_with_an_error() {
    let (done, answer) = Done::channel();
    drop(done);
    assert_eq!(answer.recv().unwrap().unwrap_err().to_string(), "write-ahead log dropped the request");
}

#[test]
fn a_hole_an_overlap_and_a_purged_entry_are_refused_in_words() {
    let disk = MemoryDisk::new();
    let wal = open(&disk);
    append(&wal, 5).unwrap();
    assert_eq!(append(&wal, 7).unwrap_err().to_string(), "entry 7 was appended where 6 comes next");
    assert_eq!(append(&wal, 5).unwrap_err().to_string(), "entry 5 was appended where 6 comes next");
    let (done, answer) = Done::channel();
    wal.append(vec![(6, Bytes::new()), (8, Bytes::new())], done);
    assert_eq!(answer.recv().unwrap().unwrap_err().to_string(), "entry 8 was appended where 7 comes next");
    append(&wal, 6).unwrap();
    let (done, answer) = Done::channel();
    wal.purge_through(5, Bytes::from_static(b"meta"), done);
    answer.recv().unwrap().unwrap();
    assert_eq!(wal.read(5, 7, 1000).unwrap_err().to_string(), "entry 5 was purged, the log starts at 6");
    assert_eq!(wal.read(6, 100, 1000).unwrap().len(), 1);
    assert_eq!(wal.read(7, 100, 1000).unwrap(), []);
    assert!(wal.failed().is_none(), "a wrong request is no failure of the log");
}

#[test]
fn purging_gives_the_disk_back_and_keeps_the_vote() {
    let disk = MemoryDisk::new();
    let wal = open(&disk);
    wal.save_vote(Bytes::from_static(b"vote"), Done::ignore());
    wal.save_committed(Bytes::from_static(b"committed"));
    for index in 1..=1001 {
        if index % 10 == 1 {
            append(&wal, index).unwrap();
        } else {
            wal.append(vec![(index, payload(index, 0, 300))], Done::ignore());
        }
    }
    let before = wal.stats();
    assert!(before.segments > 10 && before.entries == 1001, "{before:?}");
    let (done, answer) = Done::channel();
    wal.purge_through(990, Bytes::from_static(b"meta"), done);
    answer.recv().unwrap().unwrap();
    assert!(wal.stats().segments <= 2, "{:?}", wal.stats());
    // Purging everything leaves the segment being written.
    let (done, answer) = Done::channel();
    wal.purge_through(2000, Bytes::from_static(b"beyond"), done);
    answer.recv().unwrap().unwrap();
    assert_eq!(wal.stats().segments, 1);
    append(&wal, 2001).unwrap();
    wal.close();
    let (_, _, recovered) = open_manual(&disk, 16 * 1024).unwrap();
    assert_eq!(recovered.vote.unwrap(), "vote");
    assert_eq!(recovered.committed.unwrap(), "committed");
    assert_eq!(recovered.purged.unwrap(), (2000, Bytes::from_static(b"beyond")));
    assert_eq!((recovered.first_index, recovered.last.unwrap().0), (Some(2001), 2001));
}

#[test]
fn what_was_appended_can_be_read_before_it_is_durable() {
    let disk = MemoryDisk::new();
    let (wal, mut driver, _) = open_manual(&disk, 16 * 1024).unwrap();
    let durable = Arc::new(AtomicU64::new(0));
    let entries: Vec<_> = (1..=20).map(|index| (index, payload(index, 0, 300))).collect();
    let count = Arc::clone(&durable);
    wal.append(
        entries.clone(),
        Done::new(move |result| {
            result.unwrap();
            count.store(20, SeqCst);
        }),
    );
    assert_eq!(wal.read(1, 21, usize::MAX).unwrap(), entries);
    assert_eq!(durable.load(SeqCst), 0);
    assert!(driver.step());
    assert_eq!(durable.load(SeqCst), 20);
    assert_eq!(wal.read(1, 21, usize::MAX).unwrap(), entries, "now partly from disk");
}

#[test]
fn reading_goes_on_while_others_append_and_purge() {
    let disk = MemoryDisk::new();
    let wal = open(&disk);
    append(&wal, 1).unwrap();
    let reader = {
        let wal = wal.clone();
        std::thread::spawn(move || {
            let mut read = 0;
            while read < 20_000 {
                let (Some(first), Some((last, _))) = (wal.first_index(), wal.last()) else { continue };
                // The log may be purged past `first` in between.
                let Ok(entries) = wal.read(first, last + 1, 4000) else { continue };
                assert_eq!(entries.first().map(|(index, _)| *index), Some(first), "nothing was read where there is something");
                for (index, bytes) in &entries {
                    assert_eq!(*bytes, payload(*index, 0, 300));
                }
                read += entries.len();
            }
        })
    };
    for index in 2..=5000 {
        wal.append(vec![(index, payload(index, 0, 300))], Done::ignore());
        if index % 500 == 0 {
            wal.purge_through(index - 300, Bytes::new(), Done::ignore());
        }
    }
    reader.join().unwrap();
    assert!(wal.failed().is_none());
}

#[test]
fn a_full_disk_refuses_and_loses_nothing_and_the_log_goes_on_when_there_is_room_again() {
    let Some(fs) = LoopFs::create(24) else { return };
    let (dir, ballast) = (fs.mount.join("wal"), fs.mount.join("ballast"));
    let options = || WalOptions { segment_bytes: 1 << 20, cache_bytes: 4096, ..WalOptions::default() };
    let open = || Wal::open(Arc::new(RealDisk), &dir, key(), OWNER, options());
    std::fs::write(&ballast, vec![1; 12 << 20]).unwrap();
    let (wal, _) = open().unwrap();
    let mut acknowledged = 0;
    while append_many(&wal, acknowledged + 1).is_ok() {
        acknowledged += MANY;
        assert!(acknowledged < 200_000, "the disk never filled");
    }
    assert!(acknowledged > 1000 && wal.failed().unwrap().contains("No space left"), "{:?}", wal.failed());
    assert!(wal.stats().spare_failure.is_some_and(|failure| failure.contains("No space left")));
    drop(wal);

    let (wal, recovered) = open().expect("a log opens on a full disk");
    assert!(recovered.last.unwrap().0 >= acknowledged);
    drop(wal);
    std::fs::remove_file(&ballast).unwrap();
    let (wal, recovered) = open().unwrap();
    let next = recovered.last.unwrap().0 + 1;
    for batch in 0..100 {
        append_many(&wal, next + batch * MANY).unwrap();
    }
    assert_eq!(wal.read(1, u64::MAX, usize::MAX).unwrap().len() as u64, next - 1 + 100 * MANY);
    println!("full disk: {acknowledged} acknowledged before ENOSPC, 0 lost");
}
