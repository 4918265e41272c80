//! What watches over values and people: alerts, promotions between environments, rules for values.

mod command;
mod decide;
mod event;
pub(crate) mod notice;
mod state;

pub use command::{GuardAnswer, GuardCommand, GuardUpkeep};
pub(crate) use decide::upkeep;
pub use event::GuardEvent;
pub use state::{GuardPiece, GuardState};
