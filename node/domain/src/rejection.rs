//! Refusals: answers in the domain's words, with both sides in them.

use crate::ids::{BadName, Revision, SecretPath, Stamp};
use serde::{Deserialize, Serialize};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Rejection {
    /// No token, or none that the cluster knows.
    #[error("the token is missing, unknown, expired or revoked")]
    NotAuthenticated,
    /// No rule allows it, or one denies it. Says nothing about what exists.
    #[error("{principal} may not {capability} {subject} in {environment}: {why}")]
    Denied {
        /// Who asked.
        principal: String,
        /// What was asked for.
        capability: String,
        /// Where.
        subject: String,
        /// In which environment.
        environment: String,
        /// Which rule decided.
        why: String,
    },
    /// A name, a size or a combination that can never be right.
    #[error("{0}")]
    Invalid(String),
    /// Nothing stands there.
    #[error("{what} {name} does not exist")]
    NotFound {
        /// The kind of thing.
        what: String,
        /// Its name.
        name: String,
    },
    /// The version is hidden or gone.
    #[error("{path} v{version} is {state}{hint}")]
    NotReadable {
        /// Which secret.
        path: String,
        /// Which version.
        version: u64,
        /// `deleted`, `destroyed`, `expired`.
        state: String,
        /// What to do.
        hint: String,
    },
    /// The condition of a write does not hold.
    #[error("{path} is at {found}, not {expected}")]
    Conflict {
        /// Which secret.
        path: String,
        /// What is there.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// It is there already.
    #[error("{what} {name} exists already")]
    Exists {
        /// The kind of thing.
        what: String,
        /// Its name.
        name: String,
    },
    /// A bound was reached.
    #[error("{0}")]
    Limit(String),
    /// The request id was used for something else.
    #[error("this request id was used for another request, at record {}", .0.0)]
    RequestReused(Revision),
    /// An environment that the caller has nothing to do with.
    #[error("{principal} has no business in {environment} ({subject}): this attempt is recorded as a violation{hint}")]
    Violation {
        /// Who asked.
        principal: String,
        /// For what.
        subject: String,
        /// Where.
        environment: String,
        /// Where to look instead, starting with `: `, or empty.
        hint: String,
    },
    /// Too much was asked in too short a time.
    #[error("{what}: try again in {retry_ms} ms")]
    Throttled {
        /// Which limit was reached.
        what: String,
        /// When it makes sense to ask again.
        retry_ms: u64,
    },
    /// What was asked cannot be done while the environment, or the node, is sealed.
    #[error("{what} is sealed{hint}")]
    Sealed {
        /// What.
        what: String,
        /// What to do, starting with `: `, or empty.
        hint: String,
    },
    /// The node that took the request could not do its part; nothing changed.
    #[error("the node that took the request failed: {0}")]
    NodeFault(String),
    /// A login that failed: the same words whatever was wrong with it, so that they help nobody to guess.
    #[error("{0}")]
    NotLoggedIn(String),
    /// A wrapping that somebody has opened before: whoever it was meant for should know.
    #[error(
        "it was unwrapped before, at {at_ms} ms: unless that was you, somebody has intercepted it; revoke what was in it and ask for another"
    )]
    UnwrappedBefore {
        /// When, in milliseconds since 1970.
        at_ms: u64,
    },
    /// The value, or how long it would be valid, breaks a rule for values. It never says what is in the value.
    #[error("rule {rule} refuses the value of {path} in {environment}: {why}")]
    AgainstRule {
        /// Which secret.
        path: String,
        /// Where.
        environment: String,
        /// Which rule.
        rule: String,
        /// What it wants.
        why: String,
    },
    /// The value was checked by rules that are no longer in force, or for another type: it has to be checked again.
    #[error("the rules for {path} have changed at record {}: try again", .rules.0)]
    RulesMoved {
        /// Which secret.
        path: String,
        /// The record that changed a rule last.
        rules: Revision,
    },
}

impl Rejection {
    /// A refusal of something that can never be right.
    #[must_use]
    pub fn invalid(why: impl Into<String>) -> Rejection {
        Rejection::Invalid(why.into())
    }

    /// Nothing of this kind has this name.
    #[must_use]
    pub fn not_found(what: &str, name: impl ToString) -> Rejection {
        Rejection::NotFound { what: what.into(), name: name.to_string() }
    }

    /// The newest version is not the one that was expected; 0 is none.
    #[must_use]
    pub fn conflict(path: &SecretPath, found: u64, expected: u64) -> Rejection {
        let name = |version| if version == 0 { "absent".to_owned() } else { format!("v{version}") };
        Rejection::Conflict { path: path.to_string(), found: name(found), expected: name(expected) }
    }

    /// All its texts.
    pub(crate) fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Rejection::NotAuthenticated | Rejection::RequestReused(_) | Rejection::UnwrappedBefore { .. } => Vec::new(),
            Rejection::Invalid(text) | Rejection::Limit(text) | Rejection::NodeFault(text) | Rejection::NotLoggedIn(text) => {
                vec![text]
            }
            Rejection::Denied { principal, capability, subject, environment, why } => {
                vec![principal, capability, subject, environment, why]
            }
            Rejection::NotFound { what, name } | Rejection::Exists { what, name } => vec![what, name],
            Rejection::NotReadable { path, state, hint, .. } => vec![path, state, hint],
            Rejection::Conflict { path, found, expected } => vec![path, found, expected],
            Rejection::Violation { principal, subject, environment, hint } => vec![principal, subject, environment, hint],
            Rejection::Throttled { what, .. } => vec![what],
            Rejection::Sealed { what, hint } => vec![what, hint],
            Rejection::AgainstRule { path, environment, rule, why } => vec![path, environment, rule, why],
            Rejection::RulesMoved { path, .. } => vec![path],
        }
    }

    /// About how many bytes it takes in the log.
    pub(crate) fn size_hint(&self) -> usize {
        // What it says holds all its texts.
        self.to_string().len()
    }

    /// Whether the caller lacks the right, rather than the state the fit.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        matches!(
            self,
            Rejection::NotAuthenticated
                | Rejection::Denied { .. }
                | Rejection::Violation { .. }
                | Rejection::NotLoggedIn(_)
                | Rejection::UnwrappedBefore { .. }
        )
    }

    /// Whether it is an attempt to cross from one environment to another.
    #[must_use]
    pub fn is_violation(&self) -> bool {
        matches!(self, Rejection::Violation { .. })
    }

    /// The refusal of an expired version.
    #[must_use]
    pub fn expired(path: &str, version: u64, at: Stamp) -> Rejection {
        Rejection::NotReadable {
            path: path.into(),
            version,
            state: format!("expired since {} ms", at.as_ms()),
            hint: ": put a new version".into(),
        }
    }
}

impl From<BadName> for Rejection {
    fn from(bad: BadName) -> Rejection {
        Rejection::Invalid(bad.to_string())
    }
}
