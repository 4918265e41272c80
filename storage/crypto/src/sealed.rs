//! The one sealed blob.
//!
//! ```text
//! version u8 = 1 | algorithm u8 = 1 | key version u32 | nonce 12 | commitment 32 | ciphertext | tag 16
//! (encryption key 32 | commitment 32) = HKDF-Expand-SHA256(key, "holdfast/v1/" | purpose u8 | nonce)
//! ```
//! AES-256-GCM-SIV (RFC 8452) does not commit to its key: a ciphertext can be made that opens under two. The commitment closes
//! that, and lets a wrong key be told from a damaged blob before anything is decrypted. Nonces are random; a nonce that
//! repeats reveals only whether two plaintexts are equal. The associated data, a [`Binding`], holds the algorithm, the purpose, the key
//! version and the blob's place, so that a ciphertext moved anywhere else does not open. Numbers are big endian.

use aes_gcm_siv::{AeadInOut as _, Aes256GcmSiv, KeyInit as _, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    entropy::{self, Entropy},
    key::Key,
    secret_bytes::SecretBytes,
};

const VERSION: u8 = 1;
const AES_256_GCM_SIV: u8 = 1;
const NONCE_BYTES: usize = 12;
const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const KEY_VERSION_AT: usize = 2;
const NONCE_AT: usize = KEY_VERSION_AT + 4;
const COMMITMENT_AT: usize = NONCE_AT + NONCE_BYTES;
const HEADER_BYTES: usize = COMMITMENT_AT + COMMITMENT_BYTES;

/// How much longer a sealed blob is than its plaintext.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

const BINDING_LABEL: &[u8] = b"holdfast/v1/binding";
const HKDF_LABEL: &[u8] = b"holdfast/v1/";

/// What a blob is for. A blob sealed for one purpose never opens for another: even its key differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// The value of a secret version.
    Value = 1,
    /// A data key wrapped by an environment's key.
    DataKey = 2,
    /// An environment's key wrapped by the root key.
    EnvironmentKey = 3,
    /// The root key wrapped by the seal key.
    RootKey = 4,
    /// A frame of the write-ahead log.
    LogFrame = 5,
    /// A block of the journal.
    JournalBlock = 6,
    /// A row of materialized state.
    Row = 7,
    /// A chunk of a snapshot.
    SnapshotChunk = 8,
    /// A node's storage key in its identity file.
    Identity = 9,
    /// What a new cluster starts from.
    Bootstrap = 10,
    /// What the cluster keeps for itself: second factors, what is wrapped for hand-over.
    Identities = 20,
}

/// What a blob is bound to: its associated data, as parts that each carry their length.
///
/// The same parts in the same order have to be given to open the blob. No two lists of parts give the same bytes.
#[derive(Clone, Debug)]
pub struct Binding {
    purpose: Purpose,
    parts: Vec<u8>,
}

impl Binding {
    /// A binding with no parts but the purpose.
    #[must_use]
    pub fn new(purpose: Purpose) -> Binding {
        Binding { purpose, parts: Vec::with_capacity(64) }
    }

    /// Adds bytes: an id, a name, a hash.
    #[must_use]
    pub fn bytes(mut self, part: &[u8]) -> Binding {
        self.parts.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.parts.extend_from_slice(part);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn u64(self, part: u64) -> Binding {
        self.bytes(&part.to_be_bytes())
    }

    fn associated_data(&self, algorithm: u8, key_version: u32) -> Vec<u8> {
        let mut data = Vec::with_capacity(BINDING_LABEL.len() + 6 + self.parts.len());
        data.extend_from_slice(BINDING_LABEL);
        data.push(algorithm);
        data.push(self.purpose as u8);
        data.extend_from_slice(&key_version.to_be_bytes());
        data.extend_from_slice(&self.parts);
        data
    }
}

/// Why a blob did not open. Nothing of its plaintext has been released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is shorter than the shortest blob.
    #[error("sealed blob is cut short: {0} bytes, at least {OVERHEAD_BYTES} expected")]
    TooShort(usize),
    /// A version of the blob that this release does not know.
    #[error("sealed blob has format {0}, this release reads up to {VERSION}: it is damaged or was written by a newer holdfast")]
    UnknownVersion(u8),
    /// An algorithm that this release does not know.
    #[error(
        "sealed blob names algorithm {0}, this release knows {AES_256_GCM_SIV}: it is damaged or was written by a newer holdfast"
    )]
    UnknownAlgorithm(u8),
    /// The commitment does not fit the key.
    #[error("wrong key: the blob was sealed with another key or for another purpose")]
    WrongKey,
    /// The key is right, but the ciphertext or its binding is not.
    #[error("damaged or moved: the key is right, but the contents or the place they are bound to have changed")]
    DamagedOrMoved,
}

