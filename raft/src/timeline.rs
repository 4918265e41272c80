//! The first log of a timeline that does not go on from a quorum: after a restore, or after a majority was lost.
//!
//! All of it is written while nothing runs. The node that holds it stands at a snapshot in a term of its own, with the new members as
//! voters, and with one entry behind it; whoever else is a member is empty, votes for it, and is fed the snapshot as any node that lacks
//! the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use bytes::Bytes;
use openraft::{EntryPayload, vote::RaftLeaderId};
use proto_record::codec::{self, Kind};
use storage::wal::{Done, Wal};

use crate::{
    entry,
    state_machine::{decode_position, encode_position},
    types::{Entry, LogId, Member, Membership, Payload, SnapshotMeta, StoredMembership, TypeConfig, Vote},
};

type LeaderId = <TypeConfig as openraft::RaftTypeConfig>::LeaderId;

/// What a position says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionAbout {
    /// Term of the last entry.
    pub term: u64,
    /// Its index.
    pub index: u64,
    /// The members, as of it.
    pub members: BTreeMap<u64, Member>,
    /// Those of them that vote.
    pub voters: BTreeSet<u64>,
}

/// Reads a position that [`Machine::capture`](crate::Machine::capture) was given.
///
/// # Errors
/// When it is not one.
pub fn read_position(position: &[u8]) -> io::Result<PositionAbout> {
    let meta = decode_position(position)?;
    let (term, index) = meta.last_log_id.map_or((0, 0), |log_id| (log_id.committed_leader_id().term(), log_id.index));
    let membership = meta.last_membership.membership();
    let members = membership.nodes().map(|(id, member)| (*id, member.clone())).collect();
    Ok(PositionAbout { term, index, members, voters: membership.voter_ids().collect() })
}

/// The position that a timeline starts at: one entry and one term after `before`, which node `id` leads, with `members` as voters.
///
/// # Errors
/// When `before` is no position, or there are no members.
pub fn next_position(before: &[u8], id: u64, members: BTreeMap<u64, Member>) -> io::Result<Vec<u8>> {
    let before = read_position(before)?;
    let leader = <LeaderId as RaftLeaderId>::new(before.term + 1, id).to_committed();
    let log_id = LogId::new(leader, before.index + 1);
    let voters = members.keys().copied().collect();
    let membership = Membership::new(vec![voters], members).map_err(io::Error::other)?;
    let last_membership = StoredMembership::new(Some(log_id), membership);
    Ok(encode_position(&SnapshotMeta { last_log_id: Some(log_id), last_membership }))
}

/// Writes to an empty log what follows a snapshot at `position`: the vote of the node that leads there, and the entry that carries
/// `payload`. Blocking; durable on return.
///
/// # Errors
/// When the log is not empty, `position` is not one, or the disk fails.
pub fn begin(wal: &Wal, position: &[u8], payload: Bytes) -> io::Result<()> {
    if wal.last().is_some() || wal.vote().is_some() {
        return Err(io::Error::other("the log is not empty: a timeline begins with an empty one"));
    }
    let log_id = decode_position(position)?.last_log_id.ok_or_else(|| io::Error::other("the position is before every entry"))?;
    let leader = *log_id.committed_leader_id();
    let entry = Entry { log_id: LogId::new(leader, log_id.index + 1), payload: EntryPayload::Normal(Payload(payload)) };
    let purged = Bytes::from(codec::encode(Kind::RaftLogId, &log_id));
    let vote = Bytes::from(codec::encode(Kind::RaftVote, &Vote::new(leader.term(), *leader.node_id())));
    durably(|done| wal.save_vote(vote, done))?;
    durably(|done| wal.purge_through(log_id.index, purged, done))?;
    durably(|done| wal.append(vec![(log_id.index + 1, entry::encode(&entry))], done))
}

fn durably(request: impl FnOnce(Done)) -> io::Result<()> {
    let (done, answer) = Done::channel();
    request(done);
    answer.recv().map_err(|_| io::Error::other("write-ahead log went away"))?
}

/// Index of the last entry that a log says is committed; it may have been more.
///
/// # Errors
/// When what stands there is no log id.
pub fn committed_index(wal: &Wal) -> io::Result<Option<u64>> {
    let committed = wal.committed().map(|bytes| codec::decode::<LogId>(Kind::RaftLogId, &bytes)).transpose()?;
    Ok(committed.map(|log_id| log_id.index))
}

/// The position at the end of a log that follows a snapshot at `snapshot`, whether what is in it is committed or not.
///
/// # Errors
/// When `snapshot` is no position, or the log cannot be read.
pub fn last_position(wal: &Wal, snapshot: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let mut position = snapshot.map(decode_position).transpose()?.unwrap_or_default();
    let mut next = position.last_log_id.map_or(0, |log_id| log_id.index + 1).max(wal.first_index().unwrap_or(0));
    while let Some((last, _)) = wal.last().filter(|(last, _)| next <= *last) {
        for (index, record) in wal.read(next, last + 1, READ_BYTES)? {
            let entry = entry::decode(&record)?;
            position.last_log_id = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                position.last_membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            next = index + 1;
        }
    }
    Ok(encode_position(&position))
}

/// How much of a log is read at once.
const READ_BYTES: usize = 4 << 20;

/// Reads what was proposed, from the log of a node.
#[derive(Clone)]
pub struct LogPayloads {
    wal: Wal,
}

/// Why a part of the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogPayloadsError {
    /// It is not there any more.
    #[error("the log starts at entry {first}, entry {wanted} is gone")]
    Gone {
        /// The first entry that is there.
        first: u64,
        /// The one that was asked for.
        wanted: u64,
    },
    /// The disk failed, or what it holds is damaged.
    #[error("read the log: {0}")]
    Io(#[from] io::Error),
}

impl LogPayloads {
    /// Of the log that `wal` holds.
    #[must_use]
    pub fn new(wal: Wal) -> LogPayloads {
        LogPayloads { wal }
    }

    /// Index of the last entry, whether it is known to be committed or not.
    #[must_use]
    pub fn last_index(&self) -> Option<u64> {
        self.wal.last().map(|(index, _)| index)
    }

    /// The next entries after index `after`, each with what was proposed with it, until they exceed `bytes_max`; at least one, unless
    /// there is none. Blocking.
    ///
    /// # Errors
    /// When they are gone, or cannot be read.
    pub fn after(&self, after: u64, bytes_max: usize) -> Result<Vec<(u64, Option<Bytes>)>, LogPayloadsError> {
        let wanted = after + 1;
        let (Some(first), Some(last)) = (self.wal.first_index(), self.last_index()) else { return Ok(Vec::new()) };
        if wanted < first {
            return Err(LogPayloadsError::Gone { first, wanted });
        }
        if wanted > last {
            return Ok(Vec::new());
        }
        let records = self.wal.read(wanted, last + 1, bytes_max)?;
        let payload = |(index, record): &(u64, Bytes)| match entry::decode(record)?.payload {
            EntryPayload::Normal(Payload(payload)) => Ok((*index, Some(payload))),
            EntryPayload::Blank | EntryPayload::Membership(_) => Ok((*index, None)),
        };
        records.iter().map(payload).collect::<io::Result<_>>().map_err(LogPayloadsError::Io)
    }
}
