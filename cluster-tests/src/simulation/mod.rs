//! Whole clusters in one thread, in virtual time, by chance that is a function of one number: the same seed is the same run, twice.
//!
//! Nodes are what they are in production, from `node::boot` down: engine, openraft, gRPC and TLS between nodes, log, journal, snapshots,
//! cipher. Four things around them are not real: time is tokio's and jumps to the next timer when nobody has anything to do; disks are
//! [`storage::MemoryDisk`]s, which lose by chance what was not synced; bytes between nodes cross a network of this module; and every call for
//! random bytes is answered from the seed ([`chance`]). Callers are in the process, behind the same services as everybody's. Rows that lie in sled
//! elsewhere lie in memory and end with each life of their node, so that every start rebuilds them.
//!
//! # What it cannot see
//! Threads: work that has threads of its own in production is done here by the one thread, in steps. And the client port's connections.

mod builds;
pub mod chance;
mod clients;
mod disk;
mod ending;
mod faults;
mod guests;
mod network;
mod operators;
mod scenario;
mod steps;
mod trace;
mod walk;
mod watch;
mod world;

use chaos_history::Verdict;

pub use scenario::Scenario;
pub use steps::Without;
pub use trace::Trace;

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// What decides everything.
    pub seed: u64,
    /// Steps of the walk.
    pub steps: u64,
    /// Nodes at the start.
    pub nodes: u64,
    /// Kinds of steps that are left out.
    pub without: Without,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What happened, as a number: the same for the same run.
    pub trace: Trace,
    /// Broken promises; none of a good run.
    pub findings: Vec<String>,
    /// How often each thing was done.
    pub counts: std::collections::BTreeMap<&'static str, u64>,
    /// How long it took for the nodes.
    pub virtual_ms: u64,
    /// Steps that were walked: fewer than wanted where something was found on the way.
    pub walked: u64,
}

/// Runs one seed on this thread, which must be a new one, and in whose process [`chance_by_seed`](crate::chance_by_seed) stands.
///
/// # Errors
/// When what a run needs could not be laid out.
pub fn run(order: Order, verbose: bool) -> Result<Outcome, String> {
    in_a_world(order.seed, walk::run(order, Trace::new(verbose)))
}

/// Plays a scenario, as [`run`]; what chance decides is decided by the seed.
///
/// # Errors
/// As [`run`].
pub fn play(scenario: &Scenario, seed: u64, verbose: bool) -> Result<Outcome, String> {
    in_a_world(seed, async {
        let mut walk = walk::Walk::begin(scenario.nodes, Without::default(), Trace::new(verbose)).await?;
        let played = scenario::play(&mut walk, scenario).await?;
        walk.end_well(played).await
    })
}

fn in_a_world(seed: u64, run: impl Future<Output = Result<Outcome, String>>) -> Result<Outcome, String> {
    chance::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("start the runtime: {error}"))?;
    let outcome = runtime.block_on(async {
        storage::workers::simulate(disk::drive());
        run.await
    });
    // Whatever is left of nodes that lost their power waits for nothing any more.
    runtime.shutdown_background();
    outcome
}

/// Verdicts that are no praise, as text.
fn broken(verdicts: &[Verdict]) -> Vec<String> {
    verdicts.iter().filter(|verdict| !verdict.is_kept()).map(ToString::to_string).collect()
}
