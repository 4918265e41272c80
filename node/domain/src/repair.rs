//! What nodes repair by themselves, and how they notice that they have come apart: facts for the journal, none of them changes the state.

use crate::decide::{Answer, Decided};
use crate::event::{Event, What};
use crate::ids::Revision;
use crate::limits;
use crate::operation::Operation;
use crate::rejection::Rejection;
use crate::state::State;
use serde::{Deserialize, Serialize};

/// What of a node's disk is repaired. New parts are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RepairPart {
    /// Records of its journal.
    Journal,
    /// A snapshot.
    Snapshot,
    /// The sealed bytes of one value.
    Value,
    /// A database.
    Database,
    /// Its state, which had come apart from the others'.
    State,
    /// Its log or its vote, which nobody else has: the node stays out.
    Log,
    /// Its copy of the seal file.
    Seal,
    /// The file that says who it is.
    Identity,
}

impl RepairPart {
    /// All of them.
    pub const ALL: &[RepairPart] = &[
        RepairPart::Journal,
        RepairPart::Snapshot,
        RepairPart::Value,
        RepairPart::Database,
        RepairPart::State,
        RepairPart::Log,
        RepairPart::Seal,
        RepairPart::Identity,
    ];

    /// The word people use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            RepairPart::Journal => "journal",
            RepairPart::Snapshot => "snapshot",
            RepairPart::Value => "value",
            RepairPart::Database => "database",
            RepairPart::State => "state",
            RepairPart::Log => "log",
            RepairPart::Seal => "seal",
            RepairPart::Identity => "identity",
        }
    }
}

/// How far a repair has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RepairStep {
    /// Damage was found.
    Began {
        found: String,
    },
    Done,
    /// It goes on being tried, and somebody should look.
    Failed {
        why: String,
    },
}

/// One thing that happened. New kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RepairEvent {
    Repair {
        /// `node-<id>`.
        node: String,
        part: RepairPart,
        step: RepairStep,
    },
    /// What the digest of the state was at an earlier record, on the node that led: a node that remembers another has come apart.
    StateChecked { revision: Revision, digest: [u8; 32] },
}

/// What nodes ask of the cluster about themselves, without a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum RepairUpkeep {
    Report { node: u64, part: RepairPart, step: RepairStep },
    CheckState { revision: Revision, digest: [u8; 32] },
}

impl RepairEvent {
    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            RepairEvent::Repair { step, .. } => step.operation(),
            RepairEvent::StateChecked { .. } => Operation::StateCheck,
        }
    }

    /// About how many bytes of varying size it takes in the log, never much less than it does.
    #[must_use]
    pub fn varying_bytes(&self) -> usize {
        match self {
            RepairEvent::Repair { step: RepairStep::Began { found: text } | RepairStep::Failed { why: text }, .. } => text.len(),
            _ => 0,
        }
    }

    /// Environment, subject, secret and version as a record shows them.
    #[must_use]
    pub fn about_what(&self) -> What<'_> {
        match self {
            RepairEvent::Repair { node, .. } => What::system(node),
            RepairEvent::StateChecked { revision, .. } => What { version: revision.0, ..What::system("state") },
        }
    }
}

impl RepairStep {
    fn operation(&self) -> Operation {
        match self {
            RepairStep::Began { .. } => Operation::RepairBegin,
            RepairStep::Done => Operation::RepairDone,
            RepairStep::Failed { .. } => Operation::RepairFail,
        }
    }

    fn bounded(self) -> RepairStep {
        let cut = |text| limits::cut(text, limits::ALERT_TEXT_BYTES_MAX);
        match self {
            RepairStep::Began { found } => RepairStep::Began { found: cut(found) },
            RepairStep::Failed { why } => RepairStep::Failed { why: cut(why) },
            RepairStep::Done => RepairStep::Done,
        }
    }
}

impl RepairUpkeep {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        match self {
            RepairUpkeep::Report { node, step, .. } => (step.operation(), String::new(), format!("node-{node}")),
            RepairUpkeep::CheckState { .. } => (Operation::StateCheck, String::new(), "state".to_owned()),
        }
    }
}

/// What a node says of itself is taken as it is; what it says of the past of the state must lie in the past.
pub(crate) fn upkeep(state: &State, command: &RepairUpkeep) -> Decided {
    let event = match command {
        RepairUpkeep::Report { node, part, step } => {
            RepairEvent::Repair { node: format!("node-{node}"), part: *part, step: step.clone().bounded() }
        }
        RepairUpkeep::CheckState { revision, digest } => {
            if *revision > state.revision() {
                return Err(Rejection::invalid(format!("record {} is not there yet", revision.0)));
            }
            RepairEvent::StateChecked { revision: *revision, digest: *digest }
        }
    };
    Ok((vec![Event::Repair(event)], Answer::Done))
}
