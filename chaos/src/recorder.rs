//! Where clients say what they were told: in memory for the judge, and line by line in a file for whoever wants to judge again.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use chaos_history::{Operation, Outcome, line_of};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::trouble::Trouble;

/// Takes operations as they end. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    began: Instant,
    sender: mpsc::UnboundedSender<Operation>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    power_is_failing: AtomicBool,
    answered: AtomicU64,
    /// Answers that count as unknown, because the power was failing.
    doubted: AtomicU64,
}

/// The power of all nodes fails for as long as this lives, whichever way the fault ends.
#[derive(Debug)]
pub(crate) struct PowerFails(Arc<Shared>);

impl Drop for PowerFails {
    fn drop(&mut self) {
        self.0.power_is_failing.store(false, Ordering::SeqCst);
    }
}

/// Keeps what the recorder takes, until nobody can say anything any more.
#[derive(Debug)]
pub(crate) struct Kept {
    task: JoinHandle<Result<Vec<Operation>, Trouble>>,
}

/// A recorder that writes to `path`, and its other end.
pub(crate) fn start(path: &Path) -> Result<(Recorder, Kept), Trouble> {
    let file = File::create(path).map_err(Trouble::io("make", path))?;
    let (sender, operations) = mpsc::unbounded_channel();
    let task = tokio::spawn(keep(operations, BufWriter::new(file), path.to_owned()));
    let recorder = Recorder { began: Instant::now(), sender, shared: Arc::default() };
    Ok((recorder, Kept { task }))
}

async fn keep(
    mut operations: mpsc::UnboundedReceiver<Operation>,
    mut file: BufWriter<File>,
    path: PathBuf,
) -> Result<Vec<Operation>, Trouble> {
    let mut kept = Vec::new();
    while let Some(operation) = operations.recv().await {
        writeln!(file, "{}", line_of(&operation)).map_err(Trouble::io("write", &path))?;
        kept.push(operation);
    }
    file.flush().map_err(Trouble::io("write", &path))?;
    Ok(kept)
}

impl Kept {
    /// All operations, once every recorder has been dropped.
    pub(crate) async fn all(self) -> Result<Vec<Operation>, Trouble> {
        self.task.await.map_err(|error| Trouble::unusable("the history", error))?
    }
}

impl Recorder {
    /// Nanoseconds since the run began.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since the run began.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }

    /// Takes an operation that has just ended.
    pub(crate) fn record(&self, mut operation: Operation) {
        if self.shared.power_is_failing.load(Ordering::SeqCst) && operation.is_answered() {
            operation.outcome = Outcome::Unknown;
            operation.words = "answered while the power was failing".to_owned();
            self.shared.doubted.fetch_add(1, Ordering::Relaxed);
        }
        if operation.is_answered() {
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        // Nobody keeps it any more only when the run has been given up.
        let _ = self.sender.send(operation);
    }

    /// Operations answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Answers so far that count as unknown, because the power was failing.
    pub(crate) fn doubted(&self) -> u64 {
        self.shared.doubted.load(Ordering::Relaxed)
    }

    /// While all disks die at once, a sync under way may still report success: what is answered until this is dropped counts as
    /// unknown.
    pub(crate) fn power_fails(&self) -> PowerFails {
        self.shared.power_is_failing.store(true, Ordering::SeqCst);
        PowerFails(self.shared.clone())
    }
}

#[cfg(test)]
mod tests {
    use chaos_history::Call;

    use super::*;

    fn found() -> Operation {
        let (request, key) = (uuid::Uuid::nil(), "k".to_owned());
        let outcome = Outcome::Found { version: 1, value: "w".to_owned() };
        let (client, record, called_ns, returned_ns, words) = (1, None, 1, 2, String::new());
        Operation { client, request, record, called_ns, returned_ns, key, call: Call::Get, outcome, words }
    }

    #[tokio::test]
    async fn answers_count_again_once_the_fault_is_over_even_where_it_broke_off() {
        let directory = tempfile::tempdir().unwrap();
        let (recorder, kept) = start(&directory.path().join("history.jsonl")).unwrap();
        let broken_off = || -> Result<(), Trouble> {
            let _dark = recorder.power_fails();
            recorder.record(found());
            Err(Trouble::unusable("a disk", "it does not unmount"))
        };
        broken_off().unwrap_err();
        recorder.record(found());
        assert_eq!((recorder.answered(), recorder.doubted()), (1, 1));
        drop(recorder);
        let outcomes: Vec<Outcome> = kept.all().await.unwrap().into_iter().map(|operation| operation.outcome).collect();
        assert_eq!(outcomes, [Outcome::Unknown, found().outcome]);
    }
}
