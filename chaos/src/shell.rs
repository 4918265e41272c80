//! Programs of the system that do what no library of ours does: ip, mount, mkfs.ext4, strace.

use std::{ffi::OsStr, process::Stdio};

use tokio::process::Command;

use crate::trouble::Trouble;

/// Runs a program to its end; what it wrote to its standard output.
pub(crate) async fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Result<String, Trouble> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let told = shown(&command);
    let failed = |why: String| Trouble::Program { command: told.clone(), why };
    let output = command.output().await.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(failed(if said.is_empty() { output.status.to_string() } else { said }))
}

/// Runs a line of words, none of which holds a space.
pub(crate) async fn words(line: &str) -> Result<String, Trouble> {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    run(program, words).await
}

/// Runs a line of an operator's by the shell.
pub(crate) async fn line(line: &str) -> Result<String, Trouble> {
    run("sh", ["-c", line]).await
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
