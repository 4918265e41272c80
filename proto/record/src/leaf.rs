//! One journal record as canonical bytes: fixed order, big endian, every text prefixed with its length.
//!
//! Not bincode and not protobuf: an auditor can write a decoder from this page. `detail` is the event itself, which a
//! verifier need not understand; it is covered by the chain like the rest. No field holds a secret value, not even hashed
//! without a key.
//!
//! ```text
//! "HFL2" | cluster 16 | epoch u32 | seq u64 | stamp_us u64 | operation u16 | outcome u16 | version u64 | secret u64
//!        | policies u64 | accessor 12 | request 16 | actor text | source text | environment text | subject text | reason text | detail u32-prefixed
//! ```

/// The four bytes a leaf starts with.
pub const MAGIC: &[u8; 4] = b"HFL2";

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Outcome {
    /// It was done.
    Done = 0,
    /// It was refused because the caller may not.
    Denied = 1,
    /// It was refused because the state did not allow it (a conflict, nothing there, a limit).
    Refused = 2,
    /// It was refused because it reached into an environment that the caller has nothing to do with.
    Violation = 3,
}

impl Outcome {
    /// The outcome with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Outcome> {
        Some(match number {
            0 => Outcome::Done,
            1 => Outcome::Denied,
            2 => Outcome::Refused,
            3 => Outcome::Violation,
            _ => return None,
        })
    }

    /// The word people read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Denied => "denied",
            Outcome::Refused => "refused",
            Outcome::Violation => "violation",
        }
    }
}

/// A journal record, borrowed from whoever holds its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The cluster whose journal this is.
    pub cluster: [u8; 16],
    /// Counts restores: each starts a new epoch.
    pub epoch: u32,
    /// Dense number of the record, from 1.
    pub seq: u64,
    /// The leader's clock when it decided, microseconds since 1970, strictly increasing along the journal.
    pub stamp_us: u64,
    /// What was asked: a number from the table of operations.
    pub operation: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The secret version concerned, 0 where none.
    pub version: u64,
    /// The secret concerned, 0 where none.
    pub secret: u64,
    /// The record that changed a policy or role last before this one: which rules were in force.
    pub policies: u64,
    /// The public id of the token shown, zeros where none.
    pub accessor: [u8; 12],
    /// The caller's request id.
    pub request: [u8; 16],
    /// Who asked: the principal's name, or `-` where none was recognised.
    pub actor: &'a str,
    /// Where it came from: `node/address`.
    pub source: &'a str,
    /// The environment concerned, empty where none.
    pub environment: &'a str,
    /// The path, token, policy or member concerned.
    pub subject: &'a str,
    /// Why it was refused, empty where it was done.
    pub reason: &'a str,
    /// The event, encoded.
    pub detail: &'a [u8],
}

/// Why bytes are not a leaf.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LeafError {
    /// Other bytes, or another format.
    #[error("not a journal leaf of format HFL2")]
    Magic,
    /// The bytes end inside a field.
    #[error("leaf ends inside its {0}")]
    Short(&'static str),
    /// A field holds what it may not.
    #[error("leaf has a bad {0}")]
    Bad(&'static str),
}

impl Leaf<'_> {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let texts = [self.actor, self.source, self.environment, self.subject, self.reason];
        let size = 112 + texts.iter().map(|text| text.len() + 4).sum::<usize>() + self.detail.len();
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.cluster);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.stamp_us.to_be_bytes());
        bytes.extend_from_slice(&self.operation.to_be_bytes());
        bytes.extend_from_slice(&(self.outcome as u16).to_be_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.secret.to_be_bytes());
        bytes.extend_from_slice(&self.policies.to_be_bytes());
        bytes.extend_from_slice(&self.accessor);
        bytes.extend_from_slice(&self.request);
        for text in texts {
            put(&mut bytes, text.as_bytes());
        }
        put(&mut bytes, self.detail);
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
    bytes.extend_from_slice(part);
}

impl<'a> Leaf<'a> {
    /// Reads canonical bytes back.
    ///
    /// # Errors
    /// When the bytes are not exactly one leaf.
    pub fn decode(bytes: &'a [u8]) -> Result<Leaf<'a>, LeafError> {
        let mut rest = Rest(bytes);
        if rest.take(4, "magic").map_err(|_| LeafError::Magic)? != MAGIC {
            return Err(LeafError::Magic);
        }
        let leaf = Leaf {
            cluster: rest.array("cluster")?,
            epoch: u32::from_be_bytes(rest.array("epoch")?),
            seq: u64::from_be_bytes(rest.array("seq")?),
            stamp_us: u64::from_be_bytes(rest.array("stamp")?),
            operation: u16::from_be_bytes(rest.array("operation")?),
            outcome: Outcome::from_number(u16::from_be_bytes(rest.array("outcome")?)).ok_or(LeafError::Bad("outcome"))?,
            version: u64::from_be_bytes(rest.array("version")?),
            secret: u64::from_be_bytes(rest.array("secret")?),
            policies: u64::from_be_bytes(rest.array("policies")?),
            accessor: rest.array("accessor")?,
            request: rest.array("request")?,
            actor: rest.text("actor")?,
            source: rest.text("source")?,
            environment: rest.text("environment")?,
            subject: rest.text("subject")?,
            reason: rest.text("reason")?,
            detail: rest.part("detail")?,
        };
        if rest.0.is_empty() { Ok(leaf) } else { Err(LeafError::Bad("end: bytes are left over")) }
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], LeafError> {
        let (part, rest) = self.0.split_at_checked(count).ok_or(LeafError::Short(field))?;
        self.0 = rest;
        Ok(part)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], LeafError> {
        self.take(N, field)?.try_into().map_err(|_| LeafError::Short(field))
    }

    fn part(&mut self, field: &'static str) -> Result<&'a [u8], LeafError> {
        let length = u32::from_be_bytes(self.array(field)?);
        self.take(length as usize, field)
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, LeafError> {
        std::str::from_utf8(self.part(field)?).map_err(|_| LeafError::Bad(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Leaf<'static> {
        Leaf {
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
            detail: b"event",
        }
    }

    #[test]
    fn a_leaf_reads_back_as_it_was_written() {
        let bytes = example().encode();
        assert_eq!(Leaf::decode(&bytes).unwrap(), example());
    }

    #[test]
    fn every_cut_of_a_leaf_is_refused() {
        let bytes = example().encode();
        for end in 0..bytes.len() {
            assert!(Leaf::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(Leaf::decode(&longer).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decode_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend(bytes);
            let _ = Leaf::decode(&with_magic);
        }
    }
}
