//! Runs whole clusters in simulation, seed by seed, and says what it found.
//!
//! Each seed has a process of its own: a few counters of libraries belong to the process, and the same seed must be the same run.

mod bugs;
mod kept;
mod probes;
mod process;
mod scenarios;
mod shrink;

use crate::process::{Bug, Report};
use cluster_tests::simulation::{self, Order, Outcome, Without};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

cluster_tests::chance_by_seed!();

/// As the server's, but what is freed need not be zeroed: no secret of a simulation is anybody's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "usage: holdfast-simulate [--seeds N] [--from SEED] [--steps N] [--nodes N] [--jobs N]
       holdfast-simulate --seed SEED [--steps N] [--nodes N] [--without KIND,…] [--trace] [--twice] [--shrink]
       holdfast-simulate --kept FILE
       holdfast-simulate --scenarios FILE|DIRECTORY [--seeds N] [--from SEED] [--trace]
       holdfast-simulate --bugs [--only BUG] [--seeds N] [--steps N]

Walks N seeds from SEED on (default: 20 from 1) by N steps each (default 2000), and judges each. --seed runs one, --trace shows all that
happens, --twice runs it two times and compares, --shrink looks for fewer steps and fewer kinds of them that still fail. --without leaves
kinds of steps out, by the words of the counts. --kept runs what stands in a file, line by line. --scenarios plays a scenario, or all of a
directory, under N seeds each (default: 3). --bugs puts one classic bug after the other back (debug builds) and says how many seeds it
took to find it. Exit codes: 0 nothing was found (with --bugs: all were), 1 otherwise,
2 usage.";

/// A scenario must come true whatever chance decides besides.
const SEEDS_OF_A_SCENARIO: u64 = 3;

/// Nodes of a simulated cluster at most.
const NODES_MAX: u64 = 9;

#[derive(Clone)]
struct Wanted {
    seeds: u64,
    from: u64,
    steps: u64,
    nodes: u64,
    jobs: u64,
    only: Option<u64>,
    trace: bool,
    twice: bool,
    bugs: bool,
    without: Without,
    shrink: bool,
    kept: Option<String>,
    /// Scenarios to play, or, for the process of one seed, the scenario.
    scenarios: Option<String>,
    only_bug: Option<String>,
    help: bool,
    /// For the process of one seed: the bug that is looked for where it is, without a walk.
    probe: Option<String>,
    /// Set for the process of one seed.
    one: bool,
}

fn main() -> ExitCode {
    let wanted = match read(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            say(&format!("error: {why}\n{HELP}"));
            return ExitCode::from(2);
        }
    };
    if wanted.help {
        show(HELP);
        return ExitCode::SUCCESS;
    }
    let found = match wanted.only {
        _ if wanted.bugs => bugs::missed(&wanted),
        _ if wanted.kept.is_some() => kept::found(&wanted),
        Some(seed) if wanted.one => one(seed, &wanted),
        _ if wanted.scenarios.is_some() => scenarios::found(&wanted),
        Some(seed) if wanted.shrink => shrink::found(seed, &wanted),
        Some(seed) => several(&[seed, seed][..if wanted.twice { 2 } else { 1 }], &wanted),
        None => several(&(wanted.from..wanted.from + wanted.seeds).collect::<Vec<_>>(), &wanted),
    };
    if found { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut wanted = Wanted {
        seeds: 20,
        from: 1,
        steps: 2000,
        nodes: 3,
        jobs,
        only: None,
        trace: false,
        twice: false,
        bugs: false,
        without: Without::default(),
        shrink: false,
        kept: None,
        scenarios: None,
        only_bug: None,
        help: false,
        probe: None,
        one: false,
    };
    let mut seeds = None;
    while let Some(argument) = arguments.next() {
        let mut text = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        let mut number = || {
            let value = text()?;
            value.parse::<u64>().map_err(|_| format!("{argument}: {value:?} is not a whole number"))
        };
        match argument.as_str() {
            "--seeds" => seeds = Some(number()?),
            "--from" => wanted.from = number()?,
            "--steps" => wanted.steps = number()?,
            "--nodes" => wanted.nodes = number()?,
            "--jobs" => wanted.jobs = number()?,
            "--seed" => wanted.only = Some(number()?),
            "--trace" => wanted.trace = true,
            "--twice" => wanted.twice = true,
            "--bugs" => wanted.bugs = true,
            "--shrink" => wanted.shrink = true,
            "--without" => wanted.without = without(&text()?)?,
            "--scenarios" => wanted.scenarios = Some(text()?),
            "--kept" => wanted.kept = Some(text()?),
            "--only" => wanted.only_bug = Some(text()?),
            "--probe" => wanted.probe = Some(text()?),
            "--one" => wanted.one = true,
            "--help" | "-h" => wanted.help = true,
            _ => return Err(format!("{argument} is unknown")),
        }
    }
    let usual = if wanted.scenarios.is_some() { SEEDS_OF_A_SCENARIO } else { wanted.seeds };
    wanted.seeds = seeds.unwrap_or(usual);
    check(&wanted).map(|()| wanted)
}

