//! Whole clusters under test: real processes on real disks, a workload that remembers what it was told, and the checks after.
//!
//! The tests themselves are in `tests/it`; what they share is here, for `chaos/` and others to use as well.
//!
//! # This crate never
//! ends a process that it did not start, or listens anywhere but on loopback.

pub mod checks;
pub mod disks;
pub mod ports;
pub mod processes;
pub mod receivers;
pub mod simulation;
pub mod waiting;
pub mod workload;
