//! The wire contract of Holdfast: what clients speak ([`v1`]) and what nodes speak among themselves ([`peer::v1`]).
//!
//! # This crate never
//! holds logic: only what the `.proto` files say, and a `Debug` without content for messages that carry secrets.

mod redacted;

/// Every message and service, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// The contract for clients.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("holdfast.v1");
}

/// The contract among nodes.
pub mod peer {
    /// Version 1.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("holdfast.peer.v1");
    }
}
