//! What callers and the writer share: the view, the queue in front of the core, the first failure.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::{
    Done, ENTRY_BYTES_MAX, WalStats,
    core::{Request, Work},
    records::Record,
    stopwatch::Stopwatch,
    view::{LiveSegment, Run, View},
};
use crate::segment::{
    frame::{Frame, FrameCodec},
    maker::Maker,
    recovery, segment_path,
};
use crate::workers::Wake;

/// What callers and the writer share.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) codec: Arc<FrameCodec>,
    pub(crate) dir: PathBuf,
    maker: Arc<Maker>,
    pub(crate) work: Condvar,
    pub(crate) room: Condvar,
    /// Wakes whoever writes, where that is no thread.
    pub(crate) wake: OnceLock<Wake>,
    counters: Counters,
    watch: Stopwatch,
}

/// Everything behind the one lock.
pub(crate) struct State {
    pub(crate) view: View,
    pub(crate) failed: Option<String>,
    pub(crate) queue: Vec<Request>,
    pub(crate) queued_bytes: usize,
    pub(crate) closing: bool,
    next_op: u64,
}

#[derive(Default)]
struct Counters {
    syncs: AtomicU64,
    requests: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Shared {
    pub(crate) fn new(view: View, codec: Arc<FrameCodec>, dir: &Path, maker: Arc<Maker>) -> Shared {
        let state = State { view, failed: None, queue: Vec::new(), queued_bytes: 0, next_op: 1, closing: false };
        Shared {
            state: Mutex::new(state),
            codec,
            dir: dir.to_owned(),
            maker,
            work: Condvar::new(),
            room: Condvar::new(),
            wake: OnceLock::new(),
            counters: Counters::default(),
            watch: Stopwatch::default(),
        }
    }

    /// Checks a request against the log, lets it be seen, and queues it.
    pub(crate) fn submit(&self, work: Work, done: Done) {
        // A committed position is written with whatever comes next: nobody waits for it, and an older one is never wrong.
        let waits_for_company = matches!(work, Work::Committed(_));
        let mut state = self.state.lock();
        match self.admit(&mut state, work) {
            Ok((records, op)) => {
                state.queued_bytes += records.iter().map(Record::encoded_len).sum::<usize>();
                state.queue.push(Request { records, op, done });
                drop(state);
                if !waits_for_company {
                    self.work.notify_one();
                    if let Some(wake) = self.wake.get() {
                        wake();
                    }
                }
            }
            Err(error) => {
                drop(state);
                done.call(Err(error));
            }
        }
    }

    fn admit(&self, state: &mut State, work: Work) -> io::Result<(Vec<Record>, u64)> {
        if let Some(failure) = &state.failed {
            return Err(io::Error::other(failure.clone()));
        }
        if state.closing {
            return Err(io::Error::other("write-ahead log is closed"));
        }
        check(&state.view, &work)?;
        let op = state.next_op;
        state.next_op += 1;
        let records = work.into_records();
        records.iter().for_each(|record| state.view.request(record, op));
        self.restore_last(state).inspect_err(|error| state.failed = Some(error.to_string()))?;
        Ok((records, op))
    }

    /// Reads the last entry back into the cache, where a truncation has taken everything that was there.
    pub(crate) fn restore_last(&self, state: &mut State) -> io::Result<()> {
        let Some(last) = state.view.last_is_missing() else { return Ok(()) };
        let mut read = Vec::new();
        for (run, segment) in locate(&state.view, last, last + 1, usize::MAX) {
            self.read_run(run, &segment, last..last + 1, &mut read)?;
        }
        let (_, payload) = read.pop().ok_or_else(|| io::Error::other(format!("entry {last} is in no frame of the log")))?;
        state.view.restore_last(payload);
        Ok(())
    }

    /// See [`super::Wal::read`].
    pub(crate) fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let Some(plan) = Plan::of(&self.state.lock().view, from, to, max_bytes)? else { return Ok(Vec::new()) };
        let mut read: Vec<(u64, Bytes)> = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        for (run, segment) in plan.on_disk {
            let before = read.len();
            self.read_run(run, &segment, from..plan.disk_end, &mut read)?;
            next = run.end();
            bytes += read[before..].iter().map(|(_, payload)| payload.len()).sum::<usize>();
            if bytes >= max_bytes {
                break;
            }
        }
        if next >= plan.disk_end {
            read.extend(plan.cached);
        }
        limit(&mut read, max_bytes);
        Ok(read)
    }

    /// Adds the entries of one run that lie within `wanted`.
    fn read_run(&self, run: Run, segment: &LiveSegment, wanted: Range<u64>, read: &mut Vec<(u64, Bytes)>) -> io::Result<()> {
        let (id, offset) = (run.position.segment, run.position.offset);
        let path = segment_path(&self.dir, id);
        let damaged = || io::Error::other(format!("{} does not read back at offset {offset}", path.display()));
        let bytes = recovery::read_frame(&*segment.file, &path, offset).map_err(io::Error::other)?.ok_or_else(damaged)?;
        let frame = Frame::in_front_of(&bytes, id, offset).ok_or_else(damaged)?;
        let body = recovery::open_frame(&self.codec, id, &path, &frame).map_err(io::Error::other)?;
        let records = Record::decode_all(Bytes::from(body)).ok_or_else(damaged)?;
        let wanted = run.first.max(wanted.start)..run.end().min(wanted.end);
        let before = read.len();
        for record in records {
            match record {
                Record::Entry(index, payload) if wanted.contains(&index) => read.push((index, payload)),
                // A truncation inside the frame takes back what stood before it.
                Record::Truncate(index) => {
                    let kept = read[before..].iter().filter(|(earlier, _)| *earlier < index).count();
                    read.truncate(before + kept);
                }
                _ => {}
            }
        }
        let dense = read[before..].iter().map(|(index, _)| *index).eq(wanted);
        if dense { Ok(()) } else { Err(damaged()) }
    }

