//! What the domain promises: rules as sentences (`spec`), the same rules found again by a naive model on random walks (`model`),
//! the invariants that hold after every step of either, and the bytes that may not drift (`golden`, `operations`).

mod golden;
mod invariants;
mod model;
mod operations;
mod spec;
