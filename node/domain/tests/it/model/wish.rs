//! What people wish for on a random walk: plain words and numbers, told to the domain and to the naive model alike.

use crate::invariants::WRAPPED_KEY_MARK;
use node_domain::Command;
use node_domain::command::{Expectation, Founding, Selection, TokenWish, TransactChange, TransactItem};
use node_domain::ids::{Accessor, EnvironmentName, PolicyName, PrincipalName, SecretPath};
use node_domain::operation::Operation;
use node_domain::policy::{Capabilities, Conditions, PathPattern, Rule};
use node_domain::sealed::Sealed;
use node_domain::secret::{AboutChange, SecretType};

/// A value as its digest, and whether it came whole.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) sealed: Sealed,
    pub(super) whole: bool,
}

impl Value {
    pub(super) fn digest(&self) -> [u8; 32] {
        self.sealed.seal.digest
    }
}

/// What is said about a secret; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) owner: Option<String>,
    pub(super) kind: Option<SecretType>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) max_versions: Option<u32>,
    pub(super) ttl_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expect {
    Anything,
    Absent,
    At(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Which {
    Newest,
    All,
    These(Vec<u64>),
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Box<Value>, Said),
    Delete,
    Check,
}

/// A rule in words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Allow {
    pub(super) environment: Option<String>,
    pub(super) pattern: String,
    pub(super) words: Vec<&'static str>,
    pub(super) deny: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Put { place: String, path: String, value: Value, expect: Expect, said: Said, patch: bool },
    Read { place: String, path: String, version: Option<u64> },
    ReadMany { place: String, items: Vec<(String, Option<u64>)> },
    SetMetadata { place: String, path: String, said: Said },
    Look { place: String, prefix: String, operation: Operation },
    History { place: String, path: String },
    Rollback { place: String, path: String, to: u64, value: Value, expect: Expect },
    Delete { place: String, path: String, which: Which },
    Undelete { place: String, path: String, which: Which },
    Destroy { place: String, path: String, which: Which },
    Copy { place: String, from: String, to: String, value: Value, expect: Expect },
    Move { place: String, from: String, to: String },
    Transact { place: String, items: Vec<(String, Expect, Change)> },
    ListEnvironments,
    CreateEnvironment { name: String },
    CreateToken { number: u8, principal: String, policies: Vec<String>, ttl_ms: u64 },
    LookupSelf,
    ListTokens,
    Revoke { number: u8 },
    PutPolicy { name: String, rules: Vec<Allow> },
    ReadPolicy { name: String },
    ListPolicies,
    DeletePolicy { name: String },
    Audit,
    Stray,
    Cluster { node: u64 },
    Malformed,
    FoundAgain,
}

/// The hash of the token that the walk calls by this number.
pub(super) fn token_hash(number: u8) -> [u8; 32] {
    [number; 32]
}

