//! What a node does beside answering calls, in tasks that end with it.

use super::Ambient;
use crate::api::door::Door;
use crate::backups::Saving;
use crate::certificates::Certificates;
use crate::config::Config;
use crate::engine::Published;
use crate::engine::materializer::Materializer;
use crate::engine::proposer::{Proposer, Submission};
use crate::engine::stores::Stores;
use crate::health::Health;
use crate::leadership;
use crate::lost_log;
use crate::managers::alerts::AlertManager;
use crate::managers::{self, until};
use crate::members;
use raft::Replica;
use raft::transport::Acknowledged;
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Ends the node when its materialized state cannot be written, or not be read.
pub(super) fn watch(others: &mut JoinSet<Result<(), String>>, materializer: &Materializer, stores: &Weak<Stores>) {
    let failures = [Some(materializer.watch_failure()), stores.upgrade().map(|stores| stores.watch_lost())];
    for mut failure in failures.into_iter().flatten() {
        others.spawn(async move {
            let failed = failure.wait_for(Option::is_some).await.map(|reason| reason.clone().unwrap_or_default());
            Err(failed.unwrap_or_else(|_| "the materializer ended".to_owned()))
        });
    }
}

/// Ends the node when its own log is an older one, and has others know when another's is.
pub(super) fn watch_logs(
    config: &Config,
    ambient: &Ambient,
    replica: &Replica,
    (acknowledged, door): (Acknowledged, Arc<Door>),
    others: &mut JoinSet<Result<(), String>>,
) {
    others.spawn(lost_log::watch_own(replica.clone(), ambient.disk.clone(), config.node.data.clone()));
    others.spawn(async move {
        lost_log::raise_others(acknowledged, door).await;
        Ok(())
    });
}

/// The leader's desk, which works while this node leads.
pub(super) fn decide_while_leading(
    replica: &Replica,
    published: &Arc<Published>,
    ambient: &Ambient,
    submissions: mpsc::Receiver<Submission>,
    tasks: &mut JoinSet<Result<(), String>>,
) {
    let proposer = Proposer::new(replica.clone(), published.clone(), ambient.clock.clone());
    tasks.spawn(async move {
        proposer.run(submissions).await;
        Ok(())
    });
}

/// Saves snapshots while this node leads, where the settings say where.
pub(super) fn save_by_itself(
    config: &Config,
    ambient: &Ambient,
    saving: &Arc<Saving>,
    replica: &Replica,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) {
    let (saving, replica, clock) = (saving.clone(), replica.clone(), ambient.clock.clone());
    let manager = managers::snapshots::Snapshots { saving, replica, clock, config: config.backup.clone() };
    until(stop, tasks, managers::snapshots::run(manager));
}

/// What the node does by itself, most of it while it leads.
pub(super) fn start_managers(
    ambient: &Ambient,
    replica: &Replica,
    door: &Arc<Door>,
    health: &Arc<Health>,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) {
    // A node whose gate is closed does not lead for long.
    until(stop, tasks, leadership::keep_away(replica.clone(), door.gate.clone()));
    until(stop, tasks, leadership::prefer_healthy_zone(replica.clone()));
    until(stop, tasks, members::keep_told(door.clone(), replica.clone(), ambient.build.clone()));
    until(stop, tasks, health.clone().look_around());
    let alerts = AlertManager::new(door.clone(), replica.clone(), ambient.clock.clone());
    let stop = stop.clone();
    tasks.spawn(async move {
        alerts.run(stop).await;
        Ok(())
    });
}

/// Takes new certificates as they come, and has people know before one expires.
pub(super) fn keep_certificates(
    certificates: &Arc<Certificates>,
    ambient: &Ambient,
    door: &Arc<Door>,
    tasks: &mut JoinSet<Result<(), String>>,
    stop: &CancellationToken,
) {
    until(stop, tasks, certificates.clone().keep_fresh());
    until(stop, tasks, certificates.clone().watch_expiry(door.clone(), ambient.clock.clone()));
}
