//! Replication from the outside: real logs, real snapshot files, both transports.

mod conformance;
mod faults;
mod figures;
mod log_store;
mod restart;
mod suite;
mod support;
mod tls;
