//! What happened: the records that the state is the fold of. The bytes of every event ever released are golden (`tests/golden`).

use crate::guard::GuardEvent;
use crate::identity::IdentityEvent;
use crate::ids::{
    Accessor, ClusterId, EnvironmentId, EnvironmentName, PolicyName, PrincipalName, Revision, RoleName, SecretId, SecretPath,
    Stamp,
};
use crate::keys::KeysEvent;
use crate::limits;
use crate::members::MembersEvent;
use crate::operation::Operation;
use crate::policy::Rule;
use crate::recovery::RecoveryEvent;
use crate::rejection::Rejection;
use crate::repair::RepairEvent;
use crate::sealed::Sealed;
use crate::secret::AboutChange;
use crate::token::Token;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One thing that happened. New kinds are added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
#[allow(clippy::large_enum_variant, reason = "versions are most of what changes: in a box each would cost an allocation more")]
pub enum Event {
    ClusterFounded {
        cluster: ClusterId,
    },
    EnvironmentCreated {
        name: EnvironmentName,
        id: EnvironmentId,
        description: String,
        /// Empty in a journal leaf.
        wrapped_key: Bytes,
        /// BLAKE3 of the wrapped key: what the journal keeps of it.
        key_digest: [u8; 32],
    },
    /// Versions below `oldest_kept` go with it.
    SecretVersionAdded {
        environment: EnvironmentName,
        path: SecretPath,
        secret: SecretId,
        version: u64,
        sealed: Sealed,
        expires: Option<Stamp>,
        oldest_kept: u64,
        about: AboutChange,
        cause: Cause,
    },
    SecretMetadataChanged {
        environment: EnvironmentName,
        path: SecretPath,
        secret: SecretId,
        about: AboutChange,
    },
    SecretVersionsDeleted {
        environment: EnvironmentName,
        path: SecretPath,
        secret: SecretId,
        versions: Vec<u64>,
    },
    SecretVersionsUndeleted {
        environment: EnvironmentName,
        path: SecretPath,
        secret: SecretId,
        versions: Vec<u64>,
    },
    SecretVersionsDestroyed {
        environment: EnvironmentName,
        path: SecretPath,
        secret: SecretId,
        versions: Vec<u64>,
    },
    SecretMoved {
        environment: EnvironmentName,
        from: SecretPath,
        to: SecretPath,
        secret: SecretId,
    },
    SecretRead {
        environment: EnvironmentName,
        path: SecretPath,
        secret: SecretId,
        version: u64,
    },
    TokenCreated {
        token: Box<Token>,
    },
    /// The tokens that it made end with it, and those that they made.
    TokenRevoked {
        accessor: Accessor,
        principal: PrincipalName,
    },
    PolicyPut {
        name: PolicyName,
        rules: Vec<Rule>,
        version: u64,
    },
    PolicyDeleted {
        name: PolicyName,
    },
    /// Something was looked at, or asked of the cluster, that changes no state.
    Observed {
        operation: Operation,
        environment: Option<EnvironmentName>,
        subject: String,
    },
    /// A request id was asked again and answered with what its first asking did.
    AnsweredAgain {
        operation: Operation,
        first: Revision,
        environment: String,
        subject: String,
    },
    Refused {
        operation: Operation,
        environment: String,
        subject: String,
        rejection: Rejection,
    },
    RolePut {
        name: RoleName,
        description: String,
        policies: Vec<PolicyName>,
        version: u64,
    },
    RoleDeleted {
        name: RoleName,
    },
    Keys(KeysEvent),
    Identity(IdentityEvent),
    Guard(GuardEvent),
    /// As `SecretMoved`, and the path that it leaves remembers how far its versions had come.
    SecretRenamed {
        environment: EnvironmentName,
        from: SecretPath,
        to: SecretPath,
        secret: SecretId,
    },
    Recovery(RecoveryEvent),
    Repair(RepairEvent),
    Members(MembersEvent),
}

/// Why a version was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Cause {
    Put,
    Patch,
    Rollback {
        to: u64,
    },
    Copy {
        from: SecretPath,
        version: u64,
    },
    Transaction,
    /// It was approved for another environment and came from there.
    Promotion(Box<PromotedFrom>),
}

/// Where a promoted value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PromotedFrom {
    pub promotion: u64,
    pub environment: EnvironmentName,
    pub path: SecretPath,
    pub version: u64,
}

impl Event {
    /// An environment is there from now on, with the first of its keys.
    #[must_use]
    pub fn environment_created(name: EnvironmentName, id: EnvironmentId, description: String, wrapped_key: Bytes) -> Event {
        let key_digest = *blake3::hash(&wrapped_key).as_bytes();
        Event::EnvironmentCreated { name, id, description, wrapped_key, key_digest }
    }

