//! What can be asked, after parsing and sealing at the door. Commands travel from the node that took them to the leader.

use crate::guard::{GuardCommand, GuardUpkeep};
use crate::identity::{IdentityCommand, IdentityUpkeep, LoginCommand};
use crate::ids::{Accessor, EnvironmentId, EnvironmentName, PolicyName, PrincipalName, RoleName, SecretPath, TokenHash};
use crate::keys::{FoundingKeys, KeysCommand, KeysUpkeep};
use crate::members::MembersUpkeep;
use crate::operation::Operation;
use crate::policy::{Question, Rule};
use crate::recovery::{RecoveryCommand, RecoveryUpkeep};
use crate::rejection::Rejection;
use crate::repair::RepairUpkeep;
use crate::sealed::{Held, Sealed};
use crate::secret::AboutChange;
use bytes::Bytes;
use ipnet::IpNet;
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
    /// `held` is the newest value, held against the rules for the new type where there is one and there are rules.
    SetMetadata {
        environment: EnvironmentName,
        path: SecretPath,
        about: AboutChange,
        held: Option<Box<Held>>,
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
    /// `held` is the newest value, held against the rules for its new path where there are rules.
    Move {
        environment: EnvironmentName,
        from: SecretPath,
        to: SecretPath,
        held: Option<Box<Held>>,
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
    CreateToken(Box<TokenWish>),
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
    Keys(Box<KeysCommand>),
    Identity(Box<IdentityCommand>),
    Guard(Box<GuardCommand>),
    /// Comes without a token.
    Login(Box<LoginCommand>),
    /// What the cluster asks of itself. No door makes one: it comes from a manager of the node that leads.
    Upkeep(Box<Upkeep>),
    PutRole {
        name: RoleName,
        description: String,
        policies: Vec<PolicyName>,
    },
    ReadRole {
        name: RoleName,
    },
    ListRoles,
    DeleteRole {
        name: RoleName,
    },
    /// Whether somebody may do something, and why.
    TestPolicy(Box<Question>),
    /// What these rules would have made of past requests.
    SimulatePolicy {
        name: PolicyName,
        rules: Vec<Rule>,
    },
    /// The door asks for a view that is not older than this, before it looks something up for the caller. It counts as no use of a token.
    CatchUp,
    Recovery(Box<RecoveryCommand>),
}

/// What the cluster asks of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Upkeep {
    Keys(KeysUpkeep),
    Identity(IdentityUpkeep),
    Guard(GuardUpkeep),
    Recovery(RecoveryUpkeep),
    Repair(RepairUpkeep),
    Members(MembersUpkeep),
}

/// A token that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenWish {
    /// Keyed hash of the text that the door drew.
    pub hash: TokenHash,
    /// Who will stand in the journal.
    pub principal: PrincipalName,
    /// What it may.
    pub policies: Vec<PolicyName>,
    /// What it may besides.
    pub roles: Vec<RoleName>,
    /// How long it counts; 0 for ever.
    pub ttl_ms: u64,
    /// How long one renewal lasts; 0 where it cannot be renewed.
    pub renewal_ms: u64,
    /// How long it lasts however often it is renewed; 0 for ever.
    pub ttl_ms_max: u64,
    /// How many requests it is good for; 0 for any number.
    pub uses_max: u32,
    /// Networks from where it counts; empty: any.
    pub networks: Vec<IpNet>,
    /// Environments in which it counts; empty: as its policies say.
    pub environments: Vec<EnvironmentName>,
    /// Whether it outlives the token that makes it.
    pub orphan: bool,
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
    /// The system's own key, and what holds the root key; none where a test needs none.
    pub keys: Option<FoundingKeys>,
}

impl TokenWish {
    /// A token without special terms.
    #[must_use]
    pub fn plain(hash: TokenHash, principal: PrincipalName, policies: Vec<PolicyName>, ttl_ms: u64) -> TokenWish {
        TokenWish {
            hash,
            principal,
            policies,
            roles: Vec::new(),
            ttl_ms,
            renewal_ms: 0,
            ttl_ms_max: 0,
            uses_max: 0,
            networks: Vec::new(),
            environments: Vec::new(),
            orphan: false,
        }
    }
}
