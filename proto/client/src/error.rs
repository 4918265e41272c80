//! Why a call did not give its answer.

use tonic::{Code, Status, metadata::MetadataMap};
use uuid::Uuid;

use crate::{config::chain, retry};

/// A call that ended without its answer: refused by the cluster, or never answered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// The kind of failure, as gRPC names it.
    pub code: Code,
    /// What happened, in the cluster's words where it answered.
    pub message: String,
    /// What to do about it, where the cluster said so (metadata `holdfast-hint`).
    pub hint: Option<String>,
    /// The id under which the journal holds the call.
    pub request_id: Uuid,
    /// The node that was asked last.
    pub endpoint: String,
    /// How many times a node was asked.
    pub attempts: u32,
    /// The call may have been done, or may yet be: only asking again with the same request id tells.
    pub outcome_unknown: bool,
}

impl ClientError {
    pub(crate) fn from_status(status: &Status, request_id: Uuid, endpoint: &str, attempts: u32) -> ClientError {
        let cause = std::error::Error::source(status).map(chain);
        let message = match cause {
            Some(cause) if is_empty_text(status.message()) => cause,
            Some(cause) if cause != status.message() => format!("{}: {cause}", status.message()),
            _ => status.message().to_owned(),
        };
        ClientError {
            code: status.code(),
            message,
            hint: text_of(status.metadata(), "holdfast-hint"),
            request_id,
            endpoint: endpoint.to_owned(),
            attempts,
            outcome_unknown: retry::leaves_outcome_unknown(status),
        }
    }
}

/// tonic's words for "see the source".
fn is_empty_text(message: &str) -> bool {
    message.is_empty() || message == "transport error"
}

fn text_of(metadata: &MetadataMap, name: &str) -> Option<String> {
    metadata.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_of_the_cluster_is_kept() {
        let mut status = Status::permission_denied("ana may not read db/password");
        status.metadata_mut().insert("holdfast-hint", "ask for the policy readers".parse().unwrap());
        let error = ClientError::from_status(&status, Uuid::nil(), "https://a:1", 1);
        assert_eq!(error.to_string(), "ana may not read db/password");
        assert_eq!(error.hint.as_deref(), Some("ask for the policy readers"));
        assert!(!error.outcome_unknown);
    }
}
