//! What watches over values and people: walls between environments, alerts, promotions, rules for values.

mod alert;
mod command;
mod decide;
mod event;
pub(crate) mod isolation;
mod known;
pub(crate) mod looking;
mod noteworthy;
pub mod notice;
mod promoting;
mod promotion;
mod reuse;
mod rule;
mod ruling;
mod settings;
mod sink;
mod state;

pub use alert::{Alert, AlertCounts, AlertKind, Outbox, Severity};
pub use command::{GuardAnswer, GuardCommand, GuardUpkeep};
pub(crate) use decide::upkeep;
pub use event::GuardEvent;
pub use known::{Known, KnownAddresses};
pub use promotion::{Difference, DifferenceKind, Promotion, PromotionItem, PromotionState, Promotions};
pub(crate) use reuse::ReuseIndex;
pub use rule::{Classes, Reuse, ValueRule, ValueRules};
pub(crate) use ruling::Incoming;
pub use settings::{EnvironmentChange, EnvironmentSettings, Settings};
pub use sink::{Sink, SinkKind, SinkWish};
pub use state::{GuardPiece, GuardState};
