//! What a request about guard leads to.

use super::{GuardCommand, GuardUpkeep};
use crate::decide::{Context, Decided, Desk};
use crate::state::State;

impl Desk<'_> {
    pub(crate) fn decide_guard(&self, command: GuardCommand) -> Decided {
        match command {}
    }
}

/// What the cluster asks of itself.
pub(crate) fn upkeep(_state: &State, _context: &Context, command: &GuardUpkeep) -> Decided {
    match *command {}
}