/// Seals `plaintext`. `key_version` is stored in the clear and says which of several keys opens the blob.
#[must_use]
pub fn seal(key: &Key, key_version: u32, binding: &Binding, plaintext: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
    let mut blob = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
    seal_into(key, key_version, binding, plaintext, entropy, &mut blob);
    blob
}

/// Seals `plaintext` at the end of `blob`.
pub fn seal_into(key: &Key, key_version: u32, binding: &Binding, plaintext: &[u8], entropy: &dyn Entropy, blob: &mut Vec<u8>) {
    let nonce: [u8; NONCE_BYTES] = entropy::random(entropy);
    let (encryption_key, commitment) = expand(key, binding.purpose, &nonce);
    blob.reserve(plaintext.len() + OVERHEAD_BYTES);
    blob.push(VERSION);
    blob.push(AES_256_GCM_SIV);
    blob.extend_from_slice(&key_version.to_be_bytes());
    blob.extend_from_slice(&nonce);
    blob.extend_from_slice(&commitment);
    let start = blob.len();
    blob.extend_from_slice(plaintext);
    let associated = binding.associated_data(AES_256_GCM_SIV, key_version);
    let tag = cipher(&encryption_key)
        .encrypt_inout_detached(&Nonce::from(nonce), &associated, (&mut blob[start..]).into())
        .expect("a blob in memory is shorter than the 2^36 bytes that AES-GCM-SIV takes");
    blob.extend_from_slice(&tag);
}

/// Opens a blob that holds a secret.
///
/// # Errors
/// See [`OpenError`]; nothing is returned unless every byte is authentic.
pub fn open(key: &Key, binding: &Binding, blob: &[u8]) -> Result<SecretBytes, OpenError> {
    open_bulk(key, binding, blob).map(SecretBytes::from)
}

/// Opens a blob whose contents are no secret by themselves (log frames, rows): the plaintext is not zeroed when dropped.
///
/// # Errors
/// See [`OpenError`]; nothing is returned unless every byte is authentic.
pub fn open_bulk(key: &Key, binding: &Binding, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
    let parts = Parts::of(blob)?;
    let (encryption_key, commitment) = expand(key, binding.purpose, &parts.nonce);
    if !bool::from(commitment.ct_eq(parts.commitment)) {
        return Err(OpenError::WrongKey);
    }
    let mut plaintext = parts.ciphertext.to_vec();
    cipher(&encryption_key)
        .decrypt_inout_detached(
            &Nonce::from(parts.nonce),
            &binding.associated_data(AES_256_GCM_SIV, parts.key_version),
            plaintext.as_mut_slice().into(),
            &Tag::from(parts.tag),
        )
        .map_err(|_| OpenError::DamagedOrMoved)?;
    Ok(plaintext)
}

/// Which version of its key a blob was sealed with, as its header says. Not authenticated until the blob has been opened.
///
/// # Errors
/// When the blob is too short or of an unknown format.
pub fn key_version(blob: &[u8]) -> Result<u32, OpenError> {
    Parts::of(blob).map(|parts| parts.key_version)
}

struct Parts<'a> {
    key_version: u32,
    nonce: [u8; NONCE_BYTES],
    commitment: &'a [u8],
    ciphertext: &'a [u8],
    tag: [u8; TAG_BYTES],
}

