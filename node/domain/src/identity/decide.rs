//! What a request about identities leads to.

use super::{IdentityCommand, IdentityUpkeep};
use crate::decide::{Context, Decided, Desk};
use crate::state::State;

impl Desk<'_> {
    pub(crate) fn decide_identity(&self, command: IdentityCommand) -> Decided {
        match command {}
    }
}

/// What the cluster asks of itself.
pub(crate) fn upkeep(_state: &State, _context: &Context, command: &IdentityUpkeep) -> Decided {
    match *command {}
}
