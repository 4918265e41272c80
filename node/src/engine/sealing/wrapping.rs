//! Wrapping keys: new ones by the root key, all of them by a new root key, and values' data keys by a newer key of their environment.

use super::{Sealing, SealingError, version_of};
use bytes::Bytes;
use node_domain::State;
use node_domain::ids::EnvironmentId;
use node_domain::keys::WrappedRoots;
use node_domain::sealed::{Payload, SealRef, Sealed};
use node_domain::state::EnvironmentAbout;
use storage_crypto::entropy::random;
use storage_crypto::key::Key;
use storage_crypto::keyring::{wrap_environment_key, wrap_system_key};
use storage_crypto::sealed::key_version;
use storage_crypto::value::SealedValue;

impl Sealing {
    /// A new environment's id and its first key, wrapped.
    pub(crate) fn new_environment(&self) -> (EnvironmentId, Bytes) {
        let id = random(self.entropy());
        (id, self.wrap_new(id, 1))
    }

    /// The version after the newest of an environment's key, wrapped.
    pub(crate) fn next_environment_key(&self, environment: &EnvironmentAbout) -> (u32, Bytes) {
        let version = environment.keys.last().map_or(1, |(newest, _)| newest.saturating_add(1));
        (version, self.wrap_new(environment.id, version))
    }

    fn wrap_new(&self, id: EnvironmentId, version: u32) -> Bytes {
        let key = Key::generate(self.entropy());
        self.with_root(|number, root| {
            Bytes::from(wrap_environment_key(root, number, &self.scope(id), version, &key, self.entropy()).sealed)
        })
    }

    /// The root key that the state says, or the seal's newest where the state is ahead of the seal: what is wrapped by an older one still
    /// opens, and comes under the newer one with the next rotation.
    pub(super) fn with_root<T>(&self, wrap: impl FnOnce(u32, &Key) -> T) -> T {
        let version = self.root_version();
        let ring = self.ring.read();
        let (number, root) = ring.root(version).map_or_else(|| ring.current(), |root| (version, root));
        wrap(number, root)
    }

    /// A new version of the root key; nothing is wrapped by it yet.
    pub(crate) fn new_root(&self) -> Key {
        Key::generate(self.entropy())
    }

    /// Everything that the state has wrapped, wrapped by version `number` of the root key. Keys of sealed environments pass through
    /// too, and do not stay.
    pub(crate) fn wrap_all(&self, state: &State, number: u32) -> Result<WrappedRoots, SealingError> {
        let mut wrapped = WrappedRoots::default();
        for environment in state.environments() {
            let about = &environment.about;
            let mut keys = Vec::with_capacity(about.keys.len());
            for (version, _) in &about.keys {
                let key = self.unwrap(about, *version)?;
                let root = self.root(about, *version, number)?;
                let sealed = wrap_environment_key(&root, number, &self.scope(about.id), *version, &key, self.entropy()).sealed;
                keys.push((*version, Bytes::from(sealed)));
            }
            wrapped.environments.push((about.name.clone(), keys));
        }
        for (version, old) in state.keys().system() {
            let key = self.open_system_key(version, old).map_err(|_| SealingError::NoSystemKey { version })?;
            let ring = self.ring.read();
            let root = ring.root(number).ok_or(SealingError::NoSystemKey { version })?;
            let sealed = wrap_system_key(root, number, &self.cluster, version, &key, self.entropy()).sealed;
            wrapped.system.push((version, Bytes::from(sealed)));
        }
        Ok(wrapped)
    }

    fn root(&self, about: &EnvironmentAbout, version: u32, number: u32) -> Result<Key, SealingError> {
        let missing = || SealingError::NoRoot { environment: about.name.clone(), version, root: number };
        self.ring.read().root(number).map(Key::duplicate).ok_or_else(missing)
    }

    /// Versions of the root key that something in the state is wrapped by.
    pub(crate) fn roots_in(&self, state: &State) -> std::collections::BTreeSet<u32> {
        let environments = state.environments().flat_map(|environment| environment.about.keys.iter().map(|(_, wrapped)| wrapped));
        let system = state.keys().system().map(|(_, wrapped)| wrapped);
        environments.chain(system).filter_map(|wrapped| key_version(wrapped).ok()).collect()
    }

    /// The same value with its data key under the newest key of its environment; nothing where it is already.
    pub(crate) fn rewrap(
        &self,
        environment: &EnvironmentAbout,
        seal: &SealRef,
        payload: &Payload,
    ) -> Result<Option<Sealed>, SealingError> {
        let newest = environment.keys.last().map_or(0, |(version, _)| *version);
        let version = version_of(seal, payload)?;
        if version >= newest {
            return Ok(None);
        }
        let (old, new) = (self.key(environment, version)?, self.key(environment, newest)?);
        let sealed = SealedValue {
            key_version: version,
            value_id: seal.value_id,
            wrapped_key: payload.wrapped_key.to_vec(),
            ciphertext: payload.ciphertext.to_vec(),
        };
        let sealed =
            sealed.rewrap(&old, &new, newest, &self.scope(environment.id), self.entropy()).map_err(SealingError::Value)?;
        let payload = Payload { wrapped_key: sealed.wrapped_key.into(), ciphertext: payload.ciphertext.clone() };
        Ok(Some(Sealed::new(newest, seal.value_id, seal.size_bytes, seal.structured, payload)))
    }

    /// The value as its bytes are now: whole, whichever version of the key wraps it by now.
    pub(crate) fn as_stored(&self, seal: &SealRef, payload: &Payload) -> Result<Sealed, SealingError> {
        let version = version_of(seal, payload)?;
        Ok(Sealed::new(version, seal.value_id, seal.size_bytes, seal.structured, payload.clone()))
    }
}
