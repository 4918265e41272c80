//! Damage to what was acknowledged: refused with everything left as it was, never lost without a word.

use std::{path::PathBuf, sync::LazyLock};

use bytes::Bytes;
use storage::{Disk, Done, MemoryDisk, Recovered, WalError};

use crate::support::{disk_of, files, frames, open_manual, payload};

const SEGMENT_BYTES: u64 = 4096;
const ENTRIES: u64 = 60;
const LAST_VOTE: &str = "vote 59";

/// A log of several segments, everything in it acknowledged; with `marked`, it has been idle since.
fn written(marked: bool) -> Vec<(PathBuf, Vec<u8>)> {
    let disk = MemoryDisk::new();
    let (wal, mut driver, _) = open_manual(&disk, SEGMENT_BYTES).unwrap();
    let mut index = 1;
    while index <= ENTRIES {
        let batch = 1 + index % 4;
        let entries = (index..index + batch).map(|at| (at, payload(at, 0, 300))).collect();
        wal.append(entries, Done::new(|result| result.unwrap()));
        wal.save_vote(Bytes::from(format!("vote {index}")), Done::new(|result| result.unwrap()));
        driver.step();
        index += batch;
    }
    if marked {
        driver.idle();
    }
    files(&disk, crate::support::WAL_DIR)
}

/// Every byte of a frame's header, and some of the rest; with `HOLDFAST_EXHAUSTIVE` set, every byte there is.
fn worth_a_flip(starts: &[usize], at: usize) -> bool {
    at.is_multiple_of(29)
        || starts.iter().any(|start| (*start..start + 48).contains(&at))
        || std::env::var_os("HOLDFAST_EXHAUSTIVE").is_some()
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Refused,
    NothingLost,
    Lost,
}

#[test]
fn damage_where_a_later_frame_vouches_for_what_stood_there_is_always_refused() {
    let whole = written(false);
    let mut tried = 0;
    for (at_file, (path, bytes)) in whole.iter().enumerate() {
        for frame in storage::segment::vouched(path, bytes) {
            for at in [frame.start, frame.start + 5, frame.end - 1] {
                let outcome = outcome(&whole, |files| files[at_file].1[at] ^= 1);
                assert_eq!(outcome, Outcome::Refused, "byte {at} of {}", path.display());
                tried += 1;
            }
        }
    }
    assert!(tried > 30, "only {tried} places were vouched for");
}

/// Opens a damaged copy. A refusal must name a file and must have changed nothing.
fn outcome(whole: &[(PathBuf, Vec<u8>)], damage: impl FnOnce(&mut Vec<(PathBuf, Vec<u8>)>)) -> Outcome {
    static PAYLOADS: LazyLock<Vec<Bytes>> = LazyLock::new(|| (0..=ENTRIES + 4).map(|index| payload(index, 0, 300)).collect());
    let mut damaged = whole.to_vec();
    damage(&mut damaged);
    let disk = disk_of(&damaged);
    match open_manual(&disk, SEGMENT_BYTES) {
        Err(WalError::Corrupt { .. } | WalError::WrongKey { .. }) => {
            assert_eq!(files(&disk, crate::support::WAL_DIR), damaged, "a refused log was changed");
            Outcome::Refused
        }
        Err(other) => panic!("{other}"),
        Ok((wal, _, recovered)) => {
            let read = recovered.first_index.map(|first| wal.read(first, u64::MAX, usize::MAX).unwrap());
            for (index, bytes) in read.iter().flatten() {
                assert_eq!(*bytes, PAYLOADS[*index as usize], "entry {index} is not what was written");
            }
            let (last, _) = recovered.last.unwrap_or_default();
            if last >= ENTRIES && recovered.vote.is_some_and(|vote| vote == LAST_VOTE) {
                Outcome::NothingLost
            } else {
                Outcome::Lost
            }
        }
    }
}

fn last_segment_in_use(whole: &[(PathBuf, Vec<u8>)]) -> usize {
    whole.iter().rposition(|(_, bytes)| !frames(bytes).0.is_empty()).unwrap()
}

#[test]
fn every_flipped_byte_before_the_last_frame_is_refused_or_harmless() {
    let whole = written(false);
    let tail = last_segment_in_use(&whole);
    let (mut refused, mut harmless) = (0, 0);
    for (file, (_, bytes)) in whole.iter().enumerate() {
        let (starts, end) = frames(bytes);
        // One damaged frame at the very end cannot be told from a torn one: see the test below for what closes that.
        let last = if file == tail { *starts.last().unwrap() } else { end };
        for at in (0..last).filter(|at| worth_a_flip(&starts, *at)) {
            match outcome(&whole, |files| files[file].1[at] ^= 1 << (at % 8)) {
                Outcome::Refused => refused += 1,
                Outcome::NothingLost => harmless += 1,
                Outcome::Lost => panic!("a flipped byte at {at} of file {file} lost acknowledged entries"),
            }
        }
    }
    // Harmless are the few bytes of padding between frames.
    assert!(refused > 1000 && harmless * 4 < refused, "{refused} refused, {harmless} harmless");
    println!("flipped bytes: {refused} refused, {harmless} in padding, 0 lost");
}

#[test]
fn once_the_log_was_idle_damage_to_its_last_batch_is_refused_too() {
    let whole = written(true);
    let tail = last_segment_in_use(&whole);
    let (starts, end) = frames(&whole[tail].1);
    let [.., last_batch, mark] = starts[..] else { panic!("a batch and the mark are there") };
    for at in (last_batch..mark).step_by(5) {
        assert_ne!(outcome(&whole, |files| files[tail].1[at] ^= 0x10), Outcome::Lost, "byte {at} of the last batch");
    }
    for at in (mark..end).step_by(3) {
        assert_eq!(outcome(&whole, |files| files[tail].1[at] ^= 0x10), Outcome::NothingLost, "byte {at} of the mark");
    }
}

