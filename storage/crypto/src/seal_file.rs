//! `seal.json`: the root key, wrapped by the seal key. It lies beside the data and is never in the log or in a snapshot.
//!
//! The seal key comes from a key file or from a passphrase. Everything in the file but the root key itself is bound to it:
//! a changed cluster id or key-derivation parameter makes the file refuse to open, rather than weaken it.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    entropy::{self, Entropy},
    hex::{self, HexError},
    key::{KEY_BYTES, Key},
    sealed::{self, Binding, OpenError, Purpose},
    secret_bytes::SecretBytes,
};

/// The newest format of `seal.json` that this release reads and writes.
pub const FORMAT: u32 = 1;

const ROOT_KEY_VERSION: u32 = 1;
const KEY_FILE: &str = "key-file";
const PASSPHRASE: &str = "passphrase";
const ARGON2ID: &str = "argon2id";
const PASSPHRASE_KEY_CONTEXT: &str = "holdfast/v1/seal key from passphrase";

/// Why a seal key or a seal file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SealFileError {
    /// The key file is not 64 hexadecimal digits.
    #[error("the seal key has {0}: a key file holds exactly 64 hexadecimal digits (`openssl rand -hex 32` makes one)")]
    KeyFile(String),
    /// The passphrase has no character.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// Key-derivation parameters that are too weak, or dangerously large.
    #[error("the key derivation's {what} is {found}, allowed are {least} to {most}: the seal file was changed, or is not ours")]
    KdfBounds {
        /// Which parameter.
        what: &'static str,
        /// What the file says.
        found: u64,
        /// The least that is safe.
        least: u64,
        /// The most that is accepted.
        most: u64,
    },
    /// The file is not the JSON it should be.
    #[error("the seal file does not parse: {0}")]
    Parse(String),
    /// A release that does not exist yet for this one.
    #[error("the seal file was written by a newer holdfast (format {0}, this one reads up to {FORMAT})")]
    Newer(u64),
    /// A passphrase was given for a key file, or the other way round.
    #[error("the seal file was made with a {made}, but a {given} was given")]
    Kind {
        /// What the file says.
        made: String,
        /// What was given.
        given: String,
    },
    /// The seal key is not the one that sealed the root key.
    #[error("wrong seal key: the key file or passphrase is not the one that this seal file was made with")]
    WrongKey,
    /// The seal key is right, the contents are not.
    #[error("the seal file is damaged or was changed: restore it from another node or from a backup")]
    Damaged,
}

/// How a passphrase becomes a key: Argon2id v1.3 (RFC 9106).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kdf {
    /// Always `argon2id` in this format.
    pub algorithm: String,
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// 16 random bytes, hexadecimal.
    pub salt: String,
}

impl Kdf {
    /// The default: 64 MiB, 3 passes, 4 lanes (RFC 9106, second recommendation), with a fresh salt.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Kdf {
        Kdf::with_cost(64 * 1024, 3, 4, entropy)
    }

    /// Other costs with a fresh salt; [`SealKey::from_passphrase`] checks them against the floor.
    #[must_use]
    pub fn with_cost(memory_kib: u32, passes: u32, lanes: u32, entropy: &dyn Entropy) -> Kdf {
        Kdf { algorithm: ARGON2ID.to_owned(), memory_kib, passes, lanes, salt: hex::encode(&entropy::random::<16>(entropy)) }
    }

    /// The floor is OWASP's minimum for Argon2id; the ceiling keeps a changed file from exhausting the machine.
    fn check(&self) -> Result<[u8; 16], SealFileError> {
        let bounds = [
            ("memory in KiB", self.memory_kib, 19 * 1024, 4 * 1024 * 1024),
            ("number of passes", self.passes, 1, 16),
            ("number of lanes", self.lanes, 1, 16),
            ("memory times passes in KiB", self.memory_kib.saturating_mul(self.passes), 2 * 19 * 1024, u32::MAX),
        ];
        for (what, found, least, most) in bounds {
            if !(least..=most).contains(&found) {
                let (found, least, most) = (u64::from(found), u64::from(least), u64::from(most));
                return Err(SealFileError::KdfBounds { what, found, least, most });
            }
        }
        if self.algorithm != ARGON2ID {
            return Err(SealFileError::Parse(format!("unknown key derivation {:?}, expected {ARGON2ID:?}", self.algorithm)));
        }
        let salt = hex::decode(&self.salt).ok().and_then(|salt| salt.try_into().ok());
        salt.ok_or_else(|| SealFileError::Parse("the salt is not 32 hexadecimal digits".to_owned()))
    }
}

