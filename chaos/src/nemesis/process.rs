//! Processes that end, stand still, and come back.

use std::time::Duration;

use proto_client::v1;
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use super::{Blow, Scene};
use crate::{stage::node::Node, trouble::Trouble};

/// How long a node that was asked to stop may take.
const STOP: Duration = Duration::from_secs(30);

pub(super) async fn kill(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    if scene.stage.is_none() {
        return stop_by_hook(scene, lasts, chance).await;
    }
    let mut node = scene.one_node(chance).await?;
    let process = node.process().unwrap_or_default();
    node.kill().await?;
    tokio::time::sleep(lasts).await;
    scene.start_and_wait(&mut node).await?;
    Ok(Blow::of(name(&node), format!("process {process} was killed, process {} answers", node.process().unwrap_or_default())))
}

/// An operator's cluster: the command that stops a node may be as rude as the operator likes.
async fn stop_by_hook(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let status = scene.status().await?;
    let member = status.members.choose(chance).ok_or_else(|| Trouble::unusable("a target", "the cluster names no member"))?;
    let ran = scene.hook(scene.hooks.stop.as_ref(), member).await?;
    tokio::time::sleep(lasts).await;
    scene.hook(scene.hooks.start.as_ref(), member).await?;
    Ok(Blow::of(format!("node {}", member.node_id), format!("`{ran}` ended well")))
}

pub(super) async fn kill_all(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    if scene.stage.is_none() {
        return stop_all_by_hook(scene, lasts).await;
    }
    let mut nodes = scene.all_nodes().await?;
    tokio::time::sleep(Duration::from_millis(chance.random_range(0..400))).await;
    for node in &mut nodes {
        node.begin_to_kill();
    }
    for node in &mut nodes {
        node.kill().await?;
    }
    tokio::time::sleep(lasts).await;
    start_all(scene, &mut nodes).await?;
    Ok(Blow::of("all nodes", format!("{} processes were killed and came back", nodes.len())))
}

async fn stop_all_by_hook(scene: &Scene, lasts: Duration) -> Result<Blow, Trouble> {
    let members = scene.status().await?.members;
    for member in &members {
        scene.hook(scene.hooks.stop.as_ref(), member).await?;
    }
    tokio::time::sleep(lasts).await;
    for member in &members {
        scene.hook(scene.hooks.start.as_ref(), member).await?;
    }
    Ok(Blow::of("all nodes", format!("{} nodes were stopped and started", members.len())))
}

pub(super) async fn start_all(scene: &Scene, nodes: &mut [tokio::sync::OwnedMutexGuard<Node>]) -> Result<(), Trouble> {
    for node in nodes.iter_mut() {
        node.start()?;
    }
    for node in nodes {
        scene.wait_until_it_answers(node).await?;
    }
    Ok(())
}

pub(super) async fn pause(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let node = scene.one_node(chance).await?;
    let stopped = node.signal(Signal::STOP);
    tokio::time::sleep(lasts).await;
    let stood_still = node.process().is_some_and(stands_still);
    node.signal(Signal::CONT);
    if !stopped || !stood_still {
        return Err(Trouble::unusable(name(&node), "the process did not stand still"));
    }
    Ok(Blow::of(name(&node), format!("the process stood still for {lasts:?}")))
}

/// What the kernel says of a process: `T` is stopped.
fn stands_still(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

pub(super) async fn restart(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    if scene.stage.is_none() {
        return stop_by_hook(scene, lasts, chance).await;
    }
    let mut node = scene.one_node(chance).await?;
    let how = stop(&mut node).await?;
    tokio::time::sleep(lasts).await;
    scene.start_and_wait(&mut node).await?;
    Ok(Blow::of(name(&node), how))
}

pub(super) async fn rolling_restart(scene: &Scene, lasts: Duration) -> Result<Blow, Trouble> {
    if scene.stage.is_none() {
        let members = scene.status().await?.members;
        for member in &members {
            scene.hook(scene.hooks.stop.as_ref(), member).await?;
            scene.hook(scene.hooks.start.as_ref(), member).await?;
            tokio::time::sleep(lasts).await;
        }
        return Ok(Blow::of("all nodes, one by one", format!("{} nodes were restarted", members.len())));
    }
    let mut told = Vec::new();
    for (id, node) in scene.stage()?.nodes() {
        let mut node = node.lock_owned().await;
        if !node.is_running() {
            continue;
        }
        told.push(format!("node {id}: {}", stop(&mut node).await?));
        scene.start_and_wait(&mut node).await?;
        drop(node);
        tokio::time::sleep(lasts).await;
    }
    Ok(Blow::of("all nodes, one by one", told.join("; ")))
}

/// Asks a node to stop, and waits until it has.
async fn stop(node: &mut Node) -> Result<String, Trouble> {
    node.is_meant_to_run = false;
    node.signal(Signal::TERM);
    match node.ended_within(STOP).await {
        Ok(Some(0)) => Ok("it stopped when it was asked to".to_owned()),
        Ok(code) => Ok(format!("it stopped with {code:?}")),
        Err(_) => {
            node.kill().await?;
            Ok(format!("it did not stop within {STOP:?} and was killed"))
        }
    }
}

pub(super) fn name(node: &Node) -> String {
    format!("node {}", node.place.id)
}

/// Waits until somebody leads, as the cluster has it.
pub(super) async fn leader_known(scene: &Scene, patience: Duration) -> Option<u64> {
    let deadline = std::time::Instant::now() + patience;
    loop {
        let status = scene.asking().cluster().status(v1::StatusRequest {}).await;
        if let Ok(status) = status
            && status.leader_id > 0
        {
            return Some(status.leader_id);
        }
        if std::time::Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
