//! The journal: round trips, power cuts, tampering, resets.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use proto_record::chain;
use storage::{
    Block, Disk, Journal, JournalError, JournalHead, JournalOptions, MemoryDisk, disk::memory::Faults, journal::set_aside,
};
use storage_crypto::SeededEntropy;

use crate::support::{OWNER, disk_of, files, frames, key, payload};

const DIR: &str = "/journal";

fn open_with(disk: &MemoryDisk, segment_bytes: u64) -> Result<(Journal, JournalHead), JournalError> {
    open_gathering(disk, segment_bytes, Duration::ZERO)
}

fn open_gathering(disk: &MemoryDisk, segment_bytes: u64, gathering: Duration) -> Result<(Journal, JournalHead), JournalError> {
    let entropy = Arc::new(SeededEntropy::new(1));
    let options = JournalOptions { segment_bytes, cache_bytes: 500, gathering, entropy, ..JournalOptions::default() };
    Journal::open(Arc::new(disk.booted()), Path::new(DIR), key(), OWNER, options)
}

fn open(disk: &MemoryDisk) -> (Journal, JournalHead) {
    open_with(disk, 4096).unwrap()
}

fn genesis() -> [u8; 32] {
    chain::genesis(&OWNER.cluster)
}

fn leaf(seq: u64) -> Bytes {
    payload(seq, 3, 60 + (seq % 50) as usize)
}

/// Appends blocks of one to four records until the head is past `until`.
fn append_until(journal: &Journal, until: u64) {
    loop {
        let head = journal.head();
        let (first, link) = if head.next_seq == 0 { (1, genesis()) } else { (head.next_seq, head.chain) };
        if first > until {
            return;
        }
        journal.append(Block::following(first, link, (first..=first + first % 4).map(leaf).collect())).unwrap();
    }
}

fn read_all(journal: &Journal) -> Result<u64, JournalError> {
    let mut next = journal.first_seq();
    let mut link = genesis();
    loop {
        let records = journal.read(next, 7, 1000)?;
        if records.is_empty() {
            return Ok(next);
        }
        for record in records {
            assert_eq!((record.seq, &record.leaf), (next, &leaf(next)));
            link = chain::next(&link, &record.leaf);
            assert_eq!(record.chain, link, "record {next} has another link");
            next += 1;
        }
    }
}

#[test]
fn records_are_read_back_with_their_links_before_and_after_reopening() {
    let disk = MemoryDisk::new();
    let (journal, head) = open(&disk);
    assert_eq!(head, JournalHead::default());
    append_until(&journal, 300);
    let next = journal.head().next_seq;
    assert_eq!(read_all(&journal).unwrap(), next);
    let stats = journal.stats();
    journal.sync_blocking().unwrap();
    assert_eq!(read_all(&journal).unwrap(), next);
    let before = journal.head();
    assert_eq!(journal.verify().unwrap(), before);
    journal.close();
    let (journal, head) = open(&disk);
    assert_eq!(head, before);
    assert!(journal.stats().segments > 5, "{stats:?}");
    assert_eq!(read_all(&journal).unwrap(), next);
    append_until(&journal, 400);
    assert_eq!(read_all(&journal).unwrap(), journal.head().next_seq);
    let part = journal.read(250, 3, usize::MAX).unwrap();
    assert_eq!(part.iter().map(|record| record.seq).collect::<Vec<_>>(), [250, 251, 252]);
}

#[test]
fn blocks_that_come_close_together_are_written_as_one_and_read_back_from_memory_and_disk() {
    let disk = MemoryDisk::new();
    let gathering = Duration::from_millis(20);
    let (journal, _) = open_gathering(&disk, 64 * 1024, gathering).unwrap();
    let mut appended = 0;
    for until in (20..2000).step_by(20) {
        let before = journal.head().next_seq;
        append_until(&journal, until);
        appended += (journal.head().next_seq - before) / 3;
        // Readers find every record while blocks go from memory to disk, where they start elsewhere.
        assert_eq!(read_all(&journal).unwrap(), journal.head().next_seq);
    }
    let before = journal.head();
    journal.sync_blocking().unwrap();
    assert_eq!(journal.verify().unwrap(), before);
    let stats = journal.stats();
    assert!(stats.blocks * 4 < appended, "{} blocks were written for about {appended}", stats.blocks);
    assert_eq!(stats.records, before.next_seq - 1);
    journal.close();
    let (journal, head) = open_gathering(&disk, 64 * 1024, gathering).unwrap();
    assert_eq!(head, before);
    assert_eq!(read_all(&journal).unwrap(), before.next_seq);
}

