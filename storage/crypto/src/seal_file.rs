//! `seal.json`: the ring of keys, sealed by the seal key. It lies beside the data and is never in the log or in a snapshot.
//!
//! The seal key comes from a key file, a passphrase, shares in several hands, or a key management service. Everything in the file but
//! the ring itself is bound to it: a changed cluster id, generation or key-derivation cost makes the file refuse to open, rather than
//! weaken it.

mod refusal;
mod with;

use serde::{Deserialize, Serialize};

use crate::{
    entropy::Entropy,
    hex_field,
    kdf::Kdf,
    ring::Ring,
    seal_key::SealKey,
    sealed::{self, Binding, OpenError, Purpose},
    shamir::ShareSet,
};

pub use refusal::SealFileError;
pub use with::{KMS_CIPHERTEXT_BYTES_MAX, KMS_TEXT_BYTES_MAX, KmsReference, SealKind, SealedWith};

/// The format of `seal.json` that this release reads and writes.
pub const FORMAT: u32 = 2;
/// Largest seal file that is read, in bytes: a full ring in hexadecimal and the longest reference to a service are a third of it.
pub const SEAL_FILE_BYTES_MAX: usize = 64 * 1024;

const RING_KEY_VERSION: u32 = 1;

/// The contents of `seal.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealFile {
    cluster: [u8; 16],
    with: SealedWith,
    generation: u64,
    sealed_ring: Vec<u8>,
    ring_check: [u8; 8],
}

/// The JSON, field by field.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    #[serde(with = "hex_field")]
    cluster_id: [u8; 16],
    kind: SealKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kdf: Option<Kdf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shamir: Option<ShareSet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kms: Option<KmsReference>,
    generation: u64,
    #[serde(with = "hex_field")]
    sealed_ring: Vec<u8>,
    #[serde(with = "hex_field")]
    ring_check: [u8; 8],
}

impl SealFile {
    /// Seals `ring` of `cluster` with `seal_key`. `generation` counts from 1.
    ///
    /// # Errors
    /// When the seal key is too weak for a new seal: a passphrase stretched by the costs of an old file.
    pub fn create(
        seal_key: &SealKey,
        cluster: &[u8; 16],
        ring: &Ring,
        generation: u64,
        entropy: &dyn Entropy,
    ) -> Result<SealFile, SealFileError> {
        seal_key.sealed_with().check_for_new_seal()?;
        Ok(SealFile::seal(seal_key, *cluster, ring, generation, entropy))
    }

    /// The next generation of this file: another ring under the same seal, the same ring under another seal, or both.
    ///
    /// # Errors
    /// When `seal_key` makes another seal and is too weak for a new one.
    pub fn reseal(&self, seal_key: &SealKey, ring: &Ring, entropy: &dyn Entropy) -> Result<SealFile, SealFileError> {
        if *seal_key.sealed_with() != self.with {
            seal_key.sealed_with().check_for_new_seal()?;
        }
        Ok(SealFile::seal(seal_key, self.cluster, ring, self.generation.saturating_add(1), entropy))
    }

    fn seal(seal_key: &SealKey, cluster: [u8; 16], ring: &Ring, generation: u64, entropy: &dyn Entropy) -> SealFile {
        let with = seal_key.sealed_with().clone();
        let mut file = SealFile { cluster, with, generation, sealed_ring: Vec::new(), ring_check: ring.check_value() };
        file.sealed_ring = sealed::seal(seal_key.key(), RING_KEY_VERSION, &file.binding(), &ring.encode(), entropy);
        file
    }

