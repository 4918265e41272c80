//! What can be asked about snapshots and restores.

use super::{Drill, SavedSnapshot};
use crate::ids::EnvironmentName;
use crate::operation::Operation;
use serde::{Deserialize, Serialize};

/// What a holder of a token asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RecoveryCommand {
    /// May it be done? The node that took the request does it once this is on the journal.
    Ask {
        operation: Operation,
        subject: String,
    },
    /// Bringing back what an environment held; each value that comes back is a write of its own besides.
    Restore {
        environment: EnvironmentName,
        subject: String,
    },
    ReportDrill(Drill),
}

/// What the cluster asks of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RecoveryUpkeep {
    Saved(SavedSnapshot),
    Failed { to: String, why: String },
    Pruned { from: String, count: u64, bytes: u64 },
}

impl RecoveryCommand {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        match self {
            RecoveryCommand::Ask { operation, subject } => (*operation, String::new(), subject.clone()),
            RecoveryCommand::Restore { environment, subject } => {
                (Operation::SnapshotRestore, environment.to_string(), subject.clone())
            }
            RecoveryCommand::ReportDrill(drill) => (Operation::DrillReport, String::new(), drill.from.clone()),
        }
    }
}

impl RecoveryUpkeep {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        match self {
            RecoveryUpkeep::Saved(saved) => (Operation::SnapshotSaved, String::new(), saved.file.clone()),
            RecoveryUpkeep::Failed { to, .. } => (Operation::SnapshotFailed, String::new(), to.clone()),
            RecoveryUpkeep::Pruned { from, .. } => (Operation::SnapshotPruned, String::new(), from.clone()),
        }
    }
}
