//! What can be asked about guard.

use super::{AlertKind, EnvironmentChange, PromotionItem, Severity, SinkWish, ValueRule};
use crate::ids::{EnvironmentName, RuleName, SinkName};
use crate::operation::Operation;
use crate::sealed::Sealed;
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
    SetEnvironment {
        environment: EnvironmentName,
        change: EnvironmentChange,
    },
    PlanPromotion {
        from: EnvironmentName,
        to: EnvironmentName,
        items: Vec<PromotionItem>,
    },
    ReadPromotion {
        id: u64,
    },
    ListPromotions,
    ApprovePromotion {
        id: u64,
    },
    RejectPromotion {
        id: u64,
        reason: String,
    },
    CancelPromotion {
        id: u64,
    },
    /// `sealed` are the values of the items that the plan writes, in their order, sealed for the environment they go to.
    ApplyPromotion {
        id: u64,
        sealed: Vec<Sealed>,
    },
    PutRule(Box<ValueRule>),
    DeleteRule {
        name: RuleName,
    },
    ListRules,
    CheckRules {
        environment: Option<EnvironmentName>,
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
    /// A node found something that somebody should look at.
    Raise { kind: AlertKind, severity: Severity, subject: String, text: String },
}

/// What the caller is told beyond that it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardAnswer {}

impl GuardCommand {
    /// Whether its answer is numbers: the id of a plan, the versions that it wrote, the version of a rule.
    pub(crate) fn is_answered_with_versions(&self) -> bool {
        use GuardCommand::{ApplyPromotion, PlanPromotion, PutRule};
        matches!(self, PlanPromotion { .. } | ApplyPromotion { .. } | PutRule(_))
    }

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
            GuardCommand::SetEnvironment { environment, .. } => {
                (Operation::EnvironmentSet, environment.to_string(), String::new())
            }
            GuardCommand::PlanPromotion { to, items, .. } => {
                let first = items.first().map(|item| item.to.to_string()).unwrap_or_default();
                (Operation::PromotionPlan, to.to_string(), first)
            }
            GuardCommand::ReadPromotion { id } => system(Operation::PromotionRead, format!("promotion-{id}")),
            GuardCommand::ListPromotions => system(Operation::PromotionRead, String::new()),
            GuardCommand::ApprovePromotion { id } => system(Operation::PromotionApprove, format!("promotion-{id}")),
            GuardCommand::RejectPromotion { id, .. } => system(Operation::PromotionReject, format!("promotion-{id}")),
            GuardCommand::CancelPromotion { id } => system(Operation::PromotionCancel, format!("promotion-{id}")),
            GuardCommand::ApplyPromotion { id, .. } => system(Operation::PromotionApply, format!("promotion-{id}")),
            GuardCommand::PutRule(rule) => system(Operation::RulePut, rule.name.to_string()),
            GuardCommand::DeleteRule { name } => system(Operation::RuleDelete, name.to_string()),
            GuardCommand::ListRules => system(Operation::RuleList, String::new()),
            GuardCommand::CheckRules { environment } => {
                let environment = environment.as_ref().map(ToString::to_string).unwrap_or_default();
                (Operation::RuleCheck, environment, String::new())
            }
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
            GuardUpkeep::Raise { subject, .. } => (Operation::AlertRaise, String::new(), subject.clone()),
        }
    }
}
