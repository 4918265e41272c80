//! `holdfastd`: the server. One node of a cluster, a development cluster, or the kit of a new cluster.

use clap::{Parser, Subcommand};
use node::boot::Ambient;
use node::config::{Config, LogConfig, LogFormat};
use node::dev::DevCluster;
use node::kit::{self, NodePlan};
use node::restore::{self, Holding, Point, RestoreReport, Wish};
use node::seal::server::serve;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: node::memory::Allocator = node::memory::ALLOCATOR;

/// Exit code for settings and usage, as clap has it.
const USAGE: u8 = 2;
/// Exit code for everything else that goes wrong.
const FAILED: u8 = 1;

/// A secrets manager whose every read is on a replicated, tamper-evident journal before it is answered.
#[derive(Parser)]
#[command(name = "holdfastd", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

const EXAMPLES: &str = "Examples:
  holdfastd dev                                  a cluster of three on this machine, gone when it stops
  holdfastd dev --data ./dev                     the same, kept
  holdfastd kit --out kit                        certificates, keys and settings of a new cluster of three on this machine
  holdfastd server --config kit/node1/holdfast.toml";

#[derive(Subcommand)]
enum Subcommands {
    /// Run one node of a cluster
    Server {
        /// Settings of the node
        #[arg(long, short, env = "HOLDFAST_SERVER_CONFIG")]
        config: PathBuf,
        /// One setting over the file's and the environment's, such as log.level=debug (repeatable)
        #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
        set: Vec<String>,
        /// Read the settings, say whether they can be used, and stop
        #[arg(long)]
        check: bool,
    },
    /// Run a development cluster: three nodes in three zones in this process
    Dev {
        /// Keep the data here across restarts
        #[arg(long)]
        data: Option<PathBuf>,
        /// Nodes listen for clients at PORT+1 … and for each other at PORT+101 …
        #[arg(long, default_value_t = 7100)]
        port: u16,
        /// What to log: error, warn, info, debug, trace
        #[arg(long, default_value = "warn")]
        log: String,
    },
    /// Lay out certificates, keys and settings: a directory for each node
    Kit {
        /// Directory to make
        #[arg(long)]
        out: PathBuf,
        /// A node: id=1,zone=a,client=10.0.0.1:7100,peer=10.0.0.1:7200 (repeatable; three on this machine where none is named)
        #[arg(long = "node", value_name = "NODE", value_parser = NodePlan::parse)]
        nodes: Vec<NodePlan>,
        /// First port where no node is named
        #[arg(long, default_value_t = 7100)]
        port: u16,
        /// Add the named nodes to an existing kit
        #[arg(long, requires = "nodes")]
        add: bool,
        /// New certificates, by the kit's authority, for its nodes or those with --id; running nodes take them when they are copied there
        #[arg(long, conflicts_with_all = ["add", "around", "nodes", "seal", "port"])]
        renew: bool,
        /// Renew the certificates of this node only (repeatable)
        #[arg(long = "id", value_name = "ID", requires = "renew")]
        ids: Vec<u64>,
        /// Lay out new nodes around the seal.json (and seal.key) in this directory, to restore a lost cluster on them
        #[arg(long, value_name = "DIR", conflicts_with_all = ["add", "seal"], requires = "nodes")]
        around: Option<PathBuf>,
        /// What unseals the nodes: a key file beside each, or nothing yet (`holdfast operator init` makes the keys)
        #[arg(long, value_enum, default_value_t = KitSeal::KeyFile, conflicts_with = "add")]
        seal: KitSeal,
    },
    /// What the data directory of a node that does not run holds: of survivors, which is furthest
    Inspect {
        /// Settings of the node
        #[arg(long, short, env = "HOLDFAST_SERVER_CONFIG")]
        config: PathBuf,
        /// Read shares or the passphrase from standard input, one a line
        #[arg(long)]
        unseal_stdin: bool,
    },
    /// Go on with this node alone after a majority was lost for good; what it does not have is lost
    Recover {
        /// Settings of the node: the furthest of the survivors (holdfastd inspect)
        #[arg(long, short, env = "HOLDFAST_SERVER_CONFIG")]
        config: PathBuf,
        /// Say that you know what this means: without it nothing is done
        #[arg(long, required = true)]
        i_accept_loss: bool,
        /// A new, empty node that is a member from now on (repeatable); others join later
        #[arg(long = "node", value_name = "NODE", value_parser = NodePlan::parse)]
        nodes: Vec<NodePlan>,
        /// What `holdfastd inspect` said on another survivor: nothing is done where that one is further (repeatable)
        #[arg(long = "survivor", value_name = "FILE")]
        survivors: Vec<PathBuf>,
        /// Read shares or the passphrase from standard input, one a line
        #[arg(long)]
        unseal_stdin: bool,
    },
    /// Bring a lost cluster back from its snapshots: this node, with an empty data directory, begins it anew
    Restore {
        /// Settings of the node, with the cluster's old seal file
        #[arg(long, short, env = "HOLDFAST_SERVER_CONFIG")]
        config: PathBuf,
        /// Where the snapshots are: a directory, file:///path or s3://bucket/prefix
        #[arg(long)]
        from: String,
        /// As of this record; the newest there is when left out
        #[arg(long, conflicts_with = "at_time")]
        at_revision: Option<u64>,
        /// As of this time, such as 2026-11-22T10:00:00Z
        #[arg(long)]
        at_time: Option<String>,
        /// Another node of the new cluster, an empty one: id=5,zone=b,client=10.0.0.5:7100,peer=10.0.0.5:7200 (repeatable)
        #[arg(long = "node", value_name = "NODE", value_parser = NodePlan::parse)]
        nodes: Vec<NodePlan>,
        /// A kit: all of its nodes with a number from this node's on are members
        #[arg(long)]
        kit: Option<PathBuf>,
        /// A new file for the root token; root-token beside the settings when left out
        #[arg(long)]
        token_file: Option<PathBuf>,
        /// Check everything and say what would come back; write nothing
        #[arg(long)]
        dry_run: bool,
        /// Read shares or the passphrase from standard input, one a line
        #[arg(long)]
        unseal_stdin: bool,
        /// Say it as a JSON document
        #[arg(long)]
        json: bool,
    },
}

