//! A log entry as bytes, in the write-ahead log and between nodes: a small head in raft's own encoding, and the proposed
//! payload as it came, so that reading an entry back shares the bytes it was read from.
//!
//! ```text
//! on disk:  head length u32 little endian | head (an envelope of kind RaftEntry) | payload
//! on wire:  head and payload are two fields of one message
//! ```

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use proto_record::codec::{self, Kind};
use serde::{Deserialize, Serialize};

use crate::types::{Entry, LogId, Membership, Payload};

#[derive(Serialize, Deserialize)]
enum Head {
    Blank(LogId),
    Proposed(LogId),
    Membership(LogId, Membership),
}

/// The head of `entry`, and its payload, empty where nothing was proposed with it.
pub(crate) fn split(entry: &Entry) -> (Vec<u8>, Bytes) {
    let (head, payload) = match &entry.payload {
        EntryPayload::Blank => (Head::Blank(entry.log_id), Bytes::new()),
        EntryPayload::Normal(Payload(bytes)) => (Head::Proposed(entry.log_id), bytes.clone()),
        EntryPayload::Membership(membership) => (Head::Membership(entry.log_id, membership.clone()), Bytes::new()),
    };
    (codec::encode(Kind::RaftEntry, &head), payload)
}

/// Puts an entry together again.
///
/// # Errors
/// When the head is not one, or a payload comes with an entry that has none.
pub(crate) fn join(head: &[u8], payload: Bytes) -> io::Result<Entry> {
    let (log_id, payload) = match codec::decode(Kind::RaftEntry, head)? {
        Head::Proposed(log_id) => (log_id, EntryPayload::Normal(Payload(payload))),
        _ if !payload.is_empty() => return Err(malformed("log entry that was not proposed has a payload")),
        Head::Blank(log_id) => (log_id, EntryPayload::Blank),
        Head::Membership(log_id, membership) => (log_id, EntryPayload::Membership(membership)),
    };
    Ok(Entry { log_id, payload })
}

/// `entry` as one record of the write-ahead log.
pub(crate) fn encode(entry: &Entry) -> Bytes {
    let (head, payload) = split(entry);
    let mut record = BytesMut::with_capacity(4 + head.len() + payload.len());
    record.put_u32_le(head.len() as u32);
    record.put_slice(&head);
    record.put_slice(&payload);
    record.freeze()
}

/// Reads a record of the write-ahead log; the payload shares `record`.
///
/// # Errors
/// When the record is not one.
pub(crate) fn decode(record: &Bytes) -> io::Result<Entry> {
    let head_end = head_end(record)?;
    join(&record[4..head_end], record.slice(head_end..))
}

fn head_end(record: &Bytes) -> io::Result<usize> {
    let length = record.first_chunk::<4>().ok_or_else(|| malformed("log record is shorter than its head"))?;
    let end = 4 + u32::from_le_bytes(*length) as usize;
    if end <= record.len() { Ok(end) } else { Err(malformed("log record ends inside its head")) }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use openraft::testing::log_id;

    use super::*;
    use crate::types::TypeConfig;

    fn entry(payload: openraft::alias::EntryPayloadOf<TypeConfig>) -> Entry {
        Entry { log_id: log_id::<TypeConfig>(3, 2, 9), payload }
    }

    #[test]
    fn an_entry_reads_back_as_it_was_written_and_shares_the_bytes() {
        let proposed = entry(EntryPayload::Normal(Payload(Bytes::from_static(b"batch"))));
        let record = encode(&proposed);
        let read = decode(&record).unwrap();
        assert_eq!(read, proposed);
        let EntryPayload::Normal(Payload(bytes)) = &read.payload else { panic!("{read:?}") };
        assert!(record.as_ptr_range().contains(&bytes.as_ptr()));
    }

    #[test]
    fn blank_and_membership_entries_read_back() {
        let membership = Membership::new_with_defaults(vec![std::collections::BTreeSet::from([1, 2])], []);
        for payload in [EntryPayload::Blank, EntryPayload::Membership(membership)] {
            let written = entry(payload);
            assert_eq!(decode(&encode(&written)).unwrap(), written);
        }
    }

    #[test]
    fn a_cut_record_is_refused_unless_only_its_payload_is_cut() {
        let record = encode(&entry(EntryPayload::Blank));
        for end in 0..record.len() {
            assert!(decode(&record.slice(..end)).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_blank_entry_with_a_payload_is_refused() {
        let (head, _) = split(&entry(EntryPayload::Blank));
        assert!(join(&head, Bytes::from_static(b"x")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decode_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = decode(&Bytes::from(bytes));
        }
    }
}
