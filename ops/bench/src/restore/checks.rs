//! Whether the new cluster holds what the old one held.

use std::time::Duration;

use proto_client::{Client, v1};
use serde::Serialize;
use tokio::time::Instant;

use super::{
    RestorePlan,
    parts::{ENVIRONMENT, Restored, path},
};
use crate::{
    fault::Fault,
    stage::{Dice, Processes, numbered_value},
};

/// Values that are read and compared, over all nodes.
const LOOKS: u64 = 1000;
/// How long the last node may take until it holds everything.
const PATIENCE: Duration = Duration::from_secs(1800);
const ASKED: Duration = Duration::from_secs(2);
const ASKED_AGAIN: Duration = Duration::from_millis(50);

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Findings {
    /// Secrets that came back, as the restore says.
    pub(super) secrets: u64,
    pub(super) values: u64,
    /// Values that were read and compared.
    pub(super) read: u64,
    /// Those of them that were not what was put.
    pub(super) wrong: u64,
    /// Whether all nodes hold one state.
    pub(super) same_state: bool,
}

/// Waits until every node stands behind the restore.
pub(super) async fn all_hold(nodes: &[Client], revision: u64, processes: &mut Processes) -> Result<(), Fault> {
    let deadline = Instant::now() + PATIENCE;
    for node in nodes {
        loop {
            let why = match status(node).await {
                Ok(status) if status.seq > revision => break,
                Ok(status) => format!("node {} is at record {}", status.node_id, status.seq),
                Err(why) => why,
            };
            processes.all_run()?;
            if Instant::now() > deadline {
                return Err(Fault::Cluster { doing: "wait until all nodes hold everything", why });
            }
            tokio::time::sleep(ASKED_AGAIN).await;
        }
    }
    Ok(())
}

async fn status(node: &Client) -> Result<v1::StatusResponse, String> {
    node.with_timeout(ASKED).cluster().status(v1::StatusRequest {}).await.map_err(|error| error.to_string())
}

pub(super) async fn all(plan: &RestorePlan, nodes: &[Client], restored: &Restored) -> Result<Findings, Fault> {
    let (mut wrong, mut dice) = (0, Dice::new(7));
    let looks = LOOKS.min(plan.secrets);
    for look in 0..looks {
        let number = dice.roll() % plan.secrets;
        let node = &nodes[(look % nodes.len() as u64) as usize];
        let request = v1::GetRequest { environment: ENVIRONMENT.into(), path: path(number), ..v1::GetRequest::default() };
        let answer = node.secrets().get(request).await.map_err(Fault::cluster("read a secret"))?;
        if answer.value.as_ref() != Some(&numbered_value(number, plan.value_bytes as usize)) {
            wrong += 1;
        }
    }
    Ok(Findings { secrets: restored.secrets, values: restored.values, read: looks, wrong, same_state: same_state(nodes).await? })
}

/// Digests of states are the same where only looks lie between them: every question is a record itself.
async fn same_state(nodes: &[Client]) -> Result<bool, Fault> {
    for _ in 0..50 {
        let mut digests = Vec::new();
        for node in nodes {
            let status = status(node).await.map_err(|why| Fault::Cluster { doing: "ask for the status", why })?;
            digests.push(status.state_digest);
        }
        if digests.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(true);
        }
        tokio::time::sleep(ASKED_AGAIN).await;
    }
    Ok(false)
}
