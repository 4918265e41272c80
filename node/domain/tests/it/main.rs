//! What the domain promises: rules as sentences (`spec`), the same rules found again by a naive model on random walks (`model`),
//! the invariants that hold after every step of either, and the bytes that may not drift (`golden`, `operations`).

#![allow(clippy::unwrap_used, reason = "the vocabulary of the tests is no #[test] itself; what it parses is written here")]

mod golden;
mod invariants;
mod model;
mod operations;
mod oracle;
mod spec;
