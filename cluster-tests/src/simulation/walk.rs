//! The walk: step by step, by chance, something is asked or something breaks; after each step what must hold is looked at.

use super::clients::Callers;
use super::world::World;
use super::{Order, Outcome, Trace, chance, ending};
use chaos_history::{Call, Expect};
use raft::Role;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Calls under way at once.
const CALLS_MAX: usize = 8;
/// Secrets in use at a time, and for how many steps: each has a history that can be judged.
const KEYS: u64 = 12;
const KEYS_FOR_STEPS: u64 = 600;
/// How long the first founding may take.
const FOUNDED: Duration = Duration::from_secs(30);
/// Clocks are off by so much at most.
const CLOCK_OFF_MS: u64 = 10 * 60 * 1000;

/// What the next step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ask,
    Wait,
    Kill,
    CutPower,
    CutPowerOfAll,
    Stop,
    Start,
    Isolate,
    CutOneWay,
    Slow,
    Heal,
    Clock,
    HandOver,
    Snapshot,
}

/// How often each comes, against the others.
const WEIGHTS: [(Step, u64); 14] = [
    (Step::Ask, 700),
    (Step::Wait, 150),
    (Step::Start, 30),
    (Step::Heal, 20),
    (Step::Kill, 6),
    (Step::CutPower, 6),
    (Step::CutPowerOfAll, 2),
    (Step::Stop, 4),
    (Step::Isolate, 5),
    (Step::CutOneWay, 5),
    (Step::Slow, 4),
    (Step::Clock, 4),
    (Step::HandOver, 5),
    (Step::Snapshot, 5),
];

impl Step {
    fn word(self) -> &'static str {
        match self {
            Step::Ask => "ask",
            Step::Wait => "wait",
            Step::Kill => "kill",
            Step::CutPower => "power cut",
            Step::CutPowerOfAll => "power cut of all",
            Step::Stop => "stop",
            Step::Start => "start",
            Step::Isolate => "isolate",
            Step::CutOneWay => "cut one way",
            Step::Slow => "slow network",
            Step::Heal => "heal",
            Step::Clock => "clock off",
            Step::HandOver => "hand-over",
            Step::Snapshot => "snapshot",
        }
    }

    fn draw() -> Step {
        let total = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut at = chance::of(1..=total);
        for (step, weight) in WEIGHTS {
            if at <= weight {
                return step;
            }
            at -= weight;
        }
        Step::Wait
    }
}

/// A world on its way.
pub(super) struct Walk {
    pub(super) world: World,
    pub(super) callers: Callers,
    pub(super) trace: Trace,
    pub(super) began: Instant,
    calls: JoinSet<()>,
    /// How much of what callers were told is in the trace.
    traced: usize,
    values: u64,
    /// Each call is a caller's of its own.
    asked: u32,
    counts: BTreeMap<&'static str, u64>,
    findings: Vec<String>,
}

/// Lays a world out, walks, heals, and judges.
pub(super) async fn run(order: Order, trace: Trace) -> Result<Outcome, String> {
    let began = Instant::now();
    let world = World::lay_out(order.nodes)?;
    let callers = Callers::new(world.doors.clone(), world.token.clone(), began);
    let (calls, counts, findings) = (JoinSet::new(), BTreeMap::new(), Vec::new());
    let mut walk = Walk { world, callers, trace, began, calls, traced: 0, values: 0, asked: ending::JUDGE, counts, findings };
    walk.found().await?;
    for step in 0..order.steps {
        walk.step(step).await?;
        if !walk.findings.is_empty() {
            break;
        }
    }
    while walk.calls.join_next().await.is_some() {}
    walk.look().await;
    let verdicts = if walk.findings.is_empty() { ending::judge(&mut walk).await? } else { Vec::new() };
    let mut findings = walk.findings;
    findings.extend(verdicts);
    let told = walk.callers.told();
    walk.counts.insert("operations", told.len() as u64);
    walk.counts.insert("answered", told.iter().filter(|operation| operation.is_answered()).count() as u64);
    let virtual_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Outcome { trace: walk.trace, findings, counts: walk.counts, virtual_ms })
}

impl Walk {
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn tell(&mut self, what: impl std::fmt::Display) {
        let now = self.now_ms();
        self.trace.line(now, what);
    }

