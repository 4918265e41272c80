//! Replaying the newest records of this node's journal under a policy that is only proposed.

use crate::api::watch::READ_RECORDS;
use crate::api::{Door, status};
use node_domain::Event;
use node_domain::ids::{Accessor, Stamp};
use node_domain::limits;
use node_domain::policy::{Recorded, Replay};
use proto::v1;
use proto_record::codec::{self, Kind};
use proto_record::leaf::Leaf;
use std::net::IpAddr;
use storage::journal::StoredRecord;
use tonic::Status;

/// Records that are replayed where nothing is said.
const RECORDS_DEFAULT: usize = 1_000;

/// Replays the `last` records up to `to_seq`.
pub(crate) async fn run(door: &Door, mut replay: Replay, to_seq: u64, last: u32) -> Result<v1::SimulatePolicyResponse, Status> {
    let wanted = if last == 0 { RECORDS_DEFAULT } else { last as usize };
    if wanted > limits::REPLAYED_RECORDS_MAX {
        return Err(Status::invalid_argument(format!("at most {} records are replayed at once", limits::REPLAYED_RECORDS_MAX)));
    }
    let from_seq = (to_seq + 1).saturating_sub(wanted as u64).max(door.journal.first_seq());
    let mut next = from_seq;
    while next <= to_seq {
        let count = usize::try_from(to_seq + 1 - next).unwrap_or(READ_RECORDS).min(READ_RECORDS);
        let records = door.read_journal(next, count).await?;
        let Some(newest) = records.last() else { break };
        next = newest.seq + 1;
        let replayed = tokio::task::spawn_blocking(move || replay_all(replay, &records)).await;
        replay = replayed.map_err(|error| status::fault("replay the journal", &error))??;
    }
    Ok(show(&replay, from_seq, next.saturating_sub(1)))
}

fn replay_all(mut replay: Replay, records: &[StoredRecord]) -> Result<Replay, Status> {
    for record in records {
        let leaf = Leaf::decode(&record.leaf).map_err(|error| status::fault("read the journal", &error))?;
        let event: Event = codec::decode(Kind::Event, leaf.detail).map_err(|error| status::fault("read the journal", &error))?;
        replay.replay(&Recorded {
            seq: record.seq,
            stamp: Stamp(leaf.stamp_us),
            actor: leaf.actor,
            accessor: (leaf.accessor != [0; 12]).then_some(Accessor(leaf.accessor)),
            address: address_of(leaf.source),
            event: &event,
        });
    }
    Ok(replay)
}

/// The address in `node/address`.
fn address_of(source: &str) -> Option<IpAddr> {
    source.split_once('/').and_then(|(_, address)| address.parse().ok())
}

fn show(replay: &Replay, from_seq: u64, to_seq: u64) -> v1::SimulatePolicyResponse {
    let counts = replay.counts();
    let change = |(allowed, actor, operation, environment, subject, change): (bool, &str, &str, &str, &str, _)| {
        let node_domain::policy::Change { count, seq_last } = change;
        v1::SimulatedChange {
            allowed,
            actor: actor.to_owned(),
            operation: operation.to_owned(),
            environment: environment.to_owned(),
            subject: subject.to_owned(),
            count,
            seq: seq_last,
        }
    };
    v1::SimulatePolicyResponse {
        from_seq,
        to_seq,
        changes: replay.changes().map(change).collect(),
        same: counts.same,
        denied: counts.denied,
        allowed: counts.allowed,
        without_token: counts.without_token,
        token_gone: counts.token_gone,
        need_nothing: counts.need_nothing,
        unknown: counts.unknown,
        differ_from_record: counts.differ_from_record,
        not_listed: counts.not_listed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_record_is_what_stands_behind_its_node() {
        assert_eq!(address_of("2/10.0.0.1"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(address_of("2/fd00::1"), Some("fd00::1".parse().unwrap()));
        assert_eq!(address_of("2/unknown"), None);
        assert_eq!(address_of(""), None);
    }
}
