//! Envelopes of the codec and leaves of the journal.

use crate::input::{Input, stable};
use node_domain::head::Ask;
use node_domain::sealed::Payload;
use node_domain::{Batch, Command, Event};
use proto_record::codec::{self, Kind};
use proto_record::leaf::{Leaf, Outcome};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes of every event, batch and leaf that was ever released.
const GOLDEN: [&str; 10] = [
    include_str!("../../../../node/domain/tests/golden/events.txt"),
    include_str!("../../../../node/domain/tests/golden/identity_events.txt"),
    include_str!("../../../../node/domain/tests/golden/guard_events.txt"),
    include_str!("../../../../node/domain/tests/golden/identity_pieces.txt"),
    include_str!("../../../../node/domain/tests/golden/repair_events.txt"),
    include_str!("../../../../node/domain/tests/golden/pieces.txt"),
    include_str!("../../../../node/domain/tests/golden/batch.txt"),
    include_str!("../../../../node/domain/tests/golden/left_pieces.txt"),
    include_str!("../../../../node/domain/tests/golden/members_events.txt"),
    include_str!("../../../../node/domain/tests/golden/recovery_events.txt"),
];

/// The bytes in the golden files.
pub(super) fn golden() -> Vec<Vec<u8>> {
    let lines = GOLDEN.iter().flat_map(|text| text.lines());
    lines.filter_map(|line| storage_crypto::hex::decode(line.rsplit_once(": ")?.1).ok()).collect()
}

fn again<T: Serialize + DeserializeOwned>(kind: Kind) -> impl Fn(&[u8]) -> Option<Vec<u8>> {
    move |bytes| Some(codec::encode(kind, &codec::decode::<T>(kind, bytes).ok()?))
}

/// The kind in the envelope says as what it is read.
pub(super) fn run(bytes: &[u8]) {
    stable(bytes, again::<Batch>(Kind::Batch));
    stable(bytes, again::<Event>(Kind::Event));
    stable(bytes, again::<(Ask, Command)>(Kind::Command));
    stable(bytes, again::<Payload>(Kind::Row));
    stable(bytes, node::fuzzing::outcome_again);
    stable(bytes, node::fuzzing::snapshot_record_again);
    stable(bytes, raft::fuzzing::vote_again);
    stable(bytes, raft::fuzzing::log_id_again);
    stable(bytes, raft::fuzzing::entry_again);
    // A record of the log is an envelope behind its length.
    let mut input = Input(bytes);
    let head = usize::from(input.byte());
    let record = [&u32::try_from(head).unwrap_or(0).to_le_bytes()[..], input.0].concat();
    stable(&record, raft::fuzzing::entry_again);
    if let Ok(position) = raft::timeline::read_position(bytes) {
        assert!(position.members.len() <= bytes.len(), "more members than bytes");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = golden();
    let events: Vec<Event> = seeds.iter().filter_map(|bytes| codec::decode(Kind::Event, bytes).ok()).collect();
    let decision = |events: Vec<Event>| node_domain::Decision {
        stamp: node_domain::ids::Stamp(1_790_000_000_000_000),
        actor: None,
        accessor: None,
        policies: node_domain::ids::Revision(1),
        request: [7; 16],
        fingerprint: 3,
        source: "1/127.0.0.1".to_owned(),
        events,
    };
    for events in events.chunks(4) {
        let batch = Batch { based_on: node_domain::ids::Revision(0), decisions: vec![decision(events.to_vec())] };
        seeds.push(codec::encode(Kind::Batch, &batch));
    }
    seeds
}

pub(super) fn leaf(bytes: &[u8]) {
    let Ok(leaf) = Leaf::decode(bytes) else { return };
    assert_eq!(leaf.encode(), bytes, "a leaf has one form");
    stable(leaf.detail, again::<Event>(Kind::Event));
}

pub(super) fn leaves() -> Vec<Vec<u8>> {
    let leaf = |detail: &[u8]| {
        let leaf = Leaf {
            cluster: [3; 16],
            epoch: 1,
            seq: 42,
            stamp_us: 1_790_000_000_000_000,
            operation: 7,
            outcome: Outcome::Denied,
            version: 2,
            secret: 9,
            policies: 4,
            accessor: [6; 12],
            request: [5; 16],
            actor: "ana",
            source: "2/127.0.0.1",
            environment: "production",
            subject: "db/password",
            reason: "no rule allows read",
            detail,
        };
        leaf.encode()
    };
    golden().iter().take(20).map(|detail| leaf(detail)).collect()
}
