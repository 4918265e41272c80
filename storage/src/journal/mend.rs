//! Putting records back: older segments in front of the first, and whole segments in the place of damaged ones.
//!
//! What is put back was proven first: its leaves lead from link to link to a link that this journal has. A segment is written beside the
//! others, synced, and then takes its place by a rename, so that a crash leaves the old or the new one.

use super::{
    Block, Journal, JournalError, JournalHead, corrupt,
    index::{BlockAt, JournalSegment, Located, Start},
    leaf_bytes,
    shared::{Shared, read_block},
};
use crate::disk::Disk;
use crate::segment::{
    SegmentError, SegmentStart,
    frame::{Frame, Header, frame_bytes, sealed_len},
    making_path,
    recovery::{self, Segment},
    segment_path,
};
use bytes::Bytes;
use std::path::PathBuf;

/// A block is cut at the leaf that takes it to this length.
const BLOCK_BYTES: usize = 1024 * 1024;

/// One segment of the journal and the records in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSpan {
    /// The number of the segment.
    pub segment: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// Its first record, and the link before it.
    pub first_seq: u64,
    /// The link before its first record.
    pub chain_before: [u8; 32],
    /// The record after its last; nothing for the segment that is being written.
    pub next_seq: Option<u64>,
}

/// What was read of a segment, all of it as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Bytes of its frames.
    pub bytes: u64,
    /// The record after the last that was read.
    pub next_seq: u64,
}

impl Journal {
    /// The segments, oldest first.
    #[must_use]
    pub fn spans(&self) -> Vec<JournalSpan> {
        let state = self.0.shared().state.lock();
        let segments = &state.index.segments;
        let nexts = segments.iter().skip(1).map(|next| Some(next.start.next_seq)).chain([None]);
        let span = |(segment, next_seq): (&JournalSegment, Option<u64>)| JournalSpan {
            segment: segment.id,
            path: segment.path.clone(),
            first_seq: segment.start.next_seq,
            chain_before: segment.start.chain,
            next_seq,
        };
        segments.iter().zip(nexts).map(span).collect()
    }

    /// The link before record `seq`, which must be kept here or be the next.
    ///
    /// # Errors
    /// When the record is not kept, or what is stored is not what was written.
    pub fn link_before(&self, seq: u64) -> Result<[u8; 32], JournalError> {
        let head = self.head();
        if seq == head.next_seq {
            return Ok(head.chain);
        }
        let Some((path, block)) = self.0.shared().block_with(seq)? else {
            return Err(JournalError::NotKept { seq, first_seq: head.first_seq });
        };
        if block.first_seq == seq {
            return Ok(block.chain_before);
        }
        let records = block.records().map_err(|error| corrupt(&path, error))?;
        let before = records.iter().find(|record| record.seq + 1 == seq);
        Ok(before.map_or(block.chain_before, |record| record.chain))
    }

    /// How many times records can be [put in front](Journal::put_before): each time takes the number of a segment.
    #[must_use]
    pub fn room_before(&self) -> u64 {
        let first = self.0.shared().state.lock().index.segments.first().map(|segment| segment.id);
        first.map_or(0, |id| id.saturating_sub(1))
    }

    /// Puts records in front of the first that is kept. Durable on return.
    ///
    /// # Errors
    /// When they do not lead to the link that the first record stands behind, or the disk refuses.
    pub fn put_before(&self, block: &Block) -> Result<(), JournalError> {
        let shared = self.0.shared();
        let _turn = shared.mending.lock();
        let (head, first, resets) = {
            let state = shared.state.lock();
            (state.head, state.index.segments.first().cloned(), state.resets)
        };
        let refuse = |why| Err(JournalError::NotNext { first_seq: block.first_seq, next_seq: head.first_seq, why });
        let Some(first) = first else { return refuse("nothing is kept yet that it could be put before") };
        if block.leaves.is_empty() || block.first_seq == 0 || block.next_seq() != head.first_seq {
            return refuse("it does not end where the journal starts");
        }
        if block.chain_after != first.start.chain || block.records().is_err() {
            return refuse("it does not lead to the link that the journal starts with");
        }
        let bodies = bodies(block, usize::MAX);
        let number = first.first_frame.number.checked_sub(1 + bodies.len() as u64);
        let (Some(id), Some(number)) = (first.id.checked_sub(1).filter(|id| *id > 0), number) else {
            return refuse("there is no room before the first segment");
        };
        let start = Start { reset: false, restored: true, next_seq: block.first_seq, chain: block.chain_before };
        let written = shared.write_closed(id, number, start, &bodies, 0)?;
        let mut state = shared.state.lock();
        // A reset may have come in between: then the file is left over, before a gap, and is set aside at the next start.
        if state.resets != resets || state.index.segments.first().is_none_or(|now| now.id != first.id) {
            return refuse("the journal was started anew meanwhile");
        }
        state.index.put_first(written);
        state.head.first_seq = block.first_seq;
        state.stats.segments = state.index.segments.len() as u64;
        Ok(())
    }

