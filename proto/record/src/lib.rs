//! The forms that outlive a release: how a value becomes bytes, how a journal record becomes a leaf, and how leaves chain.
//!
//! An auditor's verifier and the server both link this crate, and nothing else is needed to check a journal bundle.
//!
//! # This crate never
//! opens a file or a socket, reads a clock, or knows a secret value.

pub mod chain;
pub mod codec;
pub mod leaf;
