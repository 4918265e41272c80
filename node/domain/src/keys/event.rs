//! What happened to keys.

use super::command::WrappedRoots;
use super::state::SealAbout;
use crate::event::What;
use crate::ids::{Accessor, EnvironmentName, SecretId, SecretPath};
use crate::operation::Operation;
use crate::sealed::Sealed;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One thing that happened. New kinds are added at the end. Wrapped keys and payloads are empty in a journal leaf, which holds their
/// digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum KeysEvent {
    EnvironmentKeyAdded {
        environment: EnvironmentName,
        version: u32,
        wrapped_key: Bytes,
        key_digest: [u8; 32],
    },
    /// Versions of secrets whose data keys are wrapped by a newer key of their environment. Nothing else of them changed.
    Rewrapped {
        environment: EnvironmentName,
        items: Vec<Rewrap>,
    },
    /// Nothing is sealed by it any more, and it is gone.
    EnvironmentKeyRetired {
        environment: EnvironmentName,
        version: u32,
    },
    EnvironmentSealed {
        environment: EnvironmentName,
    },
    EnvironmentUnsealed {
        environment: EnvironmentName,
    },
    SystemKeyAdded {
        version: u32,
        wrapped_key: Bytes,
        key_digest: [u8; 32],
    },
    /// Every member holds this version of the root key, and everything is wrapped by it from now on.
    RootRotated {
        version: u32,
        wrapped: WrappedRoots,
        keys_digest: [u8; 32],
    },
    SealChanged {
        seal: SealAbout,
    },
    NodeUnsealed {
        subject: String,
        kind: String,
    },
    NodeSealed {
        subject: String,
    },
    /// What the cluster was founded under.
    SealInitialized {
        seal: SealAbout,
    },
    /// It happened before, by this token and at this time of the node's own clock, when no quorum could record it.
    NodeSealedAlone {
        subject: String,
        accessor: Accessor,
        at_ms: u64,
    },
    /// Its token follows.
    RootMinted {
        subject: String,
    },
}

/// One version of a secret under another key of its environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrap {
    /// Where the secret stands.
    pub path: SecretPath,
    /// Which one it is.
    pub secret: SecretId,
    /// Which of its versions.
    pub version: u64,
    /// The same value: the same ciphertext under the same id, its data key wrapped anew.
    pub sealed: Sealed,
}

/// Stands for wrapped keys in the journal.
#[must_use]
pub fn digest_of(wrapped: &WrappedRoots) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast/v1/wrapped-roots");
    hasher.update(&proto_record::codec::encode(proto_record::codec::Kind::Row, wrapped));
    *hasher.finalize().as_bytes()
}

impl KeysEvent {
    pub(super) fn environment_key_added(environment: EnvironmentName, version: u32, wrapped_key: Bytes) -> KeysEvent {
        let key_digest = *blake3::hash(&wrapped_key).as_bytes();
        KeysEvent::EnvironmentKeyAdded { environment, version, wrapped_key, key_digest }
    }

