//! The walk: step by step, by chance, something is asked or something breaks; after each step what must hold is looked at.

use super::clients::{ATTEMPTS, Callers};
use super::guests::Coming;
use super::operators::Operating;
use super::steps::Step;
use super::world::{Ended, World};
use super::{Order, Outcome, Trace, Without, chance, ending};
use chaos_history::{Call, Expect};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// Calls under way at once.
const CALLS_MAX: usize = 10;
/// Secrets in use at a time, and for how many steps: each has a history that can be judged. A node that starts seals all that there are.
const KEYS: u64 = 12;
const KEYS_FOR_STEPS: u64 = 2_000;
/// How often somebody tries to open a sealed environment again before the end of the walk does.
const OPENINGS: u32 = 40;
/// How long the first founding may take.
const FOUNDED: Duration = Duration::from_secs(30);
/// What is counted when a node did not start from a damaged log.
pub(super) const DAMAGE_REFUSED: &str = "damaged log refused";
/// What a node says of a damaged log.
const DAMAGED: &str = "is damaged at offset";
/// A walk of so many steps in which nothing was acknowledged, or nothing read, says nothing.
const STEPS_THAT_TELL: u64 = 300;

/// A world on its way.
pub(super) struct Walk {
    pub(super) world: World,
    pub(super) callers: Callers,
    pub(super) trace: Trace,
    pub(super) began: Instant,
    /// What is asked meanwhile; each says what it has brought about, where that is counted.
    calls: JoinSet<Option<&'static str>>,
    /// How much of what callers were told is in the trace.
    traced: usize,
    values: u64,
    /// Each call is a caller's of its own.
    asked: u32,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) findings: Vec<String>,
    without: Without,
    /// Who led, as each node that is up knew it at the last look.
    pub(super) leaders: BTreeMap<u64, Option<u64>>,
    /// Nodes that start again with the next step: machines that boot when their power is back, processes that somebody looks after.
    pub(super) at_once: Vec<u64>,
    /// The node that comes in place of another.
    pub(super) coming: Option<Coming>,
}

/// Lays a world out, walks, heals, and judges.
pub(super) async fn run(order: Order, trace: Trace) -> Result<Outcome, String> {
    let mut walk = Walk::begin(order.nodes, order.without, trace).await?;
    let mut walked = 0;
    for step in 0..order.steps {
        walk.step(step).await?;
        walked = step + 1;
        if !walk.findings.is_empty() {
            break;
        }
    }
    while let Some(ended) = walk.calls.join_next().await {
        walk.called(ended);
    }
    walk.end_well(walked).await
}

impl Walk {
    /// In a world with so many nodes, once there is a cluster.
    pub(super) async fn begin(nodes: u64, without: Without, trace: Trace) -> Result<Walk, String> {
        let began = Instant::now();
        let world = World::lay_out(nodes)?;
        let callers = Callers::new(world.doors.clone(), world.token.clone(), began);
        let mut walk = Walk {
            world,
            callers,
            trace,
            began,
            calls: JoinSet::new(),
            traced: 0,
            values: 0,
            asked: ending::JUDGE,
            counts: BTreeMap::new(),
            findings: Vec::new(),
            without,
            leaders: BTreeMap::new(),
            at_once: Vec::new(),
            coming: None,
        };
        walk.found().await?;
        Ok(walk)
    }

    /// Looks a last time, heals and judges, where nothing was found before.
    pub(super) async fn end_well(mut self, walked: u64) -> Result<Outcome, String> {
        self.look().await;
        let verdicts = if self.findings.is_empty() { ending::judge(&mut self).await? } else { Vec::new() };
        // What ended while it was judged.
        self.look().await;
        let mut findings = self.findings;
        findings.extend(verdicts);
        let told = self.callers.told();
        let count =
            |is: fn(&chaos_history::Outcome) -> bool| told.iter().filter(|operation| is(&operation.outcome)).count() as u64;
        let changes =
            count(|outcome| matches!(outcome, chaos_history::Outcome::Written { .. } | chaos_history::Outcome::Hidden { .. }));
        let values = count(|outcome| matches!(outcome, chaos_history::Outcome::Found { .. }));
        self.counts.extend([("acknowledged changes", changes), ("values read", values)]);
        if walked >= STEPS_THAT_TELL && changes.min(values) == 0 {
            findings.push(format!("{walked} steps with {changes} acknowledged changes and {values} values read say nothing"));
        }
        self.counts.insert("operations", told.len() as u64);
        self.counts.insert("answered", told.iter().filter(|operation| operation.is_answered()).count() as u64);
        let virtual_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Outcome { trace: self.trace, findings, counts: self.counts, virtual_ms, walked })
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What is known to be broken.
    pub(super) fn findings(&self) -> &[String] {
        &self.findings
    }

