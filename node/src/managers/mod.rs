//! What a node does by itself, beside answering: the leader's work on the state, and keeping up with the other members.

pub(crate) mod alerts;
mod keeping;
mod rewrap;
pub(crate) mod snapshots;

use crate::api::Door;
use crate::config::{Config, KeysConfig};
use crate::seal::Rotation;
use raft::{Replica, Role};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What managers work with.
#[derive(Clone)]
pub(crate) struct Managed {
    pub(crate) door: Arc<Door>,
    pub(crate) replica: Replica,
    pub(crate) rotation: Arc<Rotation>,
    pub(crate) config: KeysConfig,
    /// Where the node keeps its data.
    pub(crate) data: PathBuf,
}

impl Managed {
    pub(crate) fn new(door: &Arc<Door>, replica: &Replica, rotation: &Arc<Rotation>, config: &Config) -> Managed {
        Managed {
            door: door.clone(),
            replica: replica.clone(),
            rotation: rotation.clone(),
            config: config.keys,
            data: config.node.data.clone(),
        }
    }

    fn leads(&self) -> bool {
        matches!(*self.replica.watch_role().borrow(), Role::Leader { .. })
    }
}

/// Starts all managers; they end at `stop`.
pub(crate) fn start(managed: Managed, tasks: &mut JoinSet<Result<(), String>>, stop: &CancellationToken) {
    let keeping = keeping::run(managed.clone());
    let rewrapping = rewrap::run(managed);
    until(stop, tasks, keeping);
    until(stop, tasks, rewrapping);
}

/// Does the work until it is done or the node stops.
pub(crate) fn until(
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<(), String>>,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let stop = stop.clone();
    tasks.spawn(async move {
        let _ = stop.run_until_cancelled(work).await;
        Ok(())
    });
}
