//! What happened to identities.

use crate::event::What;
use crate::operation::Operation;
use serde::{Deserialize, Serialize};

/// One thing that happened. New kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityEvent {}

impl IdentityEvent {
    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match *self {}
    }

    /// Whether the state changes by it, beyond the count of records.
    #[must_use]
    pub fn is_change(&self) -> bool {
        match *self {}
    }

    /// About how many bytes of varying size it takes in the log, never much less than it does.
    #[must_use]
    pub fn varying_bytes(&self) -> usize {
        match *self {}
    }

    /// The event as a journal leaf holds it, where that is not all of it.
    #[must_use]
    pub fn without_payload(&self) -> Option<IdentityEvent> {
        match *self {}
    }

    /// Environment, subject, secret and version as a record shows them.
    #[must_use]
    pub fn about_what(&self) -> What<'_> {
        match *self {}
    }
}
