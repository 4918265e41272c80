//! The scrub: reads everything that lies on the node's disk, slowly, again and again, and has mended what is not what was written.
//!
//! Nobody reads an old journal segment, a snapshot or a seldom used value for months; damage there must not wait until it is needed, or
//! until the last good copy is gone too. It reads on a thread of its own, which gives way to everybody else.

mod files;
mod rows;

use super::records::RecordRepair;
use crate::api::Door;
use crate::config::ScrubConfig;
use crate::engine::snapshots::Snapshots;
use node_domain::repair::RepairPart;
use raft::Replica;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use storage::disk::is_disk_failure;
use storage::wal::Wal;
use storage::{Disk, Pace, UnhurriedDisk, workers};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the node has come so far that there is something to read.
const LOOK: Duration = Duration::from_secs(1);
/// How long to rest after a pass that left something damaged.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// How often something is tried to be mended in one pass, and how long to wait in between.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_secs(1);

/// How far the scrub has come since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Whether anything is read at all.
    pub(crate) is_on: bool,
    /// Times that everything was read.
    pub(crate) passes: u64,
    /// The journal was read, and proven to be what was written, up to this record.
    pub(crate) journal_seq: u64,
    /// Things found damaged.
    pub(crate) damages: u64,
}

/// What is read.
pub(crate) struct Holdings {
    pub(crate) door: Arc<Door>,
    pub(crate) replica: Replica,
    pub(crate) wal: Wal,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) records: Arc<RecordRepair>,
}

struct Scrub {
    holdings: Holdings,
    pace: Arc<Pace>,
    /// The node's disk, read at that pace.
    disk: UnhurriedDisk,
    pause: Duration,
    stop: CancellationToken,
    runtime: Handle,
}

/// The node stops: nothing more is to be read.
struct Ended;

/// Starts the scrub, where it is wanted; its task ends when the node stops and its thread has let go of everything.
pub(crate) fn start(
    holdings: Holdings,
    disk: Arc<dyn Disk>,
    config: ScrubConfig,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) {
    // A simulation has no other threads, and its disk is damaged by its own rules.
    if config.bytes_per_second == 0 || workers::are_simulated() {
        return;
    }
    holdings.door.mending.repairs.scrubbed(|progress| progress.is_on = true);
    let pace = Arc::new(Pace::new(config.bytes_per_second));
    let scrub = Scrub {
        holdings,
        pace: pace.clone(),
        disk: UnhurriedDisk::new(disk, pace.clone()),
        pause: Duration::from_millis(config.pause_ms),
        stop: stop.clone(),
        runtime: Handle::current(),
    };
    let (stop, held) = (stop.clone(), Held(pace));
    tasks.spawn(async move {
        let (ending, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("scrub".to_owned()).spawn(move || {
            // Dropped when the thread ends, however it does, and after all that it read.
            let _ending = ending;
            let scrub = scrub;
            let Ended = scrub.run();
        });
        if let Err(error) = thread {
            tracing::error!(%error, "the scrub was not started: damage is found when it is read");
            stop.cancelled().await;
            return Ok(());
        }
        stop.cancelled().await;
        drop(held);
        let _ = ended.await;
        Ok(())
    });
}

/// The pace as the task has it. A task that is cut off before it hears of the stop drops it too: a thread that nobody tells would rest for
/// hours with all that it holds, and the node could not be opened again.
struct Held(Arc<Pace>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Scrub {
    fn run(&self) -> Ended {
        give_way();
        loop {
            if let Err(ended) = self.turn() {
                return ended;
            }
        }
    }

    /// Waits until there is something to read, reads it, and rests.
    fn turn(&self) -> Result<(), Ended> {
        while !self.holdings.door.view().state.is_founded() || self.holdings.replica.leader().is_none() {
            self.rest(LOOK)?;
        }
        let is_whole = self.pass()?;
        self.holdings.door.mending.repairs.scrubbed(|progress| progress.passes += 1);
        metrics::counter!("holdfast_scrub_passes_total").increment(1);
        self.rest(if is_whole { self.pause } else { self.pause.min(AFTER_FAILURE) })
    }

    /// Reads everything once; whether all of it is whole now.
    fn pass(&self) -> Result<bool, Ended> {
        let journal = self.check_journal()?;
        let log = self.check_log()?;
        let snapshots = self.check_snapshots()?;
        let values = self.check_values()?;
        Ok(journal && log && snapshots && values)
    }

    fn rest(&self, time: Duration) -> Result<(), Ended> {
        if self.pace.rest(time) { Err(Ended) } else { Ok(()) }
    }

    /// Reads something slowly, and counts it.
    fn read<T>(&self, read: impl FnOnce(&UnhurriedDisk) -> T) -> T {
        let what = read(&self.disk);
        metrics::counter!("holdfast_scrub_bytes_total").absolute(self.pace.bytes());
        what
    }

    /// Counts what was read by another way, and waits until so much may have been.
    fn keep_pace(&self, bytes: u64) -> Result<(), Ended> {
        self.read(|_| self.pace.keep(bytes)).map_err(|_| Ended)
    }

    /// Goes on after something could not be read, unless the node stops.
    fn unless_stopping(&self) -> Result<(), Ended> {
        if self.stop.is_cancelled() { Err(Ended) } else { Ok(()) }
    }

    /// Waits for what is done elsewhere.
    fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Ended> {
        self.runtime.block_on(self.stop.run_until_cancelled(work)).ok_or(Ended)
    }

    /// Tries until it is done; why not, if it never was.
    fn try_to(&self, mut mend: impl FnMut() -> Result<Result<(), String>, Ended>) -> Result<Result<(), String>, Ended> {
        let mut tried = mend()?;
        for _ in 1..TRIES {
            if tried.is_ok() {
                break;
            }
            self.rest(RETRY)?;
            tried = mend()?;
        }
        Ok(tried)
    }

    fn found(&self, part: RepairPart, what: impl Into<String>) {
        let repairs = &self.holdings.door.mending.repairs;
        repairs.scrubbed(|progress| progress.damages += 1);
        repairs.began(part, what);
    }

    /// What came of a repair; whether it succeeded.
    fn settled(&self, part: RepairPart, mended: Result<(), String>) -> bool {
        let repairs = &self.holdings.door.mending.repairs;
        match mended {
            Ok(()) => {
                repairs.done(part);
                true
            }
            Err(why) => {
                repairs.failed(part, why);
                false
            }
        }
    }
}

/// Whether the disk says that bytes are lost, rather than that it does not answer now.
fn is_loss(error: &io::Error) -> bool {
    is_disk_failure(error) || error.kind() == io::ErrorKind::NotFound
}

/// This thread's work waits while others have some.
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "the scrub runs with the priority of all others");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_rests_is_told_though_its_task_is_cut_off() {
        for is_begun in [false, true] {
            let pace = Arc::new(Pace::new(1));
            let (held, mut tasks) = (Held(pace.clone()), JoinSet::new());
            tasks.spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            if is_begun {
                tokio::task::yield_now().await;
            }
            tasks.abort_all();
            while tasks.join_next().await.is_some() {}
            assert!(pace.rest(Duration::from_secs(60)), "begun: {is_begun}");
        }
    }
}
