//! The types that openraft is instantiated with, and short names for what it makes of them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::machine::Reply;

openraft::declare_raft_types!(
    /// Holdfast's instance of openraft.
    ///
    /// A leader is known by term *and* node (openraft's default): of two candidates in one term the higher node wins, which
    /// spares the second election timeout that a split vote costs.
    pub TypeConfig: D = Payload, R = Reply, NodeId = u64, Node = Member
);

/// A proposed payload. Cloning it counts a reference.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload(pub Bytes);

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Payload({self})")
    }
}

/// A node as the membership knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `host:port` where other nodes reach it.
    pub peer_address: String,
    /// `host:port` where clients reach it.
    pub client_address: String,
    /// Where it stands: two members of one zone may fail together. Empty where nobody said.
    pub zone: String,
}

/// openraft's handle with Holdfast's types.
pub(crate) type Raft = openraft::Raft<TypeConfig, crate::state_machine::StateMachine>;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, Member>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, crate::snapshot_file::SnapshotFile>;
