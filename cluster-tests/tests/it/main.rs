//! Whole clusters, end to end.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod access;
mod api;
mod bad_input;
mod command_line;
mod failures;
mod guard;
mod identity;
mod keys;
mod leaks;
mod memory;
mod planted;
mod races;
mod seal;
mod self_repair;