/// As of when to restore.
fn parse_point(at_revision: Option<u64>, at_time: Option<&str>) -> Result<Point, Failure> {
    let Some(time) = at_time else { return Ok(at_revision.map_or(Point::Newest, Point::Revision)) };
    let time: jiff::Timestamp =
        time.parse().map_err(|_| usage(format!("--at-time {time:?} is no time: write it as 2026-11-22T10:00:00Z")))?;
    Ok(Point::Time(u64::try_from(time.as_microsecond()).unwrap_or(0)))
}

/// What a kit has to unseal its nodes with.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KitSeal {
    /// A key file beside each node
    KeyFile,
    /// No keys at all
    None,
}

fn main() -> ExitCode {
    node::memory::harden();
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Subcommands::Server { config, set, check } => server(&config, &set, check),
        Subcommands::Dev { data, port, log } => dev(data.as_deref(), port, log),
        Subcommands::Kit { out, renew: true, ids, .. } => renew_kit(&out, &ids),
        Subcommands::Kit { out, nodes, port, add, around, seal, .. } => make_kit(&out, nodes, port, add, around.as_deref(), seal),
        Subcommands::Inspect { config, unseal_stdin } => inspect(&config, unseal_stdin),
        Subcommands::Recover { config, nodes, survivors, unseal_stdin, i_accept_loss: _ } => {
            recover(&config, &nodes, &survivors, unseal_stdin)
        }
        Subcommands::Restore { config, from, at_revision, at_time, nodes, kit, token_file, dry_run, unseal_stdin, json } => {
            parse_point(at_revision, at_time.as_deref()).and_then(|at| {
                let beside = || config.with_file_name("root-token");
                let token_file = token_file.unwrap_or_else(beside);
                run_restore(&config, &Wish { from, at, others: nodes, kit, token_file, dry_run }, unseal_stdin, json)
            })
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {}", failure.what);
            ExitCode::from(failure.code)
        }
    }
}

