//! What must hold on disk, whatever happens to it: crashes, power cuts, damage, full disks, failed syncs.

// The helpers of tests are tests too: clippy only knows functions marked `#[test]`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod journal;
mod journal_mend;
mod materialized;
mod power_cut;
mod snapshot;
mod support;
mod wal_check;
mod wal_damage;
mod wal_faults;
mod wal_model;
