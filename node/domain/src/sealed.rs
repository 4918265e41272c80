//! A sealed value as the domain sees it: bytes it cannot open, and a reference that binds a version to exactly these bytes.

use crate::ids::{Revision, RuleName};
use crate::secret::SecretType;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The sealed bytes of one value. They travel in the log and rest in the environment's store, not in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The data key, wrapped by the environment's key.
    pub wrapped_key: Bytes,
    /// The value, sealed by the data key.
    pub ciphertext: Bytes,
}

/// What the state and the journal keep of a sealed value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealRef {
    /// Version of the environment's key that wraps the data key.
    pub key_version: u32,
    /// Random id to which the ciphertext and the wrapped key are bound.
    pub value_id: [u8; 16],
    /// BLAKE3 over key version, value id, wrapped key and ciphertext: no other bytes fit this version.
    pub digest: [u8; 32],
    /// Size of the plaintext in bytes.
    pub size_bytes: u32,
    /// Whether the plaintext is named fields rather than bytes.
    pub structured: bool,
}

/// A sealed value on its way into the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// What is kept.
    pub seal: SealRef,
    /// The bytes; absent in a journal leaf.
    pub payload: Option<Payload>,
    /// A keyed hash of the value, the same in every environment, that finds one value in several of them. It is kept in the state
    /// and stands in no journal leaf.
    pub reuse: Option<[u8; 16]>,
    /// What the node that had the plaintext found; only on the way to the leader.
    pub checked: Option<Box<Checked>>,
}

/// A value held against the rules for values, by the node that took it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The record that changed a rule last, as that node knew it.
    pub rules: Revision,
    /// The type that the secret has with this version.
    pub kind: SecretType,
    /// The first rule that the value breaks, and what it wants.
    pub broken: Option<(RuleName, String)>,
}

/// A value that stands already, held against the rules for where it is about to stand or what it is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The id that the value was sealed under: it must still be the newest.
    pub value_id: [u8; 16],
    /// What was found.
    pub checked: Checked,
}

impl Sealed {
    /// Binds `payload` to a version by its digest.
    #[must_use]
    pub fn new(key_version: u32, value_id: [u8; 16], size_bytes: u32, structured: bool, payload: Payload) -> Sealed {
        let digest = payload.digest(key_version, &value_id);
        Sealed {
            seal: SealRef { key_version, value_id, digest, size_bytes, structured },
            payload: Some(payload),
            reuse: None,
            checked: None,
        }
    }

    /// Whether the payload is there and is the one that the reference names.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.payload
            .as_ref()
            .is_some_and(|payload| payload.digest(self.seal.key_version, &self.seal.value_id) == self.seal.digest)
    }

    /// Bytes of the payload.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, |payload| payload.wrapped_key.len() + payload.ciphertext.len())
    }
}

impl Payload {
    /// The digest that binds a version to these bytes.
    #[must_use]
    pub fn digest(&self, key_version: u32, value_id: &[u8; 16]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("holdfast/v1/sealed-value");
        hasher.update(&key_version.to_be_bytes());
        hasher.update(value_id);
        hasher.update(&(self.wrapped_key.len() as u64).to_be_bytes());
        hasher.update(&self.wrapped_key);
        hasher.update(&self.ciphertext);
        *hasher.finalize().as_bytes()
    }
}
