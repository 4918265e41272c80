//! What the program says of itself: completion, manual, version.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use serde_json::json;

use crate::{cli::Cli, exit::Failure, settings::Session};

const COMPLETION_EXAMPLES: &str = "\
Examples:
  holdfast completion bash > /etc/bash_completion.d/holdfast
  holdfast completion zsh > ~/.zfunc/_holdfast";

/// Prints the completion script of a shell.
#[derive(Args)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub(crate) struct Completion {
    /// bash, elvish, fish, powershell or zsh.
    shell: clap_complete::Shell,
}

impl Completion {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "holdfast", &mut script);
        session.out.raw(&script)
    }
}

/// Writes the manual pages.
#[derive(Args)]
#[command(after_help = "Examples:\n  holdfast man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// An existing folder; each command gets a page.
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(self, session: &Session) -> Result<(), Failure> {
        let written = clap_mangen::generate_to(Cli::command(), &self.folder);
        written.map_err(|error| Failure::io(format!("cannot write the manual to {}", self.folder.display()), &error))?;
        session.out.note(&format!("the manual is in {}", self.folder.display()));
        Ok(())
    }
}

/// Prints the version.
pub(crate) fn version(session: &Session) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    session.out.show(&json!({ "version": version }), |out| writeln!(out, "holdfast {version}"))
}