/// The key that wraps the root key. It is given at start and never written.
pub struct SealKey {
    key: Key,
    kdf: Option<Kdf>,
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SealKey(redacted)")
    }
}

impl SealKey {
    /// The key in a key file: 64 hexadecimal digits, white space around them ignored.
    ///
    /// # Errors
    /// When the text is anything else; the message says what and where, never what the text is.
    pub fn from_key_file(text: &str) -> Result<SealKey, SealFileError> {
        let digits = text.trim();
        let length = digits.chars().count();
        if length != KEY_BYTES * 2 {
            return Err(SealFileError::KeyFile(format!("{length} characters")));
        }
        match hex::decode(digits).map(Zeroizing::new) {
            Ok(bytes) => {
                let key = Key::from_slice(&bytes).ok_or_else(|| SealFileError::KeyFile("another length".to_owned()))?;
                Ok(SealKey { key, kdf: None })
            }
            Err(HexError::Digit(position)) => {
                Err(SealFileError::KeyFile(format!("a character at position {} that is no hexadecimal digit", position + 1)))
            }
            Err(HexError::Odd) => Err(SealFileError::KeyFile("an odd number of digits".to_owned())),
        }
    }

    /// The text of a new key file.
    #[must_use]
    pub fn generate_key_file(entropy: &dyn Entropy) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(Key::generate(entropy).expose()) + "\n")
    }

    /// The key that `passphrase` gives under `kdf`. Takes about half a second and 64 MiB with the default costs.
    ///
    /// # Errors
    /// When the passphrase is empty or the costs are out of bounds.
    pub fn from_passphrase(passphrase: &SecretBytes, kdf: &Kdf) -> Result<SealKey, SealFileError> {
        let salt = kdf.check()?;
        if passphrase.is_empty() {
            return Err(SealFileError::EmptyPassphrase);
        }
        let params = Params::new(kdf.memory_kib, kdf.passes, kdf.lanes, Some(KEY_BYTES))
            .map_err(|error| SealFileError::Parse(format!("key derivation: {error}")))?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose(), &salt, &mut bytes[..])
            .map_err(|error| SealFileError::Parse(format!("key derivation: {error}")))?;
        let key = Key::from_bytes(*bytes).derive(PASSPHRASE_KEY_CONTEXT, b"");
        Ok(SealKey { key, kdf: Some(kdf.clone()) })
    }

    /// The key itself, to seal what else belongs to one node (its identity).
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    fn kind(&self) -> &'static str {
        if self.kdf.is_some() { PASSPHRASE } else { KEY_FILE }
    }
}

/// The contents of `seal.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealFile {
    format: u32,
    cluster_id: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kdf: Option<Kdf>,
    sealed_root: String,
    root_check: String,
}

impl SealFile {
    /// Wraps `root` of `cluster` with `seal_key`.
    #[must_use]
    pub fn create(seal_key: &SealKey, cluster: &[u8; 16], root: &Key, entropy: &dyn Entropy) -> SealFile {
        let mut file = SealFile {
            format: FORMAT,
            cluster_id: hex::encode(cluster),
            kind: seal_key.kind().to_owned(),
            kdf: seal_key.kdf.clone(),
            sealed_root: String::new(),
            root_check: hex::encode(&root.check_value()),
        };
        file.sealed_root = hex::encode(&sealed::seal(&seal_key.key, ROOT_KEY_VERSION, &file.binding(), root.expose(), entropy));
        file
    }

