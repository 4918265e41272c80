//! What nodes say to each other.

use crate::input::Input;
use crate::protobuf;
use node_domain::Command;
use node_domain::head::Ask;
use prost::Message;
use proto::peer::v1::{CommandBundle, OutcomeBundle, RaftAppend, RaftMessage, RecordsPiece, SpanResponse, ValueResponse};
use proto_record::codec::{self, Kind};

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    match input.byte() % 4 {
        0 => {
            if let Ok(append) = RaftAppend::decode(input.0) {
                let entries = append.entries.len();
                assert!(raft::fuzzing::append(append).is_none_or(|read| read == entries), "entries were lost");
            }
        }
        1 => {
            if let Ok(message) = RaftMessage::decode(input.0) {
                let _ = raft::fuzzing::messages(&message);
            }
            // The same behind a sound envelope.
            let body = [&[Kind::RaftMessage as u8, codec::VERSION][..], input.0].concat();
            let _ = raft::fuzzing::messages(&RaftMessage { body: body.into() });
        }
        2 => {
            if let Ok(bundle) = CommandBundle::decode(input.0) {
                for forwarded in &bundle.commands {
                    drop(codec::decode::<(Ask, Command)>(Kind::Command, &forwarded.command));
                }
            }
            if let Ok(bundle) = OutcomeBundle::decode(input.0) {
                for forwarded in &bundle.outcomes {
                    drop(node::fuzzing::outcome_again(&forwarded.outcome));
                }
            }
        }
        _ => drop((RecordsPiece::decode(input.0), SpanResponse::decode(input.0), ValueResponse::decode(input.0))),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let kinds = ["RaftAppend", "RaftMessage", "CommandBundle", "OutcomeBundle", "RecordsPiece"];
    let message = |(number, name): (u8, &&str)| {
        [vec![number.min(3)], protobuf::message(&format!("holdfast.peer.v1.{name}"), "node-1")].concat()
    };
    let mut seeds: Vec<Vec<u8>> = (0u8..).zip(&kinds).map(message).collect();
    // A vote in bincode: term, node, committed or not, and a place in the log.
    seeds.push(vec![1, 3, 2, 1, 0, 0]);
    seeds.push(vec![1, 3, 2, 1, 1, 2, 1, 9, 0]);
    seeds
}
