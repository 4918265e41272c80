//! What a [`super::Journal`] does: checks, queues, reads.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    Block, JournalError, JournalHead, JournalOptions, JournalStats, StoredRecord,
    block::{self, ChainError},
    corrupt,
    index::Start,
    leaf_bytes,
    shared::{Cached, Shared, State, Task, usable},
    writer::{Ending, Writer},
};
use crate::{
    segment::appender::Appender,
    wal::Done,
    workers::{self, Wake},
};

/// The handle's insides: dropped with its last handle, which ends the writer.
pub(crate) struct Inner {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    driven: Option<Driven>,
    queue_bytes_max: usize,
}

/// A writer that is no thread: the simulation of this one takes its steps, and whoever would wait for it.
struct Driven {
    writer: Arc<Mutex<Writer>>,
    wake: Wake,
}

impl Driven {
    fn start(writer: Writer) -> Option<Driven> {
        let writer = Arc::new(Mutex::new(writer));
        let own = Arc::downgrade(&writer);
        let step = move || {
            if let Some(writer) = own.upgrade() {
                writer.lock().step();
            }
        };
        workers::drive(Box::new(step)).map(|wake| Driven { writer, wake })
    }
}

impl Inner {
    pub(crate) fn start(shared: Arc<Shared>, appender: Appender, options: &JournalOptions) -> io::Result<Inner> {
        let mut writer = Writer { shared: Arc::clone(&shared), appender, gathering: options.gathering };
        let queue_bytes_max = options.queue_bytes_max;
        if workers::are_simulated() {
            return Ok(Inner { shared, writer: Mutex::new(None), driven: Driven::start(writer), queue_bytes_max });
        }
        let ending = Ending(Arc::clone(&shared));
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let _ending = ending;
            writer.run();
        })?;
        Ok(Inner { shared, writer: Mutex::new(Some(thread)), driven: None, queue_bytes_max })
    }

    pub(crate) fn head(&self) -> JournalHead {
        self.shared.state.lock().head
    }

    pub(crate) fn failed(&self) -> Option<String> {
        self.shared.state.lock().failed.clone()
    }

    pub(crate) fn stats(&self) -> JournalStats {
        let state = self.shared.state.lock();
        JournalStats { queued_bytes: state.queued_bytes as u64, segments: state.index.segments.len() as u64, ..state.stats }
    }

    pub(crate) fn append(&self, block: Block) -> Result<(), JournalError> {
        let mut state = self.shared.state.lock();
        while state.queued_bytes > self.queue_bytes_max && state.failed.is_none() && !state.closing && self.driven.is_none() {
            self.shared.room.wait(&mut state);
        }
        usable(&state)?;
        let JournalHead { first_seq, next_seq, chain } = state.head;
        let fresh = next_seq == 0;
        let refuse = |why| Err(JournalError::NotNext { first_seq: block.first_seq, next_seq, why });
        if !fresh && block.first_seq != next_seq {
            return refuse("records are numbered without a gap");
        }
        if !fresh && block.chain_before != chain {
            return refuse("it continues another chain");
        }
        if !block::fits(&block) || block.first_seq == 0 {
            return refuse("a block starts at 1 or later and has less than half a gibibyte");
        }
        if block.leaves.is_empty() {
            return Ok(());
        }
        state.head = JournalHead {
            first_seq: if fresh { block.first_seq } else { first_seq },
            next_seq: block.next_seq(),
            chain: block.chain_after,
        };
        let op = state.next_op;
        state.next_op += 1;
        let bytes = leaf_bytes(&block.leaves);
        let block = Arc::new(block);
        state.queued_bytes += bytes;
        state.cache_bytes += bytes;
        state.cache.push_back(Cached { block: Arc::clone(&block), op });
        self.queue(state, Task::Append(block, op));
        Ok(())
    }

    pub(crate) fn sync(&self, done: Done) {
        let state = self.shared.state.lock();
        match usable(&state) {
            Ok(()) => self.queue(state, Task::Sync(done)),
            Err(error) => {
                drop(state);
                done.call(Err(error.into()));
            }
        }
    }

    pub(crate) fn reset(&self, first_seq: u64, chain: [u8; 32]) -> Result<(), JournalError> {
        let (done, answer) = Done::channel();
        {
            let mut state = self.shared.state.lock();
            usable(&state)?;
            state.head = JournalHead { first_seq, next_seq: first_seq, chain };
            state.resets += 1;
            state.cache.clear();
            state.cache_bytes = 0;
            self.queue(state, Task::Reset(Start { reset: true, restored: false, next_seq: first_seq, chain }, done));
        }
        awaited(&answer)
    }

    /// Begins a new segment; the one that was written is an older one then.
    pub(crate) fn turn(&self) -> Result<(), JournalError> {
        let (done, answer) = Done::channel();
        {
            let state = self.shared.state.lock();
            usable(&state)?;
            let JournalHead { next_seq, chain, .. } = state.head;
            if next_seq == 0 {
                return Ok(());
            }
            self.queue(state, Task::Turn(Start { reset: false, restored: false, next_seq, chain }, done));
        }
        awaited(&answer)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn queue(&self, mut state: MutexGuard<'_, State>, task: Task) {
        let somebody_waits = !matches!(task, Task::Append(..));
        state.queue.push(task);
        let left_to_gather = state.gathering && state.may_gather();
        drop(state);
        if let Some(driven) = &self.driven {
            return if somebody_waits { driven.writer.lock().step() } else { (driven.wake)() };
        }
        if !left_to_gather {
            self.shared.work.notify_one();
        }
    }

    pub(crate) fn read(&self, from: u64, max_records: usize, max_bytes: usize) -> Result<Vec<StoredRecord>, JournalError> {
        let mut records: Vec<StoredRecord> = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        while let Some((path, block)) = self.shared.block_with(next)? {
            let found = block.records().map_err(|error| corrupt(&path, error))?;
            self.shared.check_link(&records, &block, &found, &path)?;
            for record in found {
                if record.seq < next {
                    continue;
                }
                if !records.is_empty() && (records.len() >= max_records || bytes + record.leaf.len() > max_bytes) {
                    return Ok(records);
                }
                bytes += record.leaf.len();
                records.push(record);
            }
            next = block.next_seq();
        }
        Ok(records)
    }

    pub(crate) fn verify(&self) -> Result<JournalHead, JournalError> {
        let head = self.head();
        let first_seq = head.first_seq;
        // A journal that starts behind a leader's snapshot ends at the link that it was given, as long as it holds nothing.
        let chain = if head.is_empty() { head.chain } else { [0; 32] };
        let mut verified = JournalHead { first_seq, next_seq: first_seq, chain };
        let mut last: Vec<StoredRecord> = Vec::new();
        let mut newest = None;
        while let Some((path, block)) = self.shared.block_with(verified.next_seq)? {
            let found = block.records().map_err(|error| corrupt(&path, error))?;
            self.shared.check_link(&last, &block, &found, &path)?;
            last = found;
            verified.next_seq = block.next_seq();
            verified.chain = block.chain_after;
            newest = Some(path);
        }
        // The newest segment carries the link of the record before it, and may hold no record that vouches for it.
        let head = self.head();
        if let Some(path) = newest.filter(|_| head.next_seq == verified.next_seq && head.chain != verified.chain) {
            let why = "the link after it is not what the next segment starts from".to_owned();
            return Err(corrupt(&path, ChainError { seq: head.next_seq - 1, why }));
        }
        Ok(verified)
    }

    pub(crate) fn close(&self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && writer.thread().id() != thread::current().id()
        {
            // A panic of the writer has been printed and latched.
            let _ = writer.join();
        }
        if let Some(driven) = &self.driven {
            let mut writer = driven.writer.lock();
            writer.step();
            writer.finish();
        }
    }
}

fn awaited(answer: &std::sync::mpsc::Receiver<io::Result<()>>) -> Result<(), JournalError> {
    match answer.recv() {
        Ok(result) => result.map_err(|error| JournalError::Failed(error.to_string())),
        Err(_) => Err(JournalError::Failed("the journal's writer is gone".to_owned())),
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