    /// Reads a whole segment and checks every frame, leaf and link of it against the links on both sides.
    ///
    /// # Errors
    /// At the first thing in it that is not what was written.
    pub fn check(&self, segment: u64) -> Result<Checked, JournalError> {
        self.check_by(segment, &*self.0.shared().disk)
    }

    /// As [`check`](Journal::check), by another way to the same disk, such as a slow one.
    ///
    /// # Errors
    /// As [`check`](Journal::check).
    pub fn check_by(&self, segment: u64, disk: &dyn Disk) -> Result<Checked, JournalError> {
        let shared = self.0.shared();
        let (found, next, tail, head) = {
            let state = shared.state.lock();
            let at = state.index.segments.iter().position(|known| known.id == segment);
            // Gone since it was listed.
            let Some(at) = at else { return Ok(Checked { bytes: 0, next_seq: 0 }) };
            let next = state.index.segments.get(at + 1).cloned();
            (state.index.segments[at].clone(), next, state.index.tail.clone(), state.head)
        };
        match next {
            Some(next) => shared.check_closed(disk, &found, &next),
            None => shared.check_tail(disk, &found, &tail, head),
        }
    }

    /// Begins a new segment, so that the one being written can be replaced.
    ///
    /// # Errors
    /// When writing failed, now or before.
    pub fn turn(&self) -> Result<(), JournalError> {
        self.0.turn()
    }

    /// Replaces a damaged segment, which must not be the one being written, by these records. Durable on return.
    ///
    /// # Errors
    /// When they are not exactly the records of the segment, proven by the links on both sides of it, or the disk refuses.
    pub fn replace(&self, segment: u64, leaves: Vec<Bytes>) -> Result<(), JournalError> {
        let shared = self.0.shared();
        let _turn = shared.mending.lock();
        let both = {
            let state = shared.state.lock();
            let at = state.index.segments.iter().position(|known| known.id == segment);
            at.and_then(|at| Some((state.index.segments[at].clone(), state.index.segments.get(at + 1)?.clone())))
        };
        let Some((old, next)) = both else {
            return Err(JournalError::Failed(format!("segment {segment} is not one of the journal's older ones")));
        };
        let block = Block::following(old.start.next_seq, old.start.chain, leaves);
        if block.next_seq() != next.start.next_seq || block.chain_after != next.start.chain {
            let why = "it does not lead to the link of the next segment";
            return Err(JournalError::NotNext { first_seq: block.first_seq, next_seq: next.start.next_seq, why });
        }
        // Frames are numbered without a gap: as many as there were, empty ones at the end.
        let frames = next.first_frame.number - old.first_frame.number - 1;
        let bodies = bodies(&block, usize::try_from(frames).unwrap_or(usize::MAX));
        let empty = frames - bodies.len() as u64;
        shared.write_closed(old.id, old.first_frame.number, old.start, &bodies, empty)?;
        shared.state.lock().index.forget(old.id);
        Ok(())
    }
}

/// A body with the number of its first leaf and how many it holds.
struct Body {
    first_seq: u64,
    count: u32,
    bytes: Vec<u8>,
}

/// The block in pieces, at most `most` of them.
fn bodies(block: &Block, most: usize) -> Vec<Body> {
    let piece_bytes = BLOCK_BYTES.max(leaf_bytes(&block.leaves) / most.max(1) + 1);
    let mut bodies = Vec::new();
    let (mut first_seq, mut chain, mut rest) = (block.first_seq, block.chain_before, &block.leaves[..]);
    while !rest.is_empty() {
        let mut bytes = 0;
        let cut = rest.iter().position(|leaf| {
            bytes += leaf.len();
            bytes >= piece_bytes
        });
        let last = bodies.len() + 1 >= most;
        let (piece, after) = rest.split_at(cut.filter(|_| !last).map_or(rest.len(), |cut| cut + 1));
        let piece = Block::following(first_seq, chain, piece.to_vec());
        let count = u32::try_from(piece.leaves.len()).expect("a piece of a segment has fewer leaves than that");
        bodies.push(Body { first_seq, count, bytes: piece.encode() });
        (first_seq, chain, rest) = (piece.next_seq(), piece.chain_after, after);
    }
    bodies
}

