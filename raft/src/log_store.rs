//! The raft log and vote over the write-ahead log of `storage`.
//!
//! Votes, appends, truncations and purges go through the log's one queue in the order openraft issues them. An entry is
//! readable when `append` returns and its callback fires after the sync; a callback that is never reached reports an error,
//! because [`Done`] does so when it is dropped. `committed` is saved without a sync: after a power cut it may be older, never
//! wrong, and raft re-applies from there.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};
use proto_record::codec::{self, Kind};
use storage::wal::{Done, Wal};
use tokio::sync::oneshot;

use crate::{
    config::APPEND_BYTES_MAX,
    entry,
    types::{Entry, LogId, TypeConfig, Vote},
};

/// openraft's log storage. Clones share one log.
#[derive(Clone)]
pub struct LogStore {
    wal: Wal,
}

impl LogStore {
    /// The log that `wal` holds.
    #[must_use]
    pub fn new(wal: Wal) -> LogStore {
        LogStore { wal }
    }

    fn purged(&self) -> io::Result<Option<LogId>> {
        self.wal.purged().map(|(_, meta)| Ok(codec::decode(Kind::RaftLogId, &meta)?)).transpose()
    }

    fn last(&self) -> io::Result<Option<LogId>> {
        self.wal.last().map(|(_, record)| Ok(entry::decode(&record)?.log_id)).transpose()
    }

    /// The indexes of `range` that the log has.
    fn present(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        match (self.wal.first_index(), self.wal.last()) {
            (Some(first), Some((last, _))) => (from.max(first), to.min(last + 1)),
            _ => (0, 0),
        }
    }

    /// Entries from `from`, at least one, until `to` or until they exceed `bytes_max`.
    fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        self.wal.read(from, to, bytes_max)?.iter().map(|(_, record)| entry::decode(record)).collect()
    }

    /// Waits until the log has done what `request` asked for.
    async fn durably(&self, request: impl FnOnce(&Wal, Done)) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let done = Done::new(move |result| {
            // Whoever asked may be gone when the node shuts down.
            let _ = sender.send(result);
        });
        request(&self.wal, done);
        receiver.await.map_err(|_| io::Error::other("write-ahead log went away"))?
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = self.present(&range);
        self.read(from, to, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.wal.vote().map(|vote| Ok(codec::decode(Kind::RaftVote, &vote)?)).transpose()
    }

    /// In pieces: a node that starts may have hundreds of thousands of entries to apply again.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = self.present(&range);
        let pieces = stream::unfold((self.clone(), Some(from)), move |(log, from)| async move {
            let from = from.filter(|from| *from < to)?;
            match log.read(from, to, APPEND_BYTES_MAX) {
                Ok(entries) => {
                    let next = entries.last().map(|entry| entry.index() + 1);
                    Some((entries.into_iter().map(Ok).collect::<Vec<_>>(), (log, next)))
                }
                Err(error) => Some((vec![Err(error)], (log, None))),
            }
        });
        pieces.flat_map(stream::iter).boxed()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let (from, to) = self.present(&(start..end));
        self.read(from, to, APPEND_BYTES_MAX)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id = self.purged()?;
        Ok(LogState { last_log_id: self.last()?.max(last_purged_log_id), last_purged_log_id })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = Bytes::from(codec::encode(Kind::RaftVote, vote));
        self.durably(|wal, done| wal.save_vote(vote, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(committed) = committed {
            self.wal.save_committed(Bytes::from(codec::encode(Kind::RaftLogId, &committed)));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        self.wal.committed().map(|committed| Ok(codec::decode(Kind::RaftLogId, &committed)?)).transpose()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = entries.into_iter().map(|entry| (entry.index(), entry::encode(&entry))).collect();
        self.wal.append(records, Done::new(move |result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |log_id| log_id.index + 1);
        self.durably(|wal, done| wal.truncate_from(from, done)).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let meta = Bytes::from(codec::encode(Kind::RaftLogId, &log_id));
        self.durably(|wal, done| wal.purge_through(log_id.index, meta, done)).await
    }
}