    pub(super) fn tell(&mut self, what: impl std::fmt::Display) {
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
        for id in std::mem::take(&mut self.at_once) {
            self.start(id)?;
        }
        let step = Step::draw();
        if !self.without.has(step) {
            self.take(step, number).await?;
        }
        // Little at a time, so that steps come upon each other.
        if chance::happens(60) {
            tokio::time::sleep(Duration::from_millis(chance::of(1..=6))).await;
        } else {
            tokio::task::yield_now().await;
        }
        while let Some(ended) = self.calls.try_join_next() {
            self.called(ended);
        }
        self.look().await;
        if !self.without.has(Step::Unrest) {
            self.strike_at_elections();
        }
        Ok(())
    }

    /// Takes note of what a call brought about.
    fn called(&mut self, ended: Result<Option<&'static str>, JoinError>) {
        match ended {
            Ok(None) => {}
            Ok(Some(word)) => *self.counts.entry(word).or_default() += 1,
            Err(error) => self.findings.push(format!("a call ended in the middle: {error}")),
        }
    }

    async fn take(&mut self, step: Step, number: u64) -> Result<(), String> {
        let taken = match step {
            Step::Ask => self.ask(number / KEYS_FOR_STEPS),
            Step::AskAgain => self.ask_again(),
            Step::Wait => {
                tokio::time::sleep(Duration::from_millis(chance::of(1..=300))).await;
                true
            }
            Step::Start => self.start_one()?,
            Step::Stop => self.stop_one().await,
            Step::Kill | Step::CutPower | Step::CutPowerOfAll | Step::Unrest => self.end(step),
            Step::Isolate | Step::CutOneWay | Step::Slow | Step::Heal => self.network(step),
            Step::SlowDisk | Step::FailSyncs | Step::FullDisk => self.spoil(step),
            Step::Rot | Step::Misdirect => self.rot(step)?,
            Step::Clock => self.clock(),
            // Counted when they come about.
            Step::CutPowerWithin | Step::HandOver | Step::Snapshot | Step::RotateKey | Step::SealEnvironment => {
                match step {
                    Step::CutPowerWithin => drop(self.end(step)),
                    Step::HandOver => self.operate(step, Operating::HandOver(0)),
                    Step::Snapshot => self.operate(step, Operating::Snapshot),
                    Step::RotateKey => self.operate(step, Operating::RotateKey),
                    _ => self.seal_for_a_while(),
                }
                false
            }
            Step::Replace => self.replace_one()?,
            Step::OtherBuild => self.upgrade_one().await,
        };
        if taken {
            *self.counts.entry(step.word()).or_default() += 1;
        }
        Ok(())
    }

    /// Takes note of what has happened, and looks whether it may.
    pub(super) async fn look(&mut self) {
        self.settle().await;
        self.see_off().await;
        let up = self.world.up();
        self.callers.watch(|watch| {
            watch.look(&up, |id| self.world.level(id));
            self.findings.extend_from_slice(watch.findings());
        });
        for (node, what) in self.callers.failures() {
            // What a disk that was spoiled did not give is no wonder.
            if !self.world.is_excused(node) {
                self.findings.push(format!("node {node} failed within: {what}"));
            }
        }
        let news = self.callers.told_from(self.traced);
        self.traced += news.len();
        for operation in news {
            self.tell(operation);
        }
    }

