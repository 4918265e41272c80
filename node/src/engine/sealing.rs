//! The keys of an unsealed node: what values are sealed and opened with, and what tokens and requests are hashed with.
//!
//! The ring comes from the seal; which version of the root key counts, which environments are sealed and which keys there are at all
//! comes from the state, and is learned from it by [`Sealing::learn`] before anybody sees that state.

mod system;
mod wrapping;

use crate::engine::View;
use node_domain::State;
use node_domain::ids::{ClusterId, EnvironmentId, EnvironmentName, TokenHash};
use node_domain::sealed::{Payload, SealRef, Sealed};
use node_domain::state::EnvironmentAbout;
use parking_lot::RwLock;
use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use storage_crypto::entropy::{Entropy, random};
use storage_crypto::key::Key;
use storage_crypto::keyring::{WrappedKey, unwrap_environment_key};
use storage_crypto::ring::Ring;
use storage_crypto::sealed::{OpenError, key_version};
use storage_crypto::secret_bytes::SecretBytes;
use storage_crypto::signing::Signer;
use storage_crypto::value::{SealedValue, ValueScope};

/// What a token's text starts with.
pub const TOKEN_PREFIX: &str = "hf_";
/// What a machine's secret id starts with.
pub(crate) const SECRET_ID_PREFIX: &str = "hfs_";
/// What a wrapping token starts with.
pub(crate) const WRAP_PREFIX: &str = "hfw_";

/// The ring and what is derived from it.
pub(crate) struct Sealing {
    cluster: ClusterId,
    ring: RwLock<Ring>,
    tokens: Key,
    fingerprints: Key,
    learned: RwLock<Learned>,
    reuse: Key,
    entropy: Arc<dyn Entropy>,
}

/// What the state says about keys, and the keys that were opened for it.
#[derive(Default)]
struct Learned {
    /// The version of the root key that new keys are wrapped with.
    root: u32,
    system: BTreeMap<u32, Arc<Key>>,
    /// Environments whose keys may not be in memory.
    sealed: HashSet<EnvironmentId>,
    opened: HashMap<(EnvironmentId, u32), Arc<Key>>,
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
    /// Nobody may read or write there.
    #[error("environment {environment} is sealed: holdfast env unseal {environment}")]
    Sealed { environment: EnvironmentName },
    /// The system has no such key, or it does not open.
    #[error("the system has no key version {version}, or it does not open")]
    NoSystemKey { version: u32 },
    /// The bytes are not those that the state names.
    #[error("the stored value is not the one that the state names: this copy is damaged")]
    Digest,
}

impl SealingError {
    /// Whether the stored bytes are wrong, rather than a key that is missing or not to be used.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, SealingError::Value(_) | SealingError::Digest)
    }
}

