//! Key management services: who keeps the seal key of a cluster that unseals by itself.
//!
//! The seal key is made here, encrypted by the service under a key that never leaves it, and kept in `seal.json` as the service gave it. To
//! unseal, a node asks the service to decrypt it. The service therefore sees the seal key, twice: choose it accordingly.
//!
//! Everything a service is asked carries the cluster as context, which the service authenticates: what was encrypted for one
//! cluster does not decrypt for another, and stands in the service's own audit trail.
//!
//! # This crate never
//! writes a key anywhere, waits without a bound, or tries again for longer than its settings say.

#![forbid(unsafe_code)]

#[cfg(feature = "aws")]
pub mod aws;
mod error;
pub mod memory;

use std::future::Future;
use std::pin::Pin;

use storage_crypto::{Key, hex};

pub use error::KmsError;

/// The answer of a service, on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, KmsError>> + Send + 'a>>;

/// A service that encrypts and decrypts seal keys with one key of its own.
///
/// One suite of tests (`tests/it/conformance.rs`) says what that means, and holds for every implementation.
pub trait Kms: Send + Sync {
    /// The seal key as the service encrypts it, bound to `context`.
    ///
    /// # Errors
    /// See [`KmsError`].
    fn encrypt<'a>(&'a self, seal_key: &'a Key, context: &'a Context) -> Answer<'a, Vec<u8>>;

    /// The seal key that the service encrypted for the same `context`.
    ///
    /// # Errors
    /// See [`KmsError`]; [`KmsError::Mismatch`] where it was another context, another key, or the ciphertext has changed.
    fn decrypt<'a>(&'a self, encrypted_seal_key: &'a [u8], context: &'a Context) -> Answer<'a, Key>;
}

/// What a seal key is encrypted for. Not secret: the service writes it into its own audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    cluster: [u8; 16],
}

impl Context {
    /// The seal key of `cluster`.
    #[must_use]
    pub fn of_cluster(cluster: [u8; 16]) -> Context {
        Context { cluster }
    }

    /// Names and values, as the service is told them.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, String); 2] {
        [("holdfast:cluster", hex::encode(&self.cluster)), ("holdfast:purpose", "seal-key".to_owned())]
    }
}
