//! The thread that compresses, seals and writes blocks.

use std::{io, path::PathBuf, sync::Arc, thread};

use super::{
    Block,
    index::{BlockAt, JournalSegment, Start},
    leaf_bytes, open,
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

/// Owns the end of the journal.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) appender: Appender,
}

impl Writer {
    pub(crate) fn run(&mut self) {
        loop {
            let tasks = {
                let mut state = self.shared.state.lock();
                while state.queue.is_empty() && !state.closing {
                    self.shared.work.wait(&mut state);
                }
                std::mem::take(&mut state.queue)
            };
            if tasks.is_empty() {
                // A clean end leaves nothing that could pass for a torn write.
                if self.shared.state.lock().failed.is_none()
                    && let Err(error) = self.sync_and_mark().and_then(|()| self.appender.sync().map(drop))
                {
                    self.shared.latch(&error);
                }
                return;
            }
            for task in tasks {
                self.work(task);
            }
            // Latched, if it failed: the next request is answered with it.
            let _ = self.settle(|writer| writer.appender.flush());
        }
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
            self.start_segment(Start { reset: false, next_seq: block.first_seq, chain: block.chain_before }, body.len())?;
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
        self.start_segment(start, 0)?;
        self.appender.sync()?;
        open::supersede(&*self.shared.disk, &self.shared.dir, &before)
    }
}
