//! Ways in for the fuzz targets (`chaos/fuzz`), and for nobody else: what is made of bytes from the log and from other nodes.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use proto::peer::v1::{RaftAppend, RaftMessage};
use proto_record::codec::{self, Kind};

use crate::{
    entry,
    transport::grpc::message::{decode, decode_append},
    types::{LogId, SnapshotMeta, TypeConfig, Vote},
};

/// A record of the log, decoded and encoded again; nothing where it is none.
#[must_use]
pub fn entry_again(record: &[u8]) -> Option<Vec<u8>> {
    let entry = entry::decode(&Bytes::copy_from_slice(record)).ok()?;
    Some(entry::encode(&entry).to_vec())
}

/// A vote as the log keeps it, decoded and encoded again; nothing where it is none.
#[must_use]
pub fn vote_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let vote: Vote = codec::decode(Kind::RaftVote, bytes).ok()?;
    Some(codec::encode(Kind::RaftVote, &vote))
}

/// A place in the log, decoded and encoded again; nothing where it is none.
#[must_use]
pub fn log_id_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let place: LogId = codec::decode(Kind::RaftLogId, bytes).ok()?;
    Some(codec::encode(Kind::RaftLogId, &place))
}

/// How many entries another node's message holds, or nothing where it does not read.
#[must_use]
pub fn append(message: RaftAppend) -> Option<usize> {
    decode_append(message).ok().map(|append| append.entries.len())
}

/// A message of another node that is no append: as how many of the messages that there are it reads.
#[must_use]
pub fn messages(message: &RaftMessage) -> usize {
    let read = [
        decode::<VoteRequest<TypeConfig>>(message).is_ok(),
        decode::<VoteResponse<TypeConfig>>(message).is_ok(),
        decode::<AppendEntriesResponse<TypeConfig>>(message).is_ok(),
        decode::<StreamAppendResult<TypeConfig>>(message).is_ok(),
        decode::<SnapshotResponse<TypeConfig>>(message).is_ok(),
        decode::<TransferLeaderRequest<TypeConfig>>(message).is_ok(),
        decode::<(Vote, SnapshotMeta)>(message).is_ok(),
    ];
    read.into_iter().filter(|read| *read).count()
}
