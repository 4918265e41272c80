//! One operation as its client saw it.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A question and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Who asked: a client asks one thing at a time.
    pub client: u32,
    /// The request id, the same for every attempt. The items of one call for several secrets share it; it is nil for reads on a stream,
    /// which the journal numbers by itself.
    pub request: Uuid,
    /// The record that the answer names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// When the question left, in nanoseconds of the observer's monotonic clock.
    pub called_ns: u64,
    /// When the client stopped waiting: with an answer, or without one.
    pub returned_ns: u64,
    /// Path of the secret.
    pub key: String,
    /// What was asked.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
    /// What the cluster said besides, where it refused or was lost.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// What was asked of one secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Add a version.
    Put {
        /// What it holds. No other operation of the history puts the same.
        value: String,
        /// When to do it.
        expect: Expect,
    },
    /// Read the newest version.
    Get,
    /// Look at it in a listing that shows hidden ones too.
    Look,
    /// Hide the newest version.
    Delete,
}

/// The condition of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// None.
    Anything,
    /// Nothing stands there, or it is hidden.
    Absent,
    /// The newest version, hidden or not, is this one.
    Version(u64),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A put made this version.
    Written {
        /// Its number.
        version: u64,
    },
    /// A get answered this.
    Found {
        /// The newest version.
        version: u64,
        /// What it holds.
        value: String,
    },
    /// A listing showed this.
    Seen {
        /// The newest version; 0 where the secret was not listed.
        version: u64,
        /// Whether it was not hidden.
        live: bool,
    },
    /// A delete hid this version.
    Hidden {
        /// Its number.
        version: u64,
    },
    /// The cluster said no because the secret was not as the call wants it.
    Refused {
        /// The newest version that it named, 0 for none at all, where it named one.
        found: Option<u64>,
    },
    /// It did not happen, for a reason that has nothing to do with the secret: nobody took the call, or the environment was sealed.
    NotDone,
    /// Nobody knows. It may have happened, or may yet.
    Unknown,
}

impl Operation {
    /// Whether it asked for a change.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(self.call, Call::Put { .. } | Call::Delete)
    }

    /// Whether the cluster gave an answer that says something about the secret.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        !matches!(self.outcome, Outcome::NotDone | Outcome::Unknown)
    }

    /// The version that this operation says it made or hid.
    #[must_use]
    pub fn changed_version(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Written { version } | Outcome::Hidden { version } => Some(version),
            _ => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |ns: u64| ns as f64 / 1e6;
        let (client, key) = (self.client, &self.key);
        write!(formatter, "[{:.3} … {:.3} ms] client {client}: ", ms(self.called_ns), ms(self.returned_ns))?;
        match &self.call {
            Call::Put { value, expect: Expect::Anything } => write!(formatter, "put {key} {value}")?,
            Call::Put { value, expect: Expect::Absent } => write!(formatter, "put {key} {value} where absent")?,
            Call::Put { value, expect: Expect::Version(version) } => write!(formatter, "put {key} {value} over v{version}")?,
            Call::Get => write!(formatter, "get {key}")?,
            Call::Look => write!(formatter, "list {key}")?,
            Call::Delete => write!(formatter, "delete {key}")?,
        }
        match &self.outcome {
            Outcome::Written { version } => write!(formatter, " → v{version}")?,
            Outcome::Found { version, value } => write!(formatter, " → v{version} {value}")?,
            Outcome::Seen { version: 0, .. } => write!(formatter, " → not there")?,
            Outcome::Seen { version, live: true } => write!(formatter, " → v{version}")?,
            Outcome::Seen { version, live: false } => write!(formatter, " → v{version}, hidden")?,
            Outcome::Hidden { version } => write!(formatter, " → hid v{version}")?,
            Outcome::Refused { found: Some(found) } => write!(formatter, " → refused, at v{found}")?,
            Outcome::Refused { found: None } => write!(formatter, " → refused")?,
            Outcome::NotDone => write!(formatter, " → not done")?,
            Outcome::Unknown => write!(formatter, " → unknown")?,
        }
        write!(formatter, " ({})", self.request)
    }
}
