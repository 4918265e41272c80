//! Snapshot files, as they are and with every seal in place, and entries of backup sets.

use crate::input::{Input, part, stable};
use std::path::Path;
use std::sync::Arc;
use storage::snapshot::check;
use storage::{Contents, Disk, MemoryDisk, SnapshotHeader, SnapshotReader, SnapshotWriter, StatePoint};
use storage_backup::{Checked, Entry};
use storage_crypto::{Key, SeededEntropy, Signer};

const PLACE: &str = "/snapshots/one";

fn key() -> Key {
    Key::from_bytes([5; 32])
}

fn signer() -> Signer {
    Signer::derive(&Key::from_bytes([7; 32]), "holdfast/v1/fuzz signing", b"")
}

fn header(position: &[u8], contents: Contents) -> SnapshotHeader {
    let at = StatePoint { revision: 9, stamp_us: 1_790_000_000_000_000, chain: [2; 32], digest: [3; 32] };
    SnapshotHeader {
        cluster: [1; 16],
        epoch: 1,
        created_ms: 5,
        key_version: 1,
        contents,
        at,
        secrets: 3,
        position: position.to_vec(),
    }
}

fn written(header: &SnapshotHeader, records: &[&[u8]]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (shared, entropy) = (Arc::new(disk.clone()), Arc::new(SeededEntropy::new(3)));
    let mut writer =
        SnapshotWriter::create(shared, Path::new(PLACE), header, &key(), entropy).expect("a disk in memory takes it");
    for record in records {
        writer.push(record).expect("a disk in memory takes it");
    }
    writer.finish(&signer()).expect("a disk in memory takes it");
    disk
}

/// Reads everything; how many records, if the snapshot is whole.
fn read(disk: &MemoryDisk) -> Option<u64> {
    let place = Path::new(PLACE);
    let checked = check(disk, place, |_| ());
    let reader = SnapshotReader::open(disk, place, &key()).ok()?;
    let records = reader.records().take_while(Result::is_ok).count();
    let summary = reader.verify().ok()?;
    assert!(checked.is_ok(), "a snapshot verifies with its key and does not without");
    assert_eq!(records as u64, summary.records, "a snapshot that verifies does not read to its end");
    Some(summary.records)
}

pub(super) fn file(bytes: &[u8]) {
    let disk = MemoryDisk::new();
    let file = disk.create_new(Path::new(PLACE)).expect("a disk in memory takes a file");
    file.write_all_at(bytes, 0).expect("a disk in memory takes bytes");
    read(&disk);
}

pub(super) fn files() -> Vec<Vec<u8>> {
    let increment = Contents::Increment { revision: 4, chain: [8; 32] };
    [header(b"position", Contents::Full), header(b"", increment)]
        .iter()
        .map(|header| {
            let disk = written(header, &[b"one", b"", b"three"]);
            let file = disk.open(Path::new(PLACE)).expect("it was written");
            storage::disk::read_all(&*file, 1 << 20).expect("it was written")
        })
        .collect()
}

/// Any records come back as they were given, and reading what they hold does not fail.
pub(super) fn records(bytes: &[u8]) {
    let mut input = Input(bytes);
    let contents =
        if input.byte() == 0 { Contents::Full } else { Contents::Increment { revision: input.number(), chain: [0; 32] } };
    let header = header(input.part(), contents);
    let mut records = Vec::new();
    while !input.0.is_empty() && records.len() < 64 {
        records.push(input.part());
    }
    let disk = written(&header, &records);
    assert_eq!(read(&disk), Some(records.len() as u64), "what was written verifies");
    let reader = SnapshotReader::open(&disk, Path::new(PLACE), &key()).expect("what was written opens");
    assert_eq!(reader.header(), &header, "a header is another one when it is read");
    drop(raft::timeline::read_position(&header.position));
    for (record, written) in reader.records().zip(records) {
        let record = record.expect("what was written reads");
        assert_eq!(record, written, "a record is another one when it is read");
        stable(&record, node::fuzzing::snapshot_record_again);
    }
}

pub(super) fn record_lists() -> Vec<Vec<u8>> {
    let all: Vec<u8> = super::records::golden().iter().flat_map(|bytes| part(bytes)).collect();
    vec![[vec![0], part(b"position"), all].concat(), [vec![1, 4], part(b""), part(b"record")].concat()]
}

pub(super) fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::parse(bytes) {
        drop(entry.name());
    }
    // Signed as it is: an entry is read before it is known whose it is.
    let mut signed = bytes.to_vec();
    signed.push(b'\n');
    signed.extend_from_slice(
        storage_crypto::hex::encode(&signer().sign(&[b"holdfast/v1/backup entry\n", bytes].concat())).as_bytes(),
    );
    signed.push(b'\n');
    if let Ok(entry) = Entry::parse(&signed) {
        assert_eq!(
            Entry::parse(&entry.sign(&signer())).as_ref(),
            Ok(&entry),
            "an entry is another one when it is written and read"
        );
    }
}

pub(super) fn entries() -> Vec<Vec<u8>> {
    let checked =
        |contents| Checked { header: header(b"", contents), bytes: 100, chunks: 1, digest: [9; 32], signer: signer().public() };
    let increment = Contents::Increment { revision: 4, chain: [8; 32] };
    let entries = [Entry::of(&checked(Contents::Full), 7), Entry::of(&checked(increment), 9)];
    let whole = entries.iter().map(|entry| entry.sign(&signer()));
    let unsigned = whole.clone().map(|bytes| bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec());
    whole.chain(unsigned).collect()
}
