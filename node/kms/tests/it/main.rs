//! What every key management service must do, and what ours must say when one does not.

// Helpers of tests are not tests for clippy, and a test that meets what it did not expect has to fail on the spot.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "aws")]
mod aws;
mod conformance;
mod memory;
#[cfg(feature = "moto")]
mod moto;
