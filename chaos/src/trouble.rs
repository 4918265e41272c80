//! Why a run came to nothing. What a run finds out about the cluster is no trouble: it is the result.

use std::{
    io,
    path::{Path, PathBuf},
};

use proto_client::ClientError;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
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
    /// A program that the run needs did not do its work.
    #[error("{command}: {why}")]
    Program {
        /// The program with its arguments.
        command: String,
        /// What it said.
        why: String,
    },
    /// A plan, settings or a history that cannot be used.
    #[error("{what}: {why}")]
    Unusable {
        /// Which one.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The cluster did not do what a run starts or ends with.
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
}

impl Trouble {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Trouble + use<> {
        let path = path.to_owned();
        move |cause| Trouble::Io { doing, path, cause }
    }

    pub(crate) fn cluster<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Trouble {
        move |error| Trouble::Cluster { doing, why: error.to_string() }
    }

    /// A call that was refused or lost: its code, and what the cluster said.
    pub(crate) fn call<E: std::borrow::Borrow<ClientError>>(doing: &'static str) -> impl FnOnce(E) -> Trouble {
        move |error| {
            let ClientError { code, message, endpoint, .. } = error.borrow();
            Trouble::Cluster { doing, why: format!("{code:?} at {endpoint}: {message}") }
        }
    }

    pub(crate) fn unusable(what: impl Into<String>, why: impl ToString) -> Trouble {
        Trouble::Unusable { what: what.into(), why: why.to_string() }
    }
}
