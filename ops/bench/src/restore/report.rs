//! What is told in the end: how long each part took, and how much memory.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{RestorePlan, checks::Findings, memory::Watched, parts::Parts};
use crate::fault::Fault;

/// What a million secrets may take to come back.
const TARGET: Duration = Duration::from_secs(60);

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    setting: String,
    secrets: u64,
    value_bytes: u64,
    snapshot_bytes: u64,
    phases: Vec<Phase>,
    /// From the wiped nodes to the first secret that was answered, in seconds.
    answered_s: f64,
    /// From the wiped nodes until all three hold everything, in seconds.
    recovered_s: f64,
    findings: Option<Findings>,
}

/// One part of the run.
#[derive(Debug, Serialize)]
pub(super) struct Phase {
    what: &'static str,
    seconds: f64,
    /// MiB of the largest node, at the end and at most.
    node_mib: Option<(f64, f64)>,
    /// MiB of the program that did it, at most.
    program_mib: Option<f64>,
}

impl Phase {
    pub(super) fn new(what: &'static str, began: Instant) -> Phase {
        Phase { what, seconds: began.elapsed().as_secs_f64(), node_mib: None, program_mib: None }
    }

    pub(super) fn of_nodes(self, watched: &Watched) -> Result<Phase, Fault> {
        let memory = watched.largest()?;
        Ok(Phase { node_mib: Some((memory.now, memory.peak)), ..self })
    }

    pub(super) fn of_program(self, peak_mib: f64) -> Phase {
        Phase { program_mib: Some(peak_mib), ..self }
    }
}

impl Report {
    pub(super) fn new(plan: &RestorePlan, parts: &Parts) -> Report {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let build = if cfg!(debug_assertions) { "without optimizations" } else { "release" };
        Report {
            setting: format!("three servers on loopback, {cores} cores, {build}, data in {}", parts.directory().display()),
            secrets: plan.secrets,
            value_bytes: plan.value_bytes,
            snapshot_bytes: 0,
            phases: Vec::new(),
            answered_s: 0.0,
            recovered_s: 0.0,
            findings: None,
        }
    }

    pub(super) fn add(&mut self, phase: Phase) {
        crate::say(&format!("{}: {:.1} s", phase.what, phase.seconds));
        self.phases.push(phase);
    }

    pub(super) fn saved(&mut self, bytes: u64) {
        self.snapshot_bytes = bytes;
    }

    pub(super) fn answered(&mut self, after: Duration) {
        self.answered_s = after.as_secs_f64();
    }

    pub(super) fn recovered(&mut self, after: Duration) {
        self.recovered_s = after.as_secs_f64();
    }

    pub(super) fn findings(&mut self, findings: Findings) {
        self.findings = Some(findings);
    }

    /// Whether nothing was lost.
    pub(super) fn is_good(&self) -> bool {
        self.findings.as_ref().is_some_and(|found| {
            found.wrong == 0 && found.same_state && found.secrets == self.secrets && found.values == self.secrets
        })
    }

    pub(super) fn show(&self, json: Option<&Path>) -> Result<(), Fault> {
        let terminal = Path::new("the terminal");
        self.write(&mut std::io::stdout().lock()).map_err(Fault::io("write the report to", terminal))?;
        let Some(path) = json else { return Ok(()) };
        let text = serde_json::to_vec_pretty(self).map_err(|error| Fault::Unexpected(format!("write JSON: {error}")))?;
        std::fs::write(path, text).map_err(Fault::io("write", path))
    }

    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{} secrets of {} bytes; {}", self.secrets, self.value_bytes, self.setting)?;
        writeln!(out, "{:<50} {:>9} {:>12} {:>12} {:>12}", "", "seconds", "node MiB", "node peak", "own peak")?;
        let mib = |mib: Option<f64>| mib.map_or_else(String::new, |mib| format!("{mib:.0}"));
        for phase in &self.phases {
            let (now, peak) = (phase.node_mib.map(|(now, _)| now), phase.node_mib.map(|(_, peak)| peak));
            let (now, peak, own) = (mib(now), mib(peak), mib(phase.program_mib));
            writeln!(out, "{:<50} {:>9.1} {now:>12} {peak:>12} {own:>12}", phase.what, phase.seconds)?;
        }
        writeln!(out, "snapshot: {:.1} MiB", self.snapshot_bytes as f64 / f64::from(1 << 20))?;
        let met = if self.recovered_s <= TARGET.as_secs_f64() { "within" } else { "NOT within" };
        writeln!(
            out,
            "from nothing to a secret answered: {:.1} s; until all three nodes hold everything: {:.1} s ({met} {} s)",
            self.answered_s,
            self.recovered_s,
            TARGET.as_secs()
        )?;
        let Some(found) = &self.findings else { return Ok(()) };
        writeln!(
            out,
            "{} of {} secrets came back with {} values; {} of {} values read are wrong; all nodes hold {}",
            found.secrets,
            self.secrets,
            found.values,
            found.wrong,
            found.read,
            if found.same_state { "one state" } else { "DIFFERENT states" }
        )
    }
}
