//! One run: set the stage, let clients work, strike, heal, judge, report.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chaos_history::Operation;
use proto_client::Client;

use crate::{
    ending::{self, Journal},
    judgement::{self, Seen},
    logs,
    nemesis::{self, Hooks, Members, Owed, Scene, Strike, Trial},
    plan::{FaultPlan, Plan, Span},
    profile,
    recorder::{self, Recorder},
    report::{self, Report, Skipped},
    say, shell,
    stage::{
        Stage,
        cpu::{Busy, Window},
        means::{Means, Need, command_line},
    },
    trouble::Trouble,
    watch::Watch,
    workload::{Keys, Workload},
};

/// Clients work so long before the first fault, …
const WARM_UP: Duration = Duration::from_secs(2);
/// … and after the last.
const COOL_DOWN: Duration = Duration::from_secs(3);
/// Where clients work unless the command line says otherwise.
pub(crate) const ENVIRONMENT: &str = "development";

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) plan: Plan,
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) lasts: Duration,
    pub(crate) out: PathBuf,
    /// Leave the nodes' disks and logs where they are.
    pub(crate) keep: bool,
    /// A fault that can not strike here fails the run.
    pub(crate) strict: bool,
    /// The server to run, and how the command line named it.
    pub(crate) binary: PathBuf,
    pub(crate) named_binary: Option<PathBuf>,
    pub(crate) environment: String,
    /// Somebody else's cluster, by its settings.
    pub(crate) attach: Option<PathBuf>,
    pub(crate) hooks: Hooks,
}

#[cfg(test)]
impl Order {
    /// Nothing but a plan, by seed 7.
    pub(crate) fn of_plan(name: &str, plan: Plan) -> Order {
        Order {
            lasts: plan.lasts.0,
            plan,
            name: name.to_owned(),
            seed: 7,
            out: PathBuf::new(),
            keep: false,
            strict: false,
            binary: PathBuf::new(),
            named_binary: None,
            environment: ENVIRONMENT.to_owned(),
            attach: None,
            hooks: Hooks::default(),
        }
    }
}

/// What is to be undone on every way out, as far as the run came.
#[derive(Default)]
struct Undo {
    /// Our own cluster.
    stage: Option<Arc<Stage>>,
    /// What faults owe a cluster that is not ours.
    owed: Option<Arc<Owed>>,
}

/// Runs a plan; the report, which is also in the order's directory. Nothing of ours is left in the system, and nothing of somebody
/// else's is left stopped or sealed, whatever happened; what cannot be undone is told.
pub(crate) async fn run(order: &Order, stopped: impl Future<Output = ()>) -> Result<Report, Trouble> {
    std::fs::create_dir_all(&order.out).map_err(Trouble::io("make", &order.out))?;
    let mut undo = Undo::default();
    let outcome = tokio::select! {
        outcome = on_stage(order, &mut undo) => outcome,
        () = stopped => Err(Trouble::Interrupted),
    };
    let mut left = Vec::new();
    // A cluster of our own goes as it is.
    if let (Some(owed), None) = (undo.owed, &undo.stage) {
        left.extend(let_go(owed).await.settle().await);
    }
    if let Some(stage) = undo.stage {
        let keep = order.keep || keeps(&outcome);
        if keep {
            say(&format!("the disks and logs of the nodes stay in {}", stage.directory().display()));
        }
        left.extend(let_go(stage).await.take_down(keep).await);
    }
    for left in left {
        say(&format!("left behind: {left}"));
    }
    outcome
}

/// Whether disks and logs are worth a look: after everything but a pass, and a run that somebody gave up.
fn keeps(outcome: &Result<Report, Trouble>) -> bool {
    match outcome {
        Ok(report) => !report.passed,
        Err(Trouble::Interrupted) => false,
        Err(_) => true,
    }
}

