//! Who is listened to on the peer port: not a node that was removed, whose certificate may be good for years.

use crate::engine::Published;
use raft::transport::grpc::PeerIdentity;
use std::sync::Arc;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Refuses whoever has left. A node that this one has not heard of yet is listened to: it may be the news.
#[derive(Clone)]
pub(crate) struct AdmittedPeers(pub(crate) Arc<Published>);

impl Interceptor for AdmittedPeers {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(PeerIdentity(peer)) = request.extensions().get().copied() else {
            return Err(Status::unauthenticated("nodes show a certificate"));
        };
        if self.0.view().state.members().has_left(peer) {
            tracing::warn!(peer, "refused a call of a node that was removed");
            return Err(Status::permission_denied(format!(
                "node {peer} was removed from the cluster: bring it back under a new number"
            )));
        }
        Ok(request)
    }
}
