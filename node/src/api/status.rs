//! The one table from refusals and faults to gRPC statuses.

use crate::engine::Lost;
use node_domain::Rejection;
use tonic::{Code, Status};

/// The metadata key that says whether a failed call may have happened: `unknown`.
pub(crate) const OUTCOME: &str = "holdfast-outcome";

/// The metadata key that says when it makes sense to ask again.
pub(crate) const RETRY_AFTER: &str = "retry-after-ms";

/// The code of a refusal.
pub(crate) fn code(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::NotAuthenticated => Code::Unauthenticated,
        Rejection::Denied { .. } => Code::PermissionDenied,
        Rejection::Invalid(_) => Code::InvalidArgument,
        Rejection::NotFound { .. } => Code::NotFound,
        Rejection::NotReadable { .. } | Rejection::Conflict { .. } | Rejection::RequestReused(_) => Code::FailedPrecondition,
        Rejection::Exists { .. } => Code::AlreadyExists,
        Rejection::Limit(_) | Rejection::Throttled { .. } => Code::ResourceExhausted,
        Rejection::Violation { .. } => Code::PermissionDenied,
        Rejection::Sealed { .. } => Code::FailedPrecondition,
        Rejection::NodeFault(_) => Code::Internal,
        Rejection::AgainstRule { .. } => Code::InvalidArgument,
        Rejection::RulesMoved { .. } => Code::Aborted,
        Rejection::NotLoggedIn(_) => Code::Unauthenticated,
        Rejection::UnwrappedBefore { .. } => Code::PermissionDenied,
    }
}

/// A refusal as a status.
pub(crate) fn refused(rejection: &Rejection) -> Status {
    let mut status = Status::new(code(rejection), rejection.to_string());
    if let Rejection::Throttled { retry_ms, .. } = rejection {
        status.metadata_mut().insert(RETRY_AFTER, (*retry_ms).into());
    }
    status
}

/// A command without an outcome as a status.
pub(crate) fn lost(lost: &Lost) -> Status {
    let mut status = Status::unavailable(lost.to_string());
    if matches!(lost, Lost::Unknown(_)) {
        status.metadata_mut().insert(OUTCOME, tonic::metadata::MetadataValue::from_static("unknown"));
    }
    status
}

/// A fault of this node: logged whole, told in few words.
pub(crate) fn fault(doing: &str, error: &dyn std::fmt::Display) -> Status {
    tracing::error!(%error, "{doing}");
    Status::internal(format!("{doing}: {error}"))
}
