//! The log as its callers see it: the newest entries in memory, older ones by where their frames stand on disk.
//!
//! Requests change the view when they are made; the index of frames changes when the writer has written them. Between the
//! two, an entry is in the cache: an entry leaves the cache only after the frame index reflects its request and all before it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use super::records::Record;
use crate::{disk::DiskFile, segment::appender::Position};

/// Entries that stand one after the other in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) position: Position,
}

impl Run {
    pub(crate) fn end(&self) -> u64 {
        self.first + self.count
    }
}

struct Cached {
    payload: Bytes,
    /// The request that appended it.
    op: u64,
}

/// A segment in use.
#[derive(Clone)]
pub(crate) struct LiveSegment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) bytes: u64,
}

/// The state of the log in memory.
pub(crate) struct View {
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) purged: Option<(u64, Bytes)>,
    pub(crate) segments: BTreeMap<u64, LiveSegment>,
    /// The entries there are, nothing until the first one fixes where numbering starts.
    entries: Option<std::ops::Range<u64>>,
    /// Invariant: holds the newest entries without a hole; the last entry is always among them.
    cache: VecDeque<Cached>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    /// Requests up to this one are reflected in `runs`.
    written_op: u64,
    runs: VecDeque<Run>,
}

impl View {
    pub(crate) fn new(cache_bytes_max: usize) -> View {
        View {
            vote: None,
            committed: None,
            purged: None,
            segments: BTreeMap::new(),
            entries: None,
            cache: VecDeque::new(),
            cache_bytes: 0,
            cache_bytes_max,
            written_op: 0,
            runs: VecDeque::new(),
        }
    }

    pub(crate) fn first_index(&self) -> Option<u64> {
        self.entries.as_ref().filter(|entries| !entries.is_empty()).map(|entries| entries.start)
    }

    /// The index that the next entry must have, nothing while any will do.
    pub(crate) fn next_index(&self) -> Option<u64> {
        self.entries.as_ref().map(|entries| entries.end)
    }

    /// The lowest index that may be read.
    pub(crate) fn start(&self) -> Option<u64> {
        self.entries.as_ref().map(|entries| entries.start)
    }

    pub(crate) fn last(&self) -> Option<(u64, Bytes)> {
        let index = self.entries.as_ref().filter(|entries| !entries.is_empty())?.end - 1;
        let last = self.cache.back().expect("the last entry is always in the cache");
        Some((index, last.payload.clone()))
    }

    /// The index of the oldest entry in the cache; the next index where the cache is empty.
    pub(crate) fn cache_start(&self) -> u64 {
        self.next_index().unwrap_or(0) - self.cache.len() as u64
    }

    pub(crate) fn cached(&self, index: u64) -> Option<&Bytes> {
        let at = usize::try_from(index.checked_sub(self.cache_start())?).ok()?;
        self.cache.get(at).map(|cached| &cached.payload)
    }

    /// Changes what callers see, when request `op` is made. The record was checked to fit.
    pub(crate) fn request(&mut self, record: &Record, op: u64) {
        match record {
            Record::Entry(index, payload) => {
                let entries = self.entries.get_or_insert(*index..*index);
                assert_eq!(entries.end, *index, "an appended entry follows the last one");
                entries.end += 1;
                self.cache_bytes += payload.len();
                self.cache.push_back(Cached { payload: payload.clone(), op });
            }
            Record::Vote(vote) => self.vote = Some(vote.clone()),
            Record::Committed(committed) => self.committed = Some(committed.clone()),
            Record::Truncate(from) => {
                let Some(entries) = &mut self.entries else { return };
                let removed = entries.end.saturating_sub(*from);
                entries.end -= removed;
                entries.start = entries.start.min(entries.end);
                for _ in 0..removed {
                    let Some(cached) = self.cache.pop_back() else { break };
                    self.cache_bytes -= cached.payload.len();
                }
            }
            Record::Purge(through, meta) => {
                self.purged = Some((*through, meta.clone()));
                let after = through + 1;
                let entries = self.entries.get_or_insert(after..after);
                let removed = after.saturating_sub(entries.start);
                entries.start += removed;
                if entries.end < after {
                    entries.end = after;
                    self.cache.clear();
                    self.cache_bytes = 0;
                }
                let kept = usize::try_from(entries.end - entries.start).unwrap_or(usize::MAX);
                while self.cache.len() > kept {
                    self.evict();
                }
            }
        }
    }