    /// Starts all nodes, and waits until there is a cluster.
    async fn found(&mut self) -> Result<(), String> {
        for id in self.world.ids() {
            self.world.start(id, self.began)?;
        }
        let deadline = Instant::now() + FOUNDED;
        while self.world.up().iter().filter(|(_, node)| node.is_ready()).count() < self.world.ids().len() {
            if Instant::now() > deadline {
                return Err("the nodes found no cluster".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.settle().await;
        }
        self.tell("the cluster is founded");
        Ok(())
    }

    async fn step(&mut self, number: u64) -> Result<(), String> {
        let step = Step::draw();
        *self.counts.entry(step.word()).or_default() += 1;
        match step {
            Step::Ask => self.ask(number / KEYS_FOR_STEPS),
            Step::Wait => tokio::time::sleep(Duration::from_millis(chance::of(1..=300))).await,
            Step::Start => self.start_one()?,
            Step::Kill | Step::CutPower | Step::Stop => self.end_one(step).await,
            Step::CutPowerOfAll => {
                self.tell("the power of all is cut");
                self.world.ids().into_iter().for_each(|id| self.world.cut_power(id));
            }
            Step::Isolate | Step::CutOneWay | Step::Slow | Step::Heal => self.network(step),
            Step::Clock => self.clock(),
            Step::HandOver | Step::Snapshot => self.operate(step),
        }
        // Little at a time, so that steps come upon each other.
        if chance::happens(60) {
            tokio::time::sleep(Duration::from_millis(chance::of(1..=6))).await;
        } else {
            tokio::task::yield_now().await;
        }
        while self.calls.try_join_next().is_some() {}
        self.look().await;
        Ok(())
    }

    /// Takes note of what has happened, and looks whether it may.
    async fn look(&mut self) {
        self.settle().await;
        let up = self.world.up();
        self.callers.watch(|watch| {
            watch.look(&up);
            self.findings.extend_from_slice(watch.findings());
        });
        let news = self.callers.told_from(self.traced);
        self.traced += news.len();
        for operation in news {
            self.tell(operation);
        }
    }

    pub(super) async fn settle(&mut self) {
        for (id, outcome) in self.world.settle().await {
            match outcome {
                Ok(()) => self.tell(format!("node {id} is up")),
                Err(why) => {
                    self.tell(format!("node {id} did not start: {why}"));
                    self.findings.push(format!("node {id} did not start: {why}"));
                }
            }
        }
        self.bury().await;
    }

    /// A node whose replication has stopped by itself, though nothing was done to it, is a finding; it is started again all the same.
    async fn bury(&mut self) {
        let stopped = self.world.up().into_iter().find_map(|(id, node)| match &*node.replica().watch_role().borrow() {
            Role::Stopped { reason } => Some((id, reason.clone())),
            _ => None,
        });
        if let Some((id, reason)) = stopped {
            self.findings.push(format!("node {id} stopped by itself: {reason}"));
            self.world.kill(id);
        }
    }

    fn ask(&mut self, folder: u64) {
        if self.calls.len() >= CALLS_MAX {
            return;
        }
        let nodes = self.world.ids();
        let (Some(node), key) = (chance::one(&nodes), format!("sim/{folder:04}/k{}", chance::of(0..=KEYS - 1))) else { return };
        let call = match chance::of(1..=100) {
            1..=25 => self.put(Expect::Anything),
            26..=45 => {
                let newest = self.callers.newest(&key);
                self.put(Expect::Version(newest))
            }
            46..=50 => self.put(Expect::Absent),
            51..=56 => Call::Delete,
            57..=62 => Call::Look,
            _ => Call::Get,
        };
        self.asked += 1;
        let (callers, client) = (self.callers.clone(), self.asked);
        self.calls.spawn(async move { callers.ask(client, key, call, node).await });
    }

    fn put(&mut self, expect: Expect) -> Call {
        self.values += 1;
        Call::Put { value: format!("w{}", self.values), expect }
    }

    fn start_one(&mut self) -> Result<(), String> {
        let Some(id) = chance::one(&self.world.down()) else { return Ok(()) };
        self.start(id)
    }

    pub(super) fn start(&mut self, id: u64) -> Result<(), String> {
        self.tell(format!("node {id} starts"));
        self.callers.watch(|watch| watch.begins(id));
        self.world.start(id, self.began)
    }

    async fn end_one(&mut self, step: Step) {
        let up: Vec<u64> = self.world.up().iter().map(|(id, _)| *id).collect();
        let Some(id) = chance::one(&up) else { return };
        self.tell(format!("{} of node {id}", step.word()));
        match step {
            Step::Kill => self.world.kill(id),
            Step::CutPower => self.world.cut_power(id),
            _ => {
                if !self.world.stop(id).await {
                    self.findings.push(format!("node {id} did not stop when it was asked to"));
                }
            }
        }
    }

    fn network(&mut self, step: Step) {
        let ids = self.world.ids();
        let (Some(one), Some(other)) = (chance::one(&ids), chance::one(&ids)) else { return };
        self.tell(format!("{} ({one}, {other})", step.word()));
        match step {
            Step::Isolate => {
                for id in ids.into_iter().filter(|id| *id != one) {
                    self.world.net.cut(one, id);
                    self.world.net.cut(id, one);
                }
            }
            Step::CutOneWay => self.world.net.cut(one, other),
            Step::Slow => self.world.net.slow(chance::of(5..=120)),
            _ => self.world.net.heal(),
        }
    }

    fn clock(&mut self) {
        let Some(id) = chance::one(&self.world.ids()) else { return };
        let off = i64::try_from(chance::of(0..=2 * CLOCK_OFF_MS)).unwrap_or(0) - i64::try_from(CLOCK_OFF_MS).unwrap_or(0);
        // Half of the time it is right again.
        let off = if chance::happens(50) { off } else { 0 };
        self.tell(format!("the clock of node {id} is {off} ms off"));
        self.world.set_clock(id, off);
    }

    fn operate(&mut self, step: Step) {
        let Some(id) = chance::one(&self.world.ids()) else { return };
        self.tell(format!("{} at node {id}", step.word()));
        let (callers, is_snapshot) = (self.callers.clone(), step == Step::Snapshot);
        self.calls.spawn(async move { callers.operate(id, is_snapshot).await });
    }
}
