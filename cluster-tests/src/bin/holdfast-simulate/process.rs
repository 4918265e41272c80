//! The process of one seed, from outside.

use crate::Wanted;
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A walk that takes longer does not end.
const PATIENCE: Duration = Duration::from_secs(600);
/// One with a bug is given up earlier.
const PATIENCE_WITH_A_BUG: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(10);

/// Whether a bug is looked for.
#[derive(Clone, Copy)]
pub(crate) enum Bug<'a> {
    /// None is.
    None,
    /// This one was put back.
    Back(&'a str),
    /// The walk is held against the one with it.
    Away,
}

/// What it said.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) trace: String,
    pub(crate) findings: Vec<String>,
    pub(crate) counts: BTreeMap<String, u64>,
}

/// The command that walks the same way again.
pub(crate) fn again(seed: u64, wanted: &Wanted) -> String {
    let Wanted { steps, nodes, without, .. } = wanted;
    if let Some(scenario) = &wanted.scenarios {
        return format!("holdfast-simulate --scenarios {scenario} --from {seed} --seeds 1");
    }
    let without = without.to_string();
    let without = if without.is_empty() { without } else { format!(" --without {without}") };
    format!("holdfast-simulate --seed {seed} --steps {steps} --nodes {nodes}{without}")
}

/// Runs a seed.
pub(crate) fn of(seed: u64, wanted: &Wanted, bug: Bug<'_>) -> Report {
    match run(seed, wanted, bug) {
        Ok(said) => read(&said),
        Err(why) => Report { findings: vec![why], ..Report::default() },
    }
}

fn run(seed: u64, wanted: &Wanted, bug: Bug<'_>) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("its process did not run: {error}");
    let mut said = tempfile::tempfile().map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    for (name, number) in [("--seed", seed), ("--steps", wanted.steps), ("--nodes", wanted.nodes)] {
        command.arg(name).arg(number.to_string());
    }
    if let Some(scenario) = &wanted.scenarios {
        command.arg("--scenarios").arg(scenario);
    }
    if let Some(probe) = &wanted.probe {
        command.arg("--probe").arg(probe);
    }
    command.arg("--without").arg(wanted.without.to_string());
    command.arg("--one").stdin(Stdio::null()).stdout(said.try_clone().map_err(failed)?);
    if wanted.trace {
        command.arg("--trace");
    }
    if let Bug::Back(bug) = bug {
        // Panics of a node that has a bug are its way to be found.
        command.env("HOLDFAST_FAULT", format!("bug:{bug}")).stderr(Stdio::null());
    }
    let mut child = command.spawn().map_err(failed)?;
    let deadline = Instant::now() + if matches!(bug, Bug::Back(_)) { PATIENCE_WITH_A_BUG } else { PATIENCE };
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Err("it did not end: somebody is busy for ever".to_owned());
        }
        std::thread::sleep(LOOK);
    };
    let mut text = String::new();
    said.rewind().and_then(|()| said.read_to_string(&mut text)).map_err(failed)?;
    if !status.success() && !text.lines().any(|line| line.starts_with("finding ")) {
        return Err(format!("its process ended without saying why: {status}"));
    }
    if text.is_empty() { Err("its process ended without a word".to_owned()) } else { Ok(text) }
}

fn read(said: &str) -> Report {
    let mut report = Report::default();
    for line in said.lines() {
        match line.split_once(' ') {
            Some(("trace", trace)) => report.trace = trace.to_owned(),
            Some(("finding", finding)) => report.findings.push(finding.to_owned()),
            Some(("count", count)) => {
                if let Some((what, count)) = count.rsplit_once(' ') {
                    report.counts.insert(what.to_owned(), count.parse().unwrap_or(0));
                }
            }
            _ => {}
        }
    }
    report
}
