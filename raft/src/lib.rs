//! Replicates opaque payloads among the nodes of a cluster, in front of a [`Machine`] that folds them.
//!
//! [openraft](https://docs.rs/openraft) decides; this crate gives it a durable log ([`log_store`], over `storage`'s write-ahead
//! log), a state machine with snapshots in files ([`state_machine`]), a network ([`transport`]), and a handle that speaks this
//! project's words ([`Replica`]).
//!
//! ```text
//! Replica::propose → openraft → LogStore → fsync on a quorum → StateMachine → Machine::apply → the proposal's answer
//! ```
//!
//! # This crate never
//! knows what a payload means, looks inside a snapshot, answers a proposal before a quorum holds it durably and this node has
//! applied it, or sends or takes a message between nodes without mutual TLS (but for the in-memory transport of tests).

mod compaction;
mod config;
mod disk_watch;
mod entry;
mod epoch;
#[doc(hidden)]
pub mod fuzzing;
pub mod log_store;
mod machine;
mod membership;
mod offload;
mod position;
mod proposal;
mod replica;
mod role;
mod snapshot_file;
pub mod state_machine;
mod status;
pub mod timeline;
pub mod transport;
mod types;

pub use config::{PAYLOAD_BYTES_MAX, ReplicaConfig};
pub use epoch::Epoch;
pub use machine::{Machine, Reply, SnapshotWrite, StoredSnapshot, Unfit};
pub use membership::{MemberState, MembershipError};
pub use offload::offload;
pub use position::{fit_log, snapshot_index, snapshot_members};
pub use proposal::{Proposal, ProposeError};
pub use replica::{ReadError, Replica, StartError};
pub use role::{Leader, Role};
pub use snapshot_file::SnapshotFile;
pub use status::{FollowerStatus, ReplicaStatus};
pub use types::{Member, Payload, TypeConfig};