#[test]
fn every_zeroed_sector_is_refused_or_harmless() {
    let whole = written(true);
    for (file, (_, bytes)) in whole.iter().enumerate() {
        for sector in 0..bytes.len() / 512 {
            let result = outcome(&whole, |files| files[file].1[sector * 512..(sector + 1) * 512].fill(0));
            assert_ne!(result, Outcome::Lost, "sector {sector} of file {file}");
        }
    }
}

#[test]
fn every_damaged_length_field_is_refused() {
    let whole = written(true);
    let tail = last_segment_in_use(&whole);
    let mut trials = 0;
    for (file, (_, bytes)) in whole.iter().enumerate() {
        let starts = frames(bytes).0;
        for (number, start) in starts.iter().enumerate() {
            for (byte, value) in (8..12).flat_map(|byte| [0x00, 0x7f, 0xff].map(|value| (byte, value))) {
                if bytes[start + byte] == value {
                    continue;
                }
                let result = outcome(&whole, |files| files[file].1[start + byte] = value);
                let mark = file == tail && number == starts.len() - 1;
                assert_eq!(result, if mark { Outcome::NothingLost } else { Outcome::Refused }, "frame at {start} of {file}");
                trials += 1;
            }
        }
    }
    assert!(trials > 150, "{trials}");
}

#[test]
fn a_file_that_was_cut_short_is_refused_wherever_it_was_cut() {
    let whole = written(false);
    for (file, (_, bytes)) in whole.iter().enumerate().take(last_segment_in_use(&whole) + 1) {
        for len in (0..bytes.len()).step_by(512) {
            let result = outcome(&whole, |files| files[file].1.truncate(len));
            let only_first_frame_lost = len < frames(bytes).0.get(1).copied().unwrap_or(0);
            assert!(
                result == Outcome::Refused || (only_first_frame_lost && result == Outcome::Lost && file > 0),
                "file {file} cut at {len}: {result:?}"
            );
        }
    }
}

#[test]
fn a_missing_an_exchanged_and_an_outdated_segment_are_refused() {
    let whole = written(true);
    let tail = last_segment_in_use(&whole);
    assert!(tail >= 3, "the log has {} segments", tail + 1);
    for file in 0..tail {
        assert_eq!(outcome(&whole, |files| drop(files.remove(file))), Outcome::Refused, "segment {file} missing");
        let other = whole[(file + 1) % tail].1.clone();
        assert_eq!(outcome(&whole, |files| files[file].1 = other), Outcome::Refused, "segment {file} exchanged");
        let last = *frames(&whole[file].1).0.last().unwrap();
        assert_eq!(outcome(&whole, |files| files[file].1[last..].fill(0)), Outcome::Refused, "segment {file} outdated");
    }
}

#[test]
fn a_torn_last_write_is_dropped_and_erased() {
    let whole = written(false);
    let tail = last_segment_in_use(&whole);
    let (starts, end) = frames(&whole[tail].1);
    for cut in (starts.last().unwrap() + 1..end).step_by(13) {
        let mut torn = whole.clone();
        torn[tail].1[cut..].fill(0);
        let disk = disk_of(&torn);
        let (_, _, recovered) = open_manual(&disk, SEGMENT_BYTES).unwrap();
        assert!(recovered.last.unwrap().0 < ENTRIES);
        let erased = files(&disk, crate::support::WAL_DIR);
        assert!(erased[tail].1[*starts.last().unwrap()..].iter().all(|byte| *byte == 0), "cut at {cut}");
    }
}

#[test]
fn a_refusal_names_the_file_and_what_to_do() {
    let whole = written(true);
    let mut damaged = whole.clone();
    let second = frames(&whole[0].1).0[1];
    damaged[0].1[second + 20] ^= 1;
    let refusal = open_manual(&disk_of(&damaged), SEGMENT_BYTES).err().unwrap().to_string();
    assert!(refusal.starts_with(&format!("/wal/0000000000000001.seg is damaged at offset {second}: ")), "{refusal}");
    assert!(refusal.contains("nothing was changed") && refusal.contains("under a new node id"), "{refusal}");
}

#[test]
fn the_log_of_another_node_or_key_does_not_open() {
    let whole = written(true);
    let open = |key: [u8; 32], node: u64| {
        storage::Wal::open_manual(
            std::sync::Arc::new(disk_of(&whole)),
            std::path::Path::new(crate::support::WAL_DIR),
            storage_crypto::Key::from_bytes(key),
            storage::Owner { node, ..crate::support::OWNER },
            crate::support::small_segments(SEGMENT_BYTES),
        )
        .err()
        .unwrap()
    };
    assert!(matches!(open([9; 32], 7), WalError::WrongKey { .. }));
    assert!(matches!(open([42; 32], 8), WalError::Corrupt { .. }));
}

#[test]
fn an_entry_damaged_while_the_log_is_open_is_not_returned() {
    let disk = disk_of(&written(true));
    let (wal, _driver, recovered): (_, _, Recovered) = open_manual(&disk, SEGMENT_BYTES).unwrap();
    let first = recovered.first_index.unwrap();
    let paths: Vec<_> = disk.list(std::path::Path::new(crate::support::WAL_DIR)).unwrap();
    disk.tamper(&std::path::Path::new(crate::support::WAL_DIR).join(&paths[0]), |bytes| {
        let (starts, _) = frames(bytes);
        bytes[starts[1] + 60] ^= 1;
    });
    let error = wal.read(first, first + 1, usize::MAX).unwrap_err().to_string();
    assert!(error.contains("0000000000000001.seg does not read back"), "{error}");
}
