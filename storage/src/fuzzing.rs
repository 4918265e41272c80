//! Ways in for the fuzz targets (`chaos/fuzz`), and for nobody else: what stands behind checksums and seals, which bytes made up at
//! random never get past.

use bytes::Bytes;
use storage_crypto::{Entropy, Key};

use crate::{
    journal::Block,
    segment::{
        Owner, SegmentStart,
        frame::{FrameCodec, HEADER_BYTES, Header, Stream, frame_bytes, sealed_len},
    },
    wal,
};

/// One frame to be sealed as if the log or the journal had written it.
pub struct SealedFrame<'a> {
    /// How many records it says it holds.
    pub count: u32,
    /// The number of the first of them.
    pub first: u64,
    /// The frame below which everything is durable, as it says.
    pub watermark: u64,
    /// What is sealed.
    pub body: &'a [u8],
}

/// The records of the body of a frame of the log, encoded again; nothing where it holds none.
#[must_use]
pub fn log_body_again(body: &[u8]) -> Option<Vec<u8>> {
    wal::body_again(Bytes::copy_from_slice(body))
}

/// The block in the body of a frame of the journal; nothing where it is none.
#[must_use]
pub fn block_of(first_seq: u64, count: u32, body: &[u8]) -> Option<Block> {
    let block = Block::decode(first_seq, count, body).ok()?;
    // Whether the links fit is another question; asking it must not fail either.
    drop(block.records());
    Some(block)
}

/// The body of the frame that holds a block.
#[must_use]
pub fn body_of(block: &Block) -> Vec<u8> {
    block.encode()
}

/// Segment `id` of the log or of the journal, whose first frame is number `number` and carries over `carried`, and holds these frames.
pub fn segment(
    is_log: bool,
    (key, owner): (&Key, Owner),
    (id, number): (u64, u64),
    carried: &[u8],
    frames: &[SealedFrame<'_>],
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let codec = FrameCodec::new(key.duplicate(), owner, if is_log { Stream::Log } else { Stream::Journal });
    let start = |capacity: usize| SegmentStart { capacity: capacity as u64, carried }.encode();
    let first = frame_bytes(start(0).len());
    let capacity = first + frames.iter().map(|frame| frame_bytes(frame.body.len())).sum::<usize>() + HEADER_BYTES;
    let start = start(capacity);
    let start = SealedFrame { count: 0, first: 0, watermark: 0, body: &start };
    let mut bytes = Vec::with_capacity(capacity);
    for (number, frame) in (number..).zip(std::iter::once(&start).chain(frames)) {
        let SealedFrame { count, first, watermark, body } = *frame;
        let (len, offset) = (sealed_len(body.len()), bytes.len() as u64);
        codec.encode(id, Header { len, count, number, first, offset, watermark }, body, entropy, &mut bytes);
    }
    bytes.resize(capacity, 0);
    bytes
}
