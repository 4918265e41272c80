//! Processes that end, stand still, and come back.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use proto_client::v1;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use super::{Blow, Scene, scene::Back, staging};
use crate::{stage::node::Node, trouble::Trouble};

/// What must come out well.
const STOPS: &str = "a node that is asked to stop stops, and in order";
/// How long a node that was asked to stop may take: it hands over, answers the calls under way, and lets go of its stores.
const STOP: Duration = Duration::from_secs(30);
/// A process that was started so recently may not listen for signals yet, and SIGTERM itself ends it then.
const COMING_UP: Duration = Duration::from_secs(5);

pub(super) async fn kill(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    if scene.stage.is_none() {
        return staging::stop_one(scene, lasts, chance).await;
    }
    let mut node = scene.one_node(chance).await?;
    let process = node.process().unwrap_or_default();
    node.kill().await?;
    tokio::time::sleep(lasts).await;
    let back = scene.start_and_wait(&mut node).await?;
    Ok(Blow::of(name(&node), format!("process {process} was killed, process {} {back}", node.process().unwrap_or_default())))
}

pub(super) async fn kill_all(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    if scene.stage.is_none() {
        return staging::stop_all(scene, lasts).await;
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
    let back = start_all(scene, &mut nodes).await?;
    Ok(Blow::of("all nodes", format!("{} processes were killed; {back}", nodes.len())))
}

/// Starts all nodes; how they came back.
pub(super) async fn start_all(scene: &Scene, nodes: &mut [tokio::sync::OwnedMutexGuard<Node>]) -> Result<String, Trouble> {
    for node in nodes.iter_mut() {
        node.start()?;
    }
    let mut told = Vec::new();
    for node in nodes {
        let back = scene.wait_until_it_answers(node).await?;
        told.push((node.place.id, back));
    }
    Ok(all_back(&told))
}

fn all_back(nodes: &[(u64, Back)]) -> String {
    if nodes.iter().all(|(_, back)| *back == Back::Answers) {
        return "all answer again".to_owned();
    }
    nodes.iter().map(|(id, back)| format!("node {id} {back}")).collect::<Vec<_>>().join(", ")
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
        return staging::stop_one(scene, lasts, chance).await;
    }
    let mut node = scene.one_node(chance).await?;
    let how = stop(scene, &mut node).await?;
    tokio::time::sleep(lasts).await;
    let back = scene.start_and_wait(&mut node).await?;
    Ok(Blow::of(name(&node), format!("{how}, and {back}")))
}

pub(super) async fn rolling_restart(scene: &Scene, lasts: Duration) -> Result<Blow, Trouble> {
    if scene.stage.is_none() {
        return staging::restart_each(scene, lasts).await;
    }
    let mut told = Vec::new();
    for (id, node) in scene.stage()?.nodes() {
        let mut node = node.lock_owned().await;
        if !node.is_running() {
            continue;
        }
        let how = stop(scene, &mut node).await?;
        let back = scene.start_and_wait(&mut node).await?;
        told.push(format!("node {id}: {how}, and {back}"));
        drop(node);
        tokio::time::sleep(lasts).await;
    }
    Ok(Blow::of("all nodes, one by one", told.join("; ")))
}

/// Asks a node to stop, and waits until it has. One that does not, or not in order, has broken a promise.
async fn stop(scene: &Scene, node: &mut Node) -> Result<String, Trouble> {
    let (age, asked) = (node.age(), Instant::now());
    node.is_meant_to_run = false;
    node.signal(Signal::TERM);
    let stopped = match node.ended_within(STOP).await {
        Ok(ended) => how_it_stopped(ended, age, asked.elapsed()),
        Err(_) => {
            node.kill().await?;
            Err(format!("it did not stop within {STOP:?} and was killed"))
        }
    };
    scene.tried(STOPS, stopped.as_ref().err().map(|flaw| format!("{}: {flaw}: {}", name(node), node.last_words(3))));
    let (Ok(how) | Err(how)) = stopped;
    Ok(how)
}

/// How a node of this `age` ended that was asked to stop; or what is wrong with that.
fn how_it_stopped(ended: Option<ExitStatus>, age: Duration, took: Duration) -> Result<String, String> {
    let Some(status) = ended else { return Ok("it had ended already".to_owned()) };
    if status.success() {
        return Ok(format!("it stopped within {} ms of being asked to", took.as_millis()));
    }
    if status.signal() == Some(Signal::TERM.as_raw()) && age < COMING_UP {
        return Ok("SIGTERM ended it while it was coming up".to_owned());
    }
    Err(format!("asked to stop, it ended with {status}"))
}

pub(super) fn name(node: &Node) -> String {
    format!("node {}", node.place.id)
}

/// Waits until somebody leads, as the cluster has it.
pub(super) async fn leader_known(scene: &Scene, patience: Duration) -> Option<u64> {
    let deadline = Instant::now() + patience;
    loop {
        let status = scene.asking().cluster().status(v1::StatusRequest {}).await;
        if let Ok(status) = status
            && status.leader_id > 0
        {
            return Some(status.leader_id);
        }
        if Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YOUNG: Duration = Duration::from_secs(2);
    const OLD: Duration = Duration::from_secs(200);

    fn stopped(status: i32, age: Duration) -> Result<String, String> {
        how_it_stopped(Some(ExitStatus::from_raw(status)), age, Duration::from_millis(120))
    }

    #[test]
    fn a_node_that_is_asked_to_stop_has_to_end_well() {
        assert_eq!(stopped(0, OLD).unwrap(), "it stopped within 120 ms of being asked to");
        assert!(stopped(3 << 8, YOUNG).unwrap_err().contains("exit status: 3"));
        assert!(stopped(Signal::SEGV.as_raw(), YOUNG).unwrap_err().contains("signal: 11"));
    }

    #[test]
    fn sigterm_itself_may_end_a_node_that_is_coming_up_and_no_other() {
        assert!(stopped(Signal::TERM.as_raw(), YOUNG).unwrap().contains("coming up"));
        assert!(stopped(Signal::TERM.as_raw(), OLD).unwrap_err().contains("signal: 15"));
    }

    #[test]
    fn a_node_that_has_not_answered_is_not_said_to() {
        assert_eq!(all_back(&[(1, Back::Answers), (2, Back::Answers)]), "all answer again");
        let told = all_back(&[(1, Back::Answers), (2, Back::Silent), (3, Back::Silent)]);
        let silent = "runs again, and had not answered after 20 s";
        assert_eq!(told, format!("node 1 answers again, node 2 {silent}, node 3 {silent}"));
    }
}
