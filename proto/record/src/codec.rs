//! The one place that knows how a value becomes bytes on disk and in the log.
//!
//! Every record stands in an envelope `kind | version | body`. The body is bincode's standard configuration in this release;
//! the envelope lets another encoding take over without touching a caller (bincode is no longer maintained, so it must stay
//! replaceable).

use serde::{Serialize, de::DeserializeOwned};

/// What an envelope holds; a record of one kind never opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A batch of records, the payload of a Raft entry.
    Batch = 1,
    /// The event inside one record.
    Event = 2,
    /// A Raft log entry.
    RaftEntry = 3,
    /// A Raft vote.
    RaftVote = 4,
    /// A Raft log id.
    RaftLogId = 5,
    /// Where a snapshot stands: log id and membership.
    RaftPosition = 6,
    /// A message between replicas.
    RaftMessage = 7,
    /// A row of materialized state.
    Row = 8,
    /// A piece of state inside a snapshot.
    StatePiece = 9,
    /// A command travelling from the node that took it to the leader.
    Command = 10,
    /// The leader's answer to a command.
    Outcome = 11,
    /// What a new cluster starts from.
    Bootstrap = 12,
}

/// The newest version of the envelope's body that this release writes and reads.
pub const VERSION: u8 = 1;

/// Why bytes are not the record that was expected.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Fewer bytes than an envelope has.
    #[error("record is empty or cut short")]
    Short,
    /// Another kind of record.
    #[error("expected a record of kind {expected}, found kind {found}")]
    Kind {
        /// The kind asked for.
        expected: u8,
        /// The kind in the envelope.
        found: u8,
    },
    /// A record of a release that does not exist yet for this one.
    #[error("record has format {0}, this release reads up to {VERSION}: it was written by a newer holdfast")]
    Newer(u8),
    /// The body does not decode, or bytes are left over.
    #[error("record does not decode: {0}")]
    Body(String),
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

const CONFIG: bincode::config::Configuration = bincode::config::standard();

/// Encodes `value` in an envelope of `kind`.
#[must_use]
pub fn encode<T: Serialize>(kind: Kind, value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    encode_into(kind, value, &mut bytes);
    bytes
}

/// Encodes `value` in an envelope of `kind` at the end of `bytes`.
pub fn encode_into<T: Serialize>(kind: Kind, value: &T, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&[kind as u8, VERSION]);
    bincode::serde::encode_into_std_write(value, bytes, CONFIG).expect("our own types encode, and a vector takes every byte");
}

/// How many bytes `value` takes where it is encoded.
#[must_use]
pub fn encoded_bytes<T: Serialize>(value: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    bincode::serde::encode_into_std_write(value, &mut count, CONFIG).expect("our own types encode, and counting never fails");
    count.0
}

/// Decodes a record of `kind`.
///
/// # Errors
/// When the bytes are another kind, a newer version, damaged, or longer than the record.
pub fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, CodecError> {
    let [found, version, body @ ..] = bytes else { return Err(CodecError::Short) };
    if *found != kind as u8 {
        return Err(CodecError::Kind { expected: kind as u8, found: *found });
    }
    if *version > VERSION {
        return Err(CodecError::Newer(*version));
    }
    let (value, used) = bounded(body).map_err(|error| CodecError::Body(error.to_string()))?;
    if used != body.len() {
        return Err(CodecError::Body(format!("{} bytes left over", body.len() - used)));
    }
    Ok(value)
}

/// The limit keeps a damaged length prefix from asking for more memory than a record of so many bytes may need: one byte stands for at most
/// 16 (a number of 128 bits). Limits are types to bincode, so there are three.
fn bounded<T: DeserializeOwned>(body: &[u8]) -> Result<(T, usize), bincode::error::DecodeError> {
    match body.len() {
        0..=0x1000 => bincode::serde::decode_from_slice(body, CONFIG.with_limit::<{ 64 << 10 }>()),
        0x1001..=0x1_0000 => bincode::serde::decode_from_slice(body, CONFIG.with_limit::<{ 1 << 20 }>()),
        _ => bincode::serde::decode_from_slice(body, CONFIG.with_limit::<{ 64 << 20 }>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_one_kind_never_opens_as_another() {
        let bytes = encode(Kind::Row, &("a", 1u64));
        assert!(matches!(decode::<(String, u64)>(Kind::Event, &bytes), Err(CodecError::Kind { .. })));
        assert_eq!(decode::<(String, u64)>(Kind::Row, &bytes).unwrap(), ("a".into(), 1));
    }

    #[test]
    fn bytes_are_counted_as_they_are_written() {
        for value in [("a".to_owned(), 1u64), ("a longer text".repeat(100), u64::MAX)] {
            assert_eq!(encoded_bytes(&value) + 2, encode(Kind::Row, &value).len());
        }
    }

    #[test]
    fn a_newer_version_and_left_over_bytes_are_refused() {
        let mut bytes = encode(Kind::Row, &1u64);
        bytes.push(0);
        assert!(matches!(decode::<u64>(Kind::Row, &bytes), Err(CodecError::Body(_))));
        bytes[1] = VERSION + 1;
        assert!(matches!(decode::<u64>(Kind::Row, &bytes), Err(CodecError::Newer(_))));
    }

    #[test]
    fn a_length_asks_for_no_more_memory_than_the_record_can_hold() {
        // A kind, a version, and a text that claims a megabyte.
        let mut short = vec![Kind::Row as u8, VERSION, 252];
        short.extend_from_slice(&(1u32 << 20).to_le_bytes());
        let CodecError::Body(why) = decode::<String>(Kind::Row, &short).unwrap_err() else { panic!("it is cut short") };
        assert!(why.contains("LimitExceeded"), "{why}");
        for len in [0, 0x1000, 0x1001, 0x1_0001, 1 << 20] {
            let (text, numbers) = ("x".repeat(len), vec![u128::from(u8::MAX >> 1); len.min(0x8000)]);
            assert_eq!(decode::<String>(Kind::Row, &encode(Kind::Row, &text)).unwrap(), text);
            assert_eq!(decode::<Vec<u128>>(Kind::Row, &encode(Kind::Row, &numbers)).unwrap(), numbers);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decode_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = decode::<Vec<(String, Vec<u8>, Option<u64>)>>(Kind::Row, &bytes);
        }
    }
}
