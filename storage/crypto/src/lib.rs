//! Sealing, key derivation and secret memory: the one crate that calls a cipher.
//!
//! Every ciphertext of Holdfast, whether a secret value, a frame of the log or a wrapped key, is the same [`sealed`] blob: AES-256-GCM-SIV
//! with a key commitment, bound to what it is and where it belongs by a [`Binding`]. Keys are [`Key`]s and plaintexts of secrets
//! are [`SecretBytes`]; both are zeroed when dropped, keys lie in locked pages (see [`arena`]), and neither can be printed, cloned or serialized by accident.
//!
//! # This crate never
//! touches a disk or a socket, reads a clock, or takes chance from anywhere but an [`Entropy`] that it was handed.

#![forbid(unsafe_code)]

pub mod arena;
mod bytes_field;
pub mod entropy;
pub mod hex;
mod hex_field;
pub mod kdf;
pub mod key;
pub mod keyring;
pub mod password;
pub mod planted;
pub mod ring;
pub mod seal_file;
pub mod seal_key;
pub mod sealed;
pub mod secret_bytes;
pub mod shamir;
pub mod share;
pub mod signing;
pub mod value;

pub use arena::{Protection, memory_protection};
pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use kdf::Kdf;
pub use key::Key;
pub use keyring::{Keyring, WrappedKey, unwrap_environment_key, wrap_environment_key};
pub use ring::{Ring, RingError};
pub use seal_file::{KmsReference, SealFile, SealFileError, SealKind, SealedWith};
pub use seal_key::SealKey;
pub use sealed::{Binding, OpenError, Purpose, key_version, open, open_bulk, seal, seal_into};
pub use secret_bytes::SecretBytes;
pub use shamir::{Progress, ShareError, ShareSet, Shares};
pub use share::Share;
pub use signing::{PublicKey, Signer};
pub use value::{SealedValue, ValueScope};
