//! The system's own key, and the small secrets that the system keeps for itself: seeds of second factors, keys of web hooks.

use super::{Sealing, SealingError};
use bytes::Bytes;
use node_domain::State;
use storage_crypto::key::Key;
use storage_crypto::keyring::{WrappedKey, unwrap_system_key, wrap_system_key};
use storage_crypto::sealed::{self, Binding, OpenError, Purpose, key_version};
use storage_crypto::secret_bytes::SecretBytes;

#[allow(dead_code, reason = "second factors and web hooks, whose secrets these are, come with another change of this session")]
impl Sealing {
    /// Seals something small that the system keeps for itself. `what` says what and whose it is, such as `totp/ana`: nothing sealed as
    /// one thing opens as another.
    pub(crate) fn seal_system(&self, what: &str, plaintext: &[u8]) -> Result<Vec<u8>, SealingError> {
        let learned = self.learned.read();
        let (version, key) = learned.system.last_key_value().ok_or(SealingError::NoSystemKey { version: 0 })?;
        Ok(sealed::seal(key, *version, &self.system_binding(what), plaintext, self.entropy()))
    }

    /// Opens what [`seal_system`](Sealing::seal_system) sealed as `what`, by whichever version of the key.
    pub(crate) fn open_system(&self, what: &str, blob: &[u8]) -> Result<SecretBytes, SealingError> {
        let version = key_version(blob).map_err(SealingError::Value)?;
        let learned = self.learned.read();
        let key = learned.system.get(&version).ok_or(SealingError::NoSystemKey { version })?;
        sealed::open(key, &self.system_binding(what), blob).map_err(SealingError::Value)
    }

    /// The first version of the system's key, wrapped: for a founding.
    pub(crate) fn first_system_key(&self) -> Bytes {
        self.wrap_system(1, &Key::generate(self.entropy()))
    }

    /// The version after the newest of the system's key, wrapped.
    pub(crate) fn next_system_key(&self, state: &State) -> (u32, Bytes) {
        let version = state.keys().system().last().map_or(1, |(newest, _)| newest.saturating_add(1));
        let key = Key::generate(self.entropy());
        (version, self.wrap_system(version, &key))
    }

    fn wrap_system(&self, version: u32, key: &Key) -> Bytes {
        self.with_root(|number, root| {
            Bytes::from(wrap_system_key(root, number, &self.cluster, version, key, self.entropy()).sealed)
        })
    }

    pub(super) fn open_system_key(&self, version: u32, wrapped: &Bytes) -> Result<Key, OpenError> {
        let wrapped = WrappedKey { version, sealed: wrapped.to_vec() };
        let number = key_version(&wrapped.sealed)?;
        let ring = self.ring.read();
        unwrap_system_key(ring.root(number).ok_or(OpenError::WrongKey)?, &self.cluster, &wrapped)
    }

    fn system_binding(&self, what: &str) -> Binding {
        Binding::new(Purpose::SystemSecret).bytes(&self.cluster).bytes(what.as_bytes())
    }
}

#[cfg(test)]
impl Sealing {
    /// As after the founding of a cluster: with a system key.
    pub(crate) fn founded(
        cluster: node_domain::ids::ClusterId,
        entropy: std::sync::Arc<dyn storage_crypto::entropy::Entropy>,
    ) -> Sealing {
        let ring = storage_crypto::ring::Ring::generate(&*entropy);
        let key = std::sync::Arc::new(Key::generate(&*entropy));
        let sealing = Sealing::new(cluster, ring, entropy);
        sealing.learned.write().system.insert(1, key);
        sealing
    }
}
