//! Coming by the seal key: from what people give, or by itself.

use super::custody::Unsealed;
use storage_crypto::seal_file::{SealFile, SealedWith};
use storage_crypto::seal_key::SealKey;
use storage_crypto::secret_bytes::SecretBytes;
use storage_crypto::shamir::Shares;
use zeroize::Zeroizing;

/// What somebody gives to unseal, or to prove that he could.
pub(crate) enum Given {
    Share(Zeroizing<String>),
    Passphrase(Zeroizing<String>),
    KeyFile(Zeroizing<String>),
}

/// The seal key that a passphrase or a key file gives. Stretching takes half a second: not on a thread that serves.
pub(crate) fn key_of(file: &SealFile, given: &Given) -> Result<SealKey, String> {
    let wrong = |what: &str| Err(format!("this seal is of kind {}: {what} does not open it", file.kind()));
    match (file.sealed_with(), given) {
        (SealedWith::Passphrase(kdf), Given::Passphrase(text)) => {
            let passphrase = SecretBytes::from(String::clone(text));
            SealKey::from_passphrase(&passphrase, kdf).map_err(|error| error.to_string())
        }
        (SealedWith::KeyFile, Given::KeyFile(text)) => SealKey::from_key_file(text).map_err(|error| error.to_string()),
        (_, Given::Share(_)) => wrong("a share"),
        (_, Given::Passphrase(_)) => wrong("a passphrase"),
        (_, Given::KeyFile(_)) => wrong("a key file"),
    }
}

/// The seal key that these texts give together, by the kind of the seal that `with` describes.
pub(crate) fn key_from(with: &SealedWith, texts: &[Zeroizing<String>]) -> Result<SealKey, String> {
    let one = || texts.first().filter(|_| texts.len() == 1).ok_or_else(|| "give exactly one".to_owned());
    match with {
        SealedWith::Shamir(set) => {
            let mut shares = Shares::new(set);
            for text in texts {
                shares.add(text).map_err(|error| error.to_string())?;
            }
            SealKey::from_shares(&shares).map_err(|error| error.to_string())
        }
        SealedWith::Passphrase(kdf) => {
            let passphrase = SecretBytes::from(String::clone(one()?));
            SealKey::from_passphrase(&passphrase, kdf).map_err(|error| error.to_string())
        }
        SealedWith::KeyFile => SealKey::from_key_file(one()?).map_err(|error| error.to_string()),
        SealedWith::AwsKms(_) => Err("a key management service holds this seal: nobody can show its key".to_owned()),
    }
}

/// Opens a seal file.
pub(crate) fn open(file: &SealFile, key: SealKey) -> Result<Unsealed, String> {
    let ring = file.open(&key).map_err(|error| error.to_string())?;
    Ok(Unsealed { file: file.clone(), key, ring })
}
