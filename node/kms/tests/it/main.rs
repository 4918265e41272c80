//! What every key management service must do, and what ours must say when one does not.

#[cfg(feature = "aws")]
mod aws;
mod conformance;
mod memory;
