//! Why a seal key or a seal file was refused.

use super::{FORMAT, SealKind};
use crate::shamir::ShareError;

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
        /// What was found.
        found: u64,
        /// The least that is safe.
        least: u64,
        /// The most that is accepted.
        most: u64,
    },
    /// The shares, or the set that the file names, cannot be used.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The file is not the JSON it should be.
    #[error("the seal file does not parse: {0}")]
    Parse(String),
    /// The form of the first release.
    #[error(
        "the seal file has format {0}, which holdfast 0.1 wrote; this release reads format {FORMAT} only: lay out a new kit, and move the secrets by export and import"
    )]
    Older(u64),
    /// A release that does not exist yet for this one.
    #[error("the seal file was written by a newer holdfast (format {0}, this one reads format {FORMAT})")]
    Newer(u64),
    /// Another kind of seal key was given than the file needs.
    #[error("the seal file was made with a {made} seal, but a {given} seal key was given")]
    Kind {
        /// What the file says.
        made: SealKind,
        /// What was given.
        given: SealKind,
    },
    /// The seal key is not the one that sealed the ring.
    #[error("wrong seal key: what was given is not what this seal file was made with ({0})")]
    WrongKey(SealKind),
    /// The seal key is right, the contents are not.
    #[error("the seal file is damaged or was changed: restore it from another node or from a backup")]
    Damaged,
}