/// Waits until tasks that were given up have let go of it, one after the other.
async fn let_go<T>(mut shared: Arc<T>) -> T {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(alone) => return alone,
            Err(still) => shared = still,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn on_stage(order: &Order, undo: &mut Undo) -> Result<Report, Trouble> {
    let means = match &order.attach {
        Some(_) => Means::of_a_running_cluster(order.hooks.stop.is_some() && order.hooks.start.is_some()),
        None => Means::of_this_machine().with_server(&order.binary).await,
    };
    let (faults, skipped) = choose(&order.plan, &means);
    for Skipped { kind, why } in &skipped {
        say(&format!("skipping {}: {why}", kind.word()));
    }
    if faults.is_empty() {
        return Err(Trouble::unusable(format!("plan {}", order.name), "none of its faults can strike here"));
    }
    let client = match &order.attach {
        Some(path) => Client::connect(profile::read(path)?).await.map_err(Trouble::cluster("connect to the cluster"))?,
        None => {
            let stage = start_stage(order, &means, &mut undo.stage).await?;
            stage.client(None).await?
        }
    };
    let owed = Arc::new(Owed::new(&client, &order.environment, &order.hooks));
    undo.owed = Some(owed.clone());
    let played = play(order, &faults, client, undo.stage.clone(), owed).await?;
    let verdicts = judge(order, &faults, &skipped, &played);
    let report = report::of_run(order, &faults, skipped, &played, verdicts);
    report::write(&order.out, &report, &played.operations)?;
    Ok(report)
}

/// The faults that can strike here, and those that cannot.
fn choose(plan: &Plan, means: &Means) -> (Vec<FaultPlan>, Vec<Skipped>) {
    let (mut faults, mut skipped) = (Vec::new(), Vec::new());
    for fault in &plan.fault {
        match fault.kind.lack(means) {
            None => faults.push(fault.clone()),
            Some(why) => skipped.push(Skipped { kind: fault.kind, why }),
        }
    }
    (faults, skipped)
}

async fn start_stage(order: &Order, means: &Means, set: &mut Option<Arc<Stage>>) -> Result<Arc<Stage>, Trouble> {
    let directory = order.out.join("cluster");
    std::fs::create_dir(&directory).map_err(Trouble::io("make (is there a run in this directory already?)", &directory))?;
    let directory = directory.canonicalize().map_err(Trouble::io("find", &directory))?;
    // A disk that nothing of the plan touches is a plain directory.
    let touches = |need: Need| order.plan.fault.iter().any(|fault| fault.kind.needs().contains(&need));
    let mut means = means.clone();
    for need in [Need::Network, Need::Disks, Need::Throttle] {
        if !touches(need) {
            means = means.without(need, "the plan has no fault that needs it");
        }
    }
    say(&format!("starting {} nodes in {}", order.plan.nodes, directory.display()));
    let plan = &order.plan;
    let stage = Arc::new(Stage::empty(&directory, &order.binary, &means, &plan.settings));
    // From here on it is taken down, however far it came.
    *set = Some(stage.clone());
    stage.set_up(plan.nodes, order.seed).await?;
    stage.all_answer().await?;
    Ok(stage)
}

/// Everything that a run saw.
pub(crate) struct Played {
    pub(crate) began: jiff::Timestamp,
    pub(crate) took_ms: u64,
    pub(crate) operations: Vec<Operation>,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) deaths: Vec<String>,
    trials: Vec<Trial>,
    /// Answers that count as unknown, because the power of all nodes was failing.
    pub(crate) doubted: u64,
    /// How busy our own nodes were.
    pub(crate) busy: Option<Busy>,
    pub(crate) healed_at_ms: u64,
    alive_after_ms: Option<u64>,
    /// What the cluster held at the end; or why nobody could read it.
    end: Result<End, String>,
}

