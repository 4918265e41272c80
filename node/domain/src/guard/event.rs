//! What happened to guard.

use super::{AlertKind, EnvironmentChange, Promotion, Severity, Sink, ValueRule};
use crate::event::What;
use crate::ids::{EnvironmentName, PrincipalName, RuleName, SinkName};
use crate::operation::Operation;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One thing that happened. New kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum GuardEvent {
    /// Its id is the number of its record, unless it counts up an older one.
    AlertRaised {
        kind: AlertKind,
        severity: Severity,
        subject: String,
        text: String,
    },
    AlertAcknowledged {
        alert: u64,
    },
    AlertDelivered {
        alert: u64,
        sink: SinkName,
    },
    AlertAttempted {
        alert: u64,
        sink: SinkName,
        error: String,
    },
    /// What is sealed in it is empty in a journal leaf.
    SinkPut {
        sink: Box<Sink>,
        digest: [u8; 32],
    },
    SinkDeleted {
        name: SinkName,
    },
    /// A principal came from somewhere for the first time.
    AddressSeen {
        principal: PrincipalName,
        address: IpAddr,
    },
    EnvironmentSet {
        environment: EnvironmentName,
        change: EnvironmentChange,
    },
    PromotionPlanned {
        plan: Box<Promotion>,
    },
    PromotionApproved {
        promotion: u64,
        to: EnvironmentName,
    },
    PromotionRejected {
        promotion: u64,
        to: EnvironmentName,
        reason: String,
    },
    PromotionCancelled {
        promotion: u64,
        to: EnvironmentName,
    },
    /// The versions stand before it in the same decision.
    PromotionApplied {
        promotion: u64,
        to: EnvironmentName,
        versions: Vec<u64>,
    },
    RulePut {
        rule: Box<ValueRule>,
    },
    RuleDeleted {
        name: RuleName,
    },
    /// Goes along with a plan: who made the token that it was asked for with. None of them approves it.
    PromotionMakersNoted {
        promotion: u64,
        to: EnvironmentName,
        makers: Vec<PrincipalName>,
    },
}

impl GuardEvent {
    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            GuardEvent::AlertRaised { kind: AlertKind::Test, .. } => Operation::AlertTest,
            GuardEvent::AlertRaised { .. } => Operation::AlertRaise,
            GuardEvent::AlertAcknowledged { .. } => Operation::AlertAcknowledge,
            GuardEvent::AlertDelivered { .. } | GuardEvent::AlertAttempted { .. } => Operation::AlertDeliver,
            GuardEvent::SinkPut { .. } => Operation::SinkPut,
            GuardEvent::SinkDeleted { .. } => Operation::SinkDelete,
            GuardEvent::AddressSeen { .. } => Operation::AddressSeen,
            GuardEvent::EnvironmentSet { .. } => Operation::EnvironmentSet,
            GuardEvent::PromotionPlanned { .. } | GuardEvent::PromotionMakersNoted { .. } => Operation::PromotionPlan,
            GuardEvent::PromotionApproved { .. } => Operation::PromotionApprove,
            GuardEvent::PromotionRejected { .. } => Operation::PromotionReject,
            GuardEvent::PromotionCancelled { .. } => Operation::PromotionCancel,
            GuardEvent::PromotionApplied { .. } => Operation::PromotionApply,
            GuardEvent::RulePut { .. } => Operation::RulePut,
            GuardEvent::RuleDeleted { .. } => Operation::RuleDelete,
        }
    }

    /// Whether the state changes by it, beyond the count of records.
    #[must_use]
    pub fn is_change(&self) -> bool {
        true
    }

    /// Whether it goes along with a request rather than being asked for: it is nothing that a receipt answers with.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        match self {
            GuardEvent::AlertRaised { kind, .. } => *kind != AlertKind::Test,
            GuardEvent::AddressSeen { .. } | GuardEvent::PromotionMakersNoted { .. } => true,
            _ => false,
        }
    }

    /// About how many bytes of varying size it takes in the log, never much less than it does.
    #[must_use]
    pub fn varying_bytes(&self) -> usize {
        match self {
            GuardEvent::SinkPut { sink, .. } => sink.sealed.len() + sink.place.len(),
            GuardEvent::AlertRaised { subject, text, .. } => subject.len() + text.len(),
            GuardEvent::AlertAttempted { error, .. } => error.len(),
            GuardEvent::PromotionPlanned { plan } => plan.size_hint(),
            GuardEvent::PromotionRejected { reason, .. } => reason.len(),
            GuardEvent::PromotionApplied { versions, .. } => versions.len() * 9,
            GuardEvent::RulePut { rule } => rule.size_hint(),
            GuardEvent::PromotionMakersNoted { makers, .. } => makers.iter().map(|maker| maker.as_str().len() + 4).sum(),
            _ => 0,
        }
    }

    /// The event as a journal leaf holds it, where that is not all of it.
    #[must_use]
    pub fn without_payload(&self) -> Option<GuardEvent> {
        match self {
            GuardEvent::SinkPut { sink, digest } if !sink.sealed.is_empty() => {
                let sink = Box::new(Sink { sealed: Bytes::new(), ..Sink::clone(sink) });
                Some(GuardEvent::SinkPut { sink, digest: *digest })
            }
            _ => None,
        }
    }

    /// Environment, subject, secret and version as a record shows them.
    #[must_use]
    pub fn about_what(&self) -> What<'_> {
        match self {
            GuardEvent::AlertRaised { subject, .. } => What::system(subject),
            GuardEvent::AlertAcknowledged { alert } => What { version: *alert, ..What::system("") },
            GuardEvent::AlertDelivered { alert, sink } | GuardEvent::AlertAttempted { alert, sink, .. } => {
                What { version: *alert, ..What::system(sink.as_str()) }
            }
            GuardEvent::SinkPut { sink, .. } => What::system(sink.name.as_str()),
            GuardEvent::SinkDeleted { name } => What::system(name.as_str()),
            GuardEvent::AddressSeen { principal, .. } => What::system(principal.as_str()),
            GuardEvent::EnvironmentSet { environment, .. } => What { environment: environment.as_str(), ..What::system("") },
            GuardEvent::PromotionPlanned { plan } => promotion(&plan.to, plan.id),
            GuardEvent::PromotionApproved { promotion: id, to }
            | GuardEvent::PromotionRejected { promotion: id, to, .. }
            | GuardEvent::PromotionCancelled { promotion: id, to }
            | GuardEvent::PromotionMakersNoted { promotion: id, to, .. }
            | GuardEvent::PromotionApplied { promotion: id, to, .. } => promotion(to, *id),
            GuardEvent::RulePut { rule } => What::system(rule.name.as_str()),
            GuardEvent::RuleDeleted { name } => What::system(name.as_str()),
        }
    }
}

/// A promotion as a record shows it: where it goes, and its id where versions stand.
fn promotion(to: &EnvironmentName, id: u64) -> What<'_> {
    What { environment: to.as_str(), version: id, ..What::system("promotion") }
}
