//! `cargo xtask`: the checks that every commit passes, as one command that anybody can run.
//!
//! `cargo xtask verify` reads the workspace and prints what is wrong as `path:line: rule: what to do`.
//!
//! # This crate never
//! writes a file: it reports, people change.

mod finding;
mod outline;
mod rules;
mod source;
mod workspace;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{rules::Rule, workspace::Workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The checks every commit passes", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check the whole workspace; exits 1 when there is a finding.
    Verify {
        /// Only these rules, separated by commas (see `--list`).
        #[arg(long, value_delimiter = ',', value_name = "RULE")]
        only: Vec<String>,
        /// Show the rules and what each is for.
        #[arg(long)]
        list: bool,
    },
}

fn main() -> ExitCode {
    let Command::Verify { only, list } = Cli::parse().command;
    let mut out = io::stdout().lock();
    let result = if list { print_rules(&mut out).map(|()| true) } else { verify(&only, &mut out) };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to be done when even standard error is gone.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn print_rules(out: &mut impl Write) -> io::Result<()> {
    for rule in rules::ALL {
        writeln!(out, "{:<11} {}", rule.name, rule.purpose)?;
    }
    Ok(())
}

/// Runs the chosen rules, prints every finding, and says whether all is well.
fn verify(only: &[String], out: &mut impl Write) -> io::Result<bool> {
    let chosen = chosen_rules(only).map_err(io::Error::other)?;
    let workspace = Workspace::load().map_err(io::Error::other)?;
    let mut findings = 0;
    for rule in chosen {
        let found = (rule.check)(&workspace);
        findings += found.len();
        for finding in found {
            writeln!(out, "{finding}")?;
        }
    }
    if findings == 0 {
        writeln!(out, "verified")?;
    } else {
        writeln!(out, "{findings} findings")?;
    }
    Ok(findings == 0)
}

fn chosen_rules(only: &[String]) -> Result<Vec<&'static Rule>, String> {
    if only.is_empty() {
        return Ok(rules::ALL.iter().collect());
    }
    only.iter()
        .map(|name| {
            rules::ALL
                .iter()
                .find(|rule| rule.name == name)
                .ok_or_else(|| format!("no rule is named {name}; `cargo xtask verify --list` shows them"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_chosen_by_name_and_an_unknown_name_is_refused() {
        assert_eq!(chosen_rules(&[]).unwrap().len(), rules::ALL.len());
        let two = chosen_rules(&["size".to_owned(), "edges".to_owned()]).unwrap();
        assert_eq!(two.iter().map(|rule| rule.name).collect::<Vec<_>>(), ["size", "edges"]);
        assert!(chosen_rules(&["sise".to_owned()]).is_err());
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
