//! What somebody wishes a seal to be made of, and the key that comes of it.

use storage_crypto::entropy::Entropy;
use storage_crypto::kdf::Kdf;
use storage_crypto::seal_key::SealKey;
use storage_crypto::secret_bytes::SecretBytes;
use tonic::Status;
use zeroize::Zeroizing;

/// What kind of seal somebody wishes for.
pub(crate) struct Wish {
    pub(crate) shares: u32,
    pub(crate) threshold: u32,
    pub(crate) key_file: bool,
    /// A key management service is to keep the key.
    pub(crate) kms: bool,
}

/// A seal key just made, with what people get of it.
pub(crate) struct Made {
    pub(crate) key: SealKey,
    pub(crate) shares: Vec<Zeroizing<String>>,
    pub(crate) key_file: Zeroizing<String>,
}

impl Wish {
    /// Makes the key; `kept` is the one that the service keeps already.
    pub(crate) fn make(
        &self,
        passphrase: Zeroizing<String>,
        kept: Option<SealKey>,
        entropy: &dyn Entropy,
    ) -> Result<Made, Status> {
        let refused = |why: String| Status::invalid_argument(why);
        let none = Zeroizing::new(String::new());
        match (self.shares > 0, !passphrase.is_empty(), self.key_file, kept.filter(|_| self.kms)) {
            (true, false, false, None) if !self.kms => {
                let number = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
                let split = SealKey::split(number(self.threshold), number(self.shares), entropy);
                let (key, shares) = split.map_err(|error| refused(error.to_string()))?;
                Ok(Made { key, shares: shares.iter().map(storage_crypto::Share::text).collect(), key_file: none })
            }
            (false, true, false, None) if !self.kms => {
                let passphrase = SecretBytes::from(String::clone(&passphrase));
                let key = SealKey::from_passphrase(&passphrase, &Kdf::new(entropy));
                Ok(Made { key: key.map_err(|error| refused(error.to_string()))?, shares: Vec::new(), key_file: none })
            }
            (false, false, true, None) if !self.kms => {
                let key_file = SealKey::generate_key_file(entropy);
                let key = SealKey::from_key_file(&key_file).map_err(|error| refused(error.to_string()))?;
                Ok(Made { key, shares: Vec::new(), key_file })
            }
            (false, false, false, Some(key)) => Ok(Made { key, shares: Vec::new(), key_file: none }),
            _ => Err(refused(
                "a seal is made of shares, a passphrase, a key file or a key management service: name exactly one".to_owned(),
            )),
        }
    }
}