impl Shared {
    /// Writes a segment that is whole from the start, and puts it in its place.
    fn write_closed(
        &self,
        id: u64,
        number: u64,
        start: Start,
        bodies: &[Body],
        empty: u64,
    ) -> Result<JournalSegment, JournalError> {
        let carried = start.encode();
        let start_len = SegmentStart { capacity: 0, carried: &carried }.encode().len();
        let blocks: usize = bodies.iter().map(|body| frame_bytes(body.bytes.len())).sum();
        let marks = frame_bytes(0) as u64 * empty;
        let capacity = (frame_bytes(start_len) + blocks) as u64 + marks;
        let mut bytes = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
        let mut next = number;
        let mut stage = |first: u64, count: u32, body: &[u8], bytes: &mut Vec<u8>| {
            let offset = bytes.len() as u64;
            let header = Header { len: sealed_len(body.len()), count, number: next, first, offset, watermark: number };
            self.codec.encode(id, header, body, &*self.entropy, bytes);
            next += 1;
            header
        };
        let first_frame = stage(0, 0, &SegmentStart { capacity, carried: &carried }.encode(), &mut bytes);
        for body in bodies {
            stage(body.first_seq, body.count, &body.bytes, &mut bytes);
        }
        for _ in 0..empty {
            stage(0, 0, &[], &mut bytes);
        }
        let (making, path) = (making_path(&self.dir, id), segment_path(&self.dir, id));
        let write = || {
            if self.disk.exists(&making)? {
                self.disk.remove(&making)?;
            }
            let file = self.disk.create_new(&making)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_data()?;
            self.disk.rename(&making, &path)?;
            self.disk.sync_dir(&self.dir)
        };
        if let Err(source) = write() {
            // On a full disk it would stay in the way of whatever makes room. What cannot be removed is removed at the next start.
            let _ = self.disk.remove(&making);
            return Err(SegmentError::io("putting back", &path)(source).into());
        }
        Ok(JournalSegment { id, path, start, first_frame })
    }

    fn check_closed(&self, disk: &dyn Disk, segment: &JournalSegment, next: &JournalSegment) -> Result<Checked, JournalError> {
        let mut read = self.check_start(disk, segment)?;
        let opened = Segment { id: segment.id, path: segment.path.clone(), start: segment.first_frame, carried: Vec::new() };
        let (mut seq, mut chain) = (segment.start.next_seq, segment.start.chain);
        recovery::read_closed(disk, &opened, next.first_frame.number, &mut |at, frame| {
            let body = recovery::open_frame(&self.codec, at.id, &at.path, frame)?;
            read += frame.header.frame_bytes() as u64;
            let Header { first, count, offset, .. } = frame.header;
            if count == 0 {
                return Ok(());
            }
            let damaged = |why: &str| SegmentError::corrupt(&at.path, offset, why);
            let block = Block::decode(first, count, &body).map_err(|error| damaged(&error.why))?;
            block.records().map_err(|error| damaged(&error.why))?;
            if block.first_seq != seq || block.chain_before != chain {
                return Err(damaged("its block does not continue the chain"));
            }
            (seq, chain) = (block.next_seq(), block.chain_after);
            Ok(())
        })?;
        if (seq, chain) == (next.start.next_seq, next.start.chain) {
            return Ok(Checked { bytes: read, next_seq: seq });
        }
        Err(SegmentError::corrupt(&segment.path, 0, "its records do not lead to the next segment").into())
    }

    /// What is written of the segment that is being written; what comes after is in memory still.
    fn check_tail(
        &self,
        disk: &dyn Disk,
        segment: &JournalSegment,
        blocks: &[BlockAt],
        head: JournalHead,
    ) -> Result<Checked, JournalError> {
        let mut read = self.check_start(disk, segment)?;
        let mut chain = segment.start.chain;
        for at in blocks {
            let block = read_block(disk, &self.codec, &Located { segment: segment.id, path: segment.path.clone(), block: *at })?;
            block.records().map_err(|error| corrupt(&segment.path, error))?;
            if block.chain_before != chain || block.next_seq() > head.next_seq {
                return Err(SegmentError::corrupt(&segment.path, at.offset, "its block does not continue the chain").into());
            }
            chain = block.chain_after;
            read += leaf_bytes(&block.leaves) as u64;
        }
        Ok(Checked { bytes: read, next_seq: blocks.last().map_or(segment.start.next_seq, BlockAt::next_seq) })
    }

    /// The first frame is looked at only when the journal is opened: until then nobody would know.
    fn check_start(&self, disk: &dyn Disk, segment: &JournalSegment) -> Result<u64, JournalError> {
        let damaged = || SegmentError::corrupt(&segment.path, 0, "its first frame does not read");
        let file = disk.open(&segment.path).map_err(SegmentError::io("opening", &segment.path))?;
        let bytes = recovery::read_frame(&*file, &segment.path, 0)?.ok_or_else(damaged)?;
        let frame = Frame::in_front_of(&bytes, segment.id, 0).ok_or_else(damaged)?;
        let body = recovery::open_frame(&self.codec, segment.id, &segment.path, &frame)?;
        let start = SegmentStart::decode(&segment.path, &body)?;
        let same = frame.header == segment.first_frame && Start::of(start.carried) == Some(segment.start);
        if same { Ok(bytes.len() as u64) } else { Err(damaged().into()) }
    }
}