impl Sealing {
    pub(crate) fn new(cluster: ClusterId, ring: Ring, entropy: Arc<dyn Entropy>) -> Sealing {
        Sealing {
            cluster,
            tokens: ring.lookup().derive("holdfast/v1/token-hash", &cluster),
            fingerprints: ring.lookup().derive("holdfast/v1/request-fingerprint", &cluster),
            reuse: ring.lookup().derive("holdfast/v1/value-reuse", &cluster),
            learned: RwLock::new(Learned { root: ring.current().0, ..Learned::default() }),
            ring: RwLock::new(ring),
            entropy,
        }
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.cluster
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// The version of the root key that new snapshots and new keys come under.
    pub(crate) fn root_version(&self) -> u32 {
        self.learned.read().root
    }

    /// The key of snapshots under a version of the root key, which every node of the cluster opens.
    pub(crate) fn snapshot_key(&self, root: u32) -> Option<Key> {
        self.ring.read().snapshot_key(root, &self.cluster)
    }

    /// What the cluster signs its snapshots with; it never rotates.
    pub(crate) fn signer(&self) -> Signer {
        self.ring.read().snapshot_signer(&self.cluster)
    }

    /// Other versions of the root key are held from now on.
    pub(crate) fn replace_ring(&self, ring: Ring) {
        *self.ring.write() = ring;
    }

    /// Takes over what a state says about keys, before that state is shown to anybody: keys of sealed environments and of versions
    /// that were retired leave the memory here.
    pub(crate) fn learn(&self, state: &State) {
        let mut learned = self.learned.write();
        if state.is_founded() {
            learned.root = state.keys().root();
        }
        learned.sealed = state
            .environments()
            .filter(|home| state.keys().sealed(&home.about.name).is_some())
            .map(|home| home.about.id)
            .collect();
        let known: HashSet<(EnvironmentId, u32)> = state
            .environments()
            .filter(|home| !learned.sealed.contains(&home.about.id))
            .flat_map(|home| home.about.keys.iter().map(|(version, _)| (home.about.id, *version)))
            .collect();
        learned.opened.retain(|key, _| known.contains(key));
        learned.system.retain(|version, _| state.keys().system().any(|(known, _)| known == *version));
        for (version, wrapped) in state.keys().system() {
            if learned.system.contains_key(&version) {
                continue;
            }
            match self.open_system_key(version, wrapped) {
                Ok(key) => drop(learned.system.insert(version, Arc::new(key))),
                // While the log is replayed, a root key from before may be gone already; and the state may be ahead of the seal file.
                // What needs the key says so until then.
                Err(error) => tracing::warn!(version, %error, "the system's key does not open yet"),
            }
        }
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

    /// The same for one value in every environment; says nothing of the value to whoever lacks the key.
    fn reuse_fingerprint(&self, plaintext: &[u8]) -> [u8; 16] {
        let hash = self.reuse.keyed_hash(plaintext);
        std::array::from_fn(|at| hash[at])
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
        let sealed = Sealed::new(sealed.key_version, sealed.value_id, size, structured, payload);
        Ok(Sealed { reuse: Some(self.reuse_fingerprint(plaintext)), ..sealed })
    }

    /// Opens a stored value, after checking that it is the one that the state names.
    pub(crate) fn open(
        &self,
        environment: &EnvironmentAbout,
        seal: &SealRef,
        payload: &Payload,
    ) -> Result<SecretBytes, SealingError> {
        self.open_by(environment, seal, payload, |version| self.key(environment, version))
    }

    /// As [`open`](Sealing::open), for a value out of a snapshot: its key may be one that the cluster has retired, and does not stay.
    pub(crate) fn open_once(
        &self,
        environment: &EnvironmentAbout,
        seal: &SealRef,
        payload: &Payload,
    ) -> Result<SecretBytes, SealingError> {
        self.open_by(environment, seal, payload, |version| self.unwrap(environment, version))
    }

    fn open_by<K: Borrow<Key>>(
        &self,
        environment: &EnvironmentAbout,
        seal: &SealRef,
        payload: &Payload,
        key: impl FnOnce(u32) -> Result<K, SealingError>,
    ) -> Result<SecretBytes, SealingError> {
        let version = version_of(seal, payload)?;
        let key = key(version)?;
        let sealed = SealedValue {
            key_version: version,
            value_id: seal.value_id,
            wrapped_key: payload.wrapped_key.to_vec(),
            ciphertext: payload.ciphertext.to_vec(),
        };
        sealed.open(key.borrow(), &self.scope(environment.id)).map_err(SealingError::Value)
    }

    fn key(&self, environment: &EnvironmentAbout, version: u32) -> Result<Arc<Key>, SealingError> {
        {
            let learned = self.learned.read();
            if let Some(key) = learned.opened.get(&(environment.id, version)) {
                return Ok(key.clone());
            }
            if learned.sealed.contains(&environment.id) {
                return Err(SealingError::Sealed { environment: environment.name.clone() });
            }
        }
        let key = Arc::new(self.unwrap(environment, version)?);
        let mut learned = self.learned.write();
        // It may have been sealed since it was looked at: then the key may be used for this once, and not stay.
        if !learned.sealed.contains(&environment.id) {
            learned.opened.insert((environment.id, version), key.clone());
        }
        Ok(key)
    }

    fn unwrap(&self, environment: &EnvironmentAbout, version: u32) -> Result<Key, SealingError> {
        let name = || environment.name.clone();
        let wrapped = environment.keys.iter().find(|(known, _)| *known == version);
        let (_, wrapped) = wrapped.ok_or_else(|| SealingError::NoKey { environment: name(), version })?;
        let wrapped = WrappedKey { version, sealed: wrapped.to_vec() };
        let unopened = |cause| SealingError::Key { environment: name(), version, cause };
        let root_version = key_version(&wrapped.sealed).map_err(unopened)?;
        let ring = self.ring.read();
        let root = ring.root(root_version);
        let root = root.ok_or_else(|| SealingError::NoRoot { environment: name(), version, root: root_version })?;
        unwrap_environment_key(root, &self.scope(environment.id), &wrapped).map_err(unopened)
    }

    /// Opens every environment's key, so that a wrong root key is found at start and not at the first read.
    pub(crate) fn check(&self, view: &View) -> Result<(), SealingError> {
        for environment in view.state.environments() {
            for (version, _) in &environment.about.keys {
                match self.unwrap(&environment.about, *version) {
                    // A snapshot may have met a key between two root keys; the log behind it wraps that key anew.
                    Err(error @ SealingError::NoRoot { .. }) => tracing::warn!(%error, "a key does not open yet"),
                    unwrapped => drop(unwrapped?),
                }
            }
        }
        Ok(())
    }

    /// As [`check`](Sealing::check), where a key that does not open yet never will: before a state is restored.
    pub(crate) fn check_all(&self, view: &View) -> Result<(), SealingError> {
        view.state.environments().try_for_each(|environment| {
            let about = &environment.about;
            about.keys.iter().try_for_each(|(version, _)| self.unwrap(about, *version).map(drop))
        })
    }

    fn scope(&self, environment: EnvironmentId) -> ValueScope {
        ValueScope { cluster: self.cluster, environment }
    }
}

/// The version of the environment's key that wraps a value's data key. Where it is a newer one than the state named, the value was
/// rewrapped since: the same value under the same id, and the cipher says whether it is.
fn version_of(seal: &SealRef, payload: &Payload) -> Result<u32, SealingError> {
    if payload.digest(seal.key_version, &seal.value_id) == seal.digest {
        return Ok(seal.key_version);
    }
    let version = key_version(&payload.wrapped_key).map_err(SealingError::Value)?;
    if version == seal.key_version { Err(SealingError::Digest) } else { Ok(version) }
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

#[cfg(test)]
mod tests;