#[test]
fn a_block_that_does_not_follow_is_refused() {
    let (journal, _) = open(&MemoryDisk::new());
    append_until(&journal, 10);
    let head = journal.head();
    let gap = Block::following(head.next_seq + 1, head.chain, vec![leaf(1)]);
    assert!(matches!(journal.append(gap), Err(JournalError::NotNext { .. })));
    let other_chain = Block::following(head.next_seq, [9; 32], vec![leaf(1)]);
    let refusal = journal.append(other_chain).unwrap_err().to_string();
    assert!(refusal.contains("it continues another chain"), "{refusal}");
    assert!(journal.read(head.next_seq, 1, 1).unwrap().is_empty());
    assert_eq!(journal.head(), head);
}

#[test]
fn a_journal_may_start_anywhere_and_says_what_it_does_not_keep() {
    let (journal, _) = open(&MemoryDisk::new());
    journal.append(Block::following(1000, [7; 32], vec![leaf(1000)])).unwrap();
    assert_eq!(journal.first_seq(), 1000);
    let refusal = journal.read(999, 1, 1).unwrap_err().to_string();
    assert_eq!(refusal, "journal record 999 is not kept here, the journal starts at 1000");
}

#[test]
fn a_block_with_wrong_links_never_becomes_durable() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk);
    let mut block = Block::following(1, genesis(), vec![leaf(1)]);
    block.chain_after[0] ^= 1;
    journal.append(block).unwrap();
    let refusal = journal.sync_blocking().unwrap_err().to_string();
    assert!(refusal.contains("block 1 was appended with wrong links"), "{refusal}");
    assert!(journal.append(Block::following(2, [0; 32], vec![leaf(2)])).is_err());
    drop(journal);
    assert!(open(&disk).1.is_empty());
}

#[test]
fn what_was_synced_survives_power_cuts_and_the_rest_is_a_prefix() {
    for seed in 0..60 {
        let disk = MemoryDisk::new();
        let mut synced = 0;
        for round in 1..=3 {
            let (journal, head) = open(&disk);
            assert!(head.next_seq >= synced, "seed {seed}: {synced} were synced, the head is at {}", head.next_seq);
            assert_eq!(read_all(&journal).unwrap(), head.next_seq.max(journal.first_seq()));
            append_until(&journal, round * 40 + seed % 7);
            if seed % 3 != 0 {
                journal.sync_blocking().unwrap();
                synced = journal.head().next_seq;
                append_until(&journal, round * 40 + 30);
            }
            disk.cut_power(&SeededEntropy::new(seed * 10 + round));
        }
    }
}

