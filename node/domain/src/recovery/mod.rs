//! Snapshots, restores and drills, as far as the journal and the state know of them.

mod command;
mod decide;
mod event;
mod state;

pub use command::{RecoveryCommand, RecoveryUpkeep};
pub(crate) use decide::upkeep;
pub use event::{Drill, Recovered, RecoveryEvent, Restored, SavedSnapshot};
pub use state::{DrillAt, RecoveryPiece, RecoveryState, SavedAt, Timeline};
