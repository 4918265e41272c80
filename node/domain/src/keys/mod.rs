//! Keys as the cluster knows them: versions of environments' keys, of the system's key and of the root key, all wrapped; which
//! environments are sealed; and what the seal of the cluster is. No key is ever here in the clear, and no root key in any form.

mod command;
mod decide;
mod event;
mod fold;
mod state;
mod uses;

pub use command::{FoundingKeys, KeysAnswer, KeysCommand, KeysUpkeep, WrappedRoots};
pub(crate) use decide::{founding, upkeep};
pub use event::{KeysEvent, Rewrap, digest_of};
pub use state::{EnvironmentSeal, KeysPiece, KeysState, SealAbout};
pub(crate) use uses::tally;
