//! One secret value under envelope encryption: a fresh data key seals the value, the environment's key wraps the data key.

use serde::{Deserialize, Serialize};

use crate::{
    bytes_field,
    entropy::{self, Entropy},
    key::Key,
    planted,
    sealed::{self, Binding, OpenError, Purpose},
    secret_bytes::SecretBytes,
};

/// Where a value or a key belongs. Immutable ids, so that a rename re-encrypts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueScope {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// The environment's id.
    pub environment: [u8; 16],
}

impl ValueScope {
    pub(crate) fn binding(&self, purpose: Purpose) -> Binding {
        let binding = Binding::new(purpose).bytes(&self.cluster);
        if planted::is_back("environment-not-bound") { binding } else { binding.bytes(&self.environment) }
    }
}

/// A secret value as the log, the disk and the wire see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue {
    /// The version of the environment's key that wraps the data key.
    pub key_version: u32,
    /// Random id of this value: the wrapped key and the ciphertext only open together.
    pub value_id: [u8; 16],
    /// The data key, sealed by the environment's key; bound to the scope, the key's version and the value's id.
    #[serde(with = "bytes_field")]
    pub wrapped_key: Vec<u8>,
    /// The value, sealed by the data key; bound to the scope and the value's id.
    #[serde(with = "bytes_field")]
    pub ciphertext: Vec<u8>,
}

/// The version in the header of a blob sealed by a data key: a data key has one only.
const DATA_KEY_VERSION: u32 = 1;
const DIGEST_CONTEXT: &str = "holdfast/v1/sealed value digest";

impl SealedValue {
    /// Seals `plaintext` under a fresh data key, and that key under version `kek_version` of the environment's key.
    #[must_use]
    pub fn seal(kek: &Key, kek_version: u32, scope: &ValueScope, plaintext: &[u8], entropy: &dyn Entropy) -> SealedValue {
        let value_id = entropy::random(entropy);
        let data_key = Key::generate(entropy);
        SealedValue {
            key_version: kek_version,
            value_id,
            wrapped_key: wrap(kek, kek_version, scope, &value_id, &data_key, entropy),
            ciphertext: sealed::seal(&data_key, DATA_KEY_VERSION, &value_binding(scope, &value_id), plaintext, entropy),
        }
    }

    /// The plaintext.
    ///
    /// # Errors
    /// When the key is another, or any part was damaged or comes from another value, environment or cluster.
    pub fn open(&self, kek: &Key, scope: &ValueScope) -> Result<SecretBytes, OpenError> {
        let data_key = self.unwrap(kek, scope)?;
        sealed::open(&data_key, &value_binding(scope, &self.value_id), &self.ciphertext)
    }

    /// The same value with its data key wrapped by another version of the environment's key. The ciphertext stays as it is.
    ///
    /// # Errors
    /// When `old` does not open the data key.
    pub fn rewrap(
        &self,
        old: &Key,
        new: &Key,
        new_version: u32,
        scope: &ValueScope,
        entropy: &dyn Entropy,
    ) -> Result<SealedValue, OpenError> {
        let data_key = self.unwrap(old, scope)?;
        let wrapped_key = wrap(new, new_version, scope, &self.value_id, &data_key, entropy);
        Ok(SealedValue { key_version: new_version, wrapped_key, value_id: self.value_id, ciphertext: self.ciphertext.clone() })
    }

    /// Stands for every byte of this value, sealed: equal only when all fields are. BLAKE3 over length-prefixed fields.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
        let version = self.key_version.to_be_bytes();
        for field in [&version[..], &self.value_id, &self.wrapped_key, &self.ciphertext] {
            hasher.update(&(field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        *hasher.finalize().as_bytes()
    }

    fn unwrap(&self, kek: &Key, scope: &ValueScope) -> Result<Key, OpenError> {
        let binding = key_binding(scope, self.key_version, &self.value_id);
        let data_key = sealed::open(kek, &binding, &self.wrapped_key)?;
        Key::from_slice(data_key.expose()).ok_or(OpenError::DamagedOrMoved)
    }
}

fn wrap(kek: &Key, version: u32, scope: &ValueScope, value_id: &[u8; 16], data_key: &Key, entropy: &dyn Entropy) -> Vec<u8> {
    sealed::seal(kek, version, &key_binding(scope, version, value_id), data_key.expose(), entropy)
}

fn key_binding(scope: &ValueScope, kek_version: u32, value_id: &[u8; 16]) -> Binding {
    scope.binding(Purpose::DataKey).u64(u64::from(kek_version)).bytes(value_id)
}

// Not bound to the wrapping key's version, so that a key rotation rewraps 32 bytes and leaves the value alone; the data key
// opens this one ciphertext only, and its own wrapping is bound to that version.
fn value_binding(scope: &ValueScope, value_id: &[u8; 16]) -> Binding {
    scope.binding(Purpose::Value).bytes(value_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    const SCOPE: ValueScope = ValueScope { cluster: [1; 16], environment: [2; 16] };

    fn kek() -> Key {
        Key::from_bytes([9; 32])
    }

    fn value() -> SealedValue {
        SealedValue::seal(&kek(), 4, &SCOPE, b"hunter2", &SeededEntropy::new(1))
    }

    #[test]
    fn a_value_opens_with_its_key_in_its_environment() {
        assert_eq!(value().open(&kek(), &SCOPE).unwrap().expose(), b"hunter2");
    }

    #[test]
    fn a_value_opens_in_no_other_environment_or_cluster() {
        let elsewhere = [ValueScope { environment: [3; 16], ..SCOPE }, ValueScope { cluster: [3; 16], ..SCOPE }];
        for scope in elsewhere {
            assert_eq!(value().open(&kek(), &scope).unwrap_err(), OpenError::DamagedOrMoved);
        }
        assert_eq!(value().open(&Key::from_bytes([8; 32]), &SCOPE).unwrap_err(), OpenError::WrongKey);
    }

    #[test]
    fn parts_of_two_values_never_mix() {
        let entropy = SeededEntropy::new(2);
        let one = SealedValue::seal(&kek(), 4, &SCOPE, b"one", &entropy);
        let two = SealedValue::seal(&kek(), 4, &SCOPE, b"two", &entropy);
        let swapped_key = SealedValue { wrapped_key: two.wrapped_key.clone(), ..one.clone() };
        let swapped_text = SealedValue { ciphertext: two.ciphertext.clone(), ..one.clone() };
        let swapped_id = SealedValue { value_id: two.value_id, ..one.clone() };
        let other_version = SealedValue { key_version: 5, ..one.clone() };
        for mixed in [swapped_key, swapped_text, swapped_id, other_version] {
            assert!(mixed.open(&kek(), &SCOPE).is_err());
            assert_ne!(mixed.digest(), one.digest());
        }
    }

    #[test]
    fn a_rewrapped_value_opens_with_the_new_key_only() {
        let new = Key::from_bytes([10; 32]);
        let rewrapped = value().rewrap(&kek(), &new, 5, &SCOPE, &SeededEntropy::new(3)).unwrap();
        assert_eq!(rewrapped.open(&new, &SCOPE).unwrap().expose(), b"hunter2");
        assert_eq!(rewrapped.open(&kek(), &SCOPE).unwrap_err(), OpenError::WrongKey);
        assert_eq!((rewrapped.key_version, &rewrapped.ciphertext), (5, &value().ciphertext));
    }

    #[test]
    fn a_value_survives_serialization() {
        let json = serde_json::to_vec(&value()).unwrap();
        assert_eq!(serde_json::from_slice::<SealedValue>(&json).unwrap(), value());
    }
}
