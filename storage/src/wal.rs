//! The write-ahead log: Raft's entries, vote, committed and purged positions, durable when their callback fires.
//!
//! Everything goes through one queue, in the order of the calls. One thread drains it: one write, one `fdatasync`, then the
//! callbacks in order. What was appended can be read as soon as [`Wal::append`] returns. The first failed write or sync is
//! final: it and every later request get the error, and the node has to stop.

mod check;
mod core;
mod records;
mod recovery;
mod shared;
mod stopwatch;
mod view;
mod writer;

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use storage_crypto::{Entropy, Key, OsEntropy};

pub use self::writer::WalDriver;
use self::{core::Work, shared::Shared, writer::Inner};
pub use crate::segment::SegmentError as WalError;
use crate::{
    disk::Disk,
    segment::{Owner, SEGMENT_BYTES},
    workers,
};

/// The longest payload of one entry. Batches are cut far below it; it bounds what a damaged length can ask for.
pub const ENTRY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How the log is kept.
#[derive(Clone)]
pub struct WalOptions {
    /// Bytes in a segment. A longer entry gets a longer segment for itself.
    pub segment_bytes: u64,
    /// Payload bytes of the newest entries that stay in memory; entries that are not yet durable stay beyond that.
    pub cache_bytes: usize,
    /// Payload bytes that may wait for the writer before [`Wal::append`] blocks its caller.
    pub queue_bytes_max: usize,
    /// Where nonces come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            segment_bytes: SEGMENT_BYTES,
            cache_bytes: 16 * 1024 * 1024,
            queue_bytes_max: 64 * 1024 * 1024,
            entropy: Arc::new(OsEntropy),
        }
    }
}

/// What the log held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest vote.
    pub vote: Option<Bytes>,
    /// The newest committed position that reached the disk; it may be older than the last one saved.
    pub committed: Option<Bytes>,
    /// Through which index entries were purged, and what was saved with that.
    pub purged: Option<(u64, Bytes)>,
    /// The index of the oldest entry, nothing where the log holds none.
    pub first_index: Option<u64>,
    /// The newest entry.
    pub last: Option<(u64, Bytes)>,
}

/// Counters since the log was opened, and its size now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// `fdatasync` calls for requests.
    pub syncs: u64,
    /// Requests that were made durable.
    pub requests: u64,
    /// Entries that were made durable.
    pub entries: u64,
    /// Payload bytes of those entries.
    pub bytes: u64,
    /// Bytes of all segments in use, unused room included.
    pub live_bytes: u64,
    /// Segments in use.
    pub segments: u64,
    /// Payload bytes that wait for the writer.
    pub queued_bytes: u64,
    /// Whether the next segment is made already. If not for long, the disk is full: see `spare_failure`.
    pub spare_ready: bool,
    /// Why the next segment could not be made ahead. Not fatal until the current one is full.
    pub spare_failure: Option<String>,
}

/// What happens when a request is durable, or is not going to be.
///
/// It is called exactly once: a request that is dropped unanswered is answered with an error.
pub struct Done(Option<Callback>);

type Callback = Box<dyn FnOnce(io::Result<()>) + Send>;

impl Done {
    /// Calls `callback` on the log's thread; it must be short and must not wait for the log.
    pub fn new(callback: impl FnOnce(io::Result<()>) + Send + 'static) -> Done {
        Done(Some(Box::new(callback)))
    }

    /// For a request whose durability nobody waits for.
    #[must_use]
    pub fn ignore() -> Done {
        Done::new(|_| ())
    }

    /// A request and the channel on which its answer arrives.
    #[must_use]
    pub fn channel() -> (Done, std::sync::mpsc::Receiver<io::Result<()>>) {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        // A receiver that is gone does not want the answer.
        (Done::new(move |result| drop(sender.send(result))), receiver)
    }

    /// Answers the request.
    pub fn call(mut self, result: io::Result<()>) {
        if let Some(callback) = self.0.take() {
            callback(result);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback(Err(io::Error::other("write-ahead log dropped the request")));
        }
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Done(..)")
    }
}

/// The records of a frame's body, encoded again.
pub(crate) fn body_again(body: Bytes) -> Option<Vec<u8>> {
    let mut again = Vec::new();
    records::Record::decode_all(body)?.iter().for_each(|record| record.encode(&mut again));
    Some(again)
}

/// The write-ahead log of one node. Clones are the same log.
#[derive(Clone)]
pub struct Wal(Arc<Inner>);

