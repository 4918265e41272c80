//! What a request about keys leads to.

use super::{KeysCommand, KeysUpkeep};
use crate::decide::{Context, Decided, Desk};
use crate::state::State;

impl Desk<'_> {
    pub(crate) fn decide_keys(&self, command: KeysCommand) -> Decided {
        match command {}
    }
}

/// What the cluster asks of itself.
pub(crate) fn upkeep(_state: &State, _context: &Context, command: &KeysUpkeep) -> Decided {
    match *command {}
}