impl<'a> Parts<'a> {
    fn of(blob: &'a [u8]) -> Result<Parts<'a>, OpenError> {
        if blob.len() < OVERHEAD_BYTES {
            return Err(OpenError::TooShort(blob.len()));
        }
        let (header, sealed) = blob.split_at(HEADER_BYTES);
        let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG_BYTES);
        match (header[0], header[1]) {
            (VERSION, AES_256_GCM_SIV) => {}
            (VERSION, other) => return Err(OpenError::UnknownAlgorithm(other)),
            (other, _) => return Err(OpenError::UnknownVersion(other)),
        }
        Ok(Parts {
            key_version: u32::from_be_bytes(array(&header[KEY_VERSION_AT..NONCE_AT])),
            nonce: array(&header[NONCE_AT..COMMITMENT_AT]),
            commitment: &header[COMMITMENT_AT..],
            ciphertext,
            tag: array(tag),
        })
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice was cut to this length")
}

fn expand(key: &Key, purpose: Purpose, nonce: &[u8; NONCE_BYTES]) -> (Zeroizing<[u8; 32]>, [u8; COMMITMENT_BYTES]) {
    let mut both = Zeroizing::new([0; 32 + COMMITMENT_BYTES]);
    Hkdf::<Sha256>::from_prk(key.expose())
        .expect("a key is as long as SHA-256's output")
        .expand_multi_info(&[HKDF_LABEL, &[purpose as u8], nonce], &mut both[..])
        .expect("64 bytes are within HKDF's limit");
    (Zeroizing::new(array(&both[..32])), array(&both[32..]))
}

fn cipher(key: &[u8; 32]) -> Aes256GcmSiv {
    Aes256GcmSiv::new(key.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn key() -> Key {
        Key::from_bytes([3; 32])
    }

    fn place() -> Binding {
        Binding::new(Purpose::Row).bytes(b"cluster").u64(7)
    }

    fn blob() -> Vec<u8> {
        seal(&key(), 5, &place(), b"a row", &SeededEntropy::new(1))
    }

    #[test]
    fn a_blob_opens_where_it_was_sealed() {
        assert_eq!(open(&key(), &place(), &blob()).unwrap().expose(), b"a row");
        assert_eq!(key_version(&blob()).unwrap(), 5);
        assert_eq!(blob().len(), b"a row".len() + OVERHEAD_BYTES);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let blob = blob();
        for bit in 0..blob.len() * 8 {
            let mut damaged = blob.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key(), &place(), &damaged).is_err(), "bit {bit} made no difference");
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let blob = blob();
        for end in 0..blob.len() {
            assert!(open(&key(), &place(), &blob[..end]).is_err(), "cut at {end} opened");
        }
    }

    #[test]
    fn a_blob_that_was_moved_is_refused() {
        let elsewhere = [
            Binding::new(Purpose::Row).bytes(b"cluster").u64(8),
            Binding::new(Purpose::Row).bytes(b"clusteR").u64(7),
            Binding::new(Purpose::Row).u64(7).bytes(b"cluster"),
            Binding::new(Purpose::Row).bytes(b"cluster"),
            Binding::new(Purpose::Row).bytes(b"cluster").u64(7).bytes(b""),
            Binding::new(Purpose::Row).bytes(b"clus").bytes(b"ter").u64(7),
        ];
        for binding in elsewhere {
            assert_eq!(open(&key(), &binding, &blob()).unwrap_err(), OpenError::DamagedOrMoved, "{binding:?}");
        }
    }

    #[test]
    fn a_wrong_key_and_a_wrong_purpose_are_named_as_such() {
        assert_eq!(open(&Key::from_bytes([4; 32]), &place(), &blob()).unwrap_err(), OpenError::WrongKey);
        let other = Binding::new(Purpose::Value).bytes(b"cluster").u64(7);
        assert_eq!(open(&key(), &other, &blob()).unwrap_err(), OpenError::WrongKey);
    }

    #[test]
    fn a_newer_format_is_named_as_such() {
        let mut newer = blob();
        newer[0] = 9;
        assert_eq!(open(&key(), &place(), &newer).unwrap_err(), OpenError::UnknownVersion(9));
        let mut other = blob();
        other[1] = 2;
        assert_eq!(open(&key(), &place(), &other).unwrap_err(), OpenError::UnknownAlgorithm(2));
    }

    #[test]
    fn the_bytes_of_a_sealed_blob_never_drift() {
        let hash = blake3::hash(&blob());
        assert_eq!(hash.to_hex().as_str(), GOLDEN_BLOB, "the format changed: raise VERSION and keep reading the old one");
    }

    const GOLDEN_BLOB: &str = "b231d4cb61dfe4f8e9b2b44aeadb02938832292d2c073eb5dd45bef6479aece6";

    proptest::proptest! {
        #[test]
        fn any_plaintext_comes_back(plaintext in proptest::collection::vec(proptest::num::u8::ANY, 0..2000), seed: u64) {
            let blob = seal(&key(), 1, &place(), &plaintext, &SeededEntropy::new(seed));
            assert_eq!(open_bulk(&key(), &place(), &blob).unwrap(), plaintext);
        }

        #[test]
        fn no_bytes_make_open_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut with_header = vec![VERSION, AES_256_GCM_SIV];
            with_header.extend(&bytes);
            assert!(open(&key(), &place(), &bytes).is_err());
            assert!(open(&key(), &place(), &with_header).is_err());
        }
    }
}