impl Wal {
    /// Opens the log in `dir`, or starts one where there is none, and starts its threads.
    ///
    /// # Errors
    /// When something that had been durable is damaged or missing, was sealed with another key or by a newer release, or the
    /// disk refuses. Nothing is truncated then.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        key: Key,
        owner: Owner,
        options: WalOptions,
    ) -> Result<(Wal, Recovered), WalError> {
        if workers::are_simulated() {
            let (driver, recovered) = recovery::recover(disk, dir, key, owner, &options, false)?;
            return Ok((Wal(Arc::new(Inner::driven(driver, &options))), recovered));
        }
        let (driver, recovered) = recovery::recover(disk, dir, key, owner, &options, true)?;
        let inner = Inner::start(driver, &options).map_err(WalError::io("starting the writer of", dir))?;
        Ok((Wal(Arc::new(inner)), recovered))
    }

    /// Opens the log without threads: nothing is written until the returned driver is stepped. For simulations.
    ///
    /// # Errors
    /// As [`Wal::open`].
    pub fn open_manual(
        disk: Arc<dyn Disk>,
        dir: &Path,
        key: Key,
        owner: Owner,
        options: WalOptions,
    ) -> Result<(Wal, WalDriver, Recovered), WalError> {
        let (driver, recovered) = recovery::recover(disk, dir, key, owner, &options, false)?;
        Ok((Wal(Arc::new(Inner::manual(&driver, &options))), driver, recovered))
    }

    /// Appends entries, which must follow the last one without a hole. They can be read at once; `done` is called when they are durable.
    ///
    /// Blocks the caller while more than `queue_bytes_max` wait to be written.
    pub fn append(&self, entries: Vec<(u64, Bytes)>, done: Done) {
        self.0.wait_for_room();
        self.shared().submit(Work::Append(entries), done);
    }

    /// Saves Raft's vote; durable when `done` is called.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        self.shared().submit(Work::Vote(vote), done);
    }

    /// Saves the committed position; it is written with the next request, or when the log has been idle for a while, and becomes
    /// durable with the next request that does.
    pub fn save_committed(&self, committed: Bytes) {
        self.shared().submit(Work::Committed(committed), Done::ignore());
    }

    /// Removes the entries at `index` and above.
    pub fn truncate_from(&self, index: u64, done: Done) {
        self.shared().submit(Work::Truncate(index), done);
    }

    /// Removes the entries up to and including `index`, which may lie beyond the last one, and saves `meta` with that. Files are
    /// removed in the background after `done`.
    pub fn purge_through(&self, index: u64, meta: Bytes, done: Done) {
        self.shared().submit(Work::Purge(index, meta), done);
    }

    /// Entries from `from` on, below `to_exclusive`, without a hole, until `max_bytes` of payload are reached; at least one
    /// if there is one. Empty where `from` is beyond the last entry.
    ///
    /// # Errors
    /// When `from` was purged, or the disk does not give back what was written.
    pub fn read(&self, from: u64, to_exclusive: u64, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        self.shared().read(from, to_exclusive, max_bytes)
    }

    /// The newest entry.
    #[must_use]
    pub fn last(&self) -> Option<(u64, Bytes)> {
        self.shared().state.lock().view.last()
    }

    /// The index of the oldest entry, nothing where there is none.
    #[must_use]
    pub fn first_index(&self) -> Option<u64> {
        self.shared().state.lock().view.first_index()
    }

    /// The index that the next entry must have, nothing where any will do because there has never been one.
    #[must_use]
    pub fn next_index(&self) -> Option<u64> {
        self.shared().state.lock().view.next_index()
    }

    /// The newest vote, durable or not.
    #[must_use]
    pub fn vote(&self) -> Option<Bytes> {
        self.shared().state.lock().view.vote.clone()
    }

    /// The newest committed position, durable or not.
    #[must_use]
    pub fn committed(&self) -> Option<Bytes> {
        self.shared().state.lock().view.committed.clone()
    }

    /// Through which index entries were purged, durable or not, and what was saved with that.
    #[must_use]
    pub fn purged(&self) -> Option<(u64, Bytes)> {
        self.shared().state.lock().view.purged.clone()
    }

    /// The first error of a write or sync. Once there is one, nothing is written any more.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.shared().state.lock().failed.clone()
    }

    /// How long the write that is under way has taken so far, none where the disk has nothing to do. When it grows, the disk hangs.
    #[must_use]
    pub fn stalled_for(&self) -> Option<Duration> {
        self.shared().watch().running()
    }

    /// The longest write since this was asked last, the one under way included; zero where there was none.
    #[must_use]
    pub fn slowest_write(&self) -> Duration {
        self.shared().watch().take_longest()
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        self.shared().stats()
    }

    /// Writes what is queued, and ends the threads. Requests made after that are answered with an error.
    pub fn close(self) {
        self.0.close();
    }

    fn shared(&self) -> &Shared {
        self.0.shared()
    }
}
