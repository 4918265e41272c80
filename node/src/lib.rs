//! One node of a Holdfast cluster: the composition root, the engine, and the doors to it.
//!
//! [`boot::Node::boot`] puts a node together from its [`config`] and its [`boot::Ambient`]: the real clock, disk and
//! entropy, or a test's. [`kit`] lays out the files of a new cluster, [`dev`] runs one for developers.
//!
//! # This crate never
//! answers before the records of a request have committed, writes a secret into a log or an error, or decides anything: deciding is
//! `node-domain`'s.

mod api;
mod authn;
mod backups;
pub mod boot;
mod bootstrap;
mod certificates;
pub mod clock;
pub mod config;
mod connections;
pub mod dev;
mod engine;
mod fault;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod health;
pub mod kit;
mod leadership;
pub mod logging;
mod lost_log;
mod managers;
mod members;
pub mod memory;
pub mod network;
mod repair;
pub mod restore;
pub mod seal;
mod serve;

pub use engine::sealing::TOKEN_PREFIX;
