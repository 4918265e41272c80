//! Nodes of somebody else's cluster, stopped and started by that operator's commands, which may be as rude as the operator likes. That
//! they did something shows at the node itself: it answers before, not while it is stopped, and again.

use std::time::{Duration, Instant};

use proto_client::{Client, v1};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::{Blow, Scene};
use crate::trouble::Trouble;

const ASKED: Duration = Duration::from_millis(800);
/// How long a node may go on answering after the command that stops it has ended well, …
const STOPS: Duration = Duration::from_secs(10);
/// … and how long it may take until it answers after the one that starts it.
const STARTS: Duration = Duration::from_secs(60);
/// So many questions in a row have no answer where nobody is there.
const SILENT: u32 = 2;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A member, and how it is asked by itself.
struct Target {
    member: v1::Member,
    alone: Client,
}

pub(super) async fn stop_one(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let targets = targets(scene).await?;
    let target = targets.choose(chance).ok_or_else(|| Trouble::unusable("a target", "the cluster names no member"))?;
    let stopped = target.stop(scene).await;
    if stopped.is_ok() {
        tokio::time::sleep(lasts).await;
    }
    // Whatever the first command did: the node is to run again.
    let back = target.start(scene).await;
    stopped?;
    let evidence = format!("it did not answer once it was stopped, and answered {} ms after its start", back?.as_millis());
    Ok(Blow::of(format!("node {}", target.member.node_id), evidence))
}

pub(super) async fn stop_all(scene: &Scene, lasts: Duration) -> Result<Blow, Trouble> {
    let targets = targets(scene).await?;
    let mut stopped = Ok(());
    for target in &targets {
        stopped = stopped.and(target.stop(scene).await);
    }
    tokio::time::sleep(lasts).await;
    // None is waited for before all are started: together they are a quorum.
    let mut started = Ok(());
    for target in &targets {
        started = started.and(scene.owed.start(&target.member).await);
    }
    started?;
    for target in &targets {
        target.answers().await?;
    }
    stopped?;
    Ok(Blow::of("all nodes", format!("none of {} nodes answered once they were stopped, and all answer again", targets.len())))
}

pub(super) async fn restart_each(scene: &Scene, lasts: Duration) -> Result<Blow, Trouble> {
    let targets = targets(scene).await?;
    for target in &targets {
        let stopped = target.stop(scene).await;
        let back = target.start(scene).await;
        stopped?;
        back?;
        tokio::time::sleep(lasts).await;
    }
    Ok(Blow::of("all nodes, one by one", format!("{} nodes did not answer once stopped, and answer again", targets.len())))
}

/// Members that answer, with a way to ask each. One that the settings do not lead to could be stopped without anybody seeing it.
async fn targets(scene: &Scene) -> Result<Vec<Target>, Trouble> {
    let mut alone = Vec::new();
    for (_, client) in scene.client.each_node() {
        let client = client.with_timeout(ASKED);
        if let Ok(health) = client.cluster().health(v1::HealthRequest {}).await {
            alone.push((health.node_id, client));
        }
    }
    let target = |member: v1::Member| {
        let found = alone.iter().find(|(id, _)| *id == member.node_id).map(|(_, client)| client.clone());
        let lost = || Trouble::unusable(format!("node {}", member.node_id), "no address of the settings was answered by it");
        Ok(Target { alone: found.ok_or_else(lost)?, member })
    };
    scene.status().await?.members.into_iter().map(target).collect()
}

impl Target {
    async fn is_silent(&self) -> bool {
        self.alone.cluster().health(v1::HealthRequest {}).await.is_err()
    }

    /// Stops it, and sees that it does not answer.
    async fn stop(&self, scene: &Scene) -> Result<(), Trouble> {
        scene.owed.stop(&self.member).await?;
        let deadline = Instant::now() + STOPS;
        let mut silent = 0;
        while silent < SILENT {
            silent = if self.is_silent().await { silent + 1 } else { 0 };
            if Instant::now() > deadline {
                return Err(self.missed(&format!("it still answers {STOPS:?} after it was stopped")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Starts it, and sees that it answers; how long that took.
    async fn start(&self, scene: &Scene) -> Result<Duration, Trouble> {
        scene.owed.start(&self.member).await?;
        self.answers().await
    }

    async fn answers(&self) -> Result<Duration, Trouble> {
        let began = Instant::now();
        while self.is_silent().await {
            if began.elapsed() > STARTS {
                return Err(self.missed(&format!("it does not answer {STARTS:?} after it was started")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(began.elapsed())
    }

    fn missed(&self, why: &str) -> Trouble {
        Trouble::unusable(format!("node {}", self.member.node_id), why)
    }
}
