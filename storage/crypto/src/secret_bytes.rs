//! Bytes that must not be printed, copied without notice, or left in memory.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A secret plaintext: zeroed when dropped, compared in constant time.
///
/// It is deliberately neither `Clone` nor `Serialize`, and its `Debug` shows the length only.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// The bytes themselves; every call is a place where a secret is read.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        SecretBytes(Zeroizing::new(bytes))
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        SecretBytes::from(text.into_bytes())
    }
}

impl PartialEq for SecretBytes {
    /// Takes the same time wherever two secrets of one length differ; the length itself is not hidden.
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SecretBytes({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_its_length_only() {
        let secret = SecretBytes::from(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "SecretBytes(7 bytes)");
    }

    #[test]
    fn secrets_are_equal_when_their_bytes_are() {
        let secret = SecretBytes::from(b"hunter2".to_vec());
        assert_eq!(secret, SecretBytes::from("hunter2".to_owned()));
        assert_ne!(secret, SecretBytes::from(b"hunter3".to_vec()));
        assert_ne!(secret, SecretBytes::from(b"hunter".to_vec()));
    }
}
