//! The seal of a node: from nothing to sealed to unsealed and back, without ending the process.
//!
//! `server` owns the phases; `desk` knows which one it is and takes shares; `custody` keeps what an unsealed node must hold of its
//! seal; `kms` opens it with a key management service; `rotation` and `rekey` make new root keys and new seals with all members, over `peers`.

pub(crate) mod alone;
mod attempts;
pub(crate) mod custody;
pub(crate) mod desk;
mod founding;
mod gathering;
pub mod kms;
pub(crate) mod peers;
mod phases;
pub(crate) mod rekey;
pub(crate) mod rotation;
pub mod server;
pub(crate) mod service;
mod wish;

pub(crate) use custody::{Custody, Unsealed};
pub(crate) use desk::SealDesk;
pub use founding::PLAN_FILE;
pub(crate) use founding::founding;
pub(crate) use rotation::Rotation;
