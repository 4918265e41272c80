//! The rules of every command, as sentences. `given` builds a world by real commands, `when` asks, `then_…` says what must come of it.
//!
//! Behind every `when` stand the invariants, and the rule that a refusal leaves exactly one record.

mod access;
mod conditions;
mod environments;
mod founding;
pub(crate) mod guard;
mod hiding;
mod identity;
mod journal;
pub(crate) mod keys;
mod matrix;
mod meeting;
pub(crate) mod members;
mod moving;
mod policies;
mod quoting;
mod reading;
mod receipts;
pub(crate) mod recovery;
mod repair;
mod roles;
mod secrecy;
mod tokens;
mod transactions;
mod words;
mod world;
mod writing;

use words::*;
use world::{World, given, newborn};
