//! Signatures that whoever has no key can check: Ed25519, strictly verified.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use crate::{hex, key::Key};

/// Bytes of a public key.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Signs for a cluster.
pub struct Signer(SigningKey);

impl Signer {
    /// The signer whose seed is derived from `key` for one use: the same key, context and info make the same signer.
    #[must_use]
    pub fn derive(key: &Key, context: &'static str, info: &[u8]) -> Signer {
        let seed = key.derive(context, info);
        Signer(SigningKey::from_bytes(seed.expose()))
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`, which names its own purpose.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        use ed25519_dalek::Signer as _;
        self.0.sign(message).to_bytes()
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Signer({})", self.public())
    }
}

/// What signatures are checked with. Printed and read as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; PUBLIC_KEY_BYTES]);

impl PublicKey {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<PublicKey> {
        Some(PublicKey(hex::decode(text.trim()).ok()?.try_into().ok()?))
    }

    /// Whether `signature` is this key's on `message`. Keys and signatures of small order count for nothing.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.0) else { return false };
        key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&hex::encode(&self.0))
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "PublicKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(info: &[u8]) -> Signer {
        Signer::derive(&Key::from_bytes([7; 32]), "holdfast/v1/test signing", info)
    }

    #[test]
    fn a_signature_counts_for_its_message_and_its_signer_only() {
        let signature = signer(b"a").sign(b"message");
        assert!(signer(b"a").public().verify(b"message", &signature));
        assert!(!signer(b"a").public().verify(b"another", &signature));
        assert!(!signer(b"b").public().verify(b"message", &signature));
        for bit in 0..signature.len() * 8 {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!signer(b"a").public().verify(b"message", &changed), "bit {bit}");
        }
        assert!(!PublicKey([0; 32]).verify(b"message", &signature), "a key of small order");
    }

    #[test]
    fn a_public_key_reads_back_and_a_signer_prints_no_more_than_it() {
        let public = signer(b"a").public();
        assert_eq!(PublicKey::parse(&public.to_string()), Some(public));
        assert_eq!(PublicKey::parse("abc"), None);
        assert_eq!(format!("{:?}", signer(b"a")), format!("Signer({public})"));
    }
}