    /// What was asked.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Event::ClusterFounded { .. } => Operation::Found,
            Event::EnvironmentCreated { .. } => Operation::EnvironmentCreate,
            Event::SecretVersionAdded { cause, .. } => match cause {
                Cause::Put => Operation::SecretPut,
                Cause::Patch => Operation::SecretPatch,
                Cause::Rollback { .. } => Operation::SecretRollback,
                Cause::Copy { .. } => Operation::SecretCopy,
                Cause::Transaction => Operation::SecretTransact,
                Cause::Promotion(_) => Operation::PromotionApply,
            },
            Event::SecretMetadataChanged { .. } => Operation::SecretSetMetadata,
            Event::SecretVersionsDeleted { .. } => Operation::SecretDelete,
            Event::SecretVersionsUndeleted { .. } => Operation::SecretUndelete,
            Event::SecretVersionsDestroyed { .. } => Operation::SecretDestroy,
            Event::SecretMoved { .. } | Event::SecretRenamed { .. } => Operation::SecretMove,
            Event::SecretRead { .. } => Operation::SecretRead,
            Event::TokenCreated { .. } => Operation::TokenCreate,
            Event::TokenRevoked { .. } => Operation::TokenRevoke,
            Event::PolicyPut { .. } => Operation::PolicyPut,
            Event::PolicyDeleted { .. } => Operation::PolicyDelete,
            Event::RolePut { .. } => Operation::RolePut,
            Event::RoleDeleted { .. } => Operation::RoleDelete,
            Event::Keys(event) => event.operation(),
            Event::Identity(event) => event.operation(),
            Event::Guard(event) => event.operation(),
            Event::Recovery(event) => event.operation(),
            Event::Repair(event) => event.operation(),
            Event::Members(event) => event.operation(),
            Event::Observed { operation, .. } | Event::AnsweredAgain { operation, .. } | Event::Refused { operation, .. } => {
                *operation
            }
        }
    }

    /// Whether the state changes by it, beyond the count of records.
    #[must_use]
    pub fn is_change(&self) -> bool {
        match self {
            Event::SecretRead { .. }
            | Event::Observed { .. }
            | Event::AnsweredAgain { .. }
            | Event::Refused { .. }
            | Event::Repair(_) => false,
            Event::Keys(event) => event.is_change(),
            Event::Identity(event) => event.is_change(),
            Event::Guard(event) => event.is_change(),
            Event::Recovery(event) => event.is_change(),
            _ => true,
        }
    }

    /// Whether somebody logged in by it, without showing another token.
    #[must_use]
    pub fn is_login(&self) -> bool {
        matches!(self, Event::TokenCreated { token } if token.login.is_of_its_own())
    }

    /// Whether a request that led to it is answered with what it did when its id is asked again; not so what only counts that
    /// something was asked.
    #[must_use]
    pub fn is_answered_again(&self) -> bool {
        self.is_change() && !matches!(self, Event::Identity(IdentityEvent::TokenUsed { .. }))
    }

    /// Whether it goes along with what was asked rather than being it: a receipt does not answer with it, and a request that led to
    /// nothing else may be asked again.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        matches!(self, Event::Guard(event) if event.is_aside())
    }

    /// About how many bytes the event takes in the log, never much less than it does.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        /// Names, numbers and lengths of any event.
        const FIXED: usize = 1536;
        let varying = match self {
            Event::SecretVersionAdded { sealed, about, .. } => sealed.payload_bytes() + about.size_hint(),
            Event::SecretMetadataChanged { about, .. } => about.size_hint(),
            Event::EnvironmentCreated { description, wrapped_key, .. } => description.len() + wrapped_key.len(),
            Event::TokenCreated { token } => {
                let names = token.policies.len() + token.roles.len() + token.terms.environments.len();
                names * (limits::NAME_BYTES_MAX + 2) + token.terms.networks.len() * 20
            }
            Event::RolePut { description, policies, .. } => description.len() + policies.len() * (limits::NAME_BYTES_MAX + 2),
            Event::Keys(event) => event.varying_bytes(),
            Event::Identity(event) => event.varying_bytes(),
            Event::Guard(event) => event.varying_bytes(),
            Event::Recovery(event) => event.varying_bytes(),
            Event::Repair(event) => event.varying_bytes(),
            Event::Members(event) => event.varying_bytes(),
            Event::PolicyPut { rules, .. } => {
                let fixed = limits::PATH_BYTES_MAX + limits::NAME_BYTES_MAX + 16;
                rules.iter().map(|rule| fixed + rule.conditions.size_hint()).sum()
            }
            Event::SecretVersionsDeleted { versions, .. }
            | Event::SecretVersionsUndeleted { versions, .. }
            | Event::SecretVersionsDestroyed { versions, .. } => versions.len() * 9,
            Event::Refused { subject, rejection, .. } => subject.len() + rejection.size_hint(),
            Event::Observed { subject, .. } | Event::AnsweredAgain { subject, .. } => subject.len(),
            _ => 0,
        };
        FIXED + varying
    }

    /// The event as a journal leaf holds it: a sealed value and the key of an environment are there by their digests only.
    #[must_use]
    pub fn without_payload(&self) -> std::borrow::Cow<'_, Event> {
        match self {
            Event::SecretVersionAdded { sealed, environment, path, secret, version, expires, oldest_kept, about, cause }
                if sealed.payload.is_some() =>
            {
                std::borrow::Cow::Owned(Event::SecretVersionAdded {
                    environment: environment.clone(),
                    path: path.clone(),
                    secret: *secret,
                    version: *version,
                    sealed: Sealed { payload: None, reuse: None, checked: None, seal: sealed.seal.clone() },
                    expires: *expires,
                    oldest_kept: *oldest_kept,
                    about: about.clone(),
                    cause: cause.clone(),
                })
            }
            Event::EnvironmentCreated { name, id, description, wrapped_key, key_digest } if !wrapped_key.is_empty() => {
                std::borrow::Cow::Owned(Event::EnvironmentCreated {
                    name: name.clone(),
                    id: *id,
                    description: description.clone(),
                    wrapped_key: Bytes::new(),
                    key_digest: *key_digest,
                })
            }
            Event::Keys(event) => shortened(self, event.without_payload().map(Event::Keys)),
            Event::Identity(event) => shortened(self, event.without_payload().map(Event::Identity)),
            Event::Guard(event) => shortened(self, event.without_payload().map(Event::Guard)),
            event => std::borrow::Cow::Borrowed(event),
        }
    }

    /// Environment, subject, secret and version as a record shows them.
    #[must_use]
    pub fn about_what(&self) -> What<'_> {
        match self {
            Event::ClusterFounded { .. } => What::system(""),
            Event::EnvironmentCreated { name, .. } => What { environment: name.as_str(), ..What::system("") },
            Event::SecretVersionAdded { environment, path, secret, version, .. }
            | Event::SecretRead { environment, path, secret, version } => What::secret(environment, path, *secret, *version),
            Event::SecretMetadataChanged { environment, path, secret, .. } => What::secret(environment, path, *secret, 0),
            Event::SecretVersionsDeleted { environment, path, secret, versions }
            | Event::SecretVersionsUndeleted { environment, path, secret, versions }
            | Event::SecretVersionsDestroyed { environment, path, secret, versions } => {
                What::secret(environment, path, *secret, versions.last().copied().unwrap_or(0))
            }
            Event::SecretMoved { environment, from, secret, .. } | Event::SecretRenamed { environment, from, secret, .. } => {
                What::secret(environment, from, *secret, 0)
            }
            Event::TokenCreated { token } => What::system(token.principal.as_str()),
            Event::TokenRevoked { principal, .. } => What::system(principal.as_str()),
            Event::RolePut { name, .. } | Event::RoleDeleted { name } => What::system(name.as_str()),
            Event::Keys(event) => event.about_what(),
            Event::Identity(event) => event.about_what(),
            Event::Guard(event) => event.about_what(),
            Event::Recovery(event) => event.about_what(),
            Event::Repair(event) => event.about_what(),
            Event::Members(event) => event.about_what(),
            Event::PolicyPut { name, .. } | Event::PolicyDeleted { name } => What::system(name.as_str()),
            Event::Observed { environment, subject, .. } => {
                What { environment: environment.as_ref().map_or("", EnvironmentName::as_str), ..What::system(subject) }
            }
            Event::AnsweredAgain { environment, subject, .. } | Event::Refused { environment, subject, .. } => {
                What { environment, ..What::system(subject) }
            }
        }
    }
}

fn shortened(event: &Event, shorter: Option<Event>) -> std::borrow::Cow<'_, Event> {
    shorter.map_or(std::borrow::Cow::Borrowed(event), std::borrow::Cow::Owned)
}

/// What an event is about, for the fields of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct What<'a> {
    pub environment: &'a str,
    pub subject: &'a str,
    pub secret: u64,
    pub version: u64,
}

impl<'a> What<'a> {
    /// Something of the system.
    #[must_use]
    pub fn system(subject: &'a str) -> What<'a> {
        What { environment: "", subject, secret: 0, version: 0 }
    }

    /// A secret, and a version of it or 0.
    #[must_use]
    pub fn secret(environment: &'a EnvironmentName, path: &'a SecretPath, secret: SecretId, version: u64) -> What<'a> {
        What { environment: environment.as_str(), subject: path.as_str(), secret: secret.0, version }
    }
}
