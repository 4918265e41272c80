//! What the position in a snapshot's header says, for who has to find a way back before raft can start.

use std::{collections::BTreeMap, io};

use storage::wal::{Done, Wal};

use crate::{entry, state_machine::decode_position, types::Member};

/// The last log entry that a snapshot holds; none where it holds nothing.
///
/// # Errors
/// When the position is not one.
pub fn snapshot_index(position: &[u8]) -> io::Result<Option<u64>> {
    Ok(decode_position(position)?.last_log_id.map(|log_id| log_id.index))
}

/// The members of the cluster when the snapshot was made.
///
/// # Errors
/// When the position is not one.
pub fn snapshot_members(position: &[u8]) -> io::Result<BTreeMap<u64, Member>> {
    let position = decode_position(position)?;
    Ok(position.last_membership.membership().nodes().map(|(id, member)| (*id, member.clone())).collect())
}

/// Makes the log fit a snapshot that came from another member while raft did not run: where the log holds another entry at the
/// snapshot's last index, that entry and all behind it were never committed, and go. What the snapshot does not reach stays. Blocking.
///
/// # Errors
/// When the log does not read, or does not take the change.
pub fn fit_log(wal: &Wal, position: &[u8]) -> io::Result<()> {
    let Some(held) = decode_position(position)?.last_log_id else { return Ok(()) };
    let Some(first) = wal.first_index().filter(|first| *first <= held.index) else { return Ok(()) };
    let Some((_, record)) = wal.read(held.index, held.index + 1, usize::MAX)?.pop() else { return Ok(()) };
    if entry::decode(&record)?.log_id == held {
        return Ok(());
    }
    tracing::warn!(
        index = held.index,
        "the log went another way than the cluster: entries that were never committed are removed"
    );
    let (done, answer) = Done::channel();
    wal.truncate_from(first, done);
    answer.recv().map_err(io::Error::other)?
}
