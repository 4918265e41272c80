//! How this node is, for load balancers, for people and for alarms: indicators, each with a grade, a sentence and a number.
//!
//! Nothing here is secret, names anybody or costs much: it is looked at once in a quarter of a second, however often it is asked for, and
//! is not on the journal. The same report goes out over HTTP ([`port`]) and gRPC.

mod indicators;
pub(crate) mod port;
mod recovery;
mod surroundings;
mod wholeness;

use crate::api::door::Door;
use crate::certificates::Certificates;
use crate::clock::Clock;
use crate::config::{BackupConfig, Config};
use indicators::Seen;
use node_domain::State;
use parking_lot::Mutex;
use raft::{Replica, Role};
use recovery::Recovery;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use storage::wal::Wal;
use surroundings::Surroundings;
use tokio::time::Instant;
use wholeness::Wholeness;

/// A report is given again for so long.
const FRESH: Duration = Duration::from_millis(250);

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// As it should be.
    Pass,
    /// It works; somebody should look.
    Warn,
    /// It does not work.
    Fail,
}

impl Grade {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Grade::Pass => "pass",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Indicator {
    pub(crate) name: &'static str,
    pub(crate) status: Grade,
    /// For people.
    pub(crate) says: String,
    /// For machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<f64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) unit: &'static str,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) node: u64,
    pub(crate) zone: String,
    pub(crate) role: &'static str,
    /// The worst of the indicators.
    pub(crate) status: Grade,
    /// Whether it answers requests now: a load balancer should send some.
    pub(crate) ready: bool,
    /// Whether restarting it would help nobody: it works, or waits for others.
    pub(crate) live: bool,
    pub(crate) version: &'static str,
    pub(crate) indicators: Vec<Indicator>,
}

impl Report {
    /// A node without its keys answers nobody, and restarting it does not help.
    pub(crate) fn sealed(node: u64, zone: &str, phase: &str) -> Report {
        let says = format!("the node is {phase}: holdfast operator status says what it waits for");
        let keys = Indicator { name: "keys", status: Grade::Fail, says, value: None, unit: "" };
        Report {
            node,
            zone: zone.to_owned(),
            role: "sealed",
            status: Grade::Fail,
            ready: false,
            live: true,
            version: env!("CARGO_PKG_VERSION"),
            indicators: vec![keys],
        }
    }
}

/// Looks at one running node.
pub(crate) struct Health {
    door: Arc<Door>,
    replica: Replica,
    wal: Wal,
    clock: Arc<dyn Clock>,
    zone: String,
    backup: BackupConfig,
    surroundings: Arc<Surroundings>,
    certificates: Arc<Certificates>,
    newest: Mutex<Option<(Instant, Arc<Report>)>>,
}

impl Health {
    pub(crate) fn new(
        door: Arc<Door>,
        replica: Replica,
        wal: Wal,
        (clock, certificates): (Arc<dyn Clock>, Arc<Certificates>),
        config: &Config,
    ) -> Health {
        let surroundings = Arc::new(Surroundings::of(config));
        let (zone, backup) = (config.node.zone.clone(), config.backup.clone());
        Health { door, replica, wal, clock, zone, backup, surroundings, certificates, newest: Mutex::new(None) }
    }

    /// Looks at what lies around the node, until it is dropped by whoever runs it.
    pub(crate) async fn look_around(self: Arc<Self>) {
        Arc::clone(&self.surroundings).keep_looking().await;
    }

    /// How the node is now, or was a moment ago.
    pub(crate) async fn report(&self) -> Arc<Report> {
        if let Some((when, report)) = &*self.newest.lock()
            && when.elapsed() < FRESH
        {
            return report.clone();
        }
        let report = Arc::new(self.look().await);
        *self.newest.lock() = Some((Instant::now(), report.clone()));
        report
    }

    async fn look(&self) -> Report {
        let role = self.replica.watch_role().borrow().clone();
        let view = self.door.view();
        let (certificates, certificates_refused) = self.certificates.days_left(&*self.clock);
        let seen = Seen {
            status: self.replica.status(),
            silence: self.replica.silence().await,
            log_failure: self.replica.log_failure(),
            stalled_for: self.wal.stalled_for(),
            is_stalled: *self.replica.watch_stalled().borrow(),
            learner_lag_max: self.replica.config().learner_lag_max,
            founded: view.state.is_founded(),
            sealed_environments: sealed_environments(&view.state),
            journal: self.door.journal.head(),
            journal_failure: self.door.journal.failed(),
            stamp: view.state.stamp(),
            now: self.clock.now(),
            draining: self.door.gate.is_closed(),
            members: self.replica.members().into_values().collect(),
            recovery: Recovery::of(&view.state, &self.backup),
            surroundings: self.surroundings.newest(),
            certificates,
            certificates_refused,
            wholeness: Wholeness::of(&self.door.mending.repairs),
        };
        let indicators = seen.indicators();
        let failed =
            |name| indicators.iter().any(|indicator: &Indicator| indicator.name == name && indicator.status == Grade::Fail);
        Report {
            node: self.door.node_id,
            zone: self.zone.clone(),
            role: word(&role),
            status: indicators.iter().map(|indicator| indicator.status).max().unwrap_or(Grade::Pass),
            ready: !seen.draining && seen.founded && !["quorum", "disk", "journal"].into_iter().any(failed),
            live: !matches!(role, Role::Stopped { .. }) && seen.log_failure.is_none(),
            version: env!("CARGO_PKG_VERSION"),
            indicators,
        }
    }
}

fn sealed_environments(state: &State) -> usize {
    state.environments().filter(|environment| state.keys().sealed(&environment.about.name).is_some()).count()
}

fn word(role: &Role) -> &'static str {
    match role {
        Role::Leader { .. } => "leader",
        Role::Follower { .. } => "follower",
        Role::Learner { .. } => "learner",
        Role::Candidate => "candidate",
        Role::Stopped { .. } => "stopped",
    }
}
