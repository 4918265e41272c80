//! Disks that lose their power, hang, fill up, are slow, or fail.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::process::Command;

use super::{
    Blow, Scene,
    process::{name, start_all},
};
use crate::{
    stage::{disk::LoopDisk, node::Node},
    trouble::Trouble,
};

/// How long a node may go on after its syncs began to fail.
const LATCHED: Duration = Duration::from_secs(10);
/// How long it tries again, after the disk is as it was, what it had given up inside already: two seconds, and a stop.
const GIVING_UP: Duration = Duration::from_secs(4);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

fn disk(node: &Node) -> Result<LoopDisk, Trouble> {
    node.disk.clone().ok_or_else(|| Trouble::unusable(name(node), "it has no disk of its own"))
}

pub(super) async fn power_cut(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut node = scene.one_node(chance).await?;
    let disk = disk(&node)?;
    disk.cut_power()?;
    let dead = disk.is_dead();
    node.kill().await?;
    disk.unmount().await?;
    tokio::time::sleep(lasts).await;
    disk.mount().await?;
    scene.start_and_wait(&mut node).await?;
    if !dead {
        return Err(Trouble::unusable(name(&node), "its disk went on after the cut"));
    }
    Ok(Blow::of(name(&node), "the disk refused writes after the cut, was mounted again, and the node answers"))
}

pub(super) async fn power_cut_all(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut nodes = scene.all_nodes().await?;
    let disks = nodes.iter().map(|node| disk(node)).collect::<Result<Vec<_>, _>>()?;
    tokio::time::sleep(Duration::from_millis(chance.random_range(0..700))).await;
    // From before the first cut: a sync under way while a file system dies may still report success.
    scene.recorder.power_fails(true);
    for disk in &disks {
        disk.cut_power()?;
    }
    let dead = disks.iter().all(LoopDisk::is_dead);
    for node in &mut nodes {
        node.begin_to_kill();
    }
    for node in &mut nodes {
        node.kill().await?;
    }
    for disk in &disks {
        disk.unmount().await?;
    }
    tokio::time::sleep(lasts).await;
    // Only now: an answer that was on its way when its node died is read by its client a little later.
    scene.recorder.power_fails(false);
    for disk in &disks {
        disk.mount().await?;
    }
    start_all(scene, &mut nodes).await?;
    if !dead {
        return Err(Trouble::unusable("the disks", "one went on after the cut"));
    }
    Ok(Blow::of("all nodes", format!("{} disks refused writes after the cut, and all nodes answer again", disks.len())))
}

pub(super) async fn slow(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let node = scene.one_node(chance).await?;
    let device = disk(&node)?.device().await?;
    let throttle = node.throttle.as_ref().ok_or_else(|| Trouble::unusable(name(&node), "nothing slows its disk down"))?;
    let rate = chance.random_range(5..30);
    let before = throttle.served(&device);
    throttle.writes_per_second(&device, rate)?;
    tokio::time::sleep(lasts).await;
    throttle.writes_per_second(&device, 0)?;
    let served = throttle.served(&device) - before;
    if served == 0 {
        return Err(Trouble::unusable(name(&node), "it wrote nothing meanwhile"));
    }
    Ok(Blow::of(name(&node), format!("{served} writes in {lasts:?}, at most {rate} a second")))
}

pub(super) async fn hung(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut node = scene.one_node(chance).await?;
    let disk = disk(&node)?;
    disk.freeze().await?;
    tokio::time::sleep(lasts).await;
    disk.thaw().await?;
    let after = see_it_through(scene, &mut node).await?;
    Ok(Blow::of(name(&node), format!("the file system was frozen for {lasts:?}; the node {after}")))
}

pub(super) async fn full(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut node = scene.one_node(chance).await?;
    let disk = disk(&node)?;
    let spare_kib = [0, 64, 4_096][chance.random_range(0..3)];
    let taken = disk.fill(spare_kib).await?;
    tokio::time::sleep(lasts).await;
    let left = disk.free_kib().await?;
    disk.empty()?;
    let after = see_it_through(scene, &mut node).await?;
    Ok(Blow::of(name(&node), format!("{taken} KiB were taken and {left} KiB were left at the end; the node {after}")))
}

/// Waits until it is clear whether a node survives what its disk did, and starts it again where it does not.
async fn see_it_through(scene: &Scene, node: &mut Node) -> Result<&'static str, Trouble> {
    let deadline = Instant::now() + GIVING_UP;
    while node.is_running() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    if node.is_running() {
        return Ok("goes on");
    }
    scene.start_and_wait(node).await?;
    Ok("had ended, and came back")
}

/// Every sync fails from now on. The first failure is terminal for a node: it must not acknowledge, and must not try again.
pub(super) async fn failing(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut node = scene.one_node(chance).await?;
    let process = node.process().unwrap_or_default().to_string();
    let trace = node.place.log.with_extension("strace");
    let calls = "fdatasync,fsync";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-p", &process, "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error=EIO"), "-o"]);
    strace.arg(&trace).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let failed = |error: std::io::Error| Trouble::Program { command: "strace".into(), why: error.to_string() };
    let mut strace = strace.spawn().map_err(failed)?;
    let deadline = Instant::now() + lasts.max(LATCHED);
    while node.is_running() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let ended = !node.is_running();
    node.kill().await?;
    // It ends with whom it watched.
    let _ = tokio::time::timeout(Duration::from_secs(5), strace.wait()).await;
    let injected = std::fs::read_to_string(&trace).unwrap_or_default().matches("INJECTED").count();
    tokio::time::sleep(Duration::from_millis(200)).await;
    scene.start_and_wait(&mut node).await?;
    if injected == 0 {
        return Err(Trouble::unusable(name(&node), "no sync was made to fail"));
    }
    let how = if ended { "ended by itself" } else { "had not ended and was killed" };
    Ok(Blow::of(name(&node), format!("{injected} syncs failed; the node {how}, and came back")))
}
