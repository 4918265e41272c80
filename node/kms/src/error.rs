//! Why a service did not give what it was asked for, in words that say what to look at.

use std::time::Duration;

/// Why a key management service did not encrypt or decrypt a seal key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// The settings do not say enough.
    #[error("the key management service is not configured: {0}")]
    Settings(String),
    /// There is nothing to sign a request with, or the service does not accept it.
    #[error(
        "no usable credentials for the key management service ({0}): check the role of this machine, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Credentials(String),
    /// The service knows who asks, and does not allow it.
    #[error("{key} may not be used for {action} by this node's identity ({said}): allow it in the key's policy or the role's")]
    NotAllowed {
        /// The service's key.
        key: String,
        /// What was asked for, by the service's name of it.
        action: &'static str,
        /// What the service said.
        said: String,
    },
    /// There is no such key where it was looked for.
    #[error("the key management service has no key {key} ({said}): check the key's id, the account and the region")]
    UnknownKey {
        /// The service's key.
        key: String,
        /// What the service said.
        said: String,
    },
    /// The key is there, and cannot be used now.
    #[error("{key} cannot be used ({said}): enable it, or cancel its deletion; without it the cluster cannot be unsealed")]
    UnusableKey {
        /// The service's key.
        key: String,
        /// What the service said.
        said: String,
    },
    /// The ciphertext is not this key's, not this cluster's, or not whole.
    #[error(
        "{key} does not decrypt the seal key of this file: it belongs to another key or another cluster, or the file was changed"
    )]
    Mismatch {
        /// The service's key.
        key: String,
    },
    /// No answer came from the address.
    #[error("{endpoint} was not reached ({said}): check the network, the region and a proxy or firewall on the way")]
    Unreachable {
        /// Where the service should be.
        endpoint: String,
        /// What went wrong.
        said: String,
    },
    /// The answer took too long.
    #[error("{endpoint} did not answer within {after:?}: check the network on the way")]
    TimedOut {
        /// Where the service should be.
        endpoint: String,
        /// How long it was waited for, all tries together.
        after: Duration,
    },
    /// The service is there and asks for patience.
    #[error("the key management service is busy ({0}): it is asked again later")]
    Busy(String),
    /// Something else.
    #[error("the key management service refused: {0}")]
    Other(String),
}

impl KmsError {
    /// Whether asking again later may help without anybody doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, KmsError::Unreachable { .. } | KmsError::TimedOut { .. } | KmsError::Busy(_))
    }
}
