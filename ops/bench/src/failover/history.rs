//! What callers were told, and when.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

/// A write that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) writer: usize,
    pub(super) request: Uuid,
    pub(super) version: u64,
    /// Since the drill began.
    pub(super) began: Duration,
    pub(super) ended: Duration,
}

/// A read that was answered.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The node that answered, by position.
    pub(super) node: usize,
    pub(super) request: Uuid,
    pub(super) version: u64,
    /// The newest version that anybody had been told of when the read began: an older answer would be stale.
    pub(super) floor: u64,
}

/// Everything that was told, in the order of the answers.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) writes: Vec<Write>,
    pub(super) reads: Vec<Read>,
    /// Writes that were tried, for each writer.
    pub(super) tried: Vec<u64>,
    /// Calls of writers that ended without an acknowledgement, after all retries.
    pub(super) writes_failed: u64,
    /// Calls of readers that their one node did not answer in time.
    pub(super) reads_failed: u64,
}

/// A history in the making.
pub(super) struct History {
    origin: Instant,
    told: Mutex<Told>,
    /// The newest version that anybody was told of, for each writer's secret.
    newest: Vec<AtomicU64>,
}

impl History {
    pub(super) fn new(writers: usize) -> History {
        let told = Told { tried: vec![0; writers], ..Told::default() };
        let newest = (0..writers).map(|_| AtomicU64::new(0)).collect();
        History { origin: Instant::now(), told: Mutex::new(told), newest }
    }

    /// Since the drill began.
    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    pub(super) fn writers(&self) -> usize {
        self.newest.len()
    }

    pub(super) fn trying(&self, writer: usize) {
        self.told().tried[writer] += 1;
    }

    pub(super) fn acknowledged(&self, writer: usize, request: Uuid, version: u64, began: Duration) {
        let mut told = self.told();
        let ended = self.now();
        told.writes.push(Write { writer, request, version, began, ended });
        drop(told);
        self.newest[writer].fetch_max(version, Ordering::SeqCst);
    }

    /// The version below which a read that begins now must not answer.
    pub(super) fn floor(&self, writer: usize) -> u64 {
        self.newest[writer].load(Ordering::SeqCst)
    }

    /// A read of `writer`'s secret that began when the newest known version was `floor`.
    pub(super) fn answered(&self, writer: usize, read: Read) {
        // Whoever reads later must not see less than this one saw.
        self.newest[writer].fetch_max(read.version, Ordering::SeqCst);
        self.told().reads.push(read);
    }

    pub(super) fn write_failed(&self) {
        self.told().writes_failed += 1;
    }

    pub(super) fn read_failed(&self) {
        self.told().reads_failed += 1;
    }

    /// Answers to writes from `since` on: when each began and ended, and whose it was.
    pub(super) fn writes_since(&self, since: Duration) -> Vec<Write> {
        let told = self.told();
        let from = told.writes.partition_point(|write| write.ended < since);
        told.writes[from..].to_vec()
    }

    pub(super) fn take(&self) -> Told {
        std::mem::take(&mut *self.told())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
