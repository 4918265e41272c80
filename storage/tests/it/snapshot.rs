//! Snapshots: what is not whole is refused, and nothing of a damaged chunk is returned.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use storage::{
    Contents, Disk, MemoryDisk, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotSummary, SnapshotWriter, StatePoint,
    disk::memory::Faults,
    snapshot::{check, read_header},
};
use storage_crypto::{Key, SeededEntropy, Signer};

use crate::support::{files, key, payload};

const PATH: &str = "/snapshots/1.snap";

fn header() -> SnapshotHeader {
    SnapshotHeader {
        cluster: [1; 16],
        epoch: 2,
        created_ms: 1_790_000_000_000,
        key_version: 3,
        contents: Contents::Increment { revision: 7, chain: [4; 32] },
        at: StatePoint { revision: 99, stamp_us: 1_790_000_000_000_000, chain: [5; 32], digest: [6; 32] },
        secrets: 12,
        position: b"term 3 index 99".to_vec(),
    }
}

fn record(number: u64) -> &'static [u8] {
    static RECORDS: LazyLock<Vec<Bytes>> =
        LazyLock::new(|| (0..2000).map(|number| payload(number, 5, 2000 + (number % 700) as usize)).collect());
    &RECORDS[(number % 2000) as usize]
}

fn writer(disk: &MemoryDisk) -> Result<SnapshotWriter, SnapshotError> {
    SnapshotWriter::create(Arc::new(disk.clone()), Path::new(PATH), &header(), &key(), Arc::new(SeededEntropy::new(1)))
}

fn write(disk: &MemoryDisk, records: u64) -> Result<SnapshotSummary, SnapshotError> {
    let mut writer = writer(disk)?;
    (0..records).try_for_each(|number| writer.push(record(number)))?;
    writer.finish(&signer())
}

fn signer() -> Signer {
    Signer::derive(&key(), "holdfast/v1/test signing", b"")
}

fn open(disk: &MemoryDisk) -> Result<SnapshotReader, SnapshotError> {
    SnapshotReader::open(disk, Path::new(PATH), &key())
}

/// Refused as a whole, with its key and without, and whatever is read before is what was written.
fn refused(disk: &MemoryDisk) {
    assert!(check(disk, Path::new(PATH), |_| ()).is_err(), "a damaged snapshot was found whole without its key");
    let Ok(reader) = open(disk) else { return };
    let mut ended_with_error = false;
    for (number, read) in (0..).zip(reader.records()) {
        match read {
            Ok(read) => assert_eq!(read, record(number), "record {number} is not what was written"),
            Err(_) => ended_with_error = true,
        }
    }
    assert!(ended_with_error, "a damaged snapshot was read to its end");
    assert!(reader.verify().is_err(), "a damaged snapshot verified");
}

fn damaged(whole: &[u8], damage: impl FnOnce(&mut Vec<u8>)) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let mut bytes = whole.to_vec();
    damage(&mut bytes);
    disk.create_new(Path::new(PATH)).unwrap().write_all_at(&bytes, 0).unwrap();
    disk
}

fn written(records: u64) -> Vec<u8> {
    let disk = MemoryDisk::new();
    write(&disk, records).unwrap();
    files(&disk, "/snapshots").remove(0).1
}

#[test]
fn a_snapshot_is_read_back_whole() {
    for records in [0, 1, 2000] {
        let disk = MemoryDisk::new();
        let summary = write(&disk, records).unwrap();
        assert_eq!(summary.records, records);
        let reader = open(&disk).unwrap();
        assert_eq!(*reader.header(), header());
        assert_eq!(reader.verify().unwrap(), summary);
        let checked = check(&disk, Path::new(PATH), |_| ()).unwrap();
        assert_eq!((&checked.header, checked.bytes, checked.digest), (&header(), summary.bytes, summary.digest));
        assert_eq!((checked.signer, summary.signer), (signer().public(), signer().public()));
        let read: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert!(read.iter().enumerate().all(|(number, bytes)| *bytes == record(number as u64)));
        assert_eq!(read.len() as u64, records);
        assert_eq!(read_header(&disk, Path::new(PATH)).unwrap(), header());
    }
}

#[test]
fn the_longest_record_fits_and_a_longer_one_is_refused() {
    let disk = MemoryDisk::new();
    let mut writer = writer(&disk).unwrap();
    let longest = payload(1, 1, storage::snapshot::RECORD_BYTES_MAX);
    writer.push(b"short").unwrap();
    writer.push(&longest).unwrap();
    let too_long = [&longest[..], b"x"].concat();
    assert!(matches!(writer.push(&too_long), Err(SnapshotError::RecordTooLong(_))));
    writer.finish(&signer()).unwrap();
    let read: Vec<_> = open(&disk).unwrap().records().map(Result::unwrap).collect();
    assert_eq!(read, [&b"short"[..], &longest[..]]);
}

