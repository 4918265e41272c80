//! What a run has started. It is ended by its own handle, never by a name.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::fault::Fault;

/// How long a child that was killed may take to be gone.
const GONE: Duration = Duration::from_secs(5);

/// Children and the directory that they write to.
#[derive(Default)]
pub(crate) struct Processes {
    children: Vec<Started>,
    directory: Option<TempDir>,
}

struct Started {
    what: String,
    server: bool,
    /// Where it complains, if that is a file.
    log: Option<PathBuf>,
    child: Child,
}

impl Processes {
    /// A new directory below `parent`, or where this machine keeps temporary files; it goes when the processes are cleared.
    pub(crate) fn directory_in(&mut self, parent: Option<&Path>) -> Result<PathBuf, Fault> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let made = tempfile::Builder::new().prefix("holdfast-bench-").tempdir_in(&parent);
        let directory = made.map_err(Fault::io("make a directory in", &parent))?;
        Ok(self.directory.insert(directory).path().to_owned())
    }

    /// Starts a server that complains to `log`.
    pub(crate) fn start_server(&mut self, what: String, mut command: Command, log: PathBuf) -> Result<(), Fault> {
        let file = std::fs::File::create(&log).map_err(Fault::io("make", &log))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        self.start(what, command, true, Some(log))?;
        Ok(())
    }

    /// Starts a process that ends with its standard input, and lends it for a conversation.
    pub(crate) fn start_helper(&mut self, what: String, mut command: Command) -> Result<&mut Child, Fault> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        self.start(what, command, false, None)
    }

    fn start(&mut self, what: String, mut command: Command, server: bool, log: Option<PathBuf>) -> Result<&mut Child, Fault> {
        let spawned = command.kill_on_drop(true).spawn();
        let child = spawned.map_err(|error| Fault::Process { what: what.clone(), why: error.to_string() })?;
        self.children.push(Started { what, server, log, child });
        let started = self.children.last_mut().ok_or_else(|| Fault::Unexpected("a child was pushed and is not there".into()))?;
        Ok(&mut started.child)
    }

    /// Leaves the directory where it is when the processes are cleared, and says where.
    pub(crate) fn keep_directory(&mut self) -> PathBuf {
        self.directory.take().map(TempDir::keep).unwrap_or_default()
    }

    /// The ids of the servers.
    pub(crate) fn servers(&self) -> Vec<u32> {
        self.children.iter().filter(|started| started.server).filter_map(|started| started.child.id()).collect()
    }

    /// Kills the servers, and waits until they are gone.
    pub(crate) async fn end_servers(&mut self) {
        for started in self.children.iter_mut().filter(|started| started.server) {
            // One that is gone already is what was wanted.
            let _ = started.child.kill().await;
        }
        self.children.retain(|started| !started.server);
    }

    /// Complains when one of them has ended by itself.
    pub(crate) fn all_run(&mut self) -> Result<(), Fault> {
        for started in &mut self.children {
            if let Ok(Some(status)) = started.child.try_wait() {
                return Err(Fault::ended(started.what.clone(), status, started.log.as_deref()));
            }
        }
        Ok(())
    }

    /// Ends them all, waits until they are gone, and removes the directory.
    pub(crate) async fn clear(mut self) {
        for started in &mut self.children {
            // One that is gone already is what was wanted.
            let _ = started.child.start_kill();
        }
        for started in &mut self.children {
            let _ = tokio::time::timeout(GONE, started.child.wait()).await;
        }
        if let Some(directory) = self.directory.take() {
            let path = directory.path().to_owned();
            if let Err(error) = directory.close() {
                crate::say(&format!("{} was left behind: {error}", path.display()));
            }
        }
    }
}
