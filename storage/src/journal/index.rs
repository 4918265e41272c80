//! Where each block stands: known for the segment being written, read again from the frame headers for an older one.

use std::{collections::VecDeque, path::PathBuf};

use crate::{
    disk::Disk,
    segment::{
        NUMBER_MAX, SegmentError,
        frame::{Frame, FrameCodec, Header},
        recovery::{self, Segment},
    },
};

/// Indexes of older segments that are kept in memory.
const KEPT: usize = 8;

/// A block within its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockAt {
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) offset: u64,
}

impl BlockAt {
    pub(crate) fn next_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count)
    }
}

/// What the first frame of a journal's segment carries over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Everything in earlier segments was discarded, but for those that were put back since.
    pub(crate) reset: bool,
    /// It was put back, from another node's records or from what was set aside, before a segment that was there already.
    pub(crate) restored: bool,
    /// The number of the first record in this segment.
    pub(crate) next_seq: u64,
    /// The link before it.
    pub(crate) chain: [u8; 32],
}

impl Start {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut carried = vec![u8::from(self.reset) | u8::from(self.restored) << 1];
        carried.extend_from_slice(&self.next_seq.to_be_bytes());
        carried.extend_from_slice(&self.chain);
        carried
    }

    pub(crate) fn decode(segment: &Segment) -> Result<Start, SegmentError> {
        Start::of(&segment.carried).ok_or_else(|| SegmentError::corrupt(&segment.path, 0, "what it carries over does not decode"))
    }

    pub(crate) fn of(carried: &[u8]) -> Option<Start> {
        let (flags, rest) = carried.split_first()?;
        let (seq, chain) = rest.split_first_chunk()?;
        let (reset, restored) = (flags & 1 != 0, flags & 2 != 0);
        let next_seq = Some(u64::from_be_bytes(*seq)).filter(|seq| *seq <= NUMBER_MAX)?;
        Some(Start { reset, restored, next_seq, chain: chain.try_into().ok()? })
    }
}

/// A segment in use.
#[derive(Clone)]
pub(crate) struct JournalSegment {
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    pub(crate) start: Start,
    pub(crate) first_frame: Header,
}

impl JournalSegment {
    pub(crate) fn of(segment: &Segment) -> Result<JournalSegment, SegmentError> {
        let start = Start::decode(segment)?;
        Ok(JournalSegment { id: segment.id, path: segment.path.clone(), start, first_frame: segment.start })
    }
}

/// Where a block is to be read.
pub(crate) struct Located {
    pub(crate) segment: u64,
    pub(crate) path: PathBuf,
    pub(crate) block: BlockAt,
}

/// What the index knows of a record.
pub(crate) enum Lookup {
    Found(Located),
    /// The headers of this segment, which the second one follows, have to be read first.
    NotLoaded(JournalSegment, JournalSegment),
    Nothing,
}

/// All blocks that have been written.
pub(crate) struct Index {
    /// Oldest first; the last one is being written.
    pub(crate) segments: Vec<JournalSegment>,
    pub(crate) tail: Vec<BlockAt>,
    older: VecDeque<(u64, Vec<BlockAt>)>,
}

impl Index {
    /// What recovery found: the segments, and the blocks of the last one.
    pub(crate) fn recovered(segments: Vec<JournalSegment>, tail: Vec<BlockAt>) -> Index {
        Index { segments, tail, older: VecDeque::new() }
    }

    /// The segment that was being written is now an older one.
    pub(crate) fn start_segment(&mut self, segment: JournalSegment) {
        if let Some(written) = self.segments.last() {
            let id = written.id;
            let blocks = std::mem::take(&mut self.tail);
            self.keep(id, blocks);
        }
        if segment.start.reset {
            self.segments.clear();
            self.older.clear();
        }
        self.tail.clear();
        self.segments.push(segment);
    }

    /// A segment comes before all others.
    pub(crate) fn put_first(&mut self, segment: JournalSegment) {
        self.segments.insert(0, segment);
    }

    /// What is remembered of a segment is not so any more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.older.retain(|(known, _)| *known != id);
    }

    /// Remembers where the blocks of an older segment stand.
    pub(crate) fn keep(&mut self, id: u64, blocks: Vec<BlockAt>) {
        self.older.push_back((id, blocks));
        if self.older.len() > KEPT {
            self.older.pop_front();
        }
    }

    /// The block that holds record `seq`, if it was written.
    pub(crate) fn lookup(&self, seq: u64) -> Lookup {
        let after = self.segments.partition_point(|segment| segment.start.next_seq <= seq);
        let Some(segment) = after.checked_sub(1).map(|at| &self.segments[at]) else { return Lookup::Nothing };
        let blocks = match self.segments.get(after) {
            None => &self.tail,
            Some(next) => match self.older.iter().find(|(id, _)| *id == segment.id) {
                None => return Lookup::NotLoaded(segment.clone(), next.clone()),
                Some((_, blocks)) => blocks,
            },
        };
        match find(blocks, seq) {
            None => Lookup::Nothing,
            Some(block) => Lookup::Found(Located { segment: segment.id, path: segment.path.clone(), block }),
        }
    }
}

fn find(blocks: &[BlockAt], seq: u64) -> Option<BlockAt> {
    let at = blocks.partition_point(|block| block.next_seq() <= seq);
    blocks.get(at).filter(|block| block.first_seq <= seq).copied()
}

/// Reads the headers of an older segment, and checks that they lead to the next.
pub(crate) fn read_blocks(
    disk: &dyn Disk,
    codec: &FrameCodec,
    segment: &JournalSegment,
    next: &JournalSegment,
) -> Result<Vec<BlockAt>, SegmentError> {
    let mut blocks = Blocks::starting_at(segment.start.next_seq);
    let opened = Segment { id: segment.id, path: segment.path.clone(), start: segment.first_frame, carried: Vec::new() };
    // A header is only believed if its body opens: the body is bound to it.
    recovery::read_closed(disk, &opened, next.first_frame.number, &mut |at, frame| {
        recovery::open_frame(codec, at.id, &at.path, frame)?;
        blocks.add(at, frame)
    })?;
    if blocks.next_seq == next.start.next_seq {
        return Ok(blocks.found);
    }
    let why = format!("it ends before record {}, the next segment starts at {}", blocks.next_seq, next.start.next_seq);
    Err(SegmentError::corrupt(&segment.path, 0, why))
}

/// Collects the blocks of one segment and checks that they follow each other.
pub(crate) struct Blocks {
    pub(crate) found: Vec<BlockAt>,
    pub(crate) next_seq: u64,
}

impl Blocks {
    pub(crate) fn starting_at(next_seq: u64) -> Blocks {
        Blocks { found: Vec::new(), next_seq }
    }

    pub(crate) fn add(&mut self, segment: &Segment, frame: &Frame<'_>) -> Result<(), SegmentError> {
        let Header { first, count, offset, .. } = frame.header;
        if count == 0 {
            return Ok(());
        }
        if first != self.next_seq {
            let why = format!("record {first} stands where {} comes next", self.next_seq);
            return Err(SegmentError::corrupt(&segment.path, offset, why));
        }
        self.found.push(BlockAt { first_seq: first, count, offset });
        self.next_seq = first + u64::from(count);
        Ok(())
    }
}
