//! The journal: blocks, and whole segments, as they are and with every seal in place.

use super::log::{OWNER, SEGMENT_BYTES, key, laid_out};
use crate::input::{Input, part};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use storage::fuzzing::{block_of, body_of, segment};
use storage::{Block, Journal, JournalOptions};
use storage_crypto::SeededEntropy;

pub(super) fn body(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (first, count) = (input.number(), input.number());
    let Some(block) = block_of(first, count as u32, input.0) else { return };
    assert_eq!(block.leaves.len() as u64, u64::from(count as u32), "leaves were lost");
    assert_eq!(
        block_of(first, count as u32, &body_of(&block)),
        Some(block),
        "a block is another one when it is written and read"
    );
}

fn blocks() -> Vec<Block> {
    let leaves = super::records::leaves().into_iter().map(Bytes::from).collect::<Vec<_>>();
    let one = Block::following(1, [1; 32], vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")]);
    let two = Block::following(one.next_seq(), one.chain_after, leaves[..2].to_vec());
    vec![one, two, Block::following(9, [0; 32], leaves), Block::following(1, [0; 32], Vec::new())]
}

pub(super) fn bodies() -> Vec<Vec<u8>> {
    let body = |block: &Block| [&[block.first_seq as u8, block.leaves.len() as u8][..], &body_of(block)].concat();
    blocks().iter().map(body).collect()
}

/// Whole directories: what is refused is refused, and what opens says the same twice.
pub(super) fn files(bytes: &[u8]) {
    let dir = Path::new("/journal");
    let disk = Arc::new(laid_out(bytes, dir, false));
    let options = JournalOptions { segment_bytes: SEGMENT_BYTES, ..JournalOptions::default() };
    let Ok((journal, head)) = Journal::open(disk.clone(), dir, key(), OWNER, options.clone()) else { return };
    let verified = journal.verify();
    drop(journal.read(head.first_seq, 100, 1 << 20));
    if let Ok(verified) = verified {
        assert_eq!(verified, head, "a journal that verifies ends elsewhere");
    }
    journal.close();
    let (journal, again) = Journal::open(disk, dir, key(), OWNER, options).expect("what opened once opens again");
    assert_eq!(again, head, "a journal is another one when it is opened a second time");
    journal.close();
}

pub(super) fn segments() -> Vec<Vec<u8>> {
    let start = |flags: u8, seq: u64, chain: &[u8; 32]| [&[flags][..], &seq.to_be_bytes(), chain].concat();
    let blocks = blocks();
    let frame = |block: &Block| {
        let head = [block.leaves.len() as u8, block.first_seq as u8, 1];
        [&head[..], &part(&body_of(block))].concat()
    };
    let one = |flags| {
        let head = [&[0, 1, 0][..], &part(&start(flags, 1, &[1; 32])), &[2]].concat();
        [head, frame(&blocks[0]), frame(&blocks[1])].concat()
    };
    let two = [&[0, 2, 3][..], &part(&start(0, blocks[1].next_seq(), &blocks[1].chain_after)), &[0]].concat();
    let raw = segment(false, (&key(), OWNER), (1, 0), &start(0, 1, &[1; 32]), &[], &SeededEntropy::new(1));
    vec![one(0), one(1), [one(0), two].concat(), [&[1, 1][..], &part(&raw)].concat()]
}
