//! One secret as the specification has it: a register whose versions count up, and which may be hidden.

use std::fmt;

use crate::operation::{Call, Expect, Outcome};

/// Where a secret stands. Values are numbers that stand for texts; 0 is one that nobody ever saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Register {
    /// The newest version, 0 before the first.
    pub(crate) newest: u64,
    /// Whether the newest can be read.
    pub(crate) live: bool,
    /// What it holds.
    pub(crate) value: u32,
}

/// What the values of an operation are known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    /// The one that a put brings.
    pub(crate) put: u32,
    /// The one that a get answered.
    pub(crate) found: u32,
}

impl Register {
    fn meets(self, expect: Expect) -> bool {
        match expect {
            Expect::Anything => true,
            Expect::Absent => !self.live,
            Expect::Version(version) => self.newest == version,
        }
    }

    fn written(self, value: u32) -> Register {
        Register { newest: self.newest + 1, live: true, value }
    }

    /// The register after an operation, if the operation can come to its outcome here. One whose outcome is unknown is taken to
    /// happen: that it never does is told by leaving it out.
    pub(crate) fn after(self, call: &Call, outcome: &Outcome, values: Values) -> Option<Register> {
        match (call, outcome) {
            (Call::Put { expect, .. }, Outcome::Written { version }) => {
                (self.meets(*expect) && *version == self.newest + 1).then(|| self.written(values.put))
            }
            (Call::Put { expect, .. }, Outcome::Unknown) => self.meets(*expect).then(|| self.written(values.put)),
            (Call::Put { expect, .. }, Outcome::Refused { found }) => {
                (!self.meets(*expect) && self.is_what_was(*found)).then_some(self)
            }
            (Call::Get, Outcome::Found { version, .. }) => {
                (self.live && self.newest == *version && self.value == values.found).then_some(self)
            }
            (Call::Get | Call::Delete, Outcome::Refused { found }) => (!self.live && self.is_what_was(*found)).then_some(self),
            (Call::Look, Outcome::Seen { version, live }) => (self.newest == *version && self.live == *live).then_some(self),
            (Call::Delete, Outcome::Hidden { version }) => {
                (self.live && self.newest == *version).then_some(Register { live: false, ..self })
            }
            (Call::Delete, Outcome::Unknown) => self.live.then_some(Register { live: false, ..self }),
            _ => None,
        }
    }

    fn is_what_was(self, found: Option<u64>) -> bool {
        found.is_none_or(|found| found == self.newest)
    }
}

impl fmt::Display for Register {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Register { newest: 0, .. } => write!(formatter, "absent"),
            Register { newest, live: true, .. } => write!(formatter, "at v{newest}"),
            Register { newest, live: false, .. } => write!(formatter, "at v{newest}, hidden"),
        }
    }
}