async fn play(
    order: &Order,
    faults: &[FaultPlan],
    client: Client,
    stage: Option<Arc<Stage>>,
    owed: Arc<Owed>,
) -> Result<Played, Trouble> {
    let began = jiff::Timestamp::now();
    let (recorder, kept) = recorder::start(&order.out.join("history.jsonl"))?;
    let run = format!("{}-{}", order.seed, began.as_second());
    let keys = Keys::new(&order.environment, &run, &order.plan.workload);
    // Where the journal of somebody else's cluster stands before we add to it.
    let from_seq = match order.attach {
        Some(_) => client.audit().head(Default::default()).await.map_err(Trouble::call("ask for the journal's head"))?.seq,
        None => 1,
    };
    let window = match &stage {
        Some(stage) => Some(Window::open(stage.cpu().await)),
        None => None,
    };
    let workload = Workload::start(&client, &order.plan.workload, &keys, &recorder, order.seed);
    let watch = stage.clone().map(|stage| Watch::start(stage, recorder.clone()));
    tokio::time::sleep(WARM_UP).await;
    let scene = Arc::new(scene(order, &client, &recorder, stage.as_ref(), &owed));
    say(&format!("striking for {}", Span(order.lasts)));
    let strikes = strike(order, faults, &scene).await;
    say("healing");
    let healed = match &stage {
        Some(stage) => stage.heal().await,
        None => Ok(()),
    };
    // What is still owed after this is told when the run ends.
    let _ = owed.settle().await;
    let healed_at_ms = recorder.now_ms();
    let alive = ending::liveness(&client, &keys, &recorder).await;
    tokio::time::sleep(COOL_DOWN).await;
    workload.stop().await;
    let busy = match (&stage, window) {
        (Some(stage), Some(window)) => Some(window.close(stage.cpu().await)),
        _ => None,
    };
    let trials = scene.trials();
    drop(scene);
    say("reading everything back");
    let end = match healed {
        Ok(()) => read_back(&client, &keys, &recorder, stage.as_ref(), from_seq).await,
        Err(trouble) => Err(trouble),
    };
    let doubted = recorder.doubted();
    drop(recorder);
    let deaths = deaths(watch, stage.as_deref()).await?;
    Ok(Played {
        began,
        took_ms: u64::try_from(began.duration_until(jiff::Timestamp::now()).as_millis()).unwrap_or(0),
        operations: kept.all().await?,
        strikes,
        deaths,
        trials,
        doubted,
        busy,
        healed_at_ms,
        alive_after_ms: alive.ok().map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        end: end.map_err(|trouble| trouble.to_string()),
    })
}

/// What faults have at hand.
fn scene(order: &Order, client: &Client, recorder: &Recorder, stage: Option<&Arc<Stage>>, owed: &Arc<Owed>) -> Scene {
    Scene {
        stage: stage.cloned(),
        client: client.clone(),
        recorder: recorder.clone(),
        owed: owed.clone(),
        network: Default::default(),
        members: Members { next_id: order.plan.nodes + 1, extra: Vec::new() }.into(),
        keys: Default::default(),
        trials: Default::default(),
    }
}

async fn deaths(watch: Option<Watch>, stage: Option<&Stage>) -> Result<Vec<String>, Trouble> {
    let mut deaths = match watch {
        Some(watch) => watch.stop().await,
        None => Vec::new(),
    };
    if let Some(stage) = stage {
        deaths.extend(logs::panics(stage.directory())?);
    }
    Ok(deaths)
}

async fn strike(order: &Order, faults: &[FaultPlan], scene: &Arc<Scene>) -> Vec<Strike> {
    let recorder = scene.recorder.clone();
    let told = Arc::new(move |strike: &Strike| {
        let (word, what) = match strike.fired {
            true => ("struck", format!("{}: {}", strike.target, strike.evidence)),
            false => ("missed", strike.evidence.clone()),
        };
        let (from, to) = (strike.began_ms as f64 / 1e3, strike.ended_ms as f64 / 1e3);
        say(&format!("{from:7.1} – {to:7.1} s  {word} {} {what} ({} answers)", strike.kind.word(), recorder.answered()));
    });
    nemesis::conduct(scene, faults, order.plan.hands, order.plan.rest.0, order.lasts, order.seed, told).await
}

/// What the cluster holds when everything is quiet.
pub(crate) struct End {
    pub(crate) secrets: Vec<chaos_history::FinalRegister>,
    pub(crate) standings: Vec<chaos_history::Standing>,
    pub(crate) journals: Vec<Journal>,
    /// What `holdfast audit verify` makes of the journals, where that program is at hand.
    pub(crate) verified: Option<Result<String, String>>,
}

