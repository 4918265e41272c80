//! The thread that compresses, seals and writes blocks.

use std::{io, path::PathBuf, sync::Arc, thread, time::Duration};

use super::{
    Block, aside,
    index::{BlockAt, JournalSegment, Start},
    leaf_bytes,
    shared::{Shared, Task},
};
use crate::segment::appender::Appender;

/// The queue outlives the writer: whatever ends the thread, a panic included, no caller is left waiting.
pub(crate) struct Ending(pub(crate) Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.latch(&io::Error::other("its writer panicked"));
        }
        let mut state = self.0.state.lock();
        state.closing = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        drop(queue);
        self.0.room.notify_all();
    }
}

/// A frame is cut at the block that takes its leaves to this length.
const FRAME_BYTES: usize = 1024 * 1024;

/// The same tasks, with blocks that follow one another as one: compressed, sealed and written once.
fn gathered(tasks: Vec<Task>) -> Vec<Task> {
    let mut gathered = Vec::with_capacity(tasks.len());
    let mut run: Vec<(Arc<Block>, u64)> = Vec::new();
    let mut run_bytes = 0;
    for task in tasks {
        match task {
            Task::Append(block, op) => {
                let goes_on = run.last().is_none_or(|(last, _)| last.next_seq() == block.first_seq);
                if !goes_on || run_bytes >= FRAME_BYTES {
                    gathered.extend(as_one(&mut run));
                    run_bytes = 0;
                }
                run_bytes += leaf_bytes(&block.leaves);
                run.push((block, op));
            }
            other => {
                gathered.extend(as_one(&mut run));
                gathered.push(other);
            }
        }
    }
    gathered.extend(as_one(&mut run));
    gathered
}

fn as_one(run: &mut Vec<(Arc<Block>, u64)>) -> Option<Task> {
    let run = std::mem::take(run);
    let (first, _) = run.first()?;
    let (last, op) = run.last()?;
    if run.len() == 1 {
        return Some(Task::Append(Arc::clone(first), *op));
    }
    let leaves = run.iter().flat_map(|(block, _)| block.leaves.iter().cloned()).collect();
    let (first_seq, chain_before, chain_after) = (first.first_seq, first.chain_before, last.chain_after);
    Some(Task::Append(Arc::new(Block { first_seq, leaves, chain_before, chain_after }), *op))
}

/// Owns the end of the journal.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) appender: Appender,
    /// See [`super::JournalOptions::gathering`].
    pub(crate) gathering: Duration,
}

impl Writer {
    pub(crate) fn run(&mut self) {
        loop {
            let tasks = self.wait_for_tasks();
            if tasks.is_empty() {
                return self.finish();
            }
            self.write(tasks);
        }
    }

    /// Writes what is queued, without waiting for more.
    pub(crate) fn step(&mut self) {
        let tasks = std::mem::take(&mut self.shared.state.lock().queue);
        if !tasks.is_empty() {
            self.write(tasks);
        }
    }

    /// A clean end leaves nothing that could pass for a torn write.
    pub(crate) fn finish(&mut self) {
        if self.shared.state.lock().failed.is_none()
            && let Err(error) = self.sync_and_mark().and_then(|()| self.appender.sync().map(drop))
        {
            self.shared.latch(&error);
        }
    }

    fn write(&mut self, tasks: Vec<Task>) {
        let tasks = if self.gathering.is_zero() { tasks } else { gathered(tasks) };
        for task in tasks {
            self.work(task);
        }
        // Latched, if it failed: the next request is answered with it.
        let _ = self.settle(|writer| writer.appender.flush());
    }

    /// Waits for something to do, and for more blocks to write with it: until a purge asks for a sync, blocks are durable in the log.
    fn wait_for_tasks(&self) -> Vec<Task> {
        let mut state = self.shared.state.lock();
        while state.queue.is_empty() && !state.closing {
            self.shared.work.wait(&mut state);
        }
        if !self.gathering.is_zero() && state.may_gather() {
            state.gathering = true;
            self.shared.work.wait_for(&mut state, self.gathering);
            state.gathering = false;
        }
        std::mem::take(&mut state.queue)
    }

