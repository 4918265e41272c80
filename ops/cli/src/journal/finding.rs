//! What is wrong with a journal, in words that name the record.

use std::fmt;

use proto_record::chain::Link;
use serde_json::{Value, json};

use super::hex;

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) damage: Damage,
    /// Where; none where a whole is meant.
    pub(crate) place: Option<u64>,
}

/// The kinds of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The content or the link of a record was changed.
    Changed { seq: u64, how: String },
    /// Records between two neighbours are not there.
    Missing { first: u64, last: u64 },
    /// A record stands too early.
    OutOfPlace { seq: u64, instead_of: u64 },
    /// A record stands too late.
    Late { seq: u64, after: u64 },
    /// A record that does not belong here, or stands twice.
    Inserted { seq: u64 },
    /// The bytes around a record are damaged, so that it cannot be read.
    Frame { first: u64, last: u64 },
    /// Bytes between records that are no record.
    Foreign,
    /// The end is missing. `lost` are the records known to be gone with it.
    CutOff { lost: Option<(u64, u64)> },
    /// The head of a bundle is damaged.
    Header,
    /// The end marker of a bundle is damaged or says something else than the records.
    End,
    /// Bytes after the end marker.
    AfterEnd,
    /// The last link is not the one that was expected.
    Head { seq: u64, found: Link, expected: Link },
    /// The link known before the first record does not fit the one expected.
    Anchor { seq: u64, found: Link, expected: Link },
}

/// What a place counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Byte,
    Position,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Byte => "byte",
            Unit::Position => "position",
        }
    }
}

impl Finding {
    pub(crate) fn at(place: u64, damage: Damage) -> Finding {
        Finding { damage, place: Some(place) }
    }

    /// The sentence for people.
    pub(crate) fn sentence(&self, unit: Unit) -> String {
        match self.place {
            Some(place) => format!("{} ({} {place})", self.damage, unit.name()),
            None => self.damage.to_string(),
        }
    }

    /// The same for programs.
    pub(crate) fn document(&self, unit: Unit) -> Value {
        let (first, last) = self.damage.records().unzip();
        json!({
            "damage": self.damage.word(),
            "first": first,
            "last": last,
            unit.name(): self.place,
            "text": self.sentence(unit),
        })
    }
}

impl Damage {
    /// The records concerned.
    pub(crate) fn records(&self) -> Option<(u64, u64)> {
        match *self {
            Damage::Changed { seq, .. }
            | Damage::OutOfPlace { seq, .. }
            | Damage::Late { seq, .. }
            | Damage::Inserted { seq }
            | Damage::Head { seq, .. }
            | Damage::Anchor { seq, .. } => Some((seq, seq)),
            Damage::Missing { first, last } | Damage::Frame { first, last } => Some((first, last)),
            Damage::CutOff { lost } => lost,
            Damage::Foreign | Damage::Header | Damage::End | Damage::AfterEnd => None,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Damage::Changed { .. } => "changed",
            Damage::Missing { .. } => "missing",
            Damage::OutOfPlace { .. } | Damage::Late { .. } => "reordered",
            Damage::Inserted { .. } => "inserted",
            Damage::Frame { .. } => "frame",
            Damage::Foreign | Damage::AfterEnd => "foreign",
            Damage::CutOff { .. } => "cut-off",
            Damage::Header => "header",
            Damage::End => "end",
            Damage::Head { .. } => "head",
            Damage::Anchor { .. } => "anchor",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Changed { seq, how } => write!(formatter, "record {seq} was changed: {how}"),
            Damage::Missing { first, last } if first == last => write!(formatter, "record {first} is missing"),
            Damage::Missing { first, last } => write!(formatter, "records {first} to {last} are missing"),
            Damage::OutOfPlace { seq, instead_of } => write!(formatter, "record {seq} stands where {instead_of} should"),
            Damage::Late { seq, after } => write!(formatter, "record {seq} stands after {after}"),
            Damage::Inserted { seq } => write!(formatter, "a record was inserted: it calls itself {seq}"),
            Damage::Frame { first, last } if first == last => write!(formatter, "record {first} is damaged and cannot be read"),
            Damage::Frame { first, last } => write!(formatter, "records {first} to {last} are damaged and cannot be read"),
            Damage::Foreign => formatter.write_str("there are bytes that are no record"),
            Damage::CutOff { lost: Some((first, last)) } if first == last => {
                write!(formatter, "cut off: record {first} is missing")
            }
            Damage::CutOff { lost: Some((first, last)) } => write!(formatter, "cut off: records {first} to {last} are missing"),
            Damage::CutOff { lost: None } => formatter.write_str("cut off: the end marker is missing"),
            Damage::Header => formatter.write_str("the head of the bundle is damaged"),
            Damage::End => formatter.write_str("the end marker is damaged"),
            Damage::AfterEnd => formatter.write_str("there are bytes after the end marker"),
            Damage::Head { seq, found, expected } => {
                write!(formatter, "the chain at record {seq} is {}, expected {}", hex(found), hex(expected))
            }
            Damage::Anchor { seq, found, expected } => {
                write!(formatter, "the chain before record {} is {}, expected {}", seq + 1, hex(found), hex(expected))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_the_record_and_the_place() {
        let missing = Finding::at(1_234, Damage::Missing { first: 17, last: 17 });
        assert_eq!(missing.sentence(Unit::Byte), "record 17 is missing (byte 1234)");
        let swapped = Finding::at(3, Damage::OutOfPlace { seq: 18, instead_of: 17 });
        assert_eq!(swapped.sentence(Unit::Position), "record 18 stands where 17 should (position 3)");
        assert_eq!(swapped.document(Unit::Position)["damage"], "reordered");
    }
}
