//! The journal mended: records put back in front of the first, and damaged segments replaced, from another node's records.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use proto_record::chain;
use storage::{Block, Journal, JournalError, JournalOptions, MemoryDisk, disk::memory::Faults};
use storage_crypto::SeededEntropy;

use crate::support::{OWNER, key, payload};

const DIR: &str = "/journal";
const LAST: u64 = 300;

fn open(disk: &MemoryDisk) -> Result<Journal, JournalError> {
    let entropy = Arc::new(SeededEntropy::new(1));
    let options =
        JournalOptions { segment_bytes: 4096, cache_bytes: 0, gathering: Duration::ZERO, entropy, ..JournalOptions::default() };
    Journal::open(Arc::new(disk.booted()), Path::new(DIR), key(), OWNER, options).map(|(journal, _)| journal)
}

fn leaf(seq: u64) -> Bytes {
    payload(seq, 3, 60 + (seq % 50) as usize)
}

fn leaves(from: u64, to_exclusive: u64) -> Vec<Bytes> {
    (from..to_exclusive).map(leaf).collect()
}

/// The link before a record.
fn link(seq: u64) -> [u8; 32] {
    (1..seq).fold(chain::genesis(&OWNER.cluster), |link, seq| chain::next(&link, &leaf(seq)))
}

fn append(journal: &Journal, from: u64, to: u64) {
    for seq in from..=to {
        let (first, before) = (seq, journal.head().chain);
        let before = if journal.head().next_seq == 0 { link(1) } else { before };
        journal.append(Block::following(first, before, vec![leaf(seq)])).unwrap();
    }
    journal.sync_blocking().unwrap();
}

/// A journal that starts at a later record, as after a leader's snapshot.
fn started_at(disk: &MemoryDisk, seq: u64) -> Journal {
    let journal = open(disk).unwrap();
    journal.reset(seq, link(seq)).unwrap();
    append(&journal, seq, LAST);
    journal
}

fn assert_whole(journal: &Journal, from: u64) {
    assert_eq!(journal.first_seq(), from);
    let mut next = from;
    while let Some(record) = journal.read(next, 1, usize::MAX).unwrap().pop() {
        assert_eq!((record.seq, &record.leaf), (next, &leaf(next)));
        assert_eq!(record.chain, link(next + 1), "record {next}");
        next += 1;
    }
    assert_eq!(next, LAST + 1);
    assert_eq!(journal.verify().unwrap().next_seq, LAST + 1);
    for span in journal.spans() {
        assert!(journal.check(span.segment).unwrap().bytes > 0);
    }
}

#[test]
fn records_are_put_back_in_front_of_the_first_and_stay_there() {
    let disk = MemoryDisk::new();
    let journal = started_at(&disk, 201);
    for from in [151, 40, 1] {
        let to = journal.first_seq();
        journal.put_before(&Block::following(from, link(from), leaves(from, to))).unwrap();
        assert_eq!(journal.link_before(from).unwrap(), link(from));
    }
    assert_whole(&journal, 1);
    journal.close();
    let journal = open(&disk).unwrap();
    assert_whole(&journal, 1);
    assert_eq!(journal.link_before(120).unwrap(), link(120));
    drop(journal);
    disk.cut_power(&SeededEntropy::new(3));
    assert_whole(&open(&disk).unwrap(), 1);
}

#[test]
fn what_does_not_lead_to_the_first_record_is_not_put_before_it() {
    let journal = started_at(&MemoryDisk::new(), 201);
    let mut changed = leaves(151, 201);
    changed[7] = Bytes::from_static(b"another record");
    let refusals = [
        journal.put_before(&Block::following(151, link(151), changed)),
        journal.put_before(&Block::following(151, [9; 32], leaves(151, 201))),
        journal.put_before(&Block::following(151, link(151), leaves(151, 200))),
        journal.put_before(&Block::following(201, link(201), vec![])),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(JournalError::NotNext { .. })), "{refusal:?}");
    }
    assert_whole(&journal, 201);
}

#[test]
fn a_second_reset_sets_aside_what_was_put_back_before_the_first() {
    let disk = MemoryDisk::new();
    let journal = started_at(&disk, 201);
    journal.put_before(&Block::following(150, link(150), leaves(150, 201))).unwrap();
    journal.reset(290, link(290)).unwrap();
    append(&journal, 290, LAST);
    assert_whole(&journal, 290);
    journal.close();
    let journal = open(&disk).unwrap();
    assert_whole(&journal, 290);
    journal.put_before(&Block::following(1, link(1), leaves(1, 290))).unwrap();
    assert_whole(&journal, 1);
}

#[test]
fn a_power_cut_while_records_are_put_back_leaves_them_there_or_not() {
    for seed in 0..40 {
        let disk = MemoryDisk::new();
        let journal = started_at(&disk, 201);
        disk.set_faults(Faults { fail_sync_from: Some(disk.syncs() + 1 + seed % 4), ..Faults::default() });
        let put = journal.put_before(&Block::following(100, link(100), leaves(100, 201)));
        disk.cut_power(&SeededEntropy::new(seed));
        disk.set_faults(Faults::default());
        let journal = open(&disk).unwrap();
        let first = journal.first_seq();
        assert!(first == 100 || (first == 201 && put.is_err()), "seed {seed}: {first} after {put:?}");
        assert_whole(&journal, first);
    }
}

#[test]
fn every_damaged_segment_is_found_and_replaced() {
    let disk = MemoryDisk::new();
    let journal = open(&disk).unwrap();
    append(&journal, 1, LAST);
    let spans = journal.spans();
    assert!(spans.len() > 5, "{}", spans.len());
    for (at, span) in spans.iter().enumerate() {
        // The first frame, and one in the middle.
        for offset in [20, 900] {
            disk.tamper(&span.path, |bytes| bytes[offset] ^= 4);
            let found = journal.check(span.segment).unwrap_err();
            assert!(matches!(found, JournalError::Segment(_) | JournalError::Corrupt { .. }), "{found}");
            if at + 1 == spans.len() {
                let refusal = journal.replace(span.segment, leaves(span.first_seq, LAST + 1));
                assert!(offset != 20 || refusal.is_err(), "the segment that is being written is not replaced");
                journal.turn().unwrap();
            }
            let to = span.next_seq.unwrap_or(LAST + 1);
            let mut wrong = leaves(span.first_seq, to);
            wrong[0] = Bytes::from_static(b"another record");
            assert!(matches!(journal.replace(span.segment, wrong), Err(JournalError::NotNext { .. })));
            journal.replace(span.segment, leaves(span.first_seq, to)).unwrap();
            journal.check(span.segment).unwrap();
        }
    }
    assert_whole(&journal, 1);
    journal.close();
    assert_whole(&open(&disk).unwrap(), 1);
}
