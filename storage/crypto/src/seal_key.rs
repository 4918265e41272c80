//! The seal key: what unseals a node, wherever it comes from.

use zeroize::Zeroizing;

use crate::{
    entropy::Entropy,
    hex::{self, HexError},
    kdf::Kdf,
    key::{KEY_BYTES, Key},
    ring::Ring,
    seal_file::{KmsReference, SealFileError, SealKind, SealedWith},
    sealed::{self, Binding, OpenError, Purpose},
    secret_bytes::SecretBytes,
    shamir::{self, ShareError, Shares},
    share::Share,
};

const HANDOVER_CONTEXT: &str = "holdfast/v1/seal handover";
const HANDOVER_VERSION: u32 = 1;

/// The key that seals the ring, and how it is come by. It is never written as it is.
pub struct SealKey {
    key: Key,
    with: SealedWith,
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
                Ok(SealKey { key, with: SealedWith::KeyFile })
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
        let digits = Zeroizing::new(hex::encode(Key::generate(entropy).expose()));
        let mut text = Zeroizing::new(String::with_capacity(digits.len() + 1));
        text.push_str(&digits);
        text.push('\n');
        text
    }

    /// The key that `passphrase` gives under `kdf`. Takes about half a second and 64 MiB with the default costs.
    ///
    /// # Errors
    /// When the passphrase is empty or the costs are out of bounds.
    pub fn from_passphrase(passphrase: &SecretBytes, kdf: &Kdf) -> Result<SealKey, SealFileError> {
        Ok(SealKey { key: kdf.stretch(passphrase)?, with: SealedWith::Passphrase(kdf.clone()) })
    }

    /// A fresh key in `shares` parts, any `threshold` of which give it back.
    ///
    /// # Errors
    /// When the numbers cannot be.
    pub fn split(threshold: u8, shares: u8, entropy: &dyn Entropy) -> Result<(SealKey, Vec<Share>), ShareError> {
        let key = Key::generate(entropy);
        let (set, parts) = shamir::split(&key, threshold, shares, entropy)?;
        Ok((SealKey { key, with: SealedWith::Shamir(set) }, parts))
    }

    /// The key that gathered shares give.
    ///
    /// # Errors
    /// When there are too few, or one of them was changed.
    pub fn from_shares(shares: &Shares) -> Result<SealKey, ShareError> {
        Ok(SealKey { key: shares.combine()?, with: SealedWith::Shamir(shares.set().clone()) })
    }

    /// A key that a key management service keeps: `key` is fresh where the seal is made, and decrypted by the service where it is opened.
    ///
    /// # Errors
    /// When the reference cannot be one.
    pub fn from_kms(key: Key, reference: KmsReference) -> Result<SealKey, SealFileError> {
        reference.check()?;
        Ok(SealKey { key, with: SealedWith::AwsKms(reference) })
    }

    /// The key in a form for another node of the same cluster: sealed by what every unsealed node holds and nobody else, and bound to
    /// the generation of the seal file that it opens.
    #[must_use]
    pub fn hand_over(&self, ring: &Ring, cluster: &[u8; 16], generation: u64, entropy: &dyn Entropy) -> Vec<u8> {
        let carrier = ring.identity().derive(HANDOVER_CONTEXT, cluster);
        sealed::seal(&carrier, HANDOVER_VERSION, &handover(cluster, generation), self.key.expose(), entropy)
    }

    /// The key that another node handed over, for the seal that `with` describes.
    ///
    /// # Errors
    /// When it comes from another cluster, belongs to another generation, or was changed.
    pub fn take_over(
        handed: &[u8],
        ring: &Ring,
        cluster: &[u8; 16],
        generation: u64,
        with: &SealedWith,
    ) -> Result<SealKey, OpenError> {
        let carrier = ring.identity().derive(HANDOVER_CONTEXT, cluster);
        let key = sealed::open(&carrier, &handover(cluster, generation), handed)?;
        let key = Key::from_slice(key.expose()).ok_or(OpenError::DamagedOrMoved)?;
        Ok(SealKey { key, with: with.clone() })
    }

    /// A second owner of the same key. Explicit, so that a copy is a decision.
    #[must_use]
    pub fn duplicate(&self) -> SealKey {
        SealKey { key: self.key.duplicate(), with: self.with.clone() }
    }

    /// Where the key comes from.
    #[must_use]
    pub fn kind(&self) -> SealKind {
        self.with.kind()
    }

    /// Where the key comes from, in full; what the seal file says of it.
    #[must_use]
    pub fn sealed_with(&self) -> &SealedWith {
        &self.with
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }
}

fn handover(cluster: &[u8; 16], generation: u64) -> Binding {
    Binding::new(Purpose::SealHandover).bytes(cluster).u64(generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_key_is_handed_over_to_nodes_of_the_cluster_for_one_generation() {
        let entropy = SeededEntropy::new(7);
        let (ring, other) = (Ring::generate(&entropy), Ring::generate(&entropy));
        let key = SealKey::from_key_file(&SealKey::generate_key_file(&entropy)).unwrap();
        let handed = key.hand_over(&ring, &[1; 16], 4, &entropy);
        let taken = SealKey::take_over(&handed, &ring, &[1; 16], 4, key.sealed_with()).unwrap();
        assert_eq!((taken.key(), taken.kind()), (key.key(), key.kind()));
        assert!(SealKey::take_over(&handed, &other, &[1; 16], 4, key.sealed_with()).is_err());
        assert!(SealKey::take_over(&handed, &ring, &[2; 16], 4, key.sealed_with()).is_err());
        assert!(SealKey::take_over(&handed, &ring, &[1; 16], 5, key.sealed_with()).is_err());
    }

    #[test]
    fn a_generated_key_file_is_read_back() {
        let text = SealKey::generate_key_file(&SeededEntropy::new(5));
        assert_eq!((text.trim().len(), text.len()), (64, text.capacity()));
        SealKey::from_key_file(&text).unwrap();
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
    fn an_empty_passphrase_is_refused() {
        let kdf = Kdf::new(&SeededEntropy::new(1));
        let refusal = SealKey::from_passphrase(&SecretBytes::from(String::new()), &kdf);
        assert!(matches!(refusal, Err(SealFileError::EmptyPassphrase)));
    }
}
