//! How nodes reach each other: over the machine's network, or a test's.

use futures::future::BoxFuture;
use raft::transport::grpc::{Dial, PeerListener, TcpDial};
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A network between nodes, as one of them has it.
pub trait PeerNetwork: Send + Sync + 'static {
    /// Begins to take connections of other nodes at `address`.
    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<PeerListener>>;

    /// What connections to other nodes are made with.
    fn dial(&self) -> Arc<dyn Dial>;
}

/// The machine's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpNetwork;

impl PeerNetwork for TcpNetwork {
    fn listen(&self, address: &str) -> BoxFuture<'static, io::Result<PeerListener>> {
        let address = address.to_owned();
        Box::pin(async move { TcpListener::bind(address).await.map(PeerListener::from) })
    }

    fn dial(&self) -> Arc<dyn Dial> {
        Arc::new(TcpDial)
    }
}
