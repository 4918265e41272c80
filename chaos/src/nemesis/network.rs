//! Links that are cut, slow, or lose what they carry.

use std::time::Duration;

use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::{Blow, Scene};
use crate::{
    stage::wire::{Link, Port, Tally, Wire},
    trouble::Trouble,
};

/// The clients' side of the switch.
const CLIENTS: Port = 0;
const CUT: Link = Link { cut: true, delay: Duration::ZERO, jitter: Duration::ZERO, loss_percent: 0, double_percent: 0 };

fn wire(scene: &Scene) -> Result<&Wire, Trouble> {
    let stage = scene.stage()?;
    stage.wire.get().ok_or_else(|| Trouble::unusable("this fault", "the nodes have no network of their own"))
}

/// The nodes' ports, in a random order; half of the time the leader's first.
async fn ports(scene: &Scene, chance: &mut ChaCha8Rng) -> Result<Vec<Port>, Trouble> {
    let mut ports: Vec<Port> = scene.stage()?.nodes().into_iter().filter_map(|(id, _)| Port::try_from(id).ok()).collect();
    ports.shuffle(chance);
    if chance.random_bool(0.5)
        && let Some(leader) = scene.leader().await
        && let Some(at) = ports.iter().position(|port| u64::from(*port) == leader)
    {
        ports.swap(0, at);
    }
    if ports.len() < 2 { Err(Trouble::unusable("the network", "there is one node only")) } else { Ok(ports) }
}

/// Waits, heals, and says how many frames met the fault.
async fn endure(wire: &Wire, lasts: Duration, before: Tally, count: fn(Tally) -> u64, word: &str) -> Result<String, Trouble> {
    tokio::time::sleep(lasts).await;
    let met = count(wire.tally().since(before));
    wire.heal();
    if met == 0 {
        Err(Trouble::unusable("the network", format!("no frame was {word}")))
    } else {
        Ok(format!("{met} frames were {word}"))
    }
}

pub(super) async fn isolate(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let _alone = scene.network.lock().await;
    let (wire, ports) = (wire(scene)?, ports(scene, chance).await?);
    let (before, lonely) = (wire.tally(), ports[0]);
    // Clients that still reach it must not be told what a majority does not know.
    let clients_too = chance.random_bool(0.3);
    for other in ports[1..].iter().copied().chain(clients_too.then_some(CLIENTS)) {
        wire.set(lonely, other, CUT);
        wire.set(other, lonely, CUT);
    }
    let evidence = endure(wire, lasts, before, |tally| tally.lost, "lost").await?;
    let whom = if clients_too { "from clients too" } else { "but not from clients" };
    Ok(Blow::of(format!("node {lonely}, {whom}"), evidence))
}

pub(super) async fn isolate_one_way(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let _alone = scene.network.lock().await;
    let (wire, ports) = (wire(scene)?, ports(scene, chance).await?);
    let (before, lonely) = (wire.tally(), ports[0]);
    let is_mute = chance.random_bool(0.5);
    for other in &ports[1..] {
        let (from, to) = if is_mute { (lonely, *other) } else { (*other, lonely) };
        wire.set(from, to, CUT);
    }
    let evidence = endure(wire, lasts, before, |tally| tally.lost, "lost").await?;
    Ok(Blow::of(format!("node {lonely}, {}", if is_mute { "not heard" } else { "not hearing" }), evidence))
}

pub(super) async fn ring(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let _alone = scene.network.lock().await;
    let (wire, ports) = (wire(scene)?, ports(scene, chance).await?);
    let before = wire.tally();
    let count = ports.len();
    for (at, from) in ports.iter().enumerate() {
        for (other, to) in ports.iter().enumerate() {
            let apart = at.abs_diff(other);
            // Five and more nodes form a ring, in which each sees a majority of its own; fewer form a line.
            let neighbours = apart == 1 || (count > 4 && apart == count - 1);
            if apart > 0 && !neighbours {
                wire.set(*from, *to, CUT);
            }
        }
    }
    let evidence = endure(wire, lasts, before, |tally| tally.lost, "lost").await?;
    let order: Vec<String> = ports.iter().map(ToString::to_string).collect();
    Ok(Blow::of(format!("nodes {}", order.join("–")), evidence))
}

pub(super) async fn flap(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let _alone = scene.network.lock().await;
    let (wire, ports) = (wire(scene)?, ports(scene, chance).await?);
    let (before, lonely) = (wire.tally(), ports[0]);
    let end = Instant::now() + lasts;
    let mut times = 0;
    while Instant::now() < end {
        for other in &ports[1..] {
            wire.set(lonely, *other, CUT);
            wire.set(*other, lonely, CUT);
        }
        times += 1;
        tokio::time::sleep(Duration::from_millis(chance.random_range(80..500))).await;
        wire.heal();
        tokio::time::sleep(Duration::from_millis(chance.random_range(50..300))).await;
    }
    let evidence = endure(wire, Duration::ZERO, before, |tally| tally.lost, "lost").await?;
    Ok(Blow::of(format!("node {lonely}, {times} times"), evidence))
}

pub(super) async fn delay(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let _alone = scene.network.lock().await;
    let (wire, ports) = (wire(scene)?, ports(scene, chance).await?);
    let before = wire.tally();
    let delay_ms = chance.random_range(3..60);
    let link = Link {
        delay: Duration::from_millis(delay_ms),
        jitter: Duration::from_millis(chance.random_range(0..40)),
        ..Link::default()
    };
    all_links(wire, &ports, link);
    let evidence = endure(wire, lasts, before, |tally| tally.delayed, "delayed").await?;
    Ok(Blow::of(format!("all links, {delay_ms} ms and up to {} more", link.jitter.as_millis()), evidence))
}

pub(super) async fn loss(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let _alone = scene.network.lock().await;
    let (wire, ports) = (wire(scene)?, ports(scene, chance).await?);
    let before = wire.tally();
    let link = Link {
        loss_percent: chance.random_range(3..25),
        double_percent: chance.random_range(5..40),
        jitter: Duration::from_millis(chance.random_range(1..8)),
        ..Link::default()
    };
    all_links(wire, &ports, link);
    let evidence = endure(wire, lasts, before, lost_and_doubled, "lost, and at least as many doubled").await?;
    Ok(Blow::of(format!("all links, {} % lost, {} % twice", link.loss_percent, link.double_percent), evidence))
}

/// Both halves of the fault have to show.
fn lost_and_doubled(tally: Tally) -> u64 {
    tally.lost.min(tally.doubled)
}

fn all_links(wire: &Wire, ports: &[Port], link: Link) {
    for from in ports {
        for to in ports.iter().filter(|to| *to != from) {
            wire.set(*from, *to, link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_earlier_faults_are_no_evidence_of_this_one() {
        let before = Tally { passed: 900, lost: 500, delayed: 0, doubled: 3 };
        let after = Tally { passed: 950, lost: 500, delayed: 0, doubled: 40 };
        assert_eq!(lost_and_doubled(after.since(before)), 0, "none was lost by this one");
        assert_eq!(lost_and_doubled(Tally { lost: 520, ..after }.since(before)), 20);
    }
}