#[test]
fn every_flipped_byte_is_refused_when_opened_or_read_or_is_harmless() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk);
    append_until(&journal, 120);
    journal.sync_blocking().unwrap();
    let head = journal.head();
    // Copied before the journal is closed: what was synced is all that counts.
    let whole: Vec<(PathBuf, Vec<u8>)> =
        files(&disk, DIR).into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "seg")).collect();
    drop(journal);
    let (mut refused, mut harmless) = (0, 0);
    for (file, (_, bytes)) in whole.iter().enumerate() {
        let (starts, end) = frames(bytes);
        let worth = |at: usize| {
            at.is_multiple_of(37) || starts.iter().any(|start| (*start..start + 48).step_by(3).any(|byte| byte == at))
        };
        for at in (0..end).filter(|at| worth(*at)) {
            let mut damaged = whole.clone();
            damaged[file].1[at] ^= 1 << (at % 8);
            let opened = open_with(&disk_of(&damaged), 4096);
            match opened.and_then(|(journal, found)| read_all(&journal).map(|_| found)) {
                Err(JournalError::Segment(_) | JournalError::Corrupt { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
                Ok(found) => {
                    assert_eq!(found, head, "byte {at} of file {file}");
                    harmless += 1;
                }
            }
        }
    }
    assert!(refused > 500 && harmless * 4 < refused, "{refused} refused, {harmless} harmless");
    println!("journal, flipped bytes: {refused} refused, {harmless} harmless, 0 lost");
}

#[test]
fn a_reset_keeps_the_old_records_aside_and_starts_anew() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk);
    append_until(&journal, 100);
    journal.sync_blocking().unwrap();
    journal.reset(5000, [9; 32]).unwrap();
    assert_eq!(journal.head(), JournalHead { first_seq: 5000, next_seq: 5000, chain: [9; 32] });
    assert_eq!(journal.verify().unwrap(), journal.head(), "what holds nothing ends where it starts");
    assert!(matches!(journal.read(50, 1, 1), Err(JournalError::NotKept { .. })));
    journal.append(Block::following(5000, [9; 32], vec![leaf(5000)])).unwrap();
    journal.close();
    disk.cut_power(&SeededEntropy::new(1));
    let (journal, head) = open(&disk);
    assert_eq!((head.first_seq, head.next_seq), (5000, 5001));
    assert_eq!(journal.read(5000, 10, 1000).unwrap().len(), 1);
    let aside = disk.list(Path::new(DIR)).unwrap().into_iter().filter(|name| name.ends_with(".superseded")).count();
    assert!(aside >= 2, "{aside} segments were kept aside");
}

/// A journal of records until about 100 that was reset to begin behind record `behind`, with the link that this record has.
fn reset_behind(disk: &MemoryDisk, behind: u64) -> (Journal, Vec<Bytes>) {
    let leaves: Vec<Bytes> = (1..=behind).map(leaf).collect();
    let (journal, _) = open(disk);
    append_until(&journal, 100);
    journal.sync_blocking().unwrap();
    journal.reset(behind + 1, Block::following(1, genesis(), leaves.clone()).chain_after).unwrap();
    (journal, leaves)
}

#[test]
fn records_that_a_reset_set_aside_come_back_in_front_once_they_lead_to_the_first() {
    let disk = MemoryDisk::new();
    let (journal, leaves) = reset_behind(&disk, 130);
    assert_eq!(journal.put_back(1000).unwrap(), 0, "records 104 to 130 are missing in between");
    let link = Block::following(1, genesis(), leaves[..80].to_vec()).chain_after;
    journal.put_before(&Block::following(81, link, leaves[80..].to_vec())).unwrap();
    journal.close();
    disk.cut_power(&SeededEntropy::new(1));

    let (journal, head) = open(&disk);
    assert_eq!((head.first_seq, head.next_seq), (81, 131));
    let mut pieces = Vec::new();
    while journal.first_seq() > 1 {
        let first = journal.first_seq();
        let put = journal.put_back(30).unwrap();
        assert!(put > 0 && journal.first_seq() == first - put, "{put} before {first}");
        pieces.push(put);
    }
    assert!(pieces.iter().all(|put| *put <= 30) && pieces.len() >= 3, "{pieces:?}");
    assert_eq!(journal.put_back(30).unwrap(), 0, "there is nothing before the first");
    assert_eq!(read_all(&journal).unwrap(), 131);
    journal.clear_aside().unwrap();
    journal.close();
    let (journal, head) = open(&disk);
    assert_eq!((head.first_seq, head.next_seq), (1, 131));
    assert_eq!(read_all(&journal).unwrap(), 131);
    assert!(disk.list(Path::new(DIR)).unwrap().iter().all(|name| !name.ends_with(".superseded")));
}

#[test]
fn what_two_resets_set_aside_does_not_take_the_place_of_one_another() {
    let disk = MemoryDisk::new();
    let (journal, leaves) = reset_behind(&disk, 100);
    // Put back, the segments have numbers that were set aside already.
    while journal.put_back(20).unwrap() > 0 {}
    assert_eq!(journal.first_seq(), 1);
    let aside = || disk.list(Path::new(DIR)).unwrap().iter().filter(|name| name.ends_with(".superseded")).count();
    let (before, segments) = (aside(), journal.spans().len());
    let leaves = leaves.into_iter().chain((101..=200).map(leaf)).collect();
    journal.reset(201, Block::following(1, genesis(), leaves).chain_after).unwrap();
    assert_eq!(aside(), before + segments);
}

