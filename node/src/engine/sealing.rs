//! The keys of an unsealed node: what values are sealed and opened with, and what tokens and requests are hashed with.

use crate::engine::View;
use bytes::Bytes;
use node_domain::ids::{ClusterId, EnvironmentId, EnvironmentName, TokenHash};
use node_domain::sealed::{Payload, SealRef, Sealed};
use node_domain::state::EnvironmentAbout;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use storage_crypto::entropy::{Entropy, random};
use storage_crypto::key::Key;
use storage_crypto::keyring::{WrappedKey, unwrap_environment_key, wrap_environment_key};
use storage_crypto::ring::Ring;
use storage_crypto::sealed::{OpenError, key_version};
use storage_crypto::secret_bytes::SecretBytes;
use storage_crypto::value::{SealedValue, ValueScope};

/// What a token's text starts with.
pub const TOKEN_PREFIX: &str = "hf_";

/// The ring and what is derived from it.
pub(crate) struct Sealing {
    cluster: ClusterId,
    ring: Ring,
    tokens: Key,
    fingerprints: Key,
    opened: RwLock<HashMap<(EnvironmentId, u32), Arc<Key>>>,
    entropy: Arc<dyn Entropy>,
}

/// Why a value cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealingError {
    /// The environment has no such key.
    #[error("environment {environment} has no key version {version}")]
    NoKey { environment: EnvironmentName, version: u32 },
    /// The root key that wraps it is gone, or not there yet.
    #[error(
        "key version {version} of environment {environment} is wrapped by version {root} of the root key, which the seal file does not hold"
    )]
    NoRoot { environment: EnvironmentName, version: u32, root: u32 },
    /// The key does not open: damage, or another cluster's.
    #[error("key version {version} of environment {environment} does not open: {cause}")]
    Key { environment: EnvironmentName, version: u32, cause: OpenError },
    /// The value does not open.
    #[error("the sealed value does not open: {0}")]
    Value(OpenError),
    /// The bytes are not those that the state names.
    #[error("the stored value is not the one that the state names: this copy is damaged")]
    Digest,
}

impl Sealing {
    pub(crate) fn new(cluster: ClusterId, ring: Ring, entropy: Arc<dyn Entropy>) -> Sealing {
        Sealing {
            cluster,
            tokens: ring.lookup().derive("holdfast/v1/token-hash", &cluster),
            fingerprints: ring.lookup().derive("holdfast/v1/request-fingerprint", &cluster),
            ring,
            opened: RwLock::default(),
            entropy,
        }
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// The key of snapshots, which every node of the cluster opens.
    pub(crate) fn snapshot_key(&self) -> Key {
        self.ring.current().1.derive("holdfast/v1/snapshot", &self.cluster)
    }

    /// The hash by which the state knows a token.
    pub(crate) fn token_hash(&self, text: &str) -> TokenHash {
        self.tokens.keyed_hash(text.as_bytes())
    }

    /// Tells a repeated request from another one under the same id; says nothing to whoever lacks the key.
    pub(crate) fn fingerprint(&self, request: &[u8]) -> u64 {
        let hash = self.fingerprints.keyed_hash(request);
        hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// A new environment's id and its first key, wrapped.
    pub(crate) fn new_environment(&self) -> (EnvironmentId, Bytes) {
        let id = random(self.entropy());
        let key = Key::generate(self.entropy());
        let (root_version, root) = self.ring.current();
        let wrapped = wrap_environment_key(root, root_version, &self.scope(id), 1, &key, self.entropy());
        (id, Bytes::from(wrapped.sealed))
    }

    /// Seals a plaintext for an environment, by its newest key.
    pub(crate) fn seal(
        &self,
        environment: &EnvironmentAbout,
        plaintext: &[u8],
        structured: bool,
    ) -> Result<Sealed, SealingError> {
        let version = environment.keys.last().map_or(0, |(version, _)| *version);
        let key = self.key(environment, version)?;
        let sealed = SealedValue::seal(&key, version, &self.scope(environment.id), plaintext, self.entropy());
        let payload = Payload { wrapped_key: sealed.wrapped_key.into(), ciphertext: sealed.ciphertext.into() };
        // Sizes are bounded at the door, far below what the field holds.
        let size = u32::try_from(plaintext.len()).unwrap_or(u32::MAX);
        Ok(Sealed::new(sealed.key_version, sealed.value_id, size, structured, payload))
    }

    /// Opens a stored value, after checking that it is the one that the state names.
    pub(crate) fn open(
        &self,
        environment: &EnvironmentAbout,
        seal: &SealRef,
        payload: &Payload,
    ) -> Result<SecretBytes, SealingError> {
        if payload.digest(seal.key_version, &seal.value_id) != seal.digest {
            return Err(SealingError::Digest);
        }
        let key = self.key(environment, seal.key_version)?;
        let sealed = SealedValue {
            key_version: seal.key_version,
            value_id: seal.value_id,
            wrapped_key: payload.wrapped_key.to_vec(),
            ciphertext: payload.ciphertext.to_vec(),
        };
        sealed.open(&key, &self.scope(environment.id)).map_err(SealingError::Value)
    }

    fn key(&self, environment: &EnvironmentAbout, version: u32) -> Result<Arc<Key>, SealingError> {
        if let Some(key) = self.opened.read().get(&(environment.id, version)) {
            return Ok(key.clone());
        }
        let name = || environment.name.clone();
        let wrapped = environment.keys.iter().find(|(known, _)| *known == version);
        let (_, wrapped) = wrapped.ok_or_else(|| SealingError::NoKey { environment: name(), version })?;
        let wrapped = WrappedKey { version, sealed: wrapped.to_vec() };
        let unopened = |cause| SealingError::Key { environment: name(), version, cause };
        let root_version = key_version(&wrapped.sealed).map_err(unopened)?;
        let root = self.ring.root(root_version);
        let root = root.ok_or_else(|| SealingError::NoRoot { environment: name(), version, root: root_version })?;
        let key = unwrap_environment_key(root, &self.scope(environment.id), &wrapped).map_err(unopened)?;
        let key = Arc::new(key);
        self.opened.write().insert((environment.id, version), key.clone());
        Ok(key)
    }

    /// Opens every environment's key, so that a wrong root key is found at start and not at the first read.
    pub(crate) fn check(&self, view: &View) -> Result<(), SealingError> {
        for environment in view.state.environments() {
            for (version, _) in &environment.about.keys {
                self.key(&environment.about, *version)?;
            }
        }
        Ok(())
    }

    fn scope(&self, environment: EnvironmentId) -> ValueScope {
        ValueScope { cluster: self.cluster, environment }
    }
}

/// The text of a new token: 32 random bytes behind the prefix that scanners look for.
pub(crate) fn new_token(entropy: &dyn Entropy) -> zeroize::Zeroizing<String> {
    let bytes: [u8; 32] = random(entropy);
    zeroize::Zeroizing::new(format!("{TOKEN_PREFIX}{}", storage_crypto::hex::encode(&bytes)))
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sealing(keys)")
    }
}