    pub(super) fn system_key_added(version: u32, wrapped_key: Bytes) -> KeysEvent {
        let key_digest = *blake3::hash(&wrapped_key).as_bytes();
        KeysEvent::SystemKeyAdded { version, wrapped_key, key_digest }
    }

    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            KeysEvent::EnvironmentKeyAdded { .. } => Operation::KeyRotate,
            KeysEvent::Rewrapped { .. } => Operation::KeyRewrap,
            KeysEvent::EnvironmentKeyRetired { .. } => Operation::KeyRetire,
            KeysEvent::EnvironmentSealed { .. } => Operation::EnvironmentSeal,
            KeysEvent::EnvironmentUnsealed { .. } => Operation::EnvironmentUnseal,
            KeysEvent::SystemKeyAdded { .. } => Operation::KeyRotateSystem,
            KeysEvent::RootRotated { .. } => Operation::KeyRotateRoot,
            KeysEvent::SealChanged { .. } => Operation::SealRekey,
            KeysEvent::NodeUnsealed { .. } => Operation::SealUnseal,
            KeysEvent::NodeSealed { .. } | KeysEvent::NodeSealedAlone { .. } => Operation::SealSeal,
            KeysEvent::SealInitialized { .. } => Operation::SealInit,
            KeysEvent::RootMinted { .. } => Operation::RootMint,
        }
    }

    /// Whether the state changes by it, beyond the count of records.
    #[must_use]
    pub fn is_change(&self) -> bool {
        !matches!(
            self,
            KeysEvent::NodeUnsealed { .. }
                | KeysEvent::NodeSealed { .. }
                | KeysEvent::NodeSealedAlone { .. }
                | KeysEvent::RootMinted { .. }
        )
    }

    /// About how many bytes of varying size it takes in the log, never much less than it does.
    #[must_use]
    pub fn varying_bytes(&self) -> usize {
        match self {
            KeysEvent::EnvironmentKeyAdded { wrapped_key, .. } | KeysEvent::SystemKeyAdded { wrapped_key, .. } => {
                wrapped_key.len()
            }
            KeysEvent::Rewrapped { items, .. } => items.iter().map(Rewrap::bytes).sum(),
            KeysEvent::RootRotated { wrapped, .. } => wrapped.bytes(),
            _ => 0,
        }
    }

    /// The event as a journal leaf holds it, where that is not all of it.
    #[must_use]
    pub fn without_payload(&self) -> Option<KeysEvent> {
        match self {
            KeysEvent::EnvironmentKeyAdded { environment, version, wrapped_key, key_digest } if !wrapped_key.is_empty() => {
                let (environment, wrapped_key) = (environment.clone(), Bytes::new());
                Some(KeysEvent::EnvironmentKeyAdded { environment, version: *version, wrapped_key, key_digest: *key_digest })
            }
            KeysEvent::SystemKeyAdded { version, wrapped_key, key_digest } if !wrapped_key.is_empty() => {
                Some(KeysEvent::SystemKeyAdded { version: *version, wrapped_key: Bytes::new(), key_digest: *key_digest })
            }
            KeysEvent::Rewrapped { environment, items } => {
                let items = items.iter().map(Rewrap::without_payload).collect();
                Some(KeysEvent::Rewrapped { environment: environment.clone(), items })
            }
            KeysEvent::RootRotated { version, keys_digest, .. } => {
                let wrapped = WrappedRoots::default();
                Some(KeysEvent::RootRotated { version: *version, wrapped, keys_digest: *keys_digest })
            }
            _ => None,
        }
    }

    /// Environment, subject, secret and version as a record shows them. The version of a key stands where that of a secret does.
    #[must_use]
    pub fn about_what(&self) -> What<'_> {
        match self {
            KeysEvent::EnvironmentKeyAdded { environment, version, .. }
            | KeysEvent::EnvironmentKeyRetired { environment, version } => {
                What { environment: environment.as_str(), version: u64::from(*version), ..What::system("") }
            }
            KeysEvent::Rewrapped { environment, items } => {
                let version = items.first().map_or(0, |item| u64::from(item.sealed.seal.key_version));
                What { environment: environment.as_str(), version, ..What::system("") }
            }
            KeysEvent::EnvironmentSealed { environment } | KeysEvent::EnvironmentUnsealed { environment } => {
                What { environment: environment.as_str(), ..What::system("") }
            }
            KeysEvent::SystemKeyAdded { version, .. } | KeysEvent::RootRotated { version, .. } => {
                What { version: u64::from(*version), ..What::system("") }
            }
            KeysEvent::SealChanged { seal } | KeysEvent::SealInitialized { seal } => {
                What { version: seal.generation, ..What::system(&seal.kind) }
            }
            KeysEvent::NodeUnsealed { subject, .. }
            | KeysEvent::NodeSealed { subject }
            | KeysEvent::NodeSealedAlone { subject, .. }
            | KeysEvent::RootMinted { subject } => What::system(subject),
        }
    }
}

impl Rewrap {
    /// Bytes of it in the log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sealed.payload_bytes() + self.path.as_str().len() + 160
    }

    fn without_payload(&self) -> Rewrap {
        let sealed = Sealed { payload: None, reuse: None, checked: None, seal: self.sealed.seal.clone() };
        Rewrap { path: self.path.clone(), secret: self.secret, version: self.version, sealed }
    }
}
