//! The write-ahead log: bodies of frames, and whole segments, as they are and with every seal in place.

use crate::input::{Input, part, stable};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use storage::fuzzing::{SealedFrame, segment};
use storage::workers::{Step, Wake};
use storage::{Disk, MemoryDisk, Owner, Wal, WalOptions};
use storage_crypto::{Key, SeededEntropy};

pub(super) const OWNER: Owner = Owner { cluster: [1; 16], node: 2 };
/// Short ones: a new one is made and filled at every start.
pub(super) const SEGMENT_BYTES: u64 = 4096;

pub(super) fn key() -> Key {
    Key::from_bytes([5; 32])
}

/// Nothing is written in the background: what is opened here is only read.
pub(super) fn prepare() {
    storage::workers::simulate(Rc::new(|_: Step| -> Wake { Box::new(|| ()) }));
}

pub(super) fn body(bytes: &[u8]) {
    stable(bytes, storage::fuzzing::log_body_again);
    if let Some(again) = storage::fuzzing::log_body_again(bytes) {
        assert_eq!(again, bytes, "the body of a frame has one form");
    }
}

pub(super) fn bodies() -> Vec<Vec<u8>> {
    let entry = |index: u64, payload: &[u8]| [&[1][..], &index.to_be_bytes(), &long(payload)].concat();
    let purge = [&[5][..], &1u64.to_be_bytes(), &long(b"meta")].concat();
    let vote = [&[2][..], &long(b"vote")].concat();
    let committed = [&[3][..], &long(b"")].concat();
    let truncate = [&[4][..], &2u64.to_be_bytes()].concat();
    let all = [entry(1, b"payload"), entry(2, b""), vote.clone(), committed.clone(), truncate.clone(), purge.clone()].concat();
    vec![entry(1, b"payload"), vote, committed, truncate, purge, all]
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes()[..], bytes].concat()
}

/// A disk with the segments that an input describes. The first byte of each says whether it is sealed here, or taken as it is.
pub(super) fn laid_out(bytes: &[u8], dir: &Path, is_log: bool) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let mut input = Input(bytes);
    for _ in 0..4 {
        if input.0.is_empty() {
            break;
        }
        let (form, id) = (input.byte(), input.number());
        let contents = if form % 2 == 0 { sealed(&mut input, id, is_log) } else { input.part().to_vec() };
        let path = dir.join(format!("{id:016x}.seg"));
        if disk.exists(&path).unwrap_or(true) {
            continue;
        }
        let file = disk.create_new(&path).expect("a disk in memory takes a file");
        file.write_all_at(&contents, 0).expect("a disk in memory takes bytes");
    }
    disk
}

fn sealed(input: &mut Input<'_>, id: u64, is_log: bool) -> Vec<u8> {
    let number = input.number();
    let carried = input.part();
    let mut frames = Vec::new();
    for _ in 0..input.byte() % 8 {
        let (count, first, watermark) = (input.number(), input.number(), input.number());
        frames.push(SealedFrame { count: count as u32, first, watermark, body: input.part() });
    }
    segment(is_log, (&key(), OWNER), (id, number.min(1 << 40)), carried, &frames, &SeededEntropy::new(id))
}

/// Whole directories: what is refused is refused, and what opens can be read to its end.
pub(super) fn files(bytes: &[u8]) {
    let dir = Path::new("/wal");
    let disk = laid_out(bytes, dir, true);
    let options = WalOptions { segment_bytes: SEGMENT_BYTES, ..WalOptions::default() };
    let Ok((wal, _driver, recovered)) = Wal::open_manual(Arc::new(disk.clone()), dir, key(), OWNER, options.clone()) else {
        return;
    };
    if let (Some(first), Some((last, _))) = (recovered.first_index, &recovered.last) {
        assert!(first <= *last, "the oldest entry comes after the newest");
        let read = wal.read(first, last.saturating_add(1), usize::MAX).expect("what was recovered reads");
        assert_eq!(read.len() as u64, last - first + 1, "an entry is missing");
    }
    drop(wal);
    let (_wal, _driver, again) =
        Wal::open_manual(Arc::new(disk), dir, key(), OWNER, options).expect("what opened once opens again");
    assert_eq!(again, recovered, "a log is another one when it is opened a second time");
}

pub(super) fn segments() -> Vec<Vec<u8>> {
    let bodies = bodies();
    let frame = |first: u8, watermark: u8, body: &[u8]| [&[1, first, watermark][..], &part(body)].concat();
    let one = [&[0, 1, 0][..], &part(&[]), &[2], &frame(1, 1, &bodies[0]), &frame(0, 2, &bodies[1])].concat();
    let two = [&[0, 2, 3][..], &part(&bodies[1]), &[1], &frame(2, 3, &bodies[4])].concat();
    let raw = segment(true, (&key(), OWNER), (1, 0), &[], &[], &SeededEntropy::new(1));
    let raw = [&[1, 1][..], &part(&raw)].concat();
    vec![one.clone(), [one, two].concat(), raw]
}
