//! Whole clusters, end to end.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod access;
mod api;
mod asking;
mod bad_input;
mod certificates;
mod command_line;
mod failures;
mod guard;
mod identity;
mod keys;
#[cfg(feature = "moto")]
mod kms;
mod leaks;
mod maintenance;
mod members;
mod memory;
mod moved_databases;
mod older_disk;
mod planted;
mod races;
mod recovery;
mod seal;
mod seal_kinds;
mod self_repair;
mod streams;
mod tickets;
