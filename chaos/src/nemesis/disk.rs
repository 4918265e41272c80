//! Disks that lose their power, hang, fill up, are slow, or fail.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::process::{Child, Command};

use super::{
    Blow, Scene,
    process::{name, start_all},
};
use crate::{
    stage::{disk::LoopDisk, node::Node},
    trouble::Trouble,
};

/// What must come out well.
const ENDS: &str = "a node whose log or journal fails to sync ends by itself";
/// How long syncs are made to fail until one of them is of the log or the journal, at least.
const MET: Duration = Duration::from_secs(10);
/// How long a node may go on after that: it hands over, lets the calls under way end, and lets go of its stores.
const LATCHED: Duration = Duration::from_secs(30);
/// With no more than this left, no segment of a log or journal can be begun.
const NO_ROOM_KIB: u64 = 64;
/// What the system says where nothing is left.
const ENOSPC: &str = "No space left on device";
/// How often it is looked how much is left.
const MEASURE_AGAIN: Duration = Duration::from_millis(500);
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
    let back = scene.start_and_wait(&mut node).await?;
    if !dead {
        return Err(Trouble::unusable(name(&node), "its disk went on after the cut"));
    }
    Ok(Blow::of(name(&node), format!("the disk refused writes after the cut, was mounted again, and the node {back}")))
}

pub(super) async fn power_cut_all(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut nodes = scene.all_nodes().await?;
    let disks = nodes.iter().map(|node| disk(node)).collect::<Result<Vec<_>, _>>()?;
    tokio::time::sleep(Duration::from_millis(chance.random_range(0..700))).await;
    // From before the first cut: a sync under way while a file system dies may still report success.
    let dark = scene.recorder.power_fails();
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
    drop(dark);
    for disk in &disks {
        disk.mount().await?;
    }
    let back = start_all(scene, &mut nodes).await?;
    if !dead {
        return Err(Trouble::unusable("the disks", "one went on after the cut"));
    }
    Ok(Blow::of("all nodes", format!("{} disks refused writes after the cut; {back}", disks.len())))
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
    let spare_kib = [0, 64, 1_024][chance.random_range(0..3)];
    let before = node.log_bytes();
    let filled = fill(&disk, spare_kib, lasts).await;
    disk.empty()?;
    let after = see_it_through(scene, &mut node).await?;
    let (taken, left) = filled?;
    let said = node.log_after(before).contains(ENOSPC);
    if !said && left > NO_ROOM_KIB {
        return Err(Trouble::unusable(name(&node), format!("{left} KiB were left at least, and it never lacked space")));
    }
    let met = if said { "it was refused space" } else { "there was no room for it" };
    Ok(Blow::of(name(&node), format!("{taken} KiB were taken, {left} KiB were left at least, and {met}; the node {after}")))
}

/// Takes the space and waits; how much was taken, and the least that was left then.
async fn fill(disk: &LoopDisk, spare_kib: u64, lasts: Duration) -> Result<(u64, u64), Trouble> {
    let taken = disk.fill(spare_kib).await?;
    let deadline = Instant::now() + lasts;
    let mut least = disk.free_kib().await?;
    while Instant::now() < deadline {
        tokio::time::sleep(MEASURE_AGAIN).await;
        least = least.min(disk.free_kib().await?);
    }
    Ok((taken, least))
}

/// Waits until it is clear whether a node survives what its disk did, and starts it again where it does not.
async fn see_it_through(scene: &Scene, node: &mut Node) -> Result<String, Trouble> {
    let deadline = Instant::now() + GIVING_UP;
    while node.is_running() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    if node.is_running() {
        return Ok("goes on".to_owned());
    }
    let back = scene.start_and_wait(node).await?;
    Ok(format!("had ended, and {back}"))
}

/// Every sync fails from now on. The first failure is terminal for a node: it must not acknowledge, and must not try again.
pub(super) async fn failing(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    let mut node = scene.one_node(chance).await?;
    let trace = node.place.log.with_extension("strace");
    let mut strace = fail_syncs(&node, &trace)?;
    let deadline = Instant::now() + lasts.max(MET);
    let mut latched = None;
    while node.is_running() && latched.map_or(Instant::now() < deadline, |since: Instant| since.elapsed() < LATCHED) {
        tokio::time::sleep(LOOK_AGAIN).await;
        latched = latched.or_else(|| (of_the_log(&calls(&trace)) > 0).then(Instant::now));
    }
    let ended = !node.is_running();
    node.kill().await?;
    // It ends with whom it watched.
    let _ = tokio::time::timeout(Duration::from_secs(5), strace.wait()).await;
    let calls = calls(&trace);
    let (failed, of_log) = (calls.matches("INJECTED").count(), of_the_log(&calls));
    // One whose log failed only just before it was killed had no time to end.
    if of_log > 0 && (ended || latched.is_some()) {
        let flaw = || format!("{} went on for {LATCHED:?} after a sync of its log failed: {}", name(&node), node.last_words(3));
        scene.tried(ENDS, (!ended).then(flaw));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let back = scene.start_and_wait(&mut node).await?;
    if failed == 0 {
        return Err(Trouble::unusable(name(&node), "no sync was made to fail"));
    }
    let how = if ended { "ended by itself" } else { "had not ended and was killed" };
    Ok(Blow::of(
        name(&node),
        format!("{failed} syncs failed, {of_log} of them of its log or journal; the node {how}, and {back}"),
    ))
}

/// Makes every sync of a node fail, and writes each to `trace` with the path of its file.
fn fail_syncs(node: &Node, trace: &Path) -> Result<Child, Trouble> {
    let process = node.process().unwrap_or_default().to_string();
    // What an earlier fault wrote there is no evidence of this one.
    std::fs::write(trace, "").map_err(Trouble::io("empty", trace))?;
    let calls = "fdatasync,fsync";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-p", &process, "-e", &format!("trace={calls}"), "-e"]);
    strace.arg(format!("inject={calls}:error=EIO")).arg("-o").arg(trace);
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    strace.spawn().map_err(|error| Trouble::Program { command: "strace".into(), why: error.to_string() })
}

fn calls(trace: &Path) -> String {
    std::fs::read(trace).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Syncs of segments of the log and the journal. Those of files in the making, of snapshots and of the database may fail and be tried
/// again.
fn of_the_log(calls: &str) -> usize {
    let is_segment = |call: &&str| (call.contains("/wal/") || call.contains("/journal/")) && call.contains(".seg>");
    calls.lines().filter(is_segment).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_syncs_of_segments_end_a_node() {
        let call = |path: &str| format!("77 fdatasync(12<{path}>) = -1 EIO (Input/output error) (INJECTED)\n");
        let others = ["/d/data/wal/0000000000000002.making", "/d/data/wal", "/d/data/state/db", "/d/data/snapshots/7.partial"];
        assert_eq!(of_the_log(&others.map(call).concat()), 0);
        let segments = ["/d/data/wal/0000000000000001.seg", "/d/data/journal/0000000000000001.seg"];
        assert_eq!(of_the_log(&segments.map(call).concat()), 2);
        assert_eq!(of_the_log("77 fdatasync(12</d/wal/0000000000000001.seg> <unfinished ...>\n"), 1, "one of two at once");
    }
}
