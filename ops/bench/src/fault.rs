//! Why a run came to nothing. Errors of single calls are no faults: they are counted.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A file or the system refused.
    #[error("{doing} {}: {cause}", path.display())]
    Io {
        /// What was being tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A process that the run needs did not start, or ended.
    #[error("{what}: {why}")]
    Process {
        /// Which one.
        what: String,
        /// What became of it.
        why: String,
    },
    /// The settings of the cluster cannot be used.
    #[error("settings {}: {why}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The cluster could not be prepared.
    #[error("{doing}: {why}")]
    Cluster {
        /// What was being tried.
        doing: &'static str,
        /// What came of it.
        why: String,
    },
    /// Somebody asked the run to stop.
    #[error("interrupted; what was started has been stopped")]
    Interrupted,
    /// What cannot happen.
    #[error("{0}")]
    Unexpected(String),
}

impl Fault {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault + use<> {
        let path = path.to_owned();
        move |cause| Fault::Io { doing, path, cause }
    }

    pub(crate) fn cluster<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Fault {
        move |error| Fault::Cluster { doing, why: error.to_string() }
    }

    /// A process ended by itself: its last words in `log`, where it has one.
    pub(crate) fn ended(what: String, status: ExitStatus, log: Option<&Path>) -> Fault {
        let text = log.and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
        let last: Vec<_> = text.lines().rev().take(3).collect();
        let why = format!("it ended ({status}): {}", last.into_iter().rev().collect::<Vec<_>>().join(" / "));
        Fault::Process { what, why }
    }
}
