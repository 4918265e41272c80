//! Replication from the outside: real logs, real snapshot files, both transports.

// Helpers of tests are not tests for clippy, and a test that meets what it did not expect has to fail on the spot.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod conformance;
mod faults;
mod figures;
mod held_log;
mod log_store;
mod restart;
mod suite;
mod support;
mod tls;