struct Failure {
    code: u8,
    what: String,
}

fn usage(what: impl std::fmt::Display) -> Failure {
    Failure { code: USAGE, what: what.to_string() }
}

fn failed(what: impl std::fmt::Display) -> Failure {
    Failure { code: FAILED, what: what.to_string() }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)
}

fn server(path: &Path, set: &[String], check: bool) -> Result<(), Failure> {
    let config = Config::load(path, std::env::vars(), set).map_err(usage)?;
    if check {
        say(&format!("{} can be used", path.display()));
        return Ok(());
    }
    node::logging::start(&config.log).map_err(usage)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(config, Ambient::real(), asked_to_stop(), say));
    // What a start that was cut off has left reading a disk, or asking others, ends with the process.
    runtime.shutdown_background();
    ended.map_err(failed)
}

fn offline(path: &Path, unseal_stdin: bool) -> Result<(Config, Vec<zeroize::Zeroizing<String>>), Failure> {
    let config = Config::load(path, std::env::vars(), &[]).map_err(usage)?;
    node::logging::start(&config.log).map_err(usage)?;
    Ok((config, if unseal_stdin { read_texts()? } else { Vec::new() }))
}

fn inspect(path: &Path, unseal_stdin: bool) -> Result<(), Failure> {
    let (config, texts) = offline(path, unseal_stdin)?;
    let ambient = Ambient::real();
    let holding = runtime()?.block_on(restore::inspect(&config, &ambient, texts)).map_err(failed)?;
    say(&serde_json::to_string_pretty(&holding).map_err(failed)?);
    Ok(())
}

fn recover(path: &Path, nodes: &[NodePlan], survivors: &[PathBuf], unseal_stdin: bool) -> Result<(), Failure> {
    let survivors = survivors.iter().map(|file| read_holding(file)).collect::<Result<Vec<Holding>, Failure>>()?;
    let (config, texts) = offline(path, unseal_stdin)?;
    let ambient = Ambient::real();
    let mut progress = |_: &str, _: u64, _: u64| ();
    let recovered = restore::recover(&config, &ambient, texts, (nodes, &survivors), &mut progress);
    let report = runtime()?.block_on(recovered).map_err(failed)?;
    say(&serde_json::to_string_pretty(&report).map_err(failed)?);
    Ok(())
}

fn read_holding(file: &Path) -> Result<Holding, Failure> {
    let bytes = std::fs::read(file).map_err(|error| usage(format!("--survivor {}: {error}", file.display())))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| usage(format!("--survivor {} is not from holdfastd inspect: {error}", file.display())))
}

fn run_restore(path: &Path, wish: &Wish, unseal_stdin: bool, json: bool) -> Result<(), Failure> {
    let (config, texts) = offline(path, unseal_stdin)?;
    let started = std::time::Instant::now();
    let mut last = (String::new(), 0);
    let mut progress = |doing: &str, done: u64, total: u64| {
        let percent = done.saturating_mul(100) / total.max(1);
        if (last.0.as_str(), last.1) != (doing, percent / 10) {
            last = (doing.to_owned(), percent / 10);
            let _ = writeln!(std::io::stderr(), "{doing}: {percent} %");
        }
    };
    let ambient = Ambient::real();
    let restored = restore::restore(&config, &ambient, texts, wish, &mut progress);
    let report = runtime()?.block_on(restored).map_err(failed)?;
    if json {
        say(&serde_json::to_string_pretty(&report).map_err(failed)?);
    } else {
        say(&describe(&report, started.elapsed().as_secs_f64()));
    }
    Ok(())
}

