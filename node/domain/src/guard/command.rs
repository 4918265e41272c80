//! What can be asked about guard.

use super::{Severity, SinkWish};
use crate::ids::SinkName;
use crate::operation::Operation;
use serde::{Deserialize, Serialize};

/// What a holder of a token asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum GuardCommand {
    /// The door lists from its view.
    ListAlerts,
    /// 0 acknowledges all.
    Acknowledge {
        alert: u64,
    },
    TestAlert {
        severity: Severity,
        text: String,
    },
    ListSinks,
    PutSink(SinkWish),
    DeleteSink {
        name: SinkName,
    },
}

/// What the cluster asks of itself: the leader's managers, without a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum GuardUpkeep {
    /// An alert was delivered.
    Delivered { alert: u64, sink: SinkName },
    /// It could not be.
    Attempted { alert: u64, sink: SinkName, error: String },
}

/// What the caller is told beyond that it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardAnswer {}

impl GuardCommand {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        let system = |operation, subject: String| (operation, String::new(), subject);
        match self {
            GuardCommand::ListAlerts => system(Operation::AlertList, String::new()),
            GuardCommand::Acknowledge { alert } => system(Operation::AlertAcknowledge, format!("alert-{alert}")),
            GuardCommand::TestAlert { .. } => system(Operation::AlertTest, String::new()),
            GuardCommand::ListSinks => system(Operation::SinkList, String::new()),
            GuardCommand::PutSink(wish) => system(Operation::SinkPut, wish.name.to_string()),
            GuardCommand::DeleteSink { name } => system(Operation::SinkDelete, name.to_string()),
        }
    }
}

impl GuardUpkeep {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        match self {
            GuardUpkeep::Delivered { sink, .. } | GuardUpkeep::Attempted { sink, .. } => {
                (Operation::AlertDeliver, String::new(), sink.to_string())
            }
        }
    }
}
