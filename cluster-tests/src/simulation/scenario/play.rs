//! Plays a scenario, line by line.

use super::line::{Line, Scenario};
use crate::simulation::builds::TOO_OLD_REFUSED;
use crate::simulation::disk::Decay;
use crate::simulation::ending::JUDGE;
use crate::simulation::operators::Operating;
use crate::simulation::walk::{DAMAGE_REFUSED, Walk};
use chaos_history::{Call, Operation};
use std::time::Duration;
use tokio::time::Instant;

/// What a line waits for must come about within so long.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

/// Plays it in a world that was founded. What does not come out as it says is a finding, and ends it.
pub(in crate::simulation) async fn play(walk: &mut Walk, scenario: &Scenario) -> Result<u64, String> {
    let mut player = Player { walk, callers: Vec::new(), last: None, values: 0 };
    let mut played = 0;
    for (number, line) in &scenario.lines {
        player.walk.tell(format!("line {number}: {line:?}"));
        let known = player.walk.world.ids();
        let outcome = match line.nodes().into_iter().find(|id| !known.contains(id)) {
            Some(id) => Err(format!("there is no node {id}")),
            None => player.line(line).await?,
        };
        player.walk.look().await;
        played += 1;
        if let Err(why) = outcome {
            player.walk.findings.push(format!("line {number}: {why}"));
        }
        if !player.walk.findings().is_empty() {
            break;
        }
    }
    Ok(played)
}

struct Player<'a> {
    walk: &'a mut Walk,
    callers: Vec<String>,
    last: Option<Operation>,
    values: u64,
}

