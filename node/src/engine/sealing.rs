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
use storage_crypto::sealed::{self, Binding, OpenError, Purpose};
use storage_crypto::secret_bytes::SecretBytes;
use storage_crypto::value::{SealedValue, ValueScope};

/// What a token's text starts with.
pub const TOKEN_PREFIX: &str = "hf_";
/// What a machine's secret id starts with.
pub(crate) const SECRET_ID_PREFIX: &str = "hfs_";
/// What a wrapping token starts with.
pub(crate) const WRAP_PREFIX: &str = "hfw_";
const ROOT_VERSION: u32 = 1;
const SYSTEM_VERSION: u32 = 1;

/// The root key and what is derived from it.
pub(crate) struct Sealing {
    cluster: ClusterId,
    root: Key,
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
    pub(crate) fn new(cluster: ClusterId, root: Key, entropy: Arc<dyn Entropy>) -> Sealing {
        Sealing {
            cluster,
            tokens: root.derive("holdfast/v1/token-hash", &cluster),
            fingerprints: root.derive("holdfast/v1/request-fingerprint", &cluster),
            root,
            opened: RwLock::default(),
            entropy,
        }
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// The key of snapshots, which every node of the cluster opens.
    pub(crate) fn snapshot_key(&self) -> Key {
        self.root.derive("holdfast/v1/snapshot", &self.cluster)
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

    /// Seals what the cluster keeps for itself. `purpose` and `place` bind it: moved elsewhere it does not open.
    pub(crate) fn seal_system(&self, purpose: &str, place: &[u8], plaintext: &[u8]) -> Bytes {
        sealed::seal(&self.system_key(), SYSTEM_VERSION, &self.system_binding(purpose, place), plaintext, self.entropy()).into()
    }

    /// Opens what `seal_system` sealed.
    pub(crate) fn open_system(&self, purpose: &str, place: &[u8], blob: &[u8]) -> Result<SecretBytes, SealingError> {
        sealed::open(&self.system_key(), &self.system_binding(purpose, place), blob).map_err(SealingError::Value)
    }

    /// The one place that says which key that is.
    fn system_key(&self) -> Key {
        self.root.derive("holdfast/v1/system", &self.cluster)
    }

    fn system_binding(&self, purpose: &str, place: &[u8]) -> Binding {
        Binding::new(Purpose::Identities).bytes(&self.cluster).bytes(purpose.as_bytes()).bytes(place)
    }

    /// A new environment's id and its first key, wrapped.
    pub(crate) fn new_environment(&self) -> (EnvironmentId, Bytes) {
        let id = random(self.entropy());
        let key = Key::generate(self.entropy());
        let wrapped = wrap_environment_key(&self.root, ROOT_VERSION, &self.scope(id), 1, &key, self.entropy());
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
        let key = unwrap_environment_key(&self.root, &self.scope(environment.id), &wrapped)
            .map_err(|cause| SealingError::Key { environment: name(), version, cause })?;
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
    new_text(TOKEN_PREFIX, entropy)
}

/// 32 random bytes behind a prefix that scanners look for.
pub(crate) fn new_text(prefix: &str, entropy: &dyn Entropy) -> zeroize::Zeroizing<String> {
    let bytes: [u8; 32] = random(entropy);
    zeroize::Zeroizing::new(format!("{prefix}{}", storage_crypto::hex::encode(&bytes)))
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sealing(keys)")
    }
}
