//! The versions of one environment's key, and how the root key wraps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    bytes_field,
    entropy::Entropy,
    key::Key,
    sealed::{self, Binding, OpenError, Purpose},
    value::ValueScope,
};

/// One version of an environment's key, sealed by the root key; bound to cluster, environment and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Counts from 1 within an environment.
    pub version: u32,
    /// The sealed key.
    #[serde(with = "bytes_field")]
    pub sealed: Vec<u8>,
}

/// Wraps version `version` of an environment's key with version `root_version` of the root key.
#[must_use]
pub fn wrap_environment_key(
    root: &Key,
    root_version: u32,
    scope: &ValueScope,
    version: u32,
    key: &Key,
    entropy: &dyn Entropy,
) -> WrappedKey {
    WrappedKey { version, sealed: sealed::seal(root, root_version, &binding(scope, version), key.expose(), entropy) }
}

/// The environment's key inside `wrapped`.
///
/// # Errors
/// When the root key is another, or the wrapped key is damaged or belongs to another cluster, environment or version.
pub fn unwrap_environment_key(root: &Key, scope: &ValueScope, wrapped: &WrappedKey) -> Result<Key, OpenError> {
    let key = sealed::open(root, &binding(scope, wrapped.version), &wrapped.sealed)?;
    Key::from_slice(key.expose()).ok_or(OpenError::DamagedOrMoved)
}

/// Wraps version `version` of the system's own key with version `root_version` of the root key.
#[must_use]
pub fn wrap_system_key(
    root: &Key,
    root_version: u32,
    cluster: &[u8; 16],
    version: u32,
    key: &Key,
    entropy: &dyn Entropy,
) -> WrappedKey {
    WrappedKey { version, sealed: sealed::seal(root, root_version, &system_binding(cluster, version), key.expose(), entropy) }
}

/// The system's own key inside `wrapped`.
///
/// # Errors
/// When the root key is another, or the wrapped key is damaged or belongs to another cluster or version.
pub fn unwrap_system_key(root: &Key, cluster: &[u8; 16], wrapped: &WrappedKey) -> Result<Key, OpenError> {
    let key = sealed::open(root, &system_binding(cluster, wrapped.version), &wrapped.sealed)?;
    Key::from_slice(key.expose()).ok_or(OpenError::DamagedOrMoved)
}

fn system_binding(cluster: &[u8; 16], version: u32) -> Binding {
    Binding::new(Purpose::SystemKey).bytes(cluster).u64(u64::from(version))
}

fn binding(scope: &ValueScope, version: u32) -> Binding {
    scope.binding(Purpose::EnvironmentKey).u64(u64::from(version))
}

/// The opened versions of one environment's key.
///
/// Invariant: the current version is present.
#[derive(Debug)]
pub struct Keyring {
    versions: BTreeMap<u32, Key>,
    current: u32,
}

impl Keyring {
    /// A ring with one key, which is current.
    #[must_use]
    pub fn new(version: u32, key: Key) -> Keyring {
        Keyring { versions: BTreeMap::from([(version, key)]), current: version }
    }

    /// Adds a version; the highest version is current.
    pub fn add(&mut self, version: u32, key: Key) {
        self.versions.insert(version, key);
        self.current = self.current.max(version);
    }

    /// The version that new values are sealed with, and its key.
    #[must_use]
    pub fn current(&self) -> (u32, &Key) {
        (self.current, self.versions.get(&self.current).expect("the current version is present"))
    }

    /// The key of `version`, if it is still held.
    #[must_use]
    pub fn version(&self, version: u32) -> Option<&Key> {
        self.versions.get(&version)
    }

    /// Forgets an old version; the current one stays. Says whether there was one to forget.
    pub fn retire(&mut self, version: u32) -> bool {
        version != self.current && self.versions.remove(&version).is_some()
    }

    /// Every version held, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = u32> + '_ {
        self.versions.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    const SCOPE: ValueScope = ValueScope { cluster: [1; 16], environment: [2; 16] };

    #[test]
    fn an_environment_key_opens_with_the_root_key_in_its_place_only() {
        let entropy = SeededEntropy::new(1);
        let (root, key) = (Key::generate(&entropy), Key::generate(&entropy));
        let wrapped = wrap_environment_key(&root, 1, &SCOPE, 3, &key, &entropy);
        assert_eq!(unwrap_environment_key(&root, &SCOPE, &wrapped).unwrap(), key);
        assert_eq!(unwrap_environment_key(&key, &SCOPE, &wrapped).unwrap_err(), OpenError::WrongKey);
        let moved = ValueScope { environment: [3; 16], ..SCOPE };
        assert_eq!(unwrap_environment_key(&root, &moved, &wrapped).unwrap_err(), OpenError::DamagedOrMoved);
        let renumbered = WrappedKey { version: 4, ..wrapped };
        assert_eq!(unwrap_environment_key(&root, &SCOPE, &renumbered).unwrap_err(), OpenError::DamagedOrMoved);
    }

    #[test]
    fn the_systems_key_is_no_environments_key_and_opens_in_its_cluster_and_version_only() {
        let entropy = SeededEntropy::new(1);
        let (root, key) = (Key::generate(&entropy), Key::generate(&entropy));
        let wrapped = wrap_system_key(&root, 2, &[1; 16], 3, &key, &entropy);
        assert_eq!(unwrap_system_key(&root, &[1; 16], &wrapped).unwrap(), key);
        assert_eq!(unwrap_system_key(&root, &[2; 16], &wrapped).unwrap_err(), OpenError::DamagedOrMoved);
        assert_eq!(unwrap_environment_key(&root, &SCOPE, &wrapped).unwrap_err(), OpenError::WrongKey, "another purpose");
        let renumbered = WrappedKey { version: 4, ..wrapped };
        assert_eq!(unwrap_system_key(&root, &[1; 16], &renumbered).unwrap_err(), OpenError::DamagedOrMoved);
    }

    #[test]
    fn the_highest_version_is_current_and_cannot_be_retired() {
        let mut ring = Keyring::new(2, Key::from_bytes([2; 32]));
        ring.add(3, Key::from_bytes([3; 32]));
        ring.add(1, Key::from_bytes([1; 32]));
        assert_eq!(ring.current(), (3, &Key::from_bytes([3; 32])));
        assert!(!ring.retire(3));
        assert!(ring.retire(1));
        assert_eq!(ring.versions().collect::<Vec<_>>(), [2, 3]);
    }
}
