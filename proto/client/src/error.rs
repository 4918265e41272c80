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
        let cause = std::error::Error::source(status).map(chain).unwrap_or_default();
        let message = match status.message() {
            "" | "transport error" => cause,
            words if words.contains(&cause) => words.to_owned(),
            words if cause.contains(words) => cause,
            words => format!("{words}: {cause}"),
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
