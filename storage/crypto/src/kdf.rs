//! How a passphrase becomes a key, and how weak or dangerous that may be.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    entropy::{self, Entropy},
    hex_field,
    key::{KEY_BYTES, Key},
    seal_file::SealFileError,
    sealed::Binding,
    secret_bytes::SecretBytes,
};

/// Iterations of PBKDF2 where it is chosen and nothing else is said, and the least for a new seal (OWASP, 2023).
pub const PBKDF2_ITERATIONS: u32 = 600_000;
/// The least that a seal made earlier may have to be opened still; a new seal needs [`PBKDF2_ITERATIONS`].
pub const PBKDF2_ITERATIONS_TO_OPEN: u32 = 100_000;
/// The most: about four seconds. A changed file must not keep a machine busy.
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;

const PASSPHRASE_KEY_CONTEXT: &str = "holdfast/v1/seal key from passphrase";

/// How a passphrase becomes a key, with its costs and 16 random bytes of salt. Not secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "algorithm", deny_unknown_fields)]
pub enum Kdf {
    /// Argon2id v1.3 (RFC 9106).
    #[serde(rename = "argon2id")]
    Argon2id {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
        /// Makes equal passphrases give different keys.
        #[serde(with = "hex_field")]
        salt: [u8; 16],
    },
    /// PBKDF2 with HMAC-SHA-256 (RFC 8018), for sites that may use approved algorithms only.
    #[serde(rename = "pbkdf2-hmac-sha256")]
    Pbkdf2 {
        /// How many times the passphrase is hashed.
        iterations: u32,
        /// Makes equal passphrases give different keys.
        #[serde(with = "hex_field")]
        salt: [u8; 16],
    },
}

impl Kdf {
    /// The default: Argon2id with 64 MiB, 3 passes, 4 lanes (RFC 9106, second recommendation), with a fresh salt.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Kdf {
        Kdf::with_cost(64 * 1024, 3, 4, entropy)
    }

    /// Argon2id with other costs and a fresh salt; they are checked when a passphrase is used.
    #[must_use]
    pub fn with_cost(memory_kib: u32, passes: u32, lanes: u32, entropy: &dyn Entropy) -> Kdf {
        Kdf::Argon2id { memory_kib, passes, lanes, salt: entropy::random(entropy) }
    }

    /// PBKDF2 with a fresh salt; the iterations are checked when a passphrase is used.
    #[must_use]
    pub fn pbkdf2(iterations: u32, entropy: &dyn Entropy) -> Kdf {
        Kdf::Pbkdf2 { iterations, salt: entropy::random(entropy) }
    }

    /// Whether a seal made earlier may be opened with these costs: the floor keeps a changed file from weakening the
    /// passphrase, the ceiling from exhausting the machine. Argon2id's floor is OWASP's minimum.
    ///
    /// # Errors
    /// Names the cost that is out of bounds, and the bounds.
    pub fn check(&self) -> Result<(), SealFileError> {
        match self {
            Kdf::Argon2id { memory_kib, passes, lanes, .. } => {
                within("memory in KiB", *memory_kib, 19 * 1024, 4 * 1024 * 1024)?;
                within("number of passes", *passes, 1, 16)?;
                within("number of lanes", *lanes, 1, 16)?;
                within("memory times passes in KiB", memory_kib.saturating_mul(*passes), 2 * 19 * 1024, u32::MAX)
            }
            Kdf::Pbkdf2 { iterations, .. } => {
                within("number of iterations", *iterations, PBKDF2_ITERATIONS_TO_OPEN, PBKDF2_ITERATIONS_MAX)
            }
        }
    }

    /// Whether a new seal may have these costs.
    ///
    /// # Errors
    /// Names the cost that is out of bounds, and the bounds.
    pub fn check_for_new_seal(&self) -> Result<(), SealFileError> {
        self.check()?;
        match self {
            Kdf::Argon2id { .. } => Ok(()),
            Kdf::Pbkdf2 { iterations, .. } => {
                within("number of iterations for a new seal", *iterations, PBKDF2_ITERATIONS, PBKDF2_ITERATIONS_MAX)
            }
        }
    }

    /// The key that `passphrase` gives.
    pub(crate) fn stretch(&self, passphrase: &SecretBytes) -> Result<Key, SealFileError> {
        self.check()?;
        if passphrase.is_empty() {
            return Err(SealFileError::EmptyPassphrase);
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        match self {
            Kdf::Argon2id { memory_kib, passes, lanes, salt } => {
                let refused = |error: argon2::Error| SealFileError::Parse(format!("key derivation: {error}"));
                let params = Params::new(*memory_kib, *passes, *lanes, Some(KEY_BYTES)).map_err(refused)?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(passphrase.expose(), salt, &mut bytes[..])
                    .map_err(refused)?;
            }
            Kdf::Pbkdf2 { iterations, salt } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.expose(), salt, *iterations, &mut bytes[..]);
            }
        }
        let stretched = Key::from_slice(&bytes[..]).expect("the buffer is as long as a key");
        Ok(stretched.derive(PASSPHRASE_KEY_CONTEXT, b""))
    }

    pub(crate) fn bind(&self, binding: Binding) -> Binding {
        match self {
            Kdf::Argon2id { memory_kib, passes, lanes, salt } => {
                binding.bytes(b"argon2id").u64(u64::from(*memory_kib)).u64(u64::from(*passes)).u64(u64::from(*lanes)).bytes(salt)
            }
            Kdf::Pbkdf2 { iterations, salt } => binding.bytes(b"pbkdf2-hmac-sha256").u64(u64::from(*iterations)).bytes(salt),
        }
    }
}