    /// Keeps the first error and answers with it.
    pub(crate) fn latch(&self, error: &io::Error) -> String {
        let mut state = self.state.lock();
        let failure = state.failed.get_or_insert_with(|| {
            tracing::error!(dir = %self.dir.display(), %error, "the write-ahead log failed, nothing is written any more");
            format!("write-ahead log in {} failed: {error}", self.dir.display())
        });
        let failure = failure.clone();
        self.room.notify_all();
        failure
    }

    /// See [`super::Wal::stalled_for`] and [`super::Wal::slowest_write`].
    pub(crate) fn watch(&self) -> &Stopwatch {
        &self.watch
    }

    pub(crate) fn count(&self, syncs: u64, entries: u64, bytes: u64) {
        self.counters.syncs.fetch_add(syncs, Relaxed);
        self.counters.entries.fetch_add(entries, Relaxed);
        self.counters.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn wrote(&self, requests: u64, queued_bytes: usize, durable: bool) {
        if durable {
            self.counters.requests.fetch_add(requests, Relaxed);
        }
        self.state.lock().queued_bytes -= queued_bytes;
        self.room.notify_all();
    }

    pub(crate) fn stats(&self) -> WalStats {
        let state = self.state.lock();
        let (spare_ready, spare_failure) = self.maker.spare();
        WalStats {
            syncs: self.counters.syncs.load(Relaxed),
            requests: self.counters.requests.load(Relaxed),
            entries: self.counters.entries.load(Relaxed),
            bytes: self.counters.bytes.load(Relaxed),
            live_bytes: state.view.segments.values().map(|segment| segment.bytes).sum(),
            segments: state.view.segments.len() as u64,
            queued_bytes: state.queued_bytes as u64,
            spare_ready,
            spare_failure,
        }
    }

    pub(crate) fn take_queue(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().queue)
    }
}

fn check(view: &View, work: &Work) -> io::Result<()> {
    let invalid = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    match work {
        Work::Append(entries) => {
            let mut next = view.next_index();
            for (index, payload) in entries {
                if let Some(next) = next.filter(|next| next != index) {
                    return invalid(format!("entry {index} was appended where {next} comes next"));
                }
                if payload.len() > ENTRY_BYTES_MAX {
                    return invalid(format!("entry {index} has {} bytes, at most {ENTRY_BYTES_MAX} are allowed", payload.len()));
                }
                next = Some(index + 1);
            }
            Ok(())
        }
        Work::Truncate(from) => match view.start() {
            Some(start) if *from < start => invalid(format!("entries from {from} were to be removed, the log starts at {start}")),
            _ => Ok(()),
        },
        Work::Purge(through, _) => match &view.purged {
            Some((purged, _)) if through < purged => invalid(format!("purge through {through} comes after one through {purged}")),
            _ => Ok(()),
        },
        Work::Vote(_) | Work::Committed(_) => Ok(()),
    }
}

/// What a read takes from where, all of one moment.
struct Plan {
    on_disk: Vec<(Run, LiveSegment)>,
    disk_end: u64,
    cached: Vec<(u64, Bytes)>,
}

impl Plan {
    fn of(view: &View, from: u64, to: u64, max_bytes: usize) -> io::Result<Option<Plan>> {
        let (Some(start), Some(next)) = (view.start(), view.next_index()) else { return Ok(None) };
        let to = to.min(next);
        if from >= to {
            return Ok(None);
        }
        if from < start {
            let message = format!("entry {from} was purged, the log starts at {start}");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let disk_end = to.min(view.cache_start());
        let mut cached = Vec::new();
        let mut bytes = 0;
        for index in disk_end.max(from)..to {
            let payload = view.cached(index).expect("the cache holds every entry from its start");
            bytes += payload.len();
            cached.push((index, payload.clone()));
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(Some(Plan { on_disk: locate(view, from, disk_end, max_bytes), disk_end, cached }))
    }
}

/// The frames that hold entries of `from..to`, and not many more than are needed to reach `max_bytes`.
fn locate(view: &View, from: u64, to: u64, max_bytes: usize) -> Vec<(Run, LiveSegment)> {
    let mut bytes = 0;
    let mut located = Vec::new();
    for run in view.runs(from, to) {
        let segment = view.segments.get(&run.position.segment).expect("a segment with entries is in use");
        located.push((*run, segment.clone()));
        bytes += run.position.bytes as usize;
        if bytes >= max_bytes.saturating_mul(2) {
            break;
        }
    }
    located
}

fn limit(read: &mut Vec<(u64, Bytes)>, max_bytes: usize) {
    let mut bytes = 0;
    let kept = read.iter().take_while(|(_, payload)| {
        bytes += payload.len();
        bytes <= max_bytes
    });
    let kept = kept.count().max(1);
    read.truncate(kept);
}