fn place(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

fn at(path: &str) -> SecretPath {
    SecretPath::parse(path).unwrap()
}

fn policy(name: &str) -> PolicyName {
    PolicyName::parse(name).unwrap()
}

fn about(said: &Said) -> AboutChange {
    AboutChange {
        owner: said.owner.clone(),
        kind: said.kind,
        tags: said.tags.clone(),
        max_versions: said.max_versions,
        ttl_ms: said.ttl_ms,
        ..AboutChange::default()
    }
}

fn expectation(expect: Expect) -> Option<Expectation> {
    match expect {
        Expect::Anything => None,
        Expect::Absent => Some(Expectation::Absent),
        Expect::At(version) => Some(Expectation::Version(version)),
    }
}

fn selection(which: &Which) -> Selection {
    match which {
        Which::Newest => Selection::Newest,
        Which::All => Selection::All,
        Which::These(versions) => Selection::These(versions.clone()),
    }
}

fn item((path, expect, change): &(String, Expect, Change)) -> TransactItem {
    let change = match change {
        Change::Put(value, said) => TransactChange::Put { sealed: Box::new(value.sealed.clone()), about: Box::new(about(said)) },
        Change::Delete => TransactChange::Delete,
        Change::Check => TransactChange::Check,
    };
    TransactItem { path: at(path), expect: expectation(*expect), change }
}

fn rule(allow: &Allow) -> Rule {
    Rule {
        environment: allow.environment.as_deref().map(place),
        path: PathPattern::parse(&allow.pattern).unwrap(),
        capabilities: Capabilities::parse(allow.words.iter().copied()).unwrap(),
        deny: allow.deny,
        conditions: Conditions::default(),
    }
}

impl Wish {
    /// The same wish, in the domain's types.
    pub(super) fn command(&self) -> Command {
        match self {
            Wish::Put { place: home, path, value, expect, said, patch } => Command::Put {
                environment: place(home),
                path: at(path),
                sealed: value.sealed.clone(),
                expect: expectation(*expect),
                about: about(said),
                patch: *patch,
            },
            Wish::Read { place: home, path, version } => {
                Command::Read { environment: place(home), path: at(path), version: *version }
            }
            Wish::ReadMany { place: home, items } => {
                let items = items.iter().map(|(path, version)| (at(path), *version)).collect();
                Command::ReadMany { environment: place(home), items }
            }
            Wish::SetMetadata { place: home, path, said } => {
                Command::SetMetadata { environment: place(home), path: at(path), about: about(said), held: None }
            }
            Wish::Look { place: home, prefix, operation } => {
                let (environment, prefix) = (place(home), prefix.clone());
                match operation {
                    Operation::SecretSearch => Command::Search { environment, prefix },
                    Operation::SecretWatch => Command::Watch { environment, prefix, after: 0 },
                    _ => Command::List { environment, prefix },
                }
            }
            Wish::History { place: home, path } => Command::History { environment: place(home), path: at(path) },
            Wish::Rollback { place: home, path, to, value, expect } => Command::Rollback {
                environment: place(home),
                path: at(path),
                to: *to,
                sealed: value.sealed.clone(),
                expect: expectation(*expect),
            },
            Wish::Delete { place: home, path, which } => {
                Command::Delete { environment: place(home), path: at(path), versions: selection(which) }
            }
            Wish::Undelete { place: home, path, which } => {
                Command::Undelete { environment: place(home), path: at(path), versions: selection(which) }
            }
            Wish::Destroy { place: home, path, which } => {
                Command::Destroy { environment: place(home), path: at(path), versions: selection(which) }
            }
            Wish::Copy { place: home, from, to, value, expect } => Command::Copy {
                environment: place(home),
                from: at(from),
                to: at(to),
                sealed: value.sealed.clone(),
                expect: expectation(*expect),
            },
            Wish::Move { place: home, from, to } => {
                Command::Move { environment: place(home), from: at(from), to: at(to), held: None }
            }
            Wish::Transact { place: home, items } => {
                Command::Transact { environment: place(home), items: items.iter().map(item).collect() }
            }
            system => system.system_command(),
        }
    }

    fn system_command(&self) -> Command {
        match self {
            Wish::CreateEnvironment { name } => {
                let mut id = [0; 16];
                id[..name.len()].copy_from_slice(name.as_bytes());
                Command::CreateEnvironment {
                    name: place(name),
                    id,
                    description: String::new(),
                    wrapped_key: WRAPPED_KEY_MARK.into(),
                }
            }
            Wish::CreateToken { number, principal, policies, ttl_ms } => Command::CreateToken(Box::new(TokenWish::plain(
                token_hash(*number),
                PrincipalName::parse(principal).unwrap(),
                policies.iter().map(|name| policy(name)).collect(),
                *ttl_ms,
            ))),
            Wish::LookupSelf => Command::LookupSelf,
            Wish::ListTokens => Command::ListTokens,
            Wish::Revoke { number } => Command::RevokeToken { accessor: Accessor::of(&token_hash(*number)) },
            Wish::PutPolicy { name, rules } => Command::PutPolicy { name: policy(name), rules: rules.iter().map(rule).collect() },
            Wish::ReadPolicy { name } => Command::ReadPolicy { name: policy(name) },
            Wish::ListPolicies => Command::ListPolicies,
            Wish::DeletePolicy { name } => Command::DeletePolicy { name: policy(name) },
            Wish::Audit => Command::Audit { operation: Operation::AuditQuery, subject: "all".into() },
            // Sent as a look at the journal, which it is not.
            Wish::Stray => Command::Audit { operation: Operation::ClusterStatus, subject: "all".into() },
            Wish::Cluster { node } => Command::Cluster { operation: Operation::ClusterPromote, node: *node },
            Wish::Malformed => Command::Malformed {
                operation: Operation::SecretPut,
                environment: "p//".into(),
                subject: "x//y".into(),
                rejection: node_domain::Rejection::invalid("it does not parse"),
            },
            Wish::FoundAgain => Command::Found(Box::new(Founding { environments: Vec::new(), root_token: [99; 32], keys: None })),
            _ => Command::ListEnvironments,
        }
    }
}
