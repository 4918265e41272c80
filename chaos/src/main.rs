//! `holdfast-chaos`: breaks a real cluster on purpose, and checks that it kept every promise.
//!
//! A run starts real servers (each with a network and a disk of its own where the machine lets it), has clients work, strikes by a
//! plan, heals, and judges what clients were told, what the journal says and what the nodes hold. It runs against a staging cluster of
//! somebody else's too, with the faults that go over the wire or by commands of theirs.
//!
//! # This crate never
//! ends a process that it did not start, sets the machine's clock, or changes a network that is not its own.

mod ending;
mod floors;
mod judgement;
mod logs;
mod nemesis;
mod plan;
mod profile;
mod recorder;
mod report;
mod run;
mod shell;
mod stage;
mod trouble;
mod watch;
mod workload;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use chaos_history::operations_of;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    nemesis::{Hooks, Kind},
    plan::{BUILT_IN, Plan, Span},
    run::{ENVIRONMENT, Order},
    stage::means::Means,
    trouble::Trouble,
};

/// Exit code of a run that found something, or proves nothing.
const FOUND: u8 = 1;
/// Exit code for plans, settings and usage, as clap has it.
const USAGE: u8 = 2;
/// Exit code for everything else that kept a run from its end.
const TROUBLE: u8 = 3;

/// Breaks a real cluster on purpose, and checks that it kept every promise.
#[derive(Parser)]
#[command(name = "holdfast-chaos", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

const EXAMPLES: &str = "Examples:
  holdfast-chaos run smoke                           a minute, with what this machine allows
  sudo holdfast-chaos run everything --for 30m       every fault there is, on three new nodes
  holdfast-chaos run staging --attach client.toml --environment staging --i-know-this-is-not-production
  holdfast-chaos check chaos-out/history.jsonl       judge a history again, without a cluster

Exit codes: 0 every promise was kept, 1 one was not or the run proves nothing, 2 usage, 3 the run did not come to its end.";

#[derive(Subcommand)]
enum Subcommands {
    /// Run a plan
    Run(RunArguments),
    /// Say which plans there are, and which of their faults can strike here
    Plans,
    /// Judge a history
    Check {
        /// The file: one operation a line, as a run writes it
        history: PathBuf,
    },
    /// Make the page of a run anew, and show what it came to
    Report {
        /// The run's directory
        directory: PathBuf,
    },
}

#[derive(Args)]
struct RunArguments {
    /// A plan that comes with this program (see `plans`), or a file
    plan: String,
    /// Decides which fault strikes whom and when; chosen by chance where it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults strike, such as 90s or 30m; the plan says where this does not
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<Span>,
    /// A directory for the report, the history and the nodes; a new one below the working directory where it is not given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave the disks and logs of the nodes; a run that did not pass leaves them in any case, but not one that was interrupted
    #[arg(long)]
    keep: bool,
    /// Fail where a fault of the plan can not strike here; without this it is skipped, and said
    #[arg(long)]
    strict: bool,
    /// The server to run; the one beside this program where it is not given
    #[arg(long, value_name = "PROGRAM", conflicts_with = "attach")]
    holdfastd: Option<PathBuf>,
    /// Strike a running cluster instead, by its client.toml; only faults that go over the wire or by the commands below
    #[arg(long, value_name = "CLIENT.TOML", requires = "i_know_this_is_not_production")]
    attach: Option<PathBuf>,
    /// Faults hit everybody who uses the cluster: say that nobody relies on it
    #[arg(long)]
    i_know_this_is_not_production: bool,
    /// The environment to work in; a run writes below chaos/ only, but seals and rotates the whole environment where the plan says so
    #[arg(long, default_value = ENVIRONMENT)]
    environment: String,
    /// A command that stops a node of a running cluster; {id} and {host} stand for the node
    #[arg(long, value_name = "COMMAND", requires = "attach")]
    exec_stop: Option<String>,
    /// A command that starts it again
    #[arg(long, value_name = "COMMAND", requires = "attach")]
    exec_start: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Trouble::io("start the runtime of", Path::new("this program")));
    let done = runtime.and_then(|runtime| match arguments.command {
        Subcommands::Run(arguments) => runtime.block_on(run(arguments)),
        Subcommands::Plans => {
            show(&plans());
            Ok(true)
        }
        Subcommands::Check { history } => check(&history),
        Subcommands::Report { directory } => report::again(&directory).map(|report| {
            show(&report::summary(&report, &directory));
            report.passed
        }),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FOUND),
        Err(trouble) => {
            say(&format!("error: {trouble}"));
            ExitCode::from(if matches!(trouble, Trouble::Unusable { .. }) { USAGE } else { TROUBLE })
        }
    }
}

