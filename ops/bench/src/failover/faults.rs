//! The faults: made to the leader of the moment, measured, and undone.

use std::time::Duration;

use proto_client::v1;
use rustix::process::Signal;
use tokio::time::Instant;

use super::{Kind, gaps, stage::Stage, traffic::Load};
use crate::{fault::Fault, say, stage::Dice};

/// How long the cluster may take until every writer has been answered again.
const OVER: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
/// Quiet time before a fault: at least this, and up to as much again by chance, so that faults meet every moment of a heartbeat.
const QUIET_MS: u64 = 300;

/// What the rounds of one fault cost.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) kind: Kind,
    pub(super) rounds: Vec<Round>,
}

/// What one fault cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// The longest time in which nobody was acknowledged a write.
    pub(super) gap: Duration,
    /// The longest time in which some writer was not.
    pub(super) writer: Duration,
    /// The longest time in which nobody was, while the former leader came back.
    pub(super) comeback: Duration,
    /// Terms that passed, coming back included.
    pub(super) terms: u64,
}

/// Makes a fault `count` times.
pub(super) async fn rounds(kind: Kind, count: u64, stage: &mut Stage, load: &Load) -> Result<Figures, Fault> {
    let mut dice = Dice::new(kind as u64);
    let mut rounds = Vec::new();
    for number in 1..=count {
        let round = round(kind, stage, load, &mut dice).await?;
        say(&format!("{} {number}/{count}: {} ms", kind.title(), round.gap.as_millis()));
        rounds.push(round);
    }
    Ok(Figures { kind, rounds })
}

async fn round(kind: Kind, stage: &mut Stage, load: &Load, dice: &mut Dice) -> Result<Round, Fault> {
    let history = load.history();
    tokio::time::sleep(Duration::from_millis(QUIET_MS + dice.roll() % QUIET_MS)).await;
    let before = stage.led().await?;
    let fault = history.now();
    inject(kind, before.node, stage).await?;
    let over = over(kind, fault, load).await?;
    let gap = gaps::of(&history.writes_since(fault), history.writers(), fault, over);
    undo(kind, before.node, stage).await?;
    let after = stage.settle().await?;
    let comeback = gaps::of(&history.writes_since(over), history.writers(), over, history.now());
    let terms = after.term.saturating_sub(before.term);
    Ok(Round { gap: gap.cluster, writer: gap.writer, comeback: comeback.cluster, terms })
}

/// Waits until every writer has been acknowledged a write that it began after the fault.
async fn over(kind: Kind, fault: Duration, load: &Load) -> Result<Duration, Fault> {
    let history = load.history();
    let deadline = Instant::now() + OVER;
    while !gaps::is_over(&history.writes_since(fault), history.writers(), fault) {
        if Instant::now() > deadline {
            let why = format!("{}: not every writer was answered within {OVER:?}", kind.title());
            return Err(Fault::Cluster { doing: "wait for the next leader", why });
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(history.now())
}

async fn inject(kind: Kind, leader: usize, stage: &mut Stage) -> Result<(), Fault> {
    match kind {
        Kind::Kill => stage.kill(leader).await,
        Kind::Pause => stage.signal(leader, Signal::STOP),
        Kind::Cut => stage.network.cut(leader).await,
        Kind::OneWay => stage.network.cut_outgoing(leader).await,
        Kind::HandOver => {
            let asked = stage.client().cluster().transfer_leader(v1::MemberRequest::default()).await;
            asked.map(drop).map_err(Fault::cluster("hand leadership over"))
        }
    }
}

async fn undo(kind: Kind, leader: usize, stage: &mut Stage) -> Result<(), Fault> {
    match kind {
        Kind::Kill => stage.start(leader),
        Kind::Pause => stage.signal(leader, Signal::CONT),
        Kind::Cut => stage.network.mend(leader).await,
        Kind::OneWay => stage.network.mend_outgoing(leader).await,
        Kind::HandOver => Ok(()),
    }
}
