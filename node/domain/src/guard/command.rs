//! What can be asked about guard.

use crate::operation::Operation;
use serde::{Deserialize, Serialize};

/// What a holder of a token asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardCommand {}

/// What the cluster asks of itself: the leader's managers, without a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardUpkeep {}

/// What the caller is told beyond that it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardAnswer {}

impl GuardCommand {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        match *self {}
    }
}

impl GuardUpkeep {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        match *self {}
    }
}