#[test]
fn records_of_another_way_and_damaged_ones_are_not_put_back() {
    let disk = MemoryDisk::new();
    let (journal, _) = reset_behind(&disk, 100);
    journal.reset(101, [9; 32]).unwrap();
    assert_eq!(journal.put_back(1000).unwrap(), 0, "they do not lead to this link");
    journal.close();

    let disk = MemoryDisk::new();
    let (journal, _) = reset_behind(&disk, 60);
    journal.close();
    let mut whole = files(&disk, DIR);
    for (_, bytes) in whole.iter_mut().filter(|(path, _)| path.to_string_lossy().ends_with(".superseded")) {
        for at in (500..bytes.len()).step_by(97) {
            bytes[at] ^= 1;
        }
    }
    let (journal, _) = open(&disk_of(&whole));
    assert_eq!(journal.put_back(1000).unwrap(), 0);
    assert_eq!(journal.first_seq(), 61);
}

#[test]
fn intact_segments_that_were_set_aside_with_a_damaged_one_come_back() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk);
    append_until(&journal, 300);
    journal.sync_blocking().unwrap();
    let spans = journal.spans();
    assert!(spans.len() > 4, "{}", spans.len());
    let block = journal.read(spans[2].first_seq, 10_000, usize::MAX).unwrap();
    journal.close();
    // Twice, as where one after the other turns out to be damaged.
    for damaged in [1, 2] {
        set_aside(&disk.booted(), Path::new(DIR), &spans[damaged].path).unwrap();
    }
    let (journal, head) = open(&disk);
    assert_eq!(head.first_seq, spans[3].first_seq);
    let ends = usize::try_from(spans[3].first_seq - spans[2].first_seq).unwrap();
    let leaves = block[..ends].iter().map(|record| record.leaf.clone()).collect();
    journal.put_before(&Block::following(spans[2].first_seq, spans[2].chain_before, leaves)).unwrap();
    while journal.put_back(10_000).unwrap() > 0 {}
    assert_eq!(journal.first_seq(), 1);
    assert_eq!(read_all(&journal).unwrap(), journal.head().next_seq);
}

#[test]
fn a_power_cut_during_a_reset_leaves_the_old_journal_or_the_new_one() {
    for seed in 0..40 {
        let disk = MemoryDisk::new();
        let (journal, _) = open(&disk);
        append_until(&journal, 100);
        journal.sync_blocking().unwrap();
        let old = journal.head();
        disk.set_faults(Faults { fail_sync_from: Some(disk.syncs() + 1 + seed % 6), ..Faults::default() });
        let reset = journal.reset(5000, [9; 32]);
        disk.cut_power(&SeededEntropy::new(seed));
        disk.set_faults(Faults::default());
        let (_, head) = open(&disk);
        let new = JournalHead { first_seq: 5000, next_seq: 5000, chain: [9; 32] };
        assert!(head == new || (head == old && reset.is_err()), "seed {seed}: {head:?} after {reset:?}");
    }
}

#[test]
fn a_failed_sync_is_final() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk);
    append_until(&journal, 10);
    journal.sync_blocking().unwrap();
    disk.set_faults(Faults { fail_sync_from: Some(disk.syncs() + 1), ..Faults::default() });
    append_until(&journal, 20);
    assert!(journal.sync_blocking().is_err());
    disk.set_faults(Faults::default());
    let refusal = journal.sync_blocking().unwrap_err().to_string();
    assert!(refusal.starts_with("journal in /journal failed: "), "{refusal}");
    let head = journal.head();
    assert!(journal.append(Block::following(head.next_seq, head.chain, vec![leaf(1)])).is_err());
    assert!(journal.failed().is_some());
}

#[test]
fn a_missing_segment_is_refused() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk);
    append_until(&journal, 100);
    journal.close();
    let second = Path::new(DIR).join(&disk.list(Path::new(DIR)).unwrap()[1]);
    disk.remove(&second).unwrap();
    let refusal = open_with(&disk, 4096).err().unwrap().to_string();
    assert!(
        refusal.contains("0000000000000001.seg is damaged") && refusal.contains("the segment after it is missing"),
        "{refusal}"
    );
}