    pub(super) async fn settle(&mut self) {
        for (id, outcome) in self.world.settle().await {
            match outcome {
                Ok(()) if self.world.is_rotten(id) => {
                    self.findings.push(format!("node {id} started though its log is damaged where it had been durable"));
                }
                Ok(()) => self.tell(format!("node {id} is up")),
                Err(why) => {
                    let why = self.world.without_place(&why);
                    self.tell(format!("node {id} did not start: {why}"));
                    if self.world.is_rotten(id) && why.contains(DAMAGED) {
                        self.world.put_back(id);
                        *self.counts.entry(DAMAGE_REFUSED).or_default() += 1;
                    } else if !self.is_outdated(id, &why) && !self.world.is_excused(id) {
                        self.findings.push(format!("node {id} did not start: {why}"));
                    }
                }
            }
        }
        self.bury();
    }

    /// A node that ends by itself, though nothing was done to its disk, is a finding.
    fn bury(&mut self) {
        for Ended { node, why, excused, out_of_power } in self.world.ended() {
            if out_of_power {
                *self.counts.entry(Step::CutPowerWithin.word()).or_default() += 1;
            }
            let why = self.world.without_place(&why);
            self.tell(format!("node {node} ended: {why}"));
            if !self.is_outdated(node, &why) && !excused {
                self.findings.push(format!("node {node} stopped by itself: {why}"));
            }
        }
    }

    fn ask(&mut self, folder: u64) -> bool {
        if self.calls.len() >= CALLS_MAX {
            return false;
        }
        let nodes = self.world.ids();
        let (Some(node), key) = (chance::one(&nodes), format!("sim/{folder:04}/k{}", chance::of(0..=KEYS - 1))) else {
            return false;
        };
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
        let (callers, client, attempts) = (self.callers.clone(), self.asked, chance::of(ATTEMPTS));
        self.calls.spawn(async move {
            callers.ask(client, key, call, node, attempts).await;
            None
        });
        true
    }

    fn ask_again(&mut self) -> bool {
        let Some(node) = chance::one(&self.world.ids()) else { return false };
        let callers = self.callers.clone();
        self.calls.spawn(async move {
            callers.ask_again(node).await;
            None
        });
        true
    }

    fn put(&mut self, expect: Expect) -> Call {
        self.values += 1;
        Call::Put { value: format!("w{}", self.values), expect }
    }

    fn start_one(&mut self) -> Result<bool, String> {
        let Some(id) = chance::one(&self.world.down()) else { return Ok(false) };
        self.start(id).map(|()| true)
    }

    pub(super) fn start(&mut self, id: u64) -> Result<(), String> {
        self.tell(format!("node {id} starts"));
        self.callers.watch(|watch| watch.begins(id));
        self.world.start(id, self.began)
    }

    /// Counted when it was done.
    fn operate(&mut self, step: Step, what: Operating) {
        // Whoever leads can hand it over, as far as anybody knows.
        let leads = self.leaders.values().copied().flatten().next().filter(|_| what == Operating::HandOver(0));
        let Some(id) = leads.or_else(|| chance::one(&self.world.ids())) else { return };
        self.tell(format!("{} at node {id}", step.word()));
        let callers = self.callers.clone();
        self.calls.spawn(async move { callers.operate(id, what).await.then_some(step.word()) });
    }

    /// Nobody is answered meanwhile. Whether it came about or not: it is opened again.
    fn seal_for_a_while(&mut self) {
        let nodes = self.world.ids();
        let Some(id) = chance::one(&nodes) else { return };
        self.tell(format!("the environment is sealed at node {id}"));
        let callers = self.callers.clone();
        self.calls.spawn(async move {
            let sealed = callers.operate(id, Operating::Seal).await.then_some(Step::SealEnvironment.word());
            for _ in 0..OPENINGS {
                tokio::time::sleep(Duration::from_millis(chance::of(50..=500))).await;
                let Some(id) = chance::one(&callers.nodes()) else { continue };
                if callers.operate(id, Operating::Unseal).await {
                    break;
                }
            }
            sealed
        });
    }
}
