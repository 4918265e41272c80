//! What is noticed about requests as they are decided: violations and bursts, raised as alerts.

use crate::decide::Context;
use crate::event::Event;
use crate::rejection::Rejection;
use crate::state::State;

/// Events that go with a refusal, in the same decision.
pub(crate) fn of_refusal(_state: &State, _context: &Context, _rejection: &Rejection) -> Vec<Event> {
    Vec::new()
}
