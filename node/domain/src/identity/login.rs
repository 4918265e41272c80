//! Logging in: requests that come without a token and lead to one.

use crate::decide::{Context, Decided};
use crate::event::Event;
use crate::operation::Operation;
use crate::state::State;
use crate::token::Token;
use serde::{Deserialize, Serialize};

/// What is asked without a token: to log in, to unwrap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginCommand {}

impl LoginCommand {
    /// Operation, environment and subject, for the record of a request that is not done.
    #[must_use]
    pub fn describe(&self) -> (Operation, String, String) {
        match *self {}
    }
}

/// Decides a request that comes without a token.
pub(crate) fn log_in(_state: &State, _context: &Context, command: &LoginCommand) -> Decided {
    match *command {}
}

/// What a refused login changes: the count of failures, a lockout.
pub(crate) fn refused(_state: &State, _context: &Context, command: &LoginCommand) -> Vec<Event> {
    match *command {}
}

/// What a request changes of the token that it was asked with: the count of its uses.
pub(crate) fn used(_token: &Token) -> Option<Event> {
    None
}
