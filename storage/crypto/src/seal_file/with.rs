//! Where a seal key comes from: what the seal file says of it, none of it secret.

use serde::{Deserialize, Serialize};

use super::SealFileError;
use crate::{hex_field, kdf::Kdf, sealed::Binding, shamir::ShareSet};

/// Longest text in a reference to a key management service, in bytes.
pub const KMS_TEXT_BYTES_MAX: usize = 2048;
/// Longest ciphertext of a key management service, in bytes (AWS KMS: 6144).
pub const KMS_CIPHERTEXT_BYTES_MAX: usize = 8192;

/// The kinds of seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealKind {
    /// 64 hexadecimal digits in a file that the server may read: for restarts that nobody attends.
    KeyFile,
    /// A passphrase that one person knows.
    Passphrase,
    /// Shares in several hands.
    Shamir,
    /// A seal key that AWS KMS encrypted.
    AwsKms,
}

impl SealKind {
    /// The name in `seal.json` and in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SealKind::KeyFile => "key-file",
            SealKind::Passphrase => "passphrase",
            SealKind::Shamir => "shamir",
            SealKind::AwsKms => "aws-kms",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<SealKind> {
        let all = [SealKind::KeyFile, SealKind::Passphrase, SealKind::Shamir, SealKind::AwsKms];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Display for SealKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Where a seal key comes from, with what is needed to come by it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedWith {
    /// The key file holds the key itself.
    KeyFile,
    /// How the passphrase becomes the key.
    Passphrase(Kdf),
    /// The set of shares.
    Shamir(ShareSet),
    /// The service's key, and the seal key encrypted by it.
    AwsKms(KmsReference),
}

impl SealedWith {
    /// The kind alone.
    #[must_use]
    pub fn kind(&self) -> SealKind {
        match self {
            SealedWith::KeyFile => SealKind::KeyFile,
            SealedWith::Passphrase(_) => SealKind::Passphrase,
            SealedWith::Shamir(_) => SealKind::Shamir,
            SealedWith::AwsKms(_) => SealKind::AwsKms,
        }
    }

    pub(super) fn check(&self) -> Result<(), SealFileError> {
        match self {
            SealedWith::KeyFile => Ok(()),
            SealedWith::Passphrase(kdf) => kdf.check(),
            SealedWith::Shamir(set) => Ok(set.check()?),
            SealedWith::AwsKms(reference) => reference.check(),
        }
    }

    /// Old costs may open an old seal, not make a new one.
    pub(super) fn check_for_new_seal(&self) -> Result<(), SealFileError> {
        match self {
            SealedWith::Passphrase(kdf) => kdf.check_for_new_seal(),
            other => other.check(),
        }
    }

    pub(super) fn bind(&self, binding: Binding) -> Binding {
        let binding = binding.bytes(self.kind().name().as_bytes());
        match self {
            SealedWith::KeyFile => binding,
            SealedWith::Passphrase(kdf) => kdf.bind(binding),
            SealedWith::Shamir(set) => set.bind(binding),
            SealedWith::AwsKms(reference) => reference.bind(binding),
        }
    }
}

/// A key of a key management service, and the seal key as it encrypted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmsReference {
    /// Id, ARN or alias of the service's key.
    pub key_id: String,
    /// The service's region, where the environment does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Another address than the region's own (a private endpoint).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What the service gave for the seal key.
    #[serde(with = "hex_field")]
    pub encrypted_seal_key: Vec<u8>,
}

impl KmsReference {
    /// Whether the fields can be used at all; whether the service knows the key is asked there.
    ///
    /// # Errors
    /// Names the field that is empty or too long.
    pub fn check(&self) -> Result<(), SealFileError> {
        let texts = [
            ("key_id", Some(self.key_id.len())),
            ("region", self.region.as_ref().map(String::len)),
            ("endpoint", self.endpoint.as_ref().map(String::len)),
        ];
        let texts = texts.into_iter().filter_map(|(name, length)| Some((name, length?, KMS_TEXT_BYTES_MAX)));
        let fields = texts.chain([("encrypted_seal_key", self.encrypted_seal_key.len(), KMS_CIPHERTEXT_BYTES_MAX)]);
        for (name, length, most) in fields {
            if !(1..=most).contains(&length) {
                return Err(SealFileError::Parse(format!("\"kms\".\"{name}\" has {length} bytes, allowed are 1 to {most}")));
            }
        }
        Ok(())
    }

    fn bind(&self, binding: Binding) -> Binding {
        let optional = |binding: Binding, text: &Option<String>| match text {
            None => binding.u64(0),
            Some(text) => binding.u64(1).bytes(text.as_bytes()),
        };
        let binding = binding.bytes(self.key_id.as_bytes());
        let binding = optional(binding, &self.region);
        optional(binding, &self.endpoint).bytes(&self.encrypted_seal_key)
    }
}
