//! Certificates that change while nodes run: laid out anew by the same authority, in place of those that are shown.

use std::time::{Duration, Instant};

use proto_client::{Client, v1};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Blow, Scene, process::name};
use crate::{stage::node::Node, trouble::Trouble};

/// What must come out well.
const PROMISE: &str = "a node takes new certificates while it runs, and shows them to whoever connects";
/// What a node says when it has read the certificates of its start, …
const STARTED: &str = "node started";
/// … and when it has taken others.
const REPLACED: &str = "certificates were replaced";
/// It looks every two seconds; this is for a machine that is busy.
const TAKES: Duration = Duration::from_secs(30);
/// How long a new connection to a node may take that nothing else is done to.
const SHOWS: Duration = Duration::from_secs(20);
const ASKED: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One node gets new certificates, or all do, one after the other.
pub(super) async fn certificates(scene: &Scene, lasts: Duration, chance: &mut ChaCha8Rng) -> Result<Blow, Trouble> {
    if chance.random_bool(0.5) {
        let mut node = scene.one_node(chance).await?;
        let evidence = renew(scene, &mut node).await?;
        return Ok(Blow::of(name(&node), evidence));
    }
    let (mut told, mut missed) = (Vec::new(), Err(Trouble::unusable("certificates", "no node runs")));
    for (_, node) in scene.stage()?.nodes() {
        let mut node = node.lock_owned().await;
        match renew(scene, &mut node).await {
            Ok(evidence) => told.push(format!("{}: {evidence}", name(&node))),
            Err(trouble) => missed = Err(trouble),
        }
        drop(node);
        tokio::time::sleep(lasts).await;
    }
    if told.is_empty() { missed } else { Ok(Blow::of("all nodes, one by one", told.join("; "))) }
}

/// Nobody else does anything to a node whose lock is held; the network may be broken all the same.
async fn renew(scene: &Scene, node: &mut Node) -> Result<String, Trouble> {
    if !node.is_running() || !node.log_of_this_life().contains(STARTED) {
        return Err(Trouble::unusable(name(node), "it is only just coming up"));
    }
    let (before, began) = (node.log_bytes(), Instant::now());
    scene.stage()?.renew_certificates(node.place.id).await?;
    while !node.log_after(before).contains(REPLACED) {
        if !node.is_running() {
            return Err(Trouble::unusable(name(node), "it ended before it could take new certificates"));
        }
        if began.elapsed() > TAKES {
            let flaw = format!("{} has not taken them after {TAKES:?}: {}", name(node), node.last_words(2));
            scene.tried(PROMISE, Some(flaw.clone()));
            return Ok(flaw);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let taken = format!("new certificates taken after {} ms", began.elapsed().as_millis());
    let shown = shown(scene, node).await?;
    scene.tried(PROMISE, shown.as_ref().err().cloned());
    let (Ok(shown) | Err(shown)) = shown;
    Ok(format!("{taken}; {shown}"))
}

/// Whether somebody who has no connection yet can make one. Where the network is broken, nothing can be said.
async fn shown(scene: &Scene, node: &mut Node) -> Result<Result<String, String>, Trouble> {
    let Ok(_quiet) = scene.network.try_lock() else {
        return Ok(Ok("the network was broken meanwhile".to_owned()));
    };
    let config = scene.stage()?.settings_for([node.place.client.clone()])?;
    let deadline = Instant::now() + SHOWS;
    loop {
        // A client keeps its connection: each try is a new one's.
        let client = Client::connect(config.clone()).await.map_err(Trouble::cluster("connect to a node"))?;
        match client.with_timeout(ASKED).cluster().health(v1::HealthRequest {}).await {
            Ok(_) => return Ok(Ok("a new connection is answered".to_owned())),
            Err(_) if !node.is_running() => return Ok(Ok("it ended before a new connection was made".to_owned())),
            Err(error) if Instant::now() > deadline => {
                return Ok(Err(format!("{} answers no new connection: {}", name(node), error.message)));
            }
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}
