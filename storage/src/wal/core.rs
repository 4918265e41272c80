//! Writes one drained batch of requests: frames, one write, one sync, callbacks. No threads, no clock.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    Done,
    records::Record,
    shared::Shared,
    view::{LiveSegment, WrittenRecord},
};
use crate::planted;
use crate::segment::{
    appender::{Appender, Position},
    maker::Maker,
};

/// A frame is cut at the record that takes its body to this length.
const FRAME_BODY_BYTES: usize = 1024 * 1024;

/// What a request asks for.
#[derive(Debug)]
pub(crate) enum Work {
    Append(Vec<(u64, Bytes)>),
    Vote(Bytes),
    Committed(Bytes),
    Truncate(u64),
    Purge(u64, Bytes),
}

impl Work {
    /// The records that stand for it, in order.
    pub(crate) fn into_records(self) -> Vec<Record> {
        match self {
            Work::Append(entries) => entries.into_iter().map(|(index, payload)| Record::Entry(index, payload)).collect(),
            Work::Vote(vote) => vec![Record::Vote(vote)],
            Work::Committed(committed) => vec![Record::Committed(committed)],
            Work::Truncate(_) if planted::is_back("truncation-forgotten") => Vec::new(),
            Work::Truncate(from) => vec![Record::Truncate(from)],
            Work::Purge(through, meta) => vec![Record::Purge(through, meta)],
        }
    }
}

/// A request in the queue.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) records: Vec<Record>,
    pub(crate) op: u64,
    pub(crate) done: Done,
}

/// What every new segment carries over, as of the last record that was staged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried {
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) purged: Option<(u64, Bytes)>,
}

impl Carried {
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(vote.clone()),
            Record::Committed(committed) => self.committed = Some(committed.clone()),
            Record::Purge(through, meta) => self.purged = Some((*through, meta.clone())),
            Record::Entry(..) | Record::Truncate(_) => {}
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let vote = self.vote.clone().map(Record::Vote);
        let committed = self.committed.clone().map(Record::Committed);
        let purged = self.purged.clone().map(|(through, meta)| Record::Purge(through, meta));
        vote.iter().chain(&committed).chain(&purged).for_each(|record| record.encode(&mut body));
        body
    }
}

/// The synchronous heart of the log: owned by whoever writes.
pub(crate) struct WalCore {
    pub(crate) appender: Appender,
    pub(crate) maker: Arc<Maker>,
    pub(crate) carried: Carried,
}

/// What has been staged since the last sync, for the index of frames.
#[derive(Default)]
struct Written {
    records: Vec<(WrittenRecord, Position)>,
    segments: Vec<(u64, LiveSegment)>,
    purged: bool,
    syncs: u64,
    entries: u64,
    bytes: u64,
}

impl WalCore {
    /// Makes a batch durable and answers its requests in order; after an error, this and every later batch is answered with it.
    pub(crate) fn write(&mut self, shared: &Shared, batch: Vec<Request>) {
        let Some(last) = batch.last().map(|request| request.op) else { return };
        let mut batch = batch;
        if planted::is_back("committed-first") {
            batch.iter_mut().for_each(|request| std::mem::replace(&mut request.done, Done::ignore()).call(Ok(())));
        }
        let failed = shared.state.lock().failed.clone();
        let outcome = match failed {
            Some(failure) => Err(io::Error::other(failure)),
            None => shared.watch().time(|| self.write_records(&batch)),
        };
        let result = match outcome {
            Ok(written) => {
                self.publish(shared, written, last);
                Ok(())
            }
            Err(error) => Err(shared.latch(&error)),
        };
        let queued: usize = batch.iter().flat_map(|request| &request.records).map(Record::encoded_len).sum();
        shared.wrote(batch.len() as u64, queued, result.is_ok());
        for request in batch {
            request.done.call(result.clone().map_err(io::Error::other));
        }
    }

    fn write_records(&mut self, batch: &[Request]) -> io::Result<Written> {
        let mut written = Written::default();
        let mut frame = Vec::new();
        let mut body = Vec::new();
        let mut durable = false;
        for record in batch.iter().flat_map(|request| &request.records) {
            durable |= !matches!(record, Record::Committed(_));
            if matches!(record, Record::Vote(_)) && planted::is_back("vote-not-synced") {
                durable = false;
            }
            if !body.is_empty() && body.len() + record.encoded_len() > FRAME_BODY_BYTES {
                self.stage(&mut frame, &mut body, &mut written)?;
            }
            record.encode(&mut body);
            frame.push(record);
        }
        self.stage(&mut frame, &mut body, &mut written)?;
        if durable && !planted::is_back("append-not-synced") {
            written.syncs += u64::from(self.appender.sync()?);
        } else {
            self.appender.flush()?;
        }
        Ok(written)
    }

    fn stage(&mut self, frame: &mut Vec<&Record>, body: &mut Vec<u8>, written: &mut Written) -> io::Result<()> {
        if frame.is_empty() {
            return Ok(());
        }
        if !self.appender.fits(body.len()) {
            self.appender.rotate(&self.carried.encode(), body.len())?;
            let tail = self.appender.tail().expect("rotation starts a segment");
            written.segments.push((tail.id, LiveSegment { file: Arc::clone(&tail.file), bytes: tail.capacity }));
        }
        let entries = frame.iter().filter_map(|record| if let Record::Entry(index, _) = record { Some(*index) } else { None });
        let (first, count) = (entries.clone().next().unwrap_or(0), entries.count());
        let position = self.appender.stage(first, u32::try_from(count).expect("a frame is cut at a mebibyte"), body);
        for record in frame.drain(..) {
            self.carried.apply(record);
            written.records.push((WrittenRecord::from(record), position));
            written.purged |= matches!(record, Record::Purge(..));
            if let Record::Entry(_, payload) = record {
                written.entries += 1;
                written.bytes += payload.len() as u64;
            }
        }
        body.clear();
        Ok(())
    }

    fn publish(&self, shared: &Shared, written: Written, last_op: u64) {
        shared.count(written.syncs, written.entries, written.bytes);
        let released = {
            let mut state = shared.state.lock();
            let view = &mut state.view;
            view.segments.extend(written.segments);
            for (record, position) in &written.records {
                view.written(record, *position);
            }
            view.written_through(last_op);
            let writing = self.appender.tail().map_or(0, |tail| tail.id);
            if written.purged { view.release_segments(writing) } else { Vec::new() }
        };
        if !released.is_empty() {
            self.maker.remove(released.into_iter().map(|id| self.appender.path(id)).collect());
        }
    }

    /// Writes a frame that only says how far the log is durable, so that damage to the last batch cannot pass for a torn write.
    pub(crate) fn mark(&mut self, shared: &Shared) {
        if shared.state.lock().failed.is_none()
            && let Err(error) = shared.watch().time(|| self.appender.mark())
        {
            shared.latch(&error);
        }
    }

    /// Leaves nothing un-synced behind, on a clean end.
    pub(crate) fn finish(&mut self, shared: &Shared) {
        if shared.state.lock().failed.is_none()
            && let Err(error) = self.appender.sync().and_then(|_| self.appender.mark()).and_then(|()| self.appender.sync())
        {
            shared.latch(&error);
        }
    }
}