#[test]
fn a_snapshot_cut_anywhere_is_refused() {
    let whole = written(600);
    let cuts = (0..whole.len()).step_by(4096).chain((whole.len() - 200..whole.len()).step_by(9));
    let count = cuts.inspect(|len| refused(&damaged(&whole, |bytes| bytes.truncate(*len)))).count();
    println!("snapshot: {count} cuts of {} bytes refused", whole.len());
}

#[test]
fn a_snapshot_with_one_flipped_bit_is_refused() {
    let whole = written(600);
    let everywhere = (0..whole.len()).step_by(4096).map(|page| (page + (page / 4096 * 97) % 4096).min(whole.len() - 1));
    let flips = everywhere.chain((0..200).step_by(5)).chain((whole.len() - 150..whole.len()).step_by(7));
    let count = flips.inspect(|at| refused(&damaged(&whole, |bytes| bytes[*at] ^= 1 << (at % 8)))).count();
    println!("snapshot: {count} flipped bits refused");
}

#[test]
fn exchanged_repeated_and_added_chunks_are_refused() {
    let whole = written(600);
    let mut chunks = Vec::new();
    let mut at = 12 + u32::from_be_bytes(whole[8..12].try_into().unwrap()) as usize;
    while at < whole.len() {
        let len = 9 + u32::from_be_bytes(whole[at + 1..at + 5].try_into().unwrap()) as usize;
        chunks.push(at..at + len);
        at += len;
    }
    assert!(chunks.len() >= 4);
    let part = |chunk: usize| whole[chunks[chunk].clone()].to_vec();
    let head = whole[..chunks[0].start].to_vec();
    let end = [part(chunks.len() - 2), part(chunks.len() - 1)].concat();
    for order in [vec![1, 0], vec![0, 0], vec![0], vec![1], vec![]] {
        let body: Vec<u8> = order.iter().flat_map(|chunk| part(*chunk)).collect();
        refused(&damaged(&[head.clone(), body, end.clone()].concat(), |_| ()));
    }
    let all_chunks: Vec<u8> = (0..chunks.len() - 2).flat_map(part).collect();
    refused(&damaged(&[&head[..], &all_chunks, &part(chunks.len() - 2)].concat(), |_| ()));
    refused(&damaged(&[&head[..], &all_chunks, &part(chunks.len() - 1)].concat(), |_| ()));
    refused(&damaged(&whole, |bytes| bytes.push(0)));
    refused(&damaged(&whole, |bytes| bytes.extend(part(0))));
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let whole = written(10);
    let disk = damaged(&whole, |_| ());
    let other = SnapshotReader::open(&disk, Path::new(PATH), &Key::from_bytes([9; 32])).unwrap();
    let wrong_key = other.verify().unwrap_err().to_string();
    assert!(wrong_key.contains("was sealed with another key"), "{wrong_key}");
    let not_one = open(&damaged(b"something else entirely", |_| ())).err().unwrap().to_string();
    assert_eq!(not_one, "/snapshots/1.snap is not a holdfast snapshot");
    let newer = damaged(&whole, |bytes| {
        bytes[15] = 9;
        let end = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
        let crc = crc32fast::hash(&bytes[..end - 4]);
        bytes[end - 4..end].copy_from_slice(&crc.to_be_bytes());
    });
    let newer = open(&newer).err().unwrap().to_string();
    assert!(newer.ends_with("was written by a newer holdfast (format 9, this one reads up to 2)"), "{newer}");
}

#[test]
fn a_snapshot_is_there_whole_or_not_at_all() {
    let disk = MemoryDisk::new();
    let mut unfinished = writer(&disk).unwrap();
    unfinished.push(record(0)).unwrap();
    drop(unfinished);
    assert_eq!(disk.list(Path::new("/snapshots")).unwrap(), Vec::<String>::new());
    for sync in 1..4 {
        let disk = MemoryDisk::new();
        disk.set_faults(Faults { fail_sync_from: Some(sync), ..Faults::default() });
        let result = write(&disk, 12_000);
        disk.cut_power(&SeededEntropy::new(sync));
        match result {
            Ok(_) => drop(open(&disk).unwrap().verify().unwrap()),
            Err(_) => assert!(!disk.exists(Path::new(PATH)).unwrap()),
        }
    }
    let disk = MemoryDisk::new();
    write(&disk, 100).unwrap();
    disk.cut_power(&SeededEntropy::new(7));
    open(&disk).unwrap().verify().unwrap();
}

#[test]
fn a_changed_file_with_mended_checksums_is_refused_for_its_signature() {
    let whole = written(10);
    let start = 12 + u32::from_be_bytes(whole[8..12].try_into().unwrap()) as usize;
    let len = 9 + u32::from_be_bytes(whole[start + 1..start + 5].try_into().unwrap()) as usize;
    let forged = damaged(&whole, |bytes| {
        bytes[start + 20] ^= 1;
        let crc = crc32fast::hash(&bytes[start..start + len - 4]);
        bytes[start + len - 4..start + len].copy_from_slice(&crc.to_be_bytes());
    });
    let refusal = check(&forged, Path::new(PATH), |_| ()).unwrap_err().to_string();
    assert!(refusal.contains("its signature is wrong"), "{refusal}");
    refused(&forged);
}
