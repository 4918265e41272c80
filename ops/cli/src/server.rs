//! The server's program, for what is done on its machine while no node runs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::exit::{Exit, Failure};

/// The program that was named, or the one beside this program, or the one that the shell finds.
pub(crate) fn program(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(named);
    }
    let own = std::env::current_exe().map_err(|error| Failure::io("cannot find this program", &error))?;
    let beside = own.with_file_name("holdfastd");
    Ok(if beside.exists() { beside } else { PathBuf::from("holdfastd") })
}

/// What a program says on standard output when it succeeds.
///
/// # Errors
/// When it cannot be run, or with its own words where it failed.
pub(crate) fn run(command: &mut Command, exit: Exit) -> Result<Vec<u8>, Failure> {
    let program = Path::new(command.get_program()).to_owned();
    let what = command.get_args().next().unwrap_or_default().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| Failure::io(format!("cannot run {}", program.display()), &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    let why = if errors.is_empty() { said.trim().to_owned() } else { errors.join("; ") };
    Err(Failure::new(exit, format!("{} {what} failed", program.display()), why))
}