fn describe(report: &RestoreReport, seconds: f64) -> String {
    let word = if report.dry_run { "would come back" } else { "came back" };
    let environments: Vec<String> = report.environments.iter().map(|(name, secrets)| format!("{name} {secrets}")).collect();
    let mut text = format!(
        "cluster {} {word} at record {}, epoch {}: {} secrets ({}), {} values\nfrom {} ({} bytes)\nchain {}\nstate {}\n{} tokens end; members: {:?}",
        report.cluster,
        report.revision,
        report.epoch,
        report.secrets,
        environments.join(", "),
        report.values,
        report.files.join(", "),
        report.bytes,
        report.chain,
        report.state_digest,
        report.tokens_ended,
        report.members,
    );
    if report.values_gone > 0 {
        text.push_str(&format!(
            "\n{} of the values were destroyed while the snapshot was written, and stay so",
            report.values_gone
        ));
    }
    if let Some(file) = &report.token_file {
        text.push_str(&format!("\nthe new root token is in {file}: start this node, then the others"));
    }
    text.push_str(&format!("\n{seconds:.1} s"));
    text
}

/// Shares or a passphrase, one a line.
fn read_texts() -> Result<Vec<zeroize::Zeroizing<String>>, Failure> {
    let lines = std::io::stdin().lines().map(|line| line.map(|line| zeroize::Zeroizing::new(line.trim().to_owned())));
    let lines: Result<Vec<_>, _> = lines.collect();
    Ok(lines.map_err(failed)?.into_iter().filter(|line| !line.is_empty()).collect())
}

fn dev(data: Option<&Path>, port: u16, log: String) -> Result<(), Failure> {
    node::logging::start(&LogConfig { level: log, format: LogFormat::Text }).map_err(usage)?;
    let temporary = tempfile::tempdir().map_err(failed)?;
    let directory = data.unwrap_or_else(|| temporary.path());
    runtime()?.block_on(async {
        let mut cluster = DevCluster::start(directory, port).await.map_err(failed)?;
        say(&cluster.greeting());
        say("ready");
        let ended = tokio::select! {
            () = asked_to_stop() => None,
            reason = cluster.failed() => Some(reason),
        };
        cluster.shutdown().await;
        ended.map_or(Ok(()), |reason| Err(failed(reason)))
    })
}

fn make_kit(out: &Path, nodes: Vec<NodePlan>, port: u16, add: bool, around: Option<&Path>, seal: KitSeal) -> Result<(), Failure> {
    let nodes = if nodes.is_empty() { NodePlan::local(3, port) } else { nodes };
    if add {
        nodes.iter().try_for_each(|node| kit::add_node(out, node)).map_err(failed)?;
    } else if let Some(seal) = around {
        kit::create_around(out, &nodes, seal, &*Ambient::real().entropy).map_err(failed)?;
    } else if seal == KitSeal::KeyFile {
        kit::create(out, &nodes).map_err(failed)?;
    } else {
        kit::create_without_keys(out, &nodes).map_err(failed)?;
    }
    for node in &nodes {
        say(&format!("holdfastd server --config {}/holdfast.toml", kit::node_directory(out, node.id).display()));
    }
    if !add {
        say(&format!("export HOLDFAST_CONFIG={}/client.toml", out.display()));
    }
    Ok(())
}

fn renew_kit(out: &Path, ids: &[u64]) -> Result<(), Failure> {
    for id in kit::renew(out, ids).map_err(failed)? {
        say(&format!(
            "{}/tls is new: copy it to node {id}, which takes it within seconds",
            kit::node_directory(out, id).display()
        ));
    }
    Ok(())
}

async fn asked_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        // Without signals there is nothing to wait for: run until killed.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