async fn read_back(
    client: &Client,
    keys: &Keys,
    recorder: &Recorder,
    stage: Option<&Arc<Stage>>,
    from_seq: u64,
) -> Result<End, Trouble> {
    if let Some(stage) = stage {
        stage.all_answer().await?;
    }
    let secrets = ending::final_secrets(client, keys, recorder).await?;
    let nodes = nodes_of(client, stage).await?;
    let standings = ending::standings(&nodes).await?;
    let mut journals = Vec::new();
    for (node, client) in &nodes {
        let mut journal = ending::journal(*node, client, from_seq).await?;
        journal.records_total = journal.records.len();
        // One whole journal is held against the history; of the others the chain is enough.
        if journals.iter().any(|other: &Journal| other.first_seq <= journal.first_seq) {
            journal.records = Vec::new();
        }
        journals.push(journal);
    }
    let verified = match stage {
        Some(stage) => verify_by_command(stage).await,
        None => None,
    };
    Ok(End { secrets, standings, journals, verified })
}

/// The command line's own verifier, from outside: another program than the one that judges here.
async fn verify_by_command(stage: &Stage) -> Option<Result<String, String>> {
    let program = command_line(&stage.binary);
    if !program.exists() {
        return None;
    }
    let settings = format!("HOLDFAST_CONFIG={}", stage.client_toml().display());
    let words = [settings.as_ref(), program.as_os_str(), "audit".as_ref(), "verify".as_ref(), "--all-nodes".as_ref()];
    Some(shell::run("env", words).await.map_err(|trouble| trouble.to_string()))
}

async fn nodes_of(client: &Client, stage: Option<&Arc<Stage>>) -> Result<Vec<(u64, Client)>, Trouble> {
    if let Some(stage) = stage {
        let mut nodes = Vec::new();
        for (id, _) in stage.nodes() {
            nodes.push((id, stage.client(Some(id)).await?));
        }
        return Ok(nodes);
    }
    let mut nodes = Vec::new();
    for (_, client) in client.each_node() {
        let status = client.cluster().status(Default::default()).await.map_err(Trouble::call("ask a node where it stands"))?;
        nodes.push((status.node_id, client));
    }
    Ok(nodes)
}

fn judge(order: &Order, faults: &[FaultPlan], skipped: &[Skipped], played: &Played) -> Vec<chaos_history::Verdict> {
    say(&format!("judging {} operations", played.operations.len()));
    let seen = Seen {
        operations: &played.operations,
        end: played.end.as_ref(),
        alive_after_ms: played.alive_after_ms,
        deaths: &played.deaths,
        trials: &played.trials,
    };
    let mut verdicts = judgement::of_the_cluster(&seen);
    verdicts.extend(judgement::of_the_run(order, faults, skipped, &played.strikes, &played.operations));
    verdicts
}

/// The server beside this program, unless the command line names another.
pub(crate) fn server_binary(named: Option<&Path>) -> Result<PathBuf, Trouble> {
    let own = std::env::current_exe().map_err(Trouble::io("find", Path::new("this program")))?;
    let path = named.map_or_else(|| own.with_file_name("holdfastd"), Path::to_owned);
    let why = "build it beside this program (cargo build --workspace --bins), or name it with --holdfastd";
    path.canonicalize().map_err(|_| Trouble::unusable(format!("server {}", path.display()), why))
}

/// Deaths that the watch saw, shared with its task.
pub(crate) type Deaths = Arc<Mutex<Vec<String>>>;

pub(crate) fn take(deaths: &Deaths) -> Vec<String> {
    std::mem::take(&mut *deaths.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_came_to_no_result_leaves_its_logs_and_one_that_was_given_up_does_not() {
        assert!(keeps(&Err(Trouble::unusable("node 2", "it does not answer"))));
        assert!(!keeps(&Err(Trouble::Interrupted)));
    }
}
