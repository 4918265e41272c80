//! Who may log in and how: users, machine roles, certificates, token issuers; and what is wrapped for hand-over.

mod command;
mod decide;
mod event;
pub(crate) mod login;
mod state;

pub use command::{IdentityAnswer, IdentityCommand, IdentityUpkeep};
pub(crate) use decide::upkeep;
pub use event::IdentityEvent;
pub use login::LoginCommand;
pub use state::{IdentityPiece, IdentityState};
