//! `ops-bench failover`: takes the leader away again and again, under load, and measures how long nobody is answered.
//!
//! Three servers, each in a network namespace of its own where that is possible; the leader is killed, paused, cut off both ways, cut
//! off in one direction, and asked to hand over. Writers and readers ask through the client library all the time and remember what they
//! were told; afterwards every acknowledged write and every answered read has to be on the journal of every node.

mod checks;
mod faults;
mod gaps;
mod history;
mod network;
mod report;
mod stage;
mod traffic;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{fault::Fault, say, stage::Processes};

/// Writers and readers asked for at most.
const CALLERS_MAX: u64 = 256;

/// A run.
#[derive(Args, Clone, Debug)]
pub(crate) struct FailoverPlan {
    /// Secrets that the cluster holds before the first fault
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    secrets: u64,
    /// How often each fault is made
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Make only these faults
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAULT")]
    only: Vec<Kind>,
    /// How the nodes reach each other; namespaces need root and a private mount and network namespace (ops/drill-failover.sh)
    #[arg(long, value_enum, default_value_t = Net::Loopback)]
    network: Net,
    /// Callers that write all the time, spread over the nodes
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=CALLERS_MAX))]
    writers: u64,
    /// Callers that read all the time, each at one node
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=CALLERS_MAX))]
    readers: u64,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the cluster is put; a real disk, or the figures mean nothing
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// The server; the one beside this program where nothing is said
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Keep the directory with the servers' logs
    #[arg(long)]
    keep: bool,
}

/// How the nodes reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Net {
    /// A namespace for each, on a bridge
    Namespaces,
    /// All on loopback: networks cannot be cut
    Loopback,
}

/// A way to lose the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// `kill -9`
    Kill,
    /// `SIGSTOP`
    Pause,
    /// Its network is cut, both ways
    Cut,
    /// Nothing that it sends arrives
    OneWay,
    /// It is asked to hand over
    HandOver,
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Kind::Kill => "leader killed (kill -9)",
            Kind::Pause => "leader paused (SIGSTOP)",
            Kind::Cut => "leader cut off, both ways",
            Kind::OneWay => "leader cut off, outgoing only",
            Kind::HandOver => "planned hand-over",
        }
    }

    /// What the longest wait for an acknowledged write should be, in milliseconds: for 99 of 100 rounds, or for all.
    fn target_ms(self) -> f64 {
        if self == Kind::HandOver { 50.0 } else { 1000.0 }
    }

    fn needs_namespaces(self) -> bool {
        matches!(self, Kind::Cut | Kind::OneWay)
    }
}

impl FailoverPlan {
    /// The faults to make, and those that this network does not allow.
    fn kinds(&self) -> (Vec<Kind>, Vec<Kind>) {
        let mut wanted: Vec<Kind> =
            Kind::value_variants().iter().copied().filter(|kind| self.only.is_empty() || self.only.contains(kind)).collect();
        wanted.sort_unstable();
        wanted.into_iter().partition(|kind| self.network == Net::Namespaces || !kind.needs_namespaces())
    }
}

/// Runs the drill. Fails when anything acknowledged was lost or a target was missed.
pub(crate) async fn run(plan: &FailoverPlan, processes: &mut Processes) -> Result<ExitCode, Fault> {
    let (kinds, skipped) = plan.kinds();
    for kind in &skipped {
        say(&format!("SKIPPED: {}: it needs network namespaces (ops/drill-failover.sh as root)", kind.title()));
    }
    let mut stage = stage::Stage::set_up(plan, processes).await?;
    say(&format!("{} secrets, {}", plan.secrets, stage.description()));
    let load = traffic::Load::start(&stage, plan.writers, plan.readers).await?;
    let mut figures = Vec::new();
    for kind in kinds {
        figures.push(faults::rounds(kind, plan.rounds, &mut stage, &load).await?);
    }
    let history = load.finish().await;
    stage.settle().await?;
    let findings = checks::all(&stage, &history).await?;
    let report = report::Report::of(plan, &stage, skipped, figures, &history, findings);
    report.show(plan.json.as_deref())?;
    if plan.keep {
        say(&format!("kept {}", processes.keep_directory().display()));
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