impl Player<'_> {
    /// What happens in a line; inside, why it did not come out as it says.
    async fn line(&mut self, line: &Line) -> Result<Result<(), String>, String> {
        let walk = &mut *self.walk;
        match line {
            Line::Ask { who, call, key, at, told } => {
                let node = at.or_else(|| leader(walk)).unwrap_or(1);
                let operation = self.ask(who, call.clone(), key, node).await;
                let said = operation.to_string();
                let as_told = told.is(&operation.outcome);
                self.last = Some(operation);
                return Ok(if as_told { Ok(()) } else { Err(format!("{told:?} was to come of it: {said}")) });
            }
            Line::Again(node, told) => {
                let first = self.last.clone().ok_or("`again` stands behind a call")?;
                let outcome = walk.callers.again(*node, &first).await;
                return Ok(if told.is(&outcome) { Ok(()) } else { Err(format!("{told:?} was to come of it: {outcome:?}")) });
            }
            Line::Cut(one, other) => {
                for (from, to) in pairs(one, other).chain(pairs(other, one)) {
                    walk.world.net.cut(from, to);
                }
            }
            Line::CutOneWay(from, to) => pairs(from, to).for_each(|(from, to)| walk.world.net.cut(from, to)),
            Line::SlowNetwork(ms) => walk.world.net.slow(*ms),
            Line::SlowDisk(node, ms) => walk.world.slow_disk(*node, *ms),
            Line::Heal => {
                walk.world.net.heal();
                walk.world.ids().into_iter().for_each(|id| walk.world.mend(id));
            }
            Line::Kill(nodes) => nodes.iter().for_each(|id| walk.world.kill(*id)),
            Line::PowerCut(nodes) => nodes.iter().for_each(|id| walk.world.cut_power(*id)),
            Line::Stop(nodes) => {
                for id in nodes {
                    if !walk.world.stop(*id).await {
                        return Ok(Err(format!("node {id} did not stop")));
                    }
                }
            }
            Line::Start(nodes) => {
                nodes.iter().try_for_each(|id| walk.start(*id))?;
                return Ok(self.until("they are up", |walk| are_up(walk, nodes)).await);
            }
            Line::RotAndStart(node) => {
                if !walk.world.rot(*node, Decay::Bit)? {
                    return Ok(Err(format!("node {node} is up, or its log has nothing to damage")));
                }
                return self.refused(*node, DAMAGE_REFUSED).await;
            }
            Line::Build(node, level) => {
                walk.change_build(*node, *level).await;
                walk.start(*node)?;
                return Ok(self.until("it is up", |walk| are_up(walk, &[*node])).await);
            }
            Line::TooOld(node, level) => {
                walk.change_build(*node, *level).await;
                return self.refused(*node, TOO_OLD_REFUSED).await;
            }
            Line::Level(level) => {
                let all = |walk: &Walk| walk.world.up().iter().all(|(_, node)| node.level() == *level);
                return Ok(self.until("all use that level", all).await);
            }
            Line::Clock(node, ms) => walk.world.set_clock(*node, *ms),
            Line::Leader(node) => return Ok(self.leads(*node).await),
            Line::Replace(node) => {
                walk.replace(*node)?;
                return Ok(self.replaced().await);
            }
            Line::Snapshot(node) => return Ok(operate(walk, *node, Operating::Snapshot).await),
            Line::Seal => return Ok(operate(walk, leader(walk).unwrap_or(1), Operating::Seal).await),
            Line::Unseal => return Ok(operate(walk, leader(walk).unwrap_or(1), Operating::Unseal).await),
            Line::Wait(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Line::Settle => {
                let equal =
                    |walk: &Walk| one_revision(&walk.world.up().iter().map(|(_, node)| node.standing()).collect::<Vec<_>>());
                return Ok(self.until("all stand at the same record", equal).await);
            }
            Line::SameState(nodes) => {
                let up = walk.world.up();
                let standings: Vec<_> = up.iter().filter(|(id, _)| nodes.contains(id)).map(|(_, node)| node.standing()).collect();
                let same = standings.len() == nodes.len() && standings.windows(2).all(|pair| pair[0] == pair[1]);
                return Ok(if same { Ok(()) } else { Err(format!("they stand at {standings:?}")) });
            }
        }
        Ok(Ok(()))
    }

    async fn ask(&mut self, who: &str, call: Call, key: &str, node: u64) -> Operation {
        let known = self.callers.iter().position(|known| known == who);
        let caller = known.unwrap_or_else(|| {
            self.callers.push(who.to_owned());
            self.callers.len() - 1
        });
        let call = match call {
            Call::Put { expect, .. } => {
                self.values += 1;
                Call::Put { value: format!("s{}", self.values), expect }
            }
            call => call,
        };
        let client = JUDGE + 1 + u32::try_from(caller).unwrap_or(0);
        self.walk.callers.ask(client, key.to_owned(), call, node, 1).await
    }

    /// Waits for a leader, and has it hand over where another is meant.
    async fn leads(&mut self, node: u64) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while leader(self.walk) != Some(node) {
            if let Some(other) = leader(self.walk) {
                self.walk.callers.operate(other, Operating::HandOver(node)).await;
            }
            self.pass(deadline, "it leads").await?;
        }
        Ok(())
    }

    async fn replaced(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while self.walk.coming.is_some() {
            self.walk.go_on_replacing();
            self.pass(deadline, "the new node is in its place").await?;
        }
        Ok(())
    }

    /// Starts a node that must be refused, as is counted under this word.
    async fn refused(&mut self, node: u64, word: &'static str) -> Result<Result<(), String>, String> {
        let count = move |walk: &Walk| walk.counts.get(word).copied().unwrap_or(0);
        let before = count(self.walk);
        self.walk.start(node)?;
        Ok(self.until(&format!("this is counted: {word}"), |walk| count(walk) > before).await)
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Walk) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self.walk) {
            self.pass(deadline, what).await?;
        }
        Ok(())
    }

    /// A moment passes.
    async fn pass(&mut self, deadline: Instant, what: &str) -> Result<(), String> {
        if Instant::now() > deadline {
            return Err(format!("it did not come about within {PATIENCE:?} that {what}"));
        }
        if !self.walk.findings().is_empty() {
            return Err(format!("something else was found before {what}"));
        }
        tokio::time::sleep(LOOK).await;
        self.walk.look().await;
        Ok(())
    }
}

fn are_up(walk: &Walk, nodes: &[u64]) -> bool {
    let up = walk.world.up();
    nodes.iter().all(|id| up.iter().any(|(up, _)| up == id))
}

async fn operate(walk: &Walk, node: u64, what: Operating) -> Result<(), String> {
    if walk.callers.operate(node, what).await { Ok(()) } else { Err(format!("node {node} did not do it")) }
}

/// Who leads in the newest term, as he knows himself.
fn leader(walk: &Walk) -> Option<u64> {
    let up = walk.world.up();
    let leads = |node: &node::boot::Node| match *node.replica().watch_role().borrow() {
        raft::Role::Leader { term } => Some(term),
        _ => None,
    };
    up.iter().filter_map(|(id, node)| leads(node).map(|term| (term, *id))).max().map(|(_, id)| id)
}

fn pairs<'a>(one: &'a [u64], other: &'a [u64]) -> impl Iterator<Item = (u64, u64)> + 'a {
    one.iter().flat_map(|from| other.iter().map(|to| (*from, *to)))
}

fn one_revision(standings: &[(u64, [u8; 32], [u8; 32])]) -> bool {
    standings.windows(2).all(|pair| pair[0].0 == pair[1].0)
}