    fn work(&mut self, task: Task) {
        match task {
            Task::Append(block, op) => {
                // Latched, if it failed: the next request is answered with it.
                let _ = self.settle(|writer| writer.append(&block, op));
                let mut state = self.shared.state.lock();
                state.queued_bytes -= leaf_bytes(&block.leaves);
                self.shared.room.notify_all();
            }
            Task::Sync(done) => done.call(self.settle(Writer::sync_and_mark)),
            Task::Reset(start, done) => done.call(self.settle(|writer| writer.reset(start))),
            Task::Turn(start, done) => done.call(self.settle(|writer| writer.start_segment(start, 0))),
        }
    }

    /// Does `work` unless something failed before; keeps the first failure.
    fn settle(&mut self, work: impl FnOnce(&mut Writer) -> io::Result<()>) -> io::Result<()> {
        if let Some(failure) = self.shared.state.lock().failed.clone() {
            return Err(io::Error::other(failure));
        }
        work(self).map_err(|error| io::Error::other(self.shared.latch(&error)))
    }

    fn append(&mut self, block: &Arc<Block>, op: u64) -> io::Result<()> {
        // Whoever made the block computed its links; a wrong one must not become durable.
        if let Err(error) = block.records() {
            return Err(io::Error::other(format!("block {} was appended with wrong links: {}", block.first_seq, error.why)));
        }
        let body = block.encode();
        if !self.appender.fits(body.len()) {
            self.start_segment(
                Start { reset: false, restored: false, next_seq: block.first_seq, chain: block.chain_before },
                body.len(),
            )?;
        }
        let count = u32::try_from(block.leaves.len()).map_err(io::Error::other)?;
        let position = self.appender.stage(block.first_seq, count, &body);
        // Bounds what is staged; readers find the block in the cache until it is in the index.
        self.appender.flush()?;
        let mut state = self.shared.state.lock();
        state.index.tail.push(BlockAt { first_seq: block.first_seq, count, offset: position.offset });
        state.stats.blocks += 1;
        state.stats.records += u64::from(count);
        state.stats.leaf_bytes += leaf_bytes(&block.leaves) as u64;
        state.stats.written_bytes += u64::from(position.bytes);
        while state.cache_bytes > self.shared.cache_bytes_max && state.cache.front().is_some_and(|cached| cached.op <= op) {
            let Some(evicted) = state.cache.pop_front() else { break };
            state.cache_bytes -= leaf_bytes(&evicted.block.leaves);
        }
        Ok(())
    }

    fn start_segment(&mut self, start: Start, body_len: usize) -> io::Result<()> {
        let first_frame = self.appender.rotate(&start.encode(), body_len)?;
        let tail = self.appender.tail().expect("rotation starts a segment");
        let segment = JournalSegment { id: tail.id, path: self.appender.path(tail.id), start, first_frame };
        self.shared.state.lock().index.start_segment(segment);
        Ok(())
    }

    /// A frame with the watermark after each sync: without it, damage to what was just synced could pass for a torn write.
    fn sync_and_mark(&mut self) -> io::Result<()> {
        if self.appender.sync()? {
            self.shared.state.lock().stats.syncs += 1;
            self.appender.mark()?;
        }
        Ok(())
    }

    fn reset(&mut self, start: Start) -> io::Result<()> {
        let before: Vec<PathBuf> = self.shared.state.lock().index.segments.iter().map(|segment| segment.path.clone()).collect();
        self.appender.leave_room()?;
        self.start_segment(start, 0)?;
        self.appender.sync()?;
        aside::supersede(&*self.shared.disk, &self.shared.dir, &before)
    }
}