    /// Puts the payload of the last entry back into the cache, after a truncation took everything that was there.
    pub(crate) fn restore_last(&mut self, payload: Bytes) {
        debug_assert!(self.cache.is_empty(), "only an empty cache misses the last entry");
        self.cache_bytes += payload.len();
        self.cache.push_back(Cached { payload, op: self.written_op });
    }

    /// Whether the last entry is missing from the cache.
    pub(crate) fn last_is_missing(&self) -> Option<u64> {
        let entries = self.entries.as_ref().filter(|entries| !entries.is_empty() && self.cache.is_empty())?;
        Some(entries.end - 1)
    }

    /// Changes the index of frames, when a record of a frame has been written.
    pub(crate) fn written(&mut self, record: &WrittenRecord, position: Position) {
        match record {
            WrittenRecord::Entry(index) => match self.runs.back_mut() {
                Some(run) if run.position == position && run.end() == *index => run.count += 1,
                _ => self.runs.push_back(Run { first: *index, count: 1, position }),
            },
            WrittenRecord::Truncate(from) => {
                while self.runs.pop_back_if(|run| run.first >= *from).is_some() {}
                if let Some(run) = self.runs.back_mut() {
                    run.count = run.count.min(from - run.first);
                }
            }
            WrittenRecord::Purge(through) => {
                while self.runs.pop_front_if(|run| run.end() <= through + 1).is_some() {}
                if let Some(run) = self.runs.front_mut() {
                    let removed = (through + 1).saturating_sub(run.first);
                    run.first += removed;
                    run.count -= removed;
                }
            }
            WrittenRecord::Other => {}
        }
    }

    /// Everything up to request `op` is reflected in the index of frames: older payloads may leave the memory.
    pub(crate) fn written_through(&mut self, op: u64) {
        self.written_op = op;
        while self.cache_bytes > self.cache_bytes_max
            && self.cache.len() > 1
            && self.cache.front().is_some_and(|cached| cached.op <= op)
        {
            self.evict();
        }
    }

    fn evict(&mut self) {
        if let Some(cached) = self.cache.pop_front() {
            self.cache_bytes -= cached.payload.len();
        }
    }

    /// The frames that hold entries of `from..to`, oldest first.
    pub(crate) fn runs(&self, from: u64, to: u64) -> impl Iterator<Item = &Run> {
        let start = self.runs.partition_point(|run| run.end() <= from);
        self.runs.range(start..).take_while(move |run| run.first < to)
    }

    /// Forgets the segments that hold no entry any more, the one being written excepted, and gives their numbers.
    pub(crate) fn release_segments(&mut self, writing: u64) -> Vec<u64> {
        let oldest = self.runs.front().map_or(writing, |run| run.position.segment.min(writing));
        let kept = self.segments.split_off(&oldest);
        std::mem::replace(&mut self.segments, kept).into_keys().collect()
    }
}

/// What the index of frames has to know of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WrittenRecord {
    Entry(u64),
    Truncate(u64),
    Purge(u64),
    Other,
}

impl From<&Record> for WrittenRecord {
    fn from(record: &Record) -> Self {
        match record {
            Record::Entry(index, _) => WrittenRecord::Entry(*index),
            Record::Truncate(from) => WrittenRecord::Truncate(*from),
            Record::Purge(through, _) => WrittenRecord::Purge(*through),
            Record::Vote(_) | Record::Committed(_) => WrittenRecord::Other,
        }
    }
}
