//! What watches over values and people: walls between environments, alerts, promotions, rules for values.

mod alert;
mod command;
mod decide;
mod event;
pub(crate) mod isolation;
mod known;
pub mod notice;
mod sink;
mod state;

pub use alert::{Alert, AlertCounts, AlertKind, Outbox, Severity};
pub use command::{GuardAnswer, GuardCommand, GuardUpkeep};
pub(crate) use decide::upkeep;
pub use event::GuardEvent;
pub use known::{Known, KnownAddresses};
pub use sink::{Sink, SinkKind, SinkWish};
pub use state::{GuardPiece, GuardState};
