//! One node of ours: a `holdfastd server`, with a disk and a network of its own where the machine has them.

use std::{
    fs::File,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{cpu::Meter, disk::LoopDisk, throttle::Throttle};
use crate::trouble::Trouble;

/// How long a node that was killed may take to be gone; a disk that hangs holds it back.
const GONE: Duration = Duration::from_secs(30);

/// Where a node's parts are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) id: u64,
    pub(crate) zone: String,
    /// `address:port` for clients, and for other nodes.
    pub(crate) client: String,
    pub(crate) peer: String,
    /// Its directory in the kit.
    pub(crate) home: PathBuf,
    /// What it writes to standard error, over all its lives.
    pub(crate) log: PathBuf,
    /// The network namespace that it runs in.
    pub(crate) namespace: Option<String>,
    /// The server.
    pub(crate) binary: PathBuf,
}

/// A node, running or not.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) disk: Option<LoopDisk>,
    pub(crate) throttle: Option<Throttle>,
    /// Settings over those of the file.
    pub(crate) settings: Vec<String>,
    /// Variables for the next start.
    pub(crate) variables: Vec<(String, String)>,
    child: Option<Child>,
    /// When this life began.
    born: Instant,
    /// Bytes of its log before this life.
    log_before: u64,
    cpu: Meter,
    /// Whether it was ended on purpose, so that its end is no news.
    pub(crate) is_meant_to_run: bool,
}

impl Node {
    pub(crate) fn new(place: Place, disk: Option<LoopDisk>, throttle: Option<Throttle>, settings: Vec<String>) -> Node {
        let (variables, child) = (Vec::new(), None);
        let (born, cpu) = (Instant::now(), Meter::default());
        Node { place, disk, throttle, settings, variables, child, born, log_before: 0, cpu, is_meant_to_run: false }
    }

    /// Starts it.
    pub(crate) fn start(&mut self) -> Result<(), Trouble> {
        let place = &self.place;
        let log = File::options().create(true).append(true).open(&place.log).map_err(Trouble::io("open", &place.log))?;
        let mut command = match &place.namespace {
            Some(namespace) => {
                // Not `ip netns exec`: that gives it mounts of its own, which keep a disk alive whose power was cut.
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/var/run/netns/{namespace}")).arg("--").arg(&place.binary);
                command
            }
            None => Command::new(&place.binary),
        };
        command.arg("server").arg("--config").arg(place.home.join("holdfast.toml")).current_dir(&place.home);
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let failed =
            |error: std::io::Error| Trouble::Program { command: format!("server of node {}", place.id), why: error.to_string() };
        let log_before = self.log_bytes();
        let child = command.spawn().map_err(failed)?;
        if let (Some(throttle), Some(id)) = (&self.throttle, child.id()) {
            throttle.take(id)?;
        }
        self.child = Some(child);
        self.born = Instant::now();
        self.log_before = log_before;
        self.is_meant_to_run = true;
        Ok(())
    }

    /// The process, while it runs.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// How long ago it was last started.
    pub(crate) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// Whether it runs; notices when it has ended.
    pub(crate) fn is_running(&mut self) -> bool {
        // Once somebody has waited for it, nobody knows any more what it took.
        self.cpu.look(self.process());
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => true,
            _ => {
                self.child = None;
                self.cpu.end_life();
                false
            }
        }
    }

    /// CPU time that it took over all its lives; of one that was asked to stop, all but its last moments.
    pub(crate) fn cpu(&mut self) -> Duration {
        self.cpu.look(self.process());
        self.cpu.total()
    }

    /// Sends it a signal; whether there was somebody to take it.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let process = self.process().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        process.is_some_and(|process| kill_process(process, signal).is_ok())
    }

    /// `kill -9`, without waiting.
    pub(crate) fn begin_to_kill(&mut self) {
        self.is_meant_to_run = false;
        self.cpu.look(self.process());
        if let Some(child) = &mut self.child {
            // One that has ended by itself is what was wanted.
            let _ = child.start_kill();
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<(), Trouble> {
        self.begin_to_kill();
        self.ended_within(GONE).await.map(drop)
    }

    /// Waits until it has ended; how, where it ran.
    pub(crate) async fn ended_within(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Trouble> {
        self.cpu.look(self.process());
        let Some(child) = &mut self.child else { return Ok(None) };
        let waited = tokio::time::timeout(patience, child.wait()).await;
        let what = || format!("node {}", self.place.id);
        let status = waited.map_err(|_| Trouble::unusable(what(), format!("it did not end within {patience:?}")))?;
        self.child = None;
        self.cpu.end_life();
        Ok(status.ok())
    }

    /// The last lines that it wrote.
    pub(crate) fn last_words(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.place.log).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(lines).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Bytes of its log so far, to look at what comes after.
    pub(crate) fn log_bytes(&self) -> u64 {
        std::fs::metadata(&self.place.log).map_or(0, |file| file.len())
    }

    /// What it wrote since it was last started.
    pub(crate) fn log_of_this_life(&self) -> String {
        self.log_after(self.log_before)
    }

    /// Its log after so many bytes.
    pub(crate) fn log_after(&self, bytes: u64) -> String {
        let text = std::fs::read(&self.place.log).unwrap_or_default();
        String::from_utf8_lossy(text.get(usize::try_from(bytes).unwrap_or(0)..).unwrap_or_default()).into_owned()
    }
}
