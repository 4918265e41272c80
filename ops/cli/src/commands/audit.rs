//! `holdfast audit`.

mod export;
mod records;
mod verify;

use clap::Subcommand;

use crate::{exit::Failure, settings::Session};

/// The journal.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show the newest records, and with -f those that follow.
    Tail(records::Tail),
    /// Find records by who, what, where and when.
    Query(records::Query),
    /// Recompute the chain and name every damaged record; exits 8 when there is one.
    Verify(verify::Verify),
    /// Write the journal to a bundle that can be verified anywhere.
    Export(export::Export),
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Tail(command) => command.run(session).await,
            Command::Query(command) => command.run(session).await,
            Command::Verify(command) => command.run(session).await,
            Command::Export(command) => command.run(session).await,
        }
    }
}