/// What would walk nothing, or is said to something that does not listen.
fn check(wanted: &Wanted) -> Result<(), String> {
    let Wanted { only, bugs, kept, scenarios, .. } = wanted;
    for (flag, number) in [("--seeds", wanted.seeds), ("--steps", wanted.steps), ("--jobs", wanted.jobs)] {
        if number == 0 {
            return Err(format!("{flag} 0 does nothing: use 1 or more"));
        }
    }
    if !(1..=NODES_MAX).contains(&wanted.nodes) {
        return Err(format!("--nodes {}: a simulated cluster has 1 to {NODES_MAX}", wanted.nodes));
    }
    let modes = [("--bugs", *bugs), ("--kept", kept.is_some()), ("--scenarios", scenarios.is_some()), ("--seed", only.is_some())];
    let modes: Vec<&str> = modes.iter().filter(|(_, is_wanted)| *is_wanted && !wanted.one).map(|(flag, _)| *flag).collect();
    if let [one, other, ..] = modes[..] {
        return Err(format!("{one} and {other} do not go together"));
    }
    for (flag, is_wanted, fits, with) in [
        ("--only", wanted.only_bug.is_some(), *bugs, "--bugs"),
        ("--shrink", wanted.shrink, only.is_some(), "--seed"),
        ("--twice", wanted.twice, only.is_some(), "--seed"),
    ] {
        if is_wanted && !fits {
            return Err(format!("{flag} goes with {with}"));
        }
    }
    Ok(())
}

fn without(words: &str) -> Result<Without, String> {
    words.split(',').filter(|word| !word.is_empty()).try_fold(Without::default(), |without, word| {
        let known = || Without::words().collect::<Vec<_>>().join(", ");
        without.and(word).ok_or_else(|| format!("--without: {word:?} is no kind that can be left out; there are {}", known()))
    })
}

/// In the process of one seed: runs it, and writes what it came to as lines.
fn one(seed: u64, wanted: &Wanted) -> bool {
    let scenario = match wanted.scenarios.as_deref().map(scenarios::read).transpose() {
        Ok(scenario) => scenario,
        Err(why) => return failed(&why),
    };
    if let Some(probe) = wanted.probe.as_deref().and_then(probes::of) {
        return match probe(seed) {
            Ok(()) => {
                show("count probes 1");
                false
            }
            Err(why) => failed(&why),
        };
    }
    let order = Order { seed, steps: wanted.steps, nodes: wanted.nodes, without: wanted.without };
    let trace = wanted.trace;
    watch_panics();
    // A thread of its own has no stream of chance but the seed's.
    let ran = std::thread::Builder::new().stack_size(16 << 20).spawn(move || match scenario {
        Some(scenario) => simulation::play(&scenario, seed, trace),
        None => simulation::run(order, trace),
    });
    let ran = ran.map(std::thread::JoinHandle::join);
    let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    for panic in &panics {
        failed(panic);
    }
    let outcome = match ran {
        Ok(Ok(Ok(outcome))) => outcome,
        Ok(Ok(Err(why))) => return failed(&why),
        Ok(Err(_)) => return failed("a part of the simulation panicked"),
        Err(error) => return failed(&error.to_string()),
    };
    let Outcome { trace, findings, counts, virtual_ms, walked } = outcome;
    show(&format!("trace {:016x} {}", trace.hash(), trace.lines()));
    show(&format!("count virtual_ms {virtual_ms}"));
    show(&format!("count steps {walked}"));
    counts.iter().for_each(|(what, count)| show(&format!("count {} {count}", what.replace(' ', "-"))));
    findings.iter().for_each(|finding| show(&format!("finding {}", finding.replace('\n', "\nfinding "))));
    !(findings.is_empty() && panics.is_empty())
}

/// Panics of this process. Most end a task that nobody waits for, and would show as an answer that never came.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(format!("something panicked: {panic}"));
        usual(panic);
    }));
}

fn failed(why: &str) -> bool {
    show(&format!("finding {}", why.replace('\n', "\nfinding ")));
    true
}

fn several(seeds: &[u64], wanted: &Wanted) -> bool {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let reports = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..wanted.jobs.min(seeds.len() as u64) {
            scope.spawn(|| {
                while let Some(seed) = usize::try_from(next.fetch_add(1, Ordering::Relaxed))
                    .ok()
                    .and_then(|at| seeds.get(at).map(|seed| (at, *seed)))
                {
                    let report = process::of(seed.1, wanted, Bug::None);
                    tell(seed.1, wanted, &report);
                    if let Ok(mut reports) = reports.lock() {
                        reports.insert(seed.0, report);
                    }
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_default();
    let differ = wanted.twice && reports.values().any(|report| report.trace != reports[&0].trace);
    if wanted.twice {
        show(if differ { "the two runs differ" } else { "the two runs are the same" });
    }
    summary(&reports, wanted, began.elapsed());
    differ || reports.values().any(|report| !report.findings.is_empty())
}

fn tell(seed: u64, wanted: &Wanted, report: &Report) {
    if !report.findings.is_empty() {
        let found = report.findings.join("\n  ");
        let again = process::again(seed, wanted);
        show(&format!("seed {seed}:\n  {found}\n  again: {again} --trace\n  a smaller one: {again} --shrink"));
    } else if wanted.only.is_some() {
        show(&format!("seed {seed}: nothing found; trace {}", report.trace));
    }
}

fn summary(reports: &BTreeMap<usize, Report>, wanted: &Wanted, took: Duration) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, count) in reports.values().flat_map(|report| &report.counts) {
        *counts.entry(what).or_default() += count;
    }
    let found = reports.values().filter(|report| !report.findings.is_empty()).count();
    let virtual_h = counts.remove("virtual_ms").unwrap_or(0) as f64 / 3.6e6;
    show(&format!(
        "{} seeds of {} steps in {:.1} s, {virtual_h:.2} hours of the nodes: {found} with findings",
        reports.len(),
        wanted.steps,
        took.as_secs_f64()
    ));
    let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    show(&counts.join(", "));
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
