//! Raft's messages as protobuf, and back.

use std::io;

use openraft::raft::AppendEntriesRequest;
use proto::peer::v1::{RaftAppend, RaftLogEntry, RaftMessage};
use proto_record::codec::{self, CodecError, Kind};
use serde::{Serialize, de::DeserializeOwned};
use tonic::Status;

use crate::{
    entry,
    types::{LogId, TypeConfig, Vote},
};

/// All of an append but its entries.
type AppendHead = (Vote, Option<LogId>, Option<LogId>);

pub(super) fn encode<T: Serialize>(value: &T) -> RaftMessage {
    RaftMessage { body: codec::encode(Kind::RaftMessage, value).into() }
}

pub(crate) fn decode<T: DeserializeOwned>(message: &RaftMessage) -> Result<T, CodecError> {
    codec::decode(Kind::RaftMessage, &message.body)
}

/// The metadata of a receiver that has lost what it acknowledged: the index that its next entry would have.
pub(super) const NEXT_INDEX: &str = "holdfast-next-index";

/// `acknowledged_to` is the index after the last one that the receiver has acknowledged.
pub(super) fn encode_append(request: &AppendEntriesRequest<TypeConfig>, acknowledged_to: u64) -> RaftAppend {
    let head: AppendHead = (request.vote, request.prev_log_id, request.leader_commit);
    let entries = request.entries.iter().map(|entry| {
        let (head, payload) = entry::split(entry);
        RaftLogEntry { head: head.into(), payload }
    });
    RaftAppend { head: codec::encode(Kind::RaftMessage, &head).into(), entries: entries.collect(), acknowledged_to }
}

pub(crate) fn decode_append(append: RaftAppend) -> io::Result<AppendEntriesRequest<TypeConfig>> {
    let (vote, prev_log_id, leader_commit): AppendHead = codec::decode(Kind::RaftMessage, &append.head)?;
    let entries = append.entries.into_iter().map(|RaftLogEntry { head, payload }| entry::join(&head, payload));
    Ok(AppendEntriesRequest { vote, prev_log_id, leader_commit, entries: entries.collect::<io::Result<_>>()? })
}

/// A message that does not read.
pub(super) fn malformed(error: impl ToString) -> Status {
    Status::invalid_argument(error.to_string())
}
