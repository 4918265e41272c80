//! What can be asked, after parsing and sealing at the door. Commands travel from the node that took them to the leader.

use crate::ids::{Accessor, EnvironmentId, EnvironmentName, PolicyName, PrincipalName, SecretPath, TokenHash};
use crate::operation::Operation;
use crate::policy::Rule;
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::secret::AboutChange;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Command {
    /// Adds a version; `patch` when the door merged fields into the newest one.
    Put {
        environment: EnvironmentName,
        path: SecretPath,
        sealed: Sealed,
        expect: Option<Expectation>,
        about: AboutChange,
        patch: bool,
    },
    Read {
        environment: EnvironmentName,
        path: SecretPath,
        version: Option<u64>,
    },
    /// Each item is answered by itself.
    ReadMany {
        environment: EnvironmentName,
        items: Vec<(SecretPath, Option<u64>)>,
    },
    SetMetadata {
        environment: EnvironmentName,
        path: SecretPath,
        about: AboutChange,
    },
    List {
        environment: EnvironmentName,
        prefix: String,
    },
    Search {
        environment: EnvironmentName,
        prefix: String,
    },
    History {
        environment: EnvironmentName,
        path: SecretPath,
    },
    /// `sealed` is the older version's, fetched by the door; it must be exactly that.
    Rollback {
        environment: EnvironmentName,
        path: SecretPath,
        to: u64,
        sealed: Sealed,
        expect: Option<Expectation>,
    },
    Delete {
        environment: EnvironmentName,
        path: SecretPath,
        versions: Selection,
    },
    Undelete {
        environment: EnvironmentName,
        path: SecretPath,
        versions: Selection,
    },
    Destroy {
        environment: EnvironmentName,
        path: SecretPath,
        versions: Selection,
    },
    /// `sealed` is the newest version of `from`, fetched by the door; it must still be.
    Copy {
        environment: EnvironmentName,
        from: SecretPath,
        to: SecretPath,
        sealed: Sealed,
        expect: Option<Expectation>,
    },
    Move {
        environment: EnvironmentName,
        from: SecretPath,
        to: SecretPath,
    },
    Transact {
        environment: EnvironmentName,
        items: Vec<TransactItem>,
    },
    Watch {
        environment: EnvironmentName,
        prefix: String,
        after: u64,
    },
    ListEnvironments,
    /// The door drew the id and wrapped the key.
    CreateEnvironment {
        name: EnvironmentName,
        id: EnvironmentId,
        description: String,
        wrapped_key: Bytes,
    },
    CreateToken {
        hash: TokenHash,
        principal: PrincipalName,
        policies: Vec<PolicyName>,
        ttl_ms: u64,
    },
    LookupSelf,
    ListTokens,
    RevokeToken {
        accessor: Accessor,
    },
    PutPolicy {
        name: PolicyName,
        rules: Vec<Rule>,
    },
    ReadPolicy {
        name: PolicyName,
    },
    ListPolicies,
    DeletePolicy {
        name: PolicyName,
    },
    /// Reading the journal: query, tail, export, head.
    Audit {
        operation: Operation,
        subject: String,
    },
    /// Looking at the cluster or changing its members.
    Cluster {
        operation: Operation,
        node: u64,
    },
    /// A request that the door could not make sense of: journalled and refused.
    Malformed {
        operation: Operation,
        environment: String,
        subject: String,
        rejection: Rejection,
    },
    /// What a new cluster starts from; only where nothing is yet.
    Found(Box<Founding>),
}

/// What must be true of a path for a write to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expectation {
    /// It holds no live secret.
    Absent,
    /// Its newest version is this.
    Version(u64),
}

/// Which versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// The newest.
    Newest,
    /// These.
    These(Vec<u64>),
    /// All of them.
    All,
}

/// One change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactItem {
    /// Where.
    pub path: SecretPath,
    /// What must be true there.
    pub expect: Option<Expectation>,
    /// What to do there.
    pub change: TransactChange,
}

impl TransactItem {
    /// Bytes that the item carries: its sealed value and what it says about it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.change {
            TransactChange::Put { sealed, about } => sealed.payload_bytes() + about.size_hint(),
            TransactChange::Delete | TransactChange::Check => 0,
        }
    }
}

/// What one item of a transaction does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactChange {
    /// Adds a version.
    Put {
        /// Its value.
        sealed: Box<Sealed>,
        /// What changes besides.
        about: Box<AboutChange>,
    },
    /// Hides the newest version.
    Delete,
    /// Only the expectation counts.
    Check,
}

/// A new cluster: its environments, each with its first key, and the first token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// Name, id, wrapped key of each environment.
    pub environments: Vec<(EnvironmentName, EnvironmentId, Bytes)>,
    /// Hash of the token that has the policy `root`.
    pub root_token: TokenHash,
}
