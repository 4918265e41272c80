//! What callers and the writer share, and how a block is found: in memory, or where the index says.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};
use storage_crypto::Entropy;

use super::{
    Block, JournalError, JournalHead, JournalStats, StoredRecord,
    aside::Aside,
    corrupt,
    index::{self, BlockAt, Index, Located, Lookup, Start},
};
use crate::{
    disk::Disk,
    segment::{
        SegmentError,
        frame::{Frame, FrameCodec},
        recovery,
    },
    wal::Done,
};

/// What callers and the writer share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) codec: Arc<FrameCodec>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// One segment is put back or replaced at a time.
    pub(crate) mending: Mutex<()>,
    /// What is known of the segments that were set aside.
    pub(crate) aside: Mutex<BTreeMap<PathBuf, Option<Aside>>>,
    pub(crate) cache_bytes_max: usize,
    pub(crate) state: Mutex<State>,
    pub(crate) work: Condvar,
    pub(crate) room: Condvar,
}

/// Everything behind the one lock.
pub(crate) struct State {
    pub(crate) head: JournalHead,
    /// How often the journal was started anew since it was opened: what was put back meanwhile is no part of it.
    pub(crate) resets: u64,
    pub(crate) index: Index,
    /// Invariant: holds the newest blocks without a gap, and every block that is not in the index yet.
    pub(crate) cache: VecDeque<Cached>,
    pub(crate) cache_bytes: usize,
    pub(crate) queue: Vec<Task>,
    pub(crate) queued_bytes: usize,
    pub(crate) next_op: u64,
    pub(crate) failed: Option<String>,
    pub(crate) closing: bool,
    /// The writer is waiting for more blocks to write as one: another block need not wake it.
    pub(crate) gathering: bool,
    pub(crate) stats: JournalStats,
}

/// A block in memory, and the request that appended it.
pub(crate) struct Cached {
    pub(crate) block: Arc<Block>,
    pub(crate) op: u64,
}

/// What the writer is asked to do, in order.
pub(crate) enum Task {
    Append(Arc<Block>, u64),
    Sync(Done),
    Reset(Start, Done),
    /// The rest goes into a new segment.
    Turn(Start, Done),
}

/// Leaves that are worth a frame of their own: the writer waits no longer for more.
const GATHERED_BYTES: usize = 256 * 1024;

impl State {
    /// Of a journal that was just opened.
    pub(crate) fn opened(head: JournalHead, index: Index) -> State {
        let stats = JournalStats { segments: index.segments.len() as u64, ..JournalStats::default() };
        State {
            head,
            resets: 0,
            index,
            cache: VecDeque::new(),
            cache_bytes: 0,
            queue: Vec::new(),
            queued_bytes: 0,
            next_op: 1,
            failed: None,
            closing: false,
            gathering: false,
            stats,
        }
    }

    /// Whether the writer may wait for more blocks: nobody waits for those that are there, and they are few.
    pub(crate) fn may_gather(&self) -> bool {
        let only_blocks = self.queue.iter().all(|task| matches!(task, Task::Append(..)));
        !self.closing && only_blocks && self.queued_bytes < GATHERED_BYTES
    }
}

/// Whether requests are still taken.
pub(crate) fn usable(state: &State) -> Result<(), JournalError> {
    match &state.failed {
        Some(failure) => Err(JournalError::Failed(failure.clone())),
        None if state.closing => Err(JournalError::Failed("the journal is closed".to_owned())),
        None => Ok(()),
    }
}

impl Shared {
    /// The block that holds record `seq` and where it comes from, nothing at the head.
    pub(crate) fn block_with(&self, seq: u64) -> Result<Option<(PathBuf, Arc<Block>)>, JournalError> {
        loop {
            let lookup = {
                let state = self.state.lock();
                let JournalHead { first_seq, next_seq, .. } = state.head;
                if seq >= next_seq {
                    return Ok(None);
                }
                if seq < first_seq {
                    return Err(JournalError::NotKept { seq, first_seq });
                }
                let at = state.cache.partition_point(|cached| cached.block.next_seq() <= seq);
                if let Some(cached) = state.cache.get(at).filter(|cached| cached.block.first_seq <= seq) {
                    return Ok(Some((self.dir.clone(), Arc::clone(&cached.block))));
                }
                state.index.lookup(seq)
            };
            match lookup {
                Lookup::Found(located) => {
                    let block = read_block(&*self.disk, &self.codec, &located)?;
                    return Ok(Some((located.path, Arc::new(block))));
                }
                // Outside the lock: the apply path must not wait for an old segment to be read.
                Lookup::NotLoaded(segment, next) => {
                    let blocks = index::read_blocks(&*self.disk, &self.codec, &segment, &next)?;
                    self.state.lock().index.keep(segment.id, blocks);
                }
                Lookup::Nothing => {
                    return Err(JournalError::Corrupt { seq, path: self.dir.clone(), why: "no block holds it".to_owned() });
                }
            }
        }
    }

    /// A block goes on from the link of the record before. It may start earlier than that record: blocks that were appended by
    /// themselves, and read from memory, are written as one.
    pub(crate) fn check_link(
        &self,
        before: &[StoredRecord],
        block: &Block,
        records: &[StoredRecord],
        path: &Path,
    ) -> Result<(), JournalError> {
        let link_after = |seq| records.iter().find(|record| record.seq == seq).map_or(block.chain_before, |record| record.chain);
        match before.last() {
            Some(last) if last.chain != link_after(last.seq) => {
                let why = "its block does not continue the chain".to_owned();
                Err(JournalError::Corrupt { seq: block.first_seq, path: path.to_owned(), why })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn latch(&self, error: &io::Error) -> String {
        let mut state = self.state.lock();
        let failure = state.failed.get_or_insert_with(|| {
            tracing::error!(dir = %self.dir.display(), %error, "the journal failed, nothing is written any more");
            format!("journal in {} failed: {error}", self.dir.display())
        });
        let failure = failure.clone();
        self.room.notify_all();
        failure
    }
}

/// Reads one block from where the index says it stands.
pub(crate) fn read_block(disk: &dyn Disk, codec: &FrameCodec, located: &Located) -> Result<Block, JournalError> {
    let Located { segment, path, block: BlockAt { first_seq, count, offset } } = located;
    let file = disk.open(path).map_err(SegmentError::io("opening", path))?;
    let damaged = || SegmentError::corrupt(path, *offset, format!("the block with record {first_seq} does not read"));
    let bytes = recovery::read_frame(&*file, path, *offset)?.ok_or_else(damaged)?;
    let frame = Frame::in_front_of(&bytes, *segment, *offset).ok_or_else(damaged)?;
    if (frame.header.first, frame.header.count) != (*first_seq, *count) {
        return Err(damaged().into());
    }
    let body = recovery::open_frame(codec, *segment, path, &frame)?;
    Block::decode(*first_seq, *count, &body).map_err(|error| corrupt(path, error))
}
