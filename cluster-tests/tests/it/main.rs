//! Whole clusters, end to end.

mod api;
mod bad_input;
mod command_line;
mod failures;
mod leaks;
mod races;
