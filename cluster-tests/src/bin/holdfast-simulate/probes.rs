//! What no walk can tell, because another guard stands behind the one that a bug takes away: looked at where it is.

use std::path::Path;
use std::sync::Arc;
use storage::{Contents, Disk, MemoryDisk, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter, StatePoint};
use storage_crypto::{Key, SealedValue, SeededEntropy, Signer, ValueScope};

/// What a probe finds of its bug, by the seed.
type Probe = fn(u64) -> Result<(), String>;

/// The probe of a bug that has one.
pub(crate) fn of(bug: &str) -> Option<Probe> {
    match bug {
        "environment-not-bound" => Some(environment_is_bound),
        "half-snapshot-visible" => Some(half_a_snapshot_is_none),
        _ => None,
    }
}

/// A value opens in its environment only, even where two environments had the same key.
fn environment_is_bound(seed: u64) -> Result<(), String> {
    let entropy = SeededEntropy::new(seed);
    let key = Key::generate(&entropy);
    let scope = |environment| ValueScope { cluster: [1; 16], environment: [environment; 16] };
    let sealed = SealedValue::seal(&key, 1, &scope(1), b"a secret", &entropy);
    sealed.open(&key, &scope(1)).map_err(|error| format!("a value does not open in its own environment: {error}"))?;
    match sealed.open(&key, &scope(2)) {
        Ok(_) => Err("a value that was moved to another environment opens there".to_owned()),
        Err(_) => Ok(()),
    }
}

/// Records of a snapshot that takes several writes.
const RECORDS: u64 = 40;
const RECORD_BYTES: usize = 64 * 1024;
const PLACE: &str = "/snapshots/1.snapshot";

/// Wherever the power is cut while a snapshot is written, what lies under its name is all of it, or does not count as one.
fn half_a_snapshot_is_none(seed: u64) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("a disk without a fault failed: {error}");
    for operations in 0.. {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new("/snapshots")).map_err(|error| failed(&error))?;
        let process = disk.booted();
        process.cut_power_within(operations, Arc::new(SeededEntropy::new(seed.wrapping_add(operations))));
        let written = write(&process);
        if process.has_power() {
            written.map_err(|error| failed(&error))?;
            return Ok(());
        }
        if let Some(records) = counts_as_whole(&disk)
            && records < RECORDS
        {
            return Err(format!("a snapshot with {records} of {RECORDS} records counts as whole after a power cut"));
        }
    }
    Ok(())
}

fn key() -> Key {
    Key::from_bytes([7; 32])
}

fn write(disk: &MemoryDisk) -> Result<(), SnapshotError> {
    let entropy = Arc::new(SeededEntropy::new(1));
    let header = SnapshotHeader {
        cluster: [1; 16],
        epoch: 0,
        created_ms: 0,
        key_version: 1,
        contents: Contents::Full,
        at: StatePoint { revision: 1, stamp_us: 0, chain: [0; 32], digest: [0; 32] },
        secrets: RECORDS,
        position: Vec::new(),
    };
    let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), Path::new(PLACE), &header, &key(), entropy)?;
    (0..RECORDS).try_for_each(|_| writer.push(&[1; RECORD_BYTES]))?;
    writer.finish(&Signer::derive(&key(), "holdfast/v1/test signing", b"")).map(drop)
}

/// How many records whoever starts from it takes over.
fn counts_as_whole(disk: &MemoryDisk) -> Option<u64> {
    let reader = SnapshotReader::open(disk, Path::new(PLACE), &key()).ok()?;
    reader.records().try_fold(0, |count, record| record.map(|_| count + 1)).ok()
}
