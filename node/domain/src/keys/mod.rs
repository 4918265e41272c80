//! Keys: environments' and the root's rotation, sealing one environment.

mod command;
mod decide;
mod event;
mod state;

pub use command::{KeysAnswer, KeysCommand, KeysUpkeep};
pub(crate) use decide::upkeep;
pub use event::KeysEvent;
pub use state::{KeysPiece, KeysState};