async fn run(arguments: RunArguments) -> Result<bool, Trouble> {
    let plan = Plan::find(&arguments.plan)?;
    let seed = arguments.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let binary = match arguments.attach {
        Some(_) => PathBuf::new(),
        None => run::server_binary(arguments.holdfastd.as_deref())?,
    };
    let name = Path::new(&arguments.plan).file_stem().map_or(arguments.plan.clone(), |stem| stem.to_string_lossy().into_owned());
    let out = arguments.out.unwrap_or_else(|| PathBuf::from(format!("chaos-{name}-{seed}")));
    let order = Order {
        lasts: arguments.lasts.unwrap_or(plan.lasts).0,
        plan,
        name: arguments.plan,
        seed,
        out,
        keep: arguments.keep,
        strict: arguments.strict,
        binary,
        named_binary: arguments.holdfastd,
        environment: arguments.environment,
        attach: arguments.attach,
        hooks: Hooks { stop: arguments.exec_stop, start: arguments.exec_start },
    };
    say(&format!("seed {seed}; the report will be in {}", order.out.display()));
    let report = run::run(&order, interrupted()).await?;
    show(&report::summary(&report, &order.out));
    Ok(report.passed)
}

fn plans() -> String {
    let means = Means::of_this_machine();
    let mut text = String::new();
    for (name, source) in BUILT_IN {
        let plan = Plan::parse(name, source).expect("plans that come with the program are tested");
        text.push_str(&format!("{name}: {} ({} nodes, {})\n", plan.about, plan.nodes, plan.lasts));
        for fault in &plan.fault {
            let lack = fault.kind.lack(&means).map(|why| format!(" [not here: {why}]")).unwrap_or_default();
            text.push_str(&format!("    {:<18} {} for {}{lack}\n", fault.kind.word(), fault.kind.about(), fault.lasts));
        }
    }
    text.push_str("Faults for plans of your own:\n");
    for kind in Kind::ALL {
        let needs: Vec<&str> = kind.needs().iter().map(|need| need.about()).collect();
        let needs = if needs.is_empty() { "nothing but the cluster".to_owned() } else { needs.join("; ") };
        text.push_str(&format!("    {:<18} needs {needs}\n", kind.word()));
    }
    text.pop();
    text
}

fn check(path: &Path) -> Result<bool, Trouble> {
    let text = std::fs::read_to_string(path).map_err(Trouble::io("read", path))?;
    let operations = operations_of(&text).map_err(|error| Trouble::unusable(path.display().to_string(), error))?;
    if operations.is_empty() {
        let why = "there is no operation in it: name the history.jsonl that a run left";
        return Err(Trouble::unusable(path.display().to_string(), why));
    }
    let mut verdicts = judgement::of_a_history(&operations);
    verdicts.push(chaos_history::exactly_once(&operations, &[]));
    for verdict in &verdicts {
        show(&verdict.to_string());
    }
    Ok(verdicts.iter().all(chaos_history::Verdict::is_kept))
}

/// What a person who waits wants to know.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What was asked for.
fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

async fn interrupted() {
    // Whoever hung up has a run that goes on only where that was wanted, as by nohup.
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let heard = kinds.into_iter().filter(|kind| !(*kind == SignalKind::hangup() && ignores(&status, *kind)));
    let mut signals: Vec<_> = heard.filter_map(|kind| signal(kind).ok()).collect();
    // Without signals there is nothing to wait for.
    std::future::poll_fn(|context| {
        let any = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Whether whoever started a process had it ignore a signal, by what the kernel says of the process.
fn ignores(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw_value() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_that_was_to_be_ignored_is_known() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SignalKind::hangup()) && !ignores(status, SignalKind::terminate()));
        assert!(!ignores("", SignalKind::hangup()));
    }
}
