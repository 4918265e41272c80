//! Appends frames: gathers them in memory, writes them with one call, and knows how far everything is durable.

use std::{io, path::PathBuf, sync::Arc};

use storage_crypto::Entropy;

use super::{
    SegmentStart,
    frame::{FrameCodec, Header, MARK_ALIGNMENT, frame_bytes, sealed_len},
    maker::Maker,
    segment_path,
};
use crate::disk::DiskFile;

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
}

/// The segment that is being written.
pub(crate) struct Tail {
    pub(crate) id: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) capacity: u64,
    /// Where the next frame goes, staged frames counted.
    pub(crate) end: u64,
}

/// How far everything was durable when appending resumes.
pub(crate) struct Resume {
    pub(crate) tail: Option<Tail>,
    pub(crate) next_segment: u64,
    pub(crate) next_number: u64,
}

/// Writes the frames of one stream.
pub(crate) struct Appender {
    codec: Arc<FrameCodec>,
    entropy: Arc<dyn Entropy>,
    dir: PathBuf,
    maker: Arc<Maker>,
    tail: Option<Tail>,
    next_segment: u64,
    next_number: u64,
    /// Invariant: every frame with a smaller number is durable.
    watermark: u64,
    staged: Vec<u8>,
}

impl Appender {
    /// Everything that recovery found is durable: it was read from the disk and the tail was synced.
    pub(crate) fn new(
        codec: Arc<FrameCodec>,
        entropy: Arc<dyn Entropy>,
        dir: PathBuf,
        maker: Arc<Maker>,
        resume: Resume,
    ) -> Appender {
        maker.prepare(resume.next_segment);
        let Resume { tail, next_segment, next_number } = resume;
        Appender { codec, entropy, dir, maker, tail, next_segment, next_number, watermark: next_number, staged: Vec::new() }
    }

    /// Whether a frame with a body of this length fits the current segment.
    pub(crate) fn fits(&self, body_len: usize) -> bool {
        self.tail.as_ref().is_some_and(|tail| tail.end + frame_bytes(body_len) as u64 <= tail.capacity)
    }

    /// Starts a new segment that can hold a frame with a body of `body_len` bytes, after syncing the one before. Gives the header of
    /// its first frame.
    pub(crate) fn rotate(&mut self, carried: &[u8], body_len: usize) -> io::Result<Header> {
        self.sync()?;
        let start_bytes = frame_bytes(SegmentStart { capacity: 0, carried }.encode().len());
        let needed = (start_bytes + frame_bytes(body_len)) as u64;
        let id = self.next_segment;
        let file = self.maker.take(id, needed)?;
        let capacity = file.len()?;
        self.next_segment += 1;
        self.tail = Some(Tail { id, file, capacity, end: 0 });
        self.maker.prepare(self.next_segment);
        let body = SegmentStart { capacity, carried }.encode();
        let first = Header {
            len: sealed_len(body.len()),
            count: 0,
            number: self.next_number,
            first: 0,
            offset: 0,
            watermark: self.watermark,
        };
        self.stage(0, 0, &body);
        // Durable by itself, so that the next frame's watermark vouches for it.
        self.sync()?;
        Ok(first)
    }

    /// Leaves numbers free before the next segment, so that older segments can be put in front of it later.
    pub(crate) fn leave_room(&mut self) -> io::Result<()> {
        self.sync()?;
        // What was made ahead has a number that is skipped now.
        self.maker.remove(vec![self.path(self.next_segment)]);
        self.next_segment += ROOM_SEGMENTS;
        self.next_number += ROOM_FRAMES;
        self.watermark = self.next_number;
        Ok(())
    }

    /// Adds a frame to those that [`Appender::flush`] will write. It must fit.
    pub(crate) fn stage(&mut self, first: u64, count: u32, body: &[u8]) -> Position {
        let tail = self.tail.as_mut().expect("a frame is staged only after it was found to fit the current segment");
        let len = sealed_len(body.len());
        let header = Header { len, count, number: self.next_number, first, offset: tail.end, watermark: self.watermark };
        let before = self.staged.len();
        self.codec.encode(tail.id, header, body, &*self.entropy, &mut self.staged);
        let bytes = self.staged.len() - before;
        let position = Position { segment: tail.id, offset: tail.end, bytes: bytes as u32 };
        tail.end += bytes as u64;
        assert!(tail.end <= tail.capacity, "a frame was staged that does not fit its segment");
        self.next_number += 1;
        position
    }

    /// Writes the staged frames, without syncing them.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let tail = self.tail.as_ref().expect("frames are staged into a segment");
        tail.file.write_all_at(&self.staged, tail.end - self.staged.len() as u64)?;
        self.staged.clear();
        if self.staged.capacity() > KEEP_BYTES {
            self.staged = Vec::with_capacity(KEEP_BYTES);
        }
        Ok(())
    }

    /// Makes everything staged or written so far durable. Says whether there was anything to sync.
    pub(crate) fn sync(&mut self) -> io::Result<bool> {
        self.flush()?;
        if self.watermark == self.next_number {
            return Ok(false);
        }
        if let Some(tail) = &self.tail {
            tail.file.sync_data()?;
        }
        self.watermark = self.next_number;
        Ok(true)
    }

    /// Writes a frame that says how far everything is durable, and nothing else. It is not synced: if it is lost, nothing is.
    ///
    /// It stands in a sector of its own: one damaged sector must not take both the last batch and the proof that there was one.
    pub(crate) fn mark(&mut self) -> io::Result<()> {
        self.flush()?;
        let Some(tail) = &mut self.tail else { return Ok(()) };
        let start = tail.end.next_multiple_of(MARK_ALIGNMENT as u64);
        if start + frame_bytes(0) as u64 <= tail.capacity {
            tail.end = start;
            self.stage(0, 0, &[]);
            self.flush()?;
        }
        Ok(())
    }

    /// The file that is being written.
    pub(crate) fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Where segment `id` lies.
    pub(crate) fn path(&self, id: u64) -> PathBuf {
        segment_path(&self.dir, id)
    }
}

/// Far more than a node writes in its life.
const ROOM_SEGMENTS: u64 = 1 << 32;
const ROOM_FRAMES: u64 = 1 << 48;
const KEEP_BYTES: usize = 4 * 1024 * 1024;
