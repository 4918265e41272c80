//! Delivers alerts: the leader hands each sink what it is owed, and marks it when the sink has taken it.
//!
//! Delivery comes first and the mark after it, so that a leader that dies in between leaves an alert that the next leader delivers
//! again: at least once, never lost. What fails waits, longer each time, in the state, so that no leader forgets to wait.

mod courier;
pub(crate) mod target;

use crate::api::Door;
use crate::clock::Clock;
use courier::{Courier, Letter};
use node_domain::Command;
use node_domain::command::Upkeep;
use node_domain::guard::{Alert, GuardUpkeep, Sink};
use raft::{Replica, Role};
use std::sync::Arc;
use std::time::Duration;
pub(crate) use target::Target;
use tokio_util::sync::CancellationToken;

/// What happens within this time is delivered in one go.
const GATHER: Duration = Duration::from_millis(50);
/// How often the manager looks for sinks that may be tried again.
const LOOK: Duration = Duration::from_millis(500);
/// How long the mark of a delivery may take to commit.
const MARK: Duration = Duration::from_secs(10);

/// The manager of one node; it works while the node leads.
pub(crate) struct AlertManager {
    door: Arc<Door>,
    replica: Replica,
    clock: Arc<dyn Clock>,
    courier: Courier,
}

impl AlertManager {
    pub(crate) fn new(door: Arc<Door>, replica: Replica, clock: Arc<dyn Clock>) -> AlertManager {
        AlertManager { door, replica, clock, courier: Courier::default() }
    }

    /// Works until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let work = async {
            let mut role = self.replica.watch_role();
            let mut revisions = self.door.conduit.published().watch();
            loop {
                if !matches!(*role.borrow_and_update(), Role::Leader { .. }) {
                    if role.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                self.deliver_due().await;
                // A sink that failed is due again by the clock, without any record.
                let _ = tokio::time::timeout(LOOK, revisions.changed()).await;
                tokio::time::sleep(GATHER).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// One alert to each sink that has one due: a slow sink holds up no other.
    async fn deliver_due(&self) {
        let view = self.door.view();
        let due: Vec<_> = view.state.guard().outbox.due(self.clock.now()).collect();
        futures::future::join_all(due.into_iter().map(|(sink, alert)| self.deliver(sink, alert))).await;
    }

    async fn deliver(&self, sink: &Sink, alert: &Alert) {
        let outcome = match Target::open(&self.door.sealing, sink) {
            Ok(target) => {
                let letter = Letter::of(self.door.view().state.cluster(), alert, self.clock.now());
                self.courier.deliver(&target, &letter).await
            }
            Err(error) => Err(error),
        };
        let (alert, name) = (alert.id, sink.name.clone());
        let outcome_word = if outcome.is_ok() { "delivered" } else { "failed" };
        metrics::counter!("holdfast_alert_deliveries_total", "outcome" => outcome_word).increment(1);
        let upkeep = match outcome {
            Ok(()) => GuardUpkeep::Delivered { alert, sink: name },
            Err(error) => {
                tracing::warn!(alert, sink = %name, %error, "an alert was not delivered; it is tried again");
                GuardUpkeep::Attempted { alert, sink: name, error }
            }
        };
        self.mark(upkeep).await;
    }

    async fn mark(&self, upkeep: GuardUpkeep) {
        let command = Command::Upkeep(Box::new(Upkeep::Guard(upkeep)));
        if let Err(lost) = self.door.submit_own("alerts", command, MARK).await {
            tracing::warn!(%lost, "what became of an alert was not recorded: it is delivered again");
        }
    }
}
