//! `ops-bench restore`: loses a whole cluster of three, brings it back from a snapshot on three new nodes, and measures time and memory.
//!
//! Secrets are put, a snapshot is saved, everything but the snapshot and the seal is deleted, one new node is restored, all three are started.
//! Then the new cluster must hold what the old one held: as many secrets, the values that were put, one state on all nodes.

mod checks;
mod memory;
mod parts;
mod report;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Args;
use proto_client::Client;

use crate::{fault::Fault, say, stage::Processes};
use memory::Watched;
use parts::Parts;
use report::{Phase, Report};

/// A run.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestorePlan {
    /// Secrets that are lost and brought back
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    secrets: u64,
    /// Bytes of each value; they do not compress
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(8..=65_536))]
    value_bytes: u64,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the cluster is put; a real disk, or the figures mean nothing
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// The directory with holdfastd and holdfast; the one of this program where nothing is said
    #[arg(long, value_name = "DIRECTORY")]
    programs: Option<PathBuf>,
    /// Keep the directory with the nodes, the snapshot and the logs
    #[arg(long)]
    keep: bool,
}

/// Runs it. Fails when anything was lost.
pub(crate) async fn run(plan: &RestorePlan, processes: &mut Processes) -> Result<ExitCode, Fault> {
    let directory = processes.directory_in(plan.directory.as_deref())?;
    let parts = Parts::new(directory, plan)?;
    let mut report = Report::new(plan, &parts);

    let old = parts.found(processes).await?;
    let watched = Watched::start(&processes.servers())?;
    let began = Instant::now();
    say(&format!("putting {} secrets", plan.secrets));
    parts.sow(&old).await?;
    report.add(Phase::new("put", began).of_nodes(&watched)?);

    watched.forget_peaks()?;
    let began = Instant::now();
    let (bytes, peak) = parts.save().await?;
    report.saved(bytes);
    report.add(Phase::new("save a snapshot", began).of_nodes(&watched)?.of_program(peak));

    let began = Instant::now();
    let peak = parts.verify().await?;
    report.add(Phase::new("verify it without keys", began).of_program(peak));

    processes.end_servers().await;
    parts.wipe()?;
    let began = Instant::now();
    parts.lay_out_anew().await?;
    let (restored, peak) = parts.restore().await?;
    report.add(Phase::new("restore one node", began).of_program(peak));

    let started = Instant::now();
    parts.start_anew(processes)?;
    let watched = Watched::start(&processes.servers())?;
    let client = parts.client_anew().await?;
    parts.first_secret(&client, processes).await?;
    report.add(Phase::new("start three nodes, until a secret is answered", started).of_nodes(&watched)?);
    report.answered(began.elapsed());
    let nodes: Vec<Client> = client.each_node().into_iter().map(|(_, node)| node).collect();
    checks::all_hold(&nodes, restored.revision, processes).await?;
    report.add(Phase::new("start three nodes, until all hold everything", started).of_nodes(&watched)?);
    report.recovered(began.elapsed());

    report.findings(checks::all(plan, &nodes, &restored).await?);
    report.show(plan.json.as_deref())?;
    if plan.keep {
        say(&format!("kept {}", processes.keep_directory().display()));
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
