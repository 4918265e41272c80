//! `ops-bench`: measures a cluster beside the raw disk and a bare echo, in one run.
//!
//! It starts three servers with a new kit in a directory of its own (or attaches to a running cluster), and measures every kind of work
//! in short slots, one after the other, round after round: what disturbs the machine for a moment disturbs all of them. Ratios are
//! made within a round, and of the rounds the median is told. Absolute figures do not travel from machine to machine; ratios do.
//!
//! # This crate never
//! retries: an error is counted, shown, and makes the run fail. It ends only processes that it started.

mod failover;
mod fault;
mod measure;
mod outcome;
mod plan;
mod restore;
mod stage;

use std::{io::Write, path::Path, process::ExitCode};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    fault::Fault,
    outcome::{report, summary::Summary},
    plan::{Arguments, Other, Plan},
    stage::{Processes, Stage, echo},
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Fault::io("start the runtime", Path::new("/")))
        .and_then(|runtime| runtime.block_on(act(arguments)));
    match done {
        Ok(code) => code,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "error: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn act(arguments: Arguments) -> Result<ExitCode, Fault> {
    let mut processes = Processes::default();
    match arguments.other {
        Some(Other::Echo) => {
            echo::serve().await?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Other::Restore(plan)) => {
            let outcome = tokio::select! {
                outcome = restore::run(&plan, &mut processes) => outcome,
                () = interrupted() => Err(Fault::Interrupted),
            };
            processes.clear().await;
            return outcome;
        }
        Some(Other::Failover(plan)) => {
            let outcome = tokio::select! {
                outcome = failover::run(&plan, &mut processes) => outcome,
                () = interrupted() => Err(Fault::Interrupted),
            };
            processes.clear().await;
            return outcome;
        }
        None => {}
    }
    let outcome = tokio::select! {
        outcome = run(&arguments.plan, &mut processes) => outcome,
        () = interrupted() => Err(Fault::Interrupted),
    };
    // Whatever happened: nothing that was started stays behind.
    processes.clear().await;
    let summary = outcome?;
    let errors = summary.errors();
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(plan: &Plan, processes: &mut Processes) -> Result<Summary, Fault> {
    let stage = Stage::set_up(plan, processes).await?;
    say(&format!("measuring {}", stage.description));
    let mut leaders = Vec::from_iter(stage.leader().await);
    let rounds = measure::all(plan, &stage).await?;
    leaders.extend(stage.leader().await);
    leaders.dedup();
    let summary = Summary::of(plan, &stage, leaders, &rounds);
    let mut out = std::io::stdout().lock();
    report::write(&mut out, &summary).map_err(Fault::io("write the report to", Path::new("the terminal")))?;
    if let Some(path) = &plan.json {
        let text = serde_json::to_vec_pretty(&summary).map_err(|error| Fault::Unexpected(format!("write JSON: {error}")))?;
        std::fs::write(path, text).map_err(Fault::io("write", path))?;
    }
    Ok(summary)
}

/// What a person who waits wants to know; it goes beside the report.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

async fn interrupted() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let Ok(mut signals) = kinds.into_iter().map(signal).collect::<Result<Vec<_>, _>>() else {
        // Without signals there is nothing to wait for.
        return std::future::pending().await;
    };
    futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
}
