//! Whole clusters, end to end.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod api;
mod bad_input;
mod command_line;
mod failures;
mod keys;
mod leaks;
mod races;
mod seal;
