//! Replicas joined by gRPC over mutual TLS.
//!
//! Every node has a certificate of the cluster's own authority whose only DNS name is `node-<id>`. A client makes sure that it
//! speaks to the node it means; a server takes the caller's id from its certificate ([`PeerIdentity`]), never from a message,
//! and refuses a message whose leader or candidate is another node.

mod channels;
mod client;
mod identity;
pub(crate) mod message;
mod server;
mod service;
mod tls;
mod wire;

pub use channels::{Dial, PeerChannels, TcpDial};
pub use client::{GrpcTransport, Link};
pub use identity::{PeerIdentity, peer_name};
pub use server::serve_peer;
pub use service::{RaftService, raft_service};
pub use tls::{PeerCredentials, PeerTls, PeerTlsError};
pub use wire::{ByteStream, PeerListener, PeerStream};