fn within(what: &'static str, found: u32, least: u32, most: u32) -> Result<(), SealFileError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(SealFileError::KdfBounds { what, found: found.into(), least: least.into(), most: most.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn passphrase() -> SecretBytes {
        SecretBytes::from("correct horse".to_owned())
    }

    #[test]
    fn weakened_or_exhausting_costs_are_refused_before_any_work() {
        let entropy = SeededEntropy::new(4);
        for (memory, passes, lanes) in
            [(1024, 3, 4), (u32::MAX, 3, 4), (65536, 0, 4), (65536, 1000, 4), (65536, 3, 1000), (20_000, 1, 1)]
        {
            let refusal = Kdf::with_cost(memory, passes, lanes, &entropy).stretch(&passphrase());
            assert!(matches!(refusal, Err(SealFileError::KdfBounds { .. })), "{memory} {passes} {lanes}");
        }
        for iterations in [0, PBKDF2_ITERATIONS_TO_OPEN - 1, PBKDF2_ITERATIONS_MAX + 1] {
            let refusal = Kdf::pbkdf2(iterations, &entropy).stretch(&passphrase());
            assert!(matches!(refusal, Err(SealFileError::KdfBounds { .. })), "{iterations}");
        }
    }

    #[test]
    fn few_iterations_open_an_old_seal_but_make_no_new_one() {
        let old = Kdf::pbkdf2(PBKDF2_ITERATIONS_TO_OPEN, &SeededEntropy::new(1));
        old.check().unwrap();
        let refusal = old.check_for_new_seal().unwrap_err().to_string();
        assert!(refusal.contains("iterations for a new seal is 100000, allowed are 600000 to 10000000"), "{refusal}");
        Kdf::pbkdf2(PBKDF2_ITERATIONS, &SeededEntropy::new(1)).check_for_new_seal().unwrap();
        Kdf::new(&SeededEntropy::new(1)).check_for_new_seal().unwrap();
    }

    #[test]
    fn the_key_depends_on_passphrase_algorithm_cost_and_salt() {
        let salt = [1; 16];
        let kdf = Kdf::Pbkdf2 { iterations: PBKDF2_ITERATIONS_TO_OPEN, salt };
        let key = kdf.stretch(&passphrase()).unwrap();
        assert_eq!(key, kdf.stretch(&passphrase()).unwrap());
        assert_ne!(key, kdf.stretch(&SecretBytes::from("correct horsf".to_owned())).unwrap());
        let others = [
            Kdf::Pbkdf2 { iterations: PBKDF2_ITERATIONS_TO_OPEN, salt: [2; 16] },
            Kdf::Pbkdf2 { iterations: PBKDF2_ITERATIONS_TO_OPEN + 1, salt },
            Kdf::Argon2id { memory_kib: 19 * 1024, passes: 2, lanes: 1, salt },
        ];
        for other in others {
            assert_ne!(key, other.stretch(&passphrase()).unwrap(), "{other:?}");
        }
    }

    /// The bytes of Python's hashlib.pbkdf2_hmac('sha256', b'correct horse', bytes([1] * 16), 100000), through our derivation.
    #[test]
    fn pbkdf2_gives_what_others_compute() {
        let expected = crate::hex::decode("c4e23517c464de5878bd86749005b6221109890e181d05933ff3d0d492eefce5").unwrap();
        let kdf = Kdf::Pbkdf2 { iterations: PBKDF2_ITERATIONS_TO_OPEN, salt: [1; 16] };
        let expected = Key::from_slice(&expected).unwrap().derive(PASSPHRASE_KEY_CONTEXT, b"");
        assert_eq!(kdf.stretch(&passphrase()).unwrap(), expected);
    }

    #[test]
    fn the_json_names_algorithm_costs_and_salt_and_nothing_else_is_read() {
        let kdf = Kdf::Pbkdf2 { iterations: 600_000, salt: [0xab; 16] };
        let json = serde_json::to_string(&kdf).unwrap();
        let salt = "ab".repeat(16);
        assert_eq!(json, format!(r#"{{"algorithm":"pbkdf2-hmac-sha256","iterations":600000,"salt":"{salt}"}}"#));
        assert_eq!(serde_json::from_str::<Kdf>(&json).unwrap(), kdf);
        let kdf = Kdf::new(&SeededEntropy::new(1));
        assert_eq!(serde_json::from_str::<Kdf>(&serde_json::to_string(&kdf).unwrap()).unwrap(), kdf);
        for bad in [
            format!(r#"{{"algorithm":"scrypt","iterations":600000,"salt":"{salt}"}}"#),
            format!(r#"{{"algorithm":"pbkdf2-hmac-sha256","iterations":600000,"salt":"{salt}ab"}}"#),
            format!(r#"{{"algorithm":"pbkdf2-hmac-sha256","iterations":600000,"salt":"{salt}","more":1}}"#),
        ] {
            assert!(serde_json::from_str::<Kdf>(&bad).is_err(), "{bad}");
        }
    }
}