    /// Reads the JSON of a seal file. The format is looked at first, so that a newer file is named as such.
    ///
    /// # Errors
    /// When it is not a seal file of a format that this release knows, or its parameters are out of bounds.
    pub fn parse(json: &[u8]) -> Result<SealFile, SealFileError> {
        let parse = |error: serde_json::Error| SealFileError::Parse(error.to_string());
        let any: serde_json::Value = serde_json::from_slice(json).map_err(parse)?;
        match any.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => return Err(SealFileError::Newer(format)),
            Some(format) if format == u64::from(FORMAT) => {}
            _ => return Err(SealFileError::Parse("no known \"format\"".to_owned())),
        }
        let file: SealFile = serde_json::from_value(any).map_err(parse)?;
        match (file.kind.as_str(), &file.kdf) {
            (KEY_FILE, None) => {}
            (PASSPHRASE, Some(kdf)) => _ = kdf.check()?,
            (KEY_FILE | PASSPHRASE, _) => {
                return Err(SealFileError::Parse(format!("\"kdf\" does not fit the kind {:?}", file.kind)));
            }
            (other, _) => return Err(SealFileError::Parse(format!("unknown kind {other:?}"))),
        }
        file.cluster()?;
        Ok(file)
    }

    /// The JSON, for people to read.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("strings and numbers always serialize");
        json.push(b'\n');
        json
    }

    /// The cluster that the file belongs to, as it says; proven once it has been opened.
    ///
    /// # Errors
    /// When the id is not 32 hexadecimal digits.
    pub fn cluster(&self) -> Result<[u8; 16], SealFileError> {
        let id = hex::decode(&self.cluster_id).ok().and_then(|id| id.try_into().ok());
        id.ok_or_else(|| SealFileError::Parse("the cluster id is not 32 hexadecimal digits".to_owned()))
    }

    /// How the passphrase becomes the seal key, or nothing where the seal key is a key file.
    #[must_use]
    pub fn kdf(&self) -> Option<&Kdf> {
        self.kdf.as_ref()
    }

    /// The root key.
    ///
    /// # Errors
    /// Says apart: the other kind of seal key, the wrong seal key, and a damaged or changed file.
    pub fn open(&self, seal_key: &SealKey) -> Result<Key, SealFileError> {
        if self.kind != seal_key.kind() {
            return Err(SealFileError::Kind { made: self.kind.clone(), given: seal_key.kind().to_owned() });
        }
        let blob = hex::decode(&self.sealed_root).map_err(|_| SealFileError::Damaged)?;
        let root = sealed::open(&seal_key.key, &self.binding(), &blob).map_err(|error| match error {
            OpenError::WrongKey => SealFileError::WrongKey,
            _ => SealFileError::Damaged,
        })?;
        let root = Key::from_slice(root.expose()).ok_or(SealFileError::Damaged)?;
        if hex::encode(&root.check_value()) == self.root_check { Ok(root) } else { Err(SealFileError::Damaged) }
    }

    fn binding(&self) -> Binding {
        let binding = Binding::new(Purpose::RootKey)
            .u64(u64::from(self.format))
            .bytes(self.cluster_id.as_bytes())
            .bytes(self.kind.as_bytes())
            .bytes(self.root_check.as_bytes());
        match &self.kdf {
            None => binding,
            Some(kdf) => binding
                .bytes(kdf.algorithm.as_bytes())
                .u64(u64::from(kdf.memory_kib))
                .u64(u64::from(kdf.passes))
                .u64(u64::from(kdf.lanes))
                .bytes(kdf.salt.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    const KEY_TEXT: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn cheapest(entropy: &dyn Entropy) -> Kdf {
        Kdf::with_cost(19 * 1024, 2, 1, entropy)
    }

    fn sealed_with_key_file() -> (SealKey, Key, SealFile) {
        let entropy = SeededEntropy::new(1);
        let seal_key = SealKey::from_key_file(KEY_TEXT).unwrap();
        let root = Key::generate(&entropy);
        let file = SealFile::create(&seal_key, &[7; 16], &root, &entropy);
        (seal_key, root, file)
    }

    #[test]
    fn a_key_file_opens_the_root_key_that_it_sealed() {
        let (seal_key, root, file) = sealed_with_key_file();
        let read = SealFile::parse(&file.to_json()).unwrap();
        assert_eq!(read, file);
        assert_eq!(read.cluster().unwrap(), [7; 16]);
        assert_eq!(read.open(&seal_key).unwrap(), root);
    }

    #[test]
    fn a_generated_key_file_is_read_back() {
        let text = SealKey::generate_key_file(&SeededEntropy::new(5));
        assert_eq!(text.trim().len(), 64);
        SealKey::from_key_file(&text).unwrap();
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_another_does_not() {
        let entropy = SeededEntropy::new(2);
        let root = Key::generate(&entropy);
        let passphrase = SecretBytes::from("correct horse".to_owned());
        let seal_key = SealKey::from_passphrase(&passphrase, &cheapest(&entropy)).unwrap();
        let file = SealFile::create(&seal_key, &[7; 16], &root, &entropy);
        let read = SealFile::parse(&file.to_json()).unwrap();
        let again = SealKey::from_passphrase(&passphrase, read.kdf().unwrap()).unwrap();
        assert_eq!(read.open(&again).unwrap(), root);
        let wrong = SealKey::from_passphrase(&SecretBytes::from("wrong".to_owned()), read.kdf().unwrap()).unwrap();
        assert!(matches!(read.open(&wrong), Err(SealFileError::WrongKey)));
    }

    #[test]
    fn the_wrong_kind_and_the_wrong_key_are_named_as_such() {
        let (_, _, file) = sealed_with_key_file();
        let other = SealKey::from_key_file(&"0".repeat(64)).unwrap();
        assert!(matches!(file.open(&other), Err(SealFileError::WrongKey)));
        let entropy = SeededEntropy::new(3);
        let passphrase = SealKey::from_passphrase(&SecretBytes::from("x".to_owned()), &cheapest(&entropy)).unwrap();
        let refusal = file.open(&passphrase).unwrap_err().to_string();
        assert_eq!(refusal, "the seal file was made with a key-file, but a passphrase was given");
    }

    #[test]
    fn every_changed_field_is_refused() {
        let (seal_key, _, file) = sealed_with_key_file();
        let changed = [
            SealFile { cluster_id: "08".repeat(16), ..file.clone() },
            SealFile { root_check: "00".repeat(8), ..file.clone() },
            SealFile { sealed_root: file.sealed_root.replace('0', "1"), ..file.clone() },
            SealFile { sealed_root: file.sealed_root[2..].to_owned(), ..file.clone() },
        ];
        for file in changed {
            assert!(file.open(&seal_key).is_err(), "{file:?}");
        }
    }

    #[test]
    fn a_bad_key_file_is_refused_in_words_that_do_not_repeat_it() {
        let short = SealKey::from_key_file("abc").unwrap_err().to_string();
        assert!(short.starts_with("the seal key has 3 characters: a key file holds exactly 64"), "{short}");
        let text = format!("{}g{}", "1".repeat(40), "1".repeat(23));
        let digit = SealKey::from_key_file(&text).unwrap_err().to_string();
        assert!(digit.contains("position 41") && !digit.contains("1111"), "{digit}");
    }

    #[test]
    fn weakened_or_exhausting_parameters_are_refused_before_any_work() {
        let entropy = SeededEntropy::new(4);
        for (memory, passes, lanes) in
            [(1024, 3, 4), (u32::MAX, 3, 4), (65536, 0, 4), (65536, 1000, 4), (65536, 3, 1000), (20_000, 1, 1)]
        {
            let kdf = Kdf::with_cost(memory, passes, lanes, &entropy);
            let refusal = SealKey::from_passphrase(&SecretBytes::from("x".to_owned()), &kdf);
            assert!(matches!(refusal, Err(SealFileError::KdfBounds { .. })), "{memory} {passes} {lanes}");
        }
    }

    #[test]
    fn a_newer_file_is_named_as_such() {
        let newer = br#"{"format": 9, "something": "else"}"#;
        let refusal = SealFile::parse(newer).unwrap_err().to_string();
        assert_eq!(refusal, "the seal file was written by a newer holdfast (format 9, this one reads up to 1)");
        assert!(matches!(SealFile::parse(b"{}"), Err(SealFileError::Parse(_))));
        assert!(matches!(SealFile::parse(b"not json"), Err(SealFileError::Parse(_))));
    }
}
