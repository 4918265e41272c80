//! The rules of Holdfast, pure: what a request leads to ([`decide()`]) and what that changes ([`State::apply`]).
//!
//! `decide` may refuse and never changes anything; `apply` folds what was decided and never refuses. The leader decides on a
//! *head* (the committed state and all that it has decided since), every node applies, and both are this code.
//!
//! # This crate never
//! awaits, reads a clock, draws chance, touches a disk or a socket, or sees a plaintext value.

pub mod batch;
pub mod command;
pub mod decide;
pub mod event;
pub mod guard;
pub mod head;
pub mod identity;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod members;
pub mod operation;
pub mod policy;
pub mod quoting;
pub mod recovery;
pub mod rejection;
pub mod repair;
pub mod sealed;
pub mod secret;
pub mod state;
pub mod token;

pub use batch::{Batch, Decision};
pub use command::Command;
pub use decide::{Answer, Context, decide};
pub use event::Event;
pub use head::{Ask, Head};
pub use rejection::Rejection;
pub use state::State;
