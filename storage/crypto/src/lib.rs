//! Sealing, key derivation and secret memory: the one crate that calls a cipher.
//!
//! Every ciphertext of Holdfast, whether a secret value, a frame of the log or a wrapped key, is the same [`sealed`] blob: AES-256-GCM-SIV
//! with a key commitment, bound to what it is and where it belongs by a [`Binding`]. Keys are [`Key`]s and plaintexts of secrets
//! are [`SecretBytes`]; both are zeroed when dropped, and neither can be printed, cloned or serialized by accident.
//!
//! # This crate never
//! touches a disk or a socket, reads a clock, or takes chance from anywhere but an [`Entropy`] that it was handed.

#![forbid(unsafe_code)]

mod bytes_field;
pub mod entropy;
pub mod hex;
pub mod key;
pub mod keyring;
pub mod password;
pub mod seal_file;
pub mod sealed;
pub mod secret_bytes;
pub mod value;

pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use key::Key;
pub use keyring::{Keyring, WrappedKey, unwrap_environment_key, wrap_environment_key};
pub use seal_file::{Kdf, SealFile, SealFileError, SealKey};
pub use sealed::{Binding, OpenError, Purpose, key_version, open, open_bulk, seal, seal_into};
pub use secret_bytes::SecretBytes;
pub use value::{SealedValue, ValueScope};
