//! The records inside a frame of the write-ahead log.
//!
//! ```text
//! tag u8 = 1 entry | index u64 | length u32 | payload        tag u8 = 4 truncate from | index u64
//! tag u8 = 2 vote | length u32 | bytes                        tag u8 = 5 purge through | index u64 | length u32 | bytes
//! tag u8 = 3 committed | length u32 | bytes
//! ```
//! A segment's first frame carries the newest vote, committed position and purge over, in the same form.

use bytes::Bytes;

use crate::segment::NUMBER_MAX;

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const COMMITTED: u8 = 3;
const TRUNCATE: u8 = 4;
const PURGE: u8 = 5;

/// One change of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Entry(u64, Bytes),
    Vote(Bytes),
    Committed(Bytes),
    Truncate(u64),
    Purge(u64, Bytes),
}

impl Record {
    pub(crate) fn encode(&self, body: &mut Vec<u8>) {
        match self {
            Record::Entry(index, payload) => {
                put_index(body, ENTRY, *index);
                put_bytes(body, payload);
            }
            Record::Vote(vote) => {
                body.push(VOTE);
                put_bytes(body, vote);
            }
            Record::Committed(committed) => {
                body.push(COMMITTED);
                put_bytes(body, committed);
            }
            Record::Truncate(index) => put_index(body, TRUNCATE, *index),
            Record::Purge(index, meta) => {
                put_index(body, PURGE, *index);
                put_bytes(body, meta);
            }
        }
    }

    /// How many bytes [`Record::encode`] adds.
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Record::Entry(_, bytes) | Record::Purge(_, bytes) => 13 + bytes.len(),
            Record::Vote(bytes) | Record::Committed(bytes) => 5 + bytes.len(),
            Record::Truncate(_) => 9,
        }
    }

    /// All records of a frame's body. The payloads share its memory. Nothing where the body is not a run of whole records.
    pub(crate) fn decode_all(mut body: Bytes) -> Option<Vec<Record>> {
        let mut records = Vec::new();
        while !body.is_empty() {
            let tag = body.split_to(1)[0];
            records.push(match tag {
                ENTRY => Record::Entry(take_index(&mut body)?, take_bytes(&mut body)?),
                VOTE => Record::Vote(take_bytes(&mut body)?),
                COMMITTED => Record::Committed(take_bytes(&mut body)?),
                TRUNCATE => Record::Truncate(take_index(&mut body)?),
                PURGE => Record::Purge(take_index(&mut body)?, take_bytes(&mut body)?),
                _ => return None,
            });
        }
        Some(records)
    }
}

fn put_index(body: &mut Vec<u8>, tag: u8, index: u64) {
    body.push(tag);
    body.extend_from_slice(&index.to_be_bytes());
}

fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("payloads are limited to ENTRY_BYTES_MAX when they are submitted");
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(bytes);
}

fn take_index(body: &mut Bytes) -> Option<u64> {
    let index = u64::from_be_bytes(*body.first_chunk()?);
    drop(body.split_to(8));
    (index <= NUMBER_MAX).then_some(index)
}

fn take_bytes(body: &mut Bytes) -> Option<Bytes> {
    let len = u32::from_be_bytes(*body.first_chunk()?) as usize;
    if body.len() < 4 + len {
        return None;
    }
    drop(body.split_to(4));
    Some(body.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_as_they_were_written() {
        let records = vec![
            Record::Entry(7, Bytes::from_static(b"payload")),
            Record::Vote(Bytes::from_static(b"vote")),
            Record::Committed(Bytes::new()),
            Record::Truncate(3),
            Record::Purge(2, Bytes::from_static(b"meta")),
        ];
        let mut body = Vec::new();
        records.iter().for_each(|record| record.encode(&mut body));
        assert_eq!(body.len(), records.iter().map(Record::encoded_len).sum::<usize>());
        assert_eq!(Record::decode_all(Bytes::from(body)).unwrap(), records);
    }

    #[test]
    fn an_index_that_no_log_gets_to_is_none() {
        for record in [Record::Entry(u64::MAX, Bytes::new()), Record::Truncate(u64::MAX), Record::Purge(u64::MAX, Bytes::new())] {
            let mut body = Vec::new();
            record.encode(&mut body);
            assert_eq!(Record::decode_all(Bytes::from(body)), None, "{record:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decode_panic(bytes in proptest::collection::vec(0u8..8, 0..100)) {
            let _ = Record::decode_all(Bytes::from(bytes));
        }
    }
}