    /// Reads the JSON of a seal file. The format is looked at first, so that a newer file is named as such.
    ///
    /// # Errors
    /// When it is not a seal file of the format that this release knows, or its parameters are out of bounds.
    pub fn parse(json: &[u8]) -> Result<SealFile, SealFileError> {
        let parse = |error: serde_json::Error| SealFileError::Parse(error.to_string());
        if json.len() > SEAL_FILE_BYTES_MAX {
            let what = format!("it has {} bytes, at most {SEAL_FILE_BYTES_MAX} are read", json.len());
            return Err(SealFileError::Parse(what));
        }
        let any: serde_json::Value = serde_json::from_slice(json).map_err(parse)?;
        match any.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => return Err(SealFileError::Newer(format)),
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format @ 1) => return Err(SealFileError::Older(format)),
            _ => return Err(SealFileError::Parse("no known \"format\"".to_owned())),
        }
        let Written { cluster_id, kind, kdf, shamir, kms, generation, sealed_ring, ring_check, .. } =
            serde_json::from_value(any).map_err(parse)?;
        let with = match (kind, kdf, shamir, kms) {
            (SealKind::KeyFile, None, None, None) => SealedWith::KeyFile,
            (SealKind::Passphrase, Some(kdf), None, None) => SealedWith::Passphrase(kdf),
            (SealKind::Shamir, None, Some(set), None) => SealedWith::Shamir(set),
            (SealKind::AwsKms, None, None, Some(reference)) => SealedWith::AwsKms(reference),
            _ => return Err(SealFileError::Parse(format!("\"kdf\", \"shamir\" and \"kms\" do not fit the kind {kind}"))),
        };
        with.check()?;
        Ok(SealFile { cluster: cluster_id, with, generation, sealed_ring, ring_check })
    }

    /// The JSON, for people to read.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let written = Written {
            format: FORMAT,
            cluster_id: self.cluster,
            kind: self.kind(),
            kdf: self.kdf().cloned(),
            shamir: self.shamir().cloned(),
            kms: self.kms().cloned(),
            generation: self.generation,
            sealed_ring: self.sealed_ring.clone(),
            ring_check: self.ring_check,
        };
        let mut json = serde_json::to_vec_pretty(&written).expect("strings and numbers always serialize");
        json.push(b'\n');
        json
    }

    /// The cluster that the file belongs to, as it says; proven once it has been opened.
    #[must_use]
    pub fn cluster(&self) -> [u8; 16] {
        self.cluster
    }

    /// Which kind of seal key opens it.
    #[must_use]
    pub fn kind(&self) -> SealKind {
        self.with.kind()
    }

    /// What is needed to come by the seal key.
    #[must_use]
    pub fn sealed_with(&self) -> &SealedWith {
        &self.with
    }

    /// How often the file's contents have changed: by each new root key and each new seal. From 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Equal in two files that hold the same ring, whatever their seals; says nothing else of it.
    #[must_use]
    pub fn ring_check(&self) -> [u8; 8] {
        self.ring_check
    }

    /// How a passphrase becomes the seal key, where it comes from one.
    #[must_use]
    pub fn kdf(&self) -> Option<&Kdf> {
        if let SealedWith::Passphrase(kdf) = &self.with { Some(kdf) } else { None }
    }

    /// Whose shares give the seal key, where there are shares.
    #[must_use]
    pub fn shamir(&self) -> Option<&ShareSet> {
        if let SealedWith::Shamir(set) = &self.with { Some(set) } else { None }
    }

    /// Which service decrypts the seal key, where one does.
    #[must_use]
    pub fn kms(&self) -> Option<&KmsReference> {
        if let SealedWith::AwsKms(reference) = &self.with { Some(reference) } else { None }
    }

    /// The ring.
    ///
    /// # Errors
    /// Says apart: another kind of seal key, the wrong seal key, and a damaged or changed file.
    pub fn open(&self, seal_key: &SealKey) -> Result<Ring, SealFileError> {
        if self.kind() != seal_key.kind() {
            return Err(SealFileError::Kind { made: self.kind(), given: seal_key.kind() });
        }
        let ring = sealed::open(seal_key.key(), &self.binding(), &self.sealed_ring).map_err(|error| match error {
            OpenError::WrongKey => SealFileError::WrongKey(self.kind()),
            _ => SealFileError::Damaged,
        })?;
        let ring = Ring::decode(ring.expose()).ok_or(SealFileError::Damaged)?;
        if ring.check_value() == self.ring_check { Ok(ring) } else { Err(SealFileError::Damaged) }
    }

    fn binding(&self) -> Binding {
        let binding = Binding::new(Purpose::RootKey)
            .u64(u64::from(FORMAT))
            .bytes(&self.cluster)
            .u64(self.generation)
            .bytes(&self.ring_check);
        self.with.bind(binding)
    }
}

#[cfg(test)]
mod tests;
