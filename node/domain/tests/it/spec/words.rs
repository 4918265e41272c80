//! The vocabulary of the specifications: facts that build a world, and requests that are asked in it.

use super::world::{HOME, World, wrapped_key};
use node_domain::command::{Expectation, Selection, TokenWish, TransactChange, TransactItem};
use node_domain::ids::{EnvironmentName, PolicyName, PrincipalName, RoleName, SecretPath};
use node_domain::operation::Operation;
use node_domain::policy::{Capabilities, Capability, Conditions, Hours, PathPattern, Question, Rule, Whom};
use node_domain::sealed::Sealed;
use node_domain::secret::{AboutChange, SecretType};
use node_domain::{Answer, Command};

/// Something that is true of a world before anybody asks.
pub(crate) type Fact = Box<dyn FnOnce(&mut World)>;
/// Something to ask; it may look at the world as a door does, to fetch what it needs.
pub(crate) type Request = Box<dyn FnOnce(&mut World) -> Command>;

pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

pub(crate) fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

pub(crate) fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

pub(crate) fn policy(name: &str) -> PolicyName {
    PolicyName::parse(name).unwrap()
}

pub(crate) fn principal(name: &str) -> PrincipalName {
    PrincipalName::parse(name).unwrap()
}

pub(crate) fn rule(words: &str, pattern: &str) -> Rule {
    Rule {
        environment: None,
        path: PathPattern::parse(pattern).unwrap(),
        capabilities: Capabilities::parse(words.split_whitespace()).unwrap(),
        deny: false,
        conditions: Conditions::default(),
    }
}

// Facts.

/// `who` may do what `words` say on what fits the pattern, in every environment and the system.
pub(crate) fn granted(who: &'static str, words: &'static str, pattern: &'static str) -> Fact {
    Box::new(move |world| world.rule(who, None, words, pattern, false))
}

/// As `granted`, in one environment only.
pub(crate) fn granted_in(place: &'static str, who: &'static str, words: &'static str, pattern: &'static str) -> Fact {
    Box::new(move |world| world.rule(who, Some(place), words, pattern, false))
}

/// A rule denies it to `who`.
pub(crate) fn denied(who: &'static str, words: &'static str, pattern: &'static str) -> Fact {
    Box::new(move |world| world.rule(who, None, words, pattern, true))
}

/// Version `number` of `at` was added, with the value `<at> v<number>`.
pub(crate) fn added(at: &'static str, number: u64) -> Fact {
    added_in(HOME, at, number)
}

pub(crate) fn added_in(place: &'static str, at: &'static str, number: u64) -> Fact {
    Box::new(move |world| {
        let sealed = world.seal(&format!("{at} v{number}"));
        let answer = world.establish(put_command(place, at, sealed, None, AboutChange::default()));
        assert!(matches!(answer, Answer::Written { version, .. } if version == number), "{answer:?} is not v{number}");
    })
}

/// Something that root asked for and got.
pub(crate) fn done(request: Request) -> Fact {
    Box::new(|world| {
        let command = request(world);
        world.establish(command);
    })
}

/// So much time went by on the leader's clock.
pub(crate) fn later_ms(ms: u64) -> Fact {
    Box::new(move |world| world.now = world.now.plus_ms(ms))
}

/// The leader's clock went back.
pub(crate) fn earlier_ms(ms: u64) -> Fact {
    Box::new(move |world| world.now.0 -= ms * 1000)
}

/// Root made a token for `who` with these policies that lives so long; 0 for ever.
pub(crate) fn holds_token(who: &'static str, policies: &'static [&'static str], ttl_ms: u64) -> Fact {
    Box::new(move |world| world.token_for("root", who, policies.iter().map(|name| policy(name)).collect(), ttl_ms))
}

// Requests.

fn put_command(place: &str, at: &str, sealed: Sealed, expect: Option<Expectation>, about: AboutChange) -> Command {
    Command::Put { environment: environment(place), path: path(at), sealed, expect, about, patch: false }
}

/// Puts a value, whatever stands there.
pub(crate) fn put(at: &'static str) -> Request {
    put_in(HOME, at)
}

pub(crate) fn put_in(place: &'static str, at: &'static str) -> Request {
    put_expecting(place, at, None)
}

/// Puts a value if the newest version is this.
pub(crate) fn put_if(at: &'static str, version: u64) -> Request {
    put_expecting(HOME, at, Some(Expectation::Version(version)))
}

/// Puts a value if nothing live stands there.
pub(crate) fn put_if_absent(at: &'static str) -> Request {
    put_expecting(HOME, at, Some(Expectation::Absent))
}

fn put_expecting(place: &'static str, at: &'static str, expect: Option<Expectation>) -> Request {
    Box::new(move |world| put_command(place, at, world.seal("new value"), expect, AboutChange::default()))
}

/// Puts a value and says something about the secret.
pub(crate) fn put_about(at: &'static str, about: AboutChange) -> Request {
    Box::new(move |world| put_command(HOME, at, world.seal("new value"), None, about))
}

/// Puts what the specification sealed by itself.
pub(crate) fn put_sealed(at: &'static str, seal: impl FnOnce(&mut World) -> Sealed + 'static) -> Request {
    Box::new(move |world| put_command(HOME, at, seal(world), None, AboutChange::default()))
}

/// Patches the newest version, into which the door merged just now.
pub(crate) fn patch(at: &'static str) -> Request {
    Box::new(move |world| {
        let newest = world.secret_in(HOME, at).map_or(0, |secret| secret.newest);
        patch_if(at, newest)(world)
    })
}

pub(crate) fn patch_if(at: &'static str, version: u64) -> Request {
    patch_expecting(at, Some(Expectation::Version(version)))
}

pub(crate) fn patch_expecting(at: &'static str, expect: Option<Expectation>) -> Request {
    Box::new(move |world| {
        let (environment, path, sealed) = (environment(HOME), path(at), world.seal("patched value"));
        Command::Put { environment, path, sealed, expect, about: AboutChange::default(), patch: true }
    })
}

pub(crate) fn read(at: &'static str) -> Request {
    read_in(HOME, at)
}

pub(crate) fn read_in(place: &'static str, at: &'static str) -> Request {
    Box::new(move |_| Command::Read { environment: environment(place), path: path(at), version: None })
}

pub(crate) fn read_version(at: &'static str, version: u64) -> Request {
    Box::new(move |_| Command::Read { environment: environment(HOME), path: path(at), version: Some(version) })
}

pub(crate) fn read_many(items: Vec<(&'static str, Option<u64>)>) -> Request {
    let items = items.into_iter().map(|(at, version)| (path(at), version)).collect();
    Box::new(move |_| Command::ReadMany { environment: environment(HOME), items })
}

pub(crate) fn set_metadata(at: &'static str, about: AboutChange) -> Request {
    Box::new(move |_| Command::SetMetadata { environment: environment(HOME), path: path(at), about, held: None })
}

pub(crate) fn list(prefix: &'static str) -> Request {
    Box::new(move |_| Command::List { environment: environment(HOME), prefix: prefix.into() })
}

pub(crate) fn search(prefix: &'static str) -> Request {
    Box::new(move |_| Command::Search { environment: environment(HOME), prefix: prefix.into() })
}

pub(crate) fn watch(prefix: &'static str) -> Request {
    Box::new(move |_| Command::Watch { environment: environment(HOME), prefix: prefix.into(), after: 0 })
}

pub(crate) fn history(at: &'static str) -> Request {
    Box::new(move |_| Command::History { environment: environment(HOME), path: path(at) })
}

/// Rolls back to an older version, whose bytes the door fetched just now.
pub(crate) fn rollback(at: &'static str, to: u64) -> Request {
    rollback_expecting(at, to, None)
}

pub(crate) fn rollback_if(at: &'static str, to: u64, newest: u64) -> Request {
    rollback_expecting(at, to, Some(Expectation::Version(newest)))
}

fn rollback_expecting(at: &'static str, to: u64, expect: Option<Expectation>) -> Request {
    Box::new(move |world| {
        let sealed = world.fetch(HOME, at, Some(to));
        Command::Rollback { environment: environment(HOME), path: path(at), to, sealed, expect }
    })
}

pub(crate) fn delete(at: &'static str) -> Request {
    delete_those(at, Selection::Newest)
}

pub(crate) fn delete_those(at: &'static str, versions: Selection) -> Request {
    Box::new(move |_| Command::Delete { environment: environment(HOME), path: path(at), versions })
}

pub(crate) fn undelete(at: &'static str) -> Request {
    undelete_those(at, Selection::Newest)
}

pub(crate) fn undelete_those(at: &'static str, versions: Selection) -> Request {
    Box::new(move |_| Command::Undelete { environment: environment(HOME), path: path(at), versions })
}

pub(crate) fn destroy(at: &'static str) -> Request {
    destroy_those(at, Selection::Newest)
}

pub(crate) fn destroy_those(at: &'static str, versions: Selection) -> Request {
    Box::new(move |_| Command::Destroy { environment: environment(HOME), path: path(at), versions })
}

pub(crate) fn these(versions: &[u64]) -> Selection {
    Selection::These(versions.to_vec())
}

/// Copies to a path where nothing may stand; the door fetched the newest bytes just now.
pub(crate) fn copy(from: &'static str, to: &'static str) -> Request {
    copy_expecting(from, to, None)
}

pub(crate) fn copy_if(from: &'static str, to: &'static str, version: u64) -> Request {
    copy_expecting(from, to, Some(Expectation::Version(version)))
}

fn copy_expecting(from: &'static str, to: &'static str, expect: Option<Expectation>) -> Request {
    Box::new(move |world| {
        let sealed = world.fetch(HOME, from, None);
        Command::Copy { environment: environment(HOME), from: path(from), to: path(to), sealed, expect }
    })
}

pub(crate) fn rename(from: &'static str, to: &'static str) -> Request {
    Box::new(move |_| Command::Move { environment: environment(HOME), from: path(from), to: path(to), held: None })
}

/// One item of a transaction, still to be sealed.
pub(crate) type Item = Box<dyn FnOnce(&mut World) -> TransactItem>;

pub(crate) fn transact(items: Vec<Item>) -> Request {
    Box::new(move |world| {
        let items = items.into_iter().map(|item| item(world)).collect();
        Command::Transact { environment: environment(HOME), items }
    })
}

pub(crate) fn putting(at: &'static str, expect: Option<Expectation>) -> Item {
    Box::new(move |world| {
        let change = TransactChange::Put { sealed: Box::new(world.seal("transacted value")), about: Box::default() };
        TransactItem { path: path(at), expect, change }
    })
}

pub(crate) fn deleting(at: &'static str) -> Item {
    Box::new(move |_| TransactItem { path: path(at), expect: None, change: TransactChange::Delete })
}

pub(crate) fn checking(at: &'static str, expect: Option<Expectation>) -> Item {
    Box::new(move |_| TransactItem { path: path(at), expect, change: TransactChange::Check })
}

pub(crate) fn list_environments() -> Request {
    Box::new(|_| Command::ListEnvironments)
}

pub(crate) fn create_environment(name: &'static str) -> Request {
    Box::new(move |world| {
        let id = u128::from(world.draw()).to_be_bytes();
        Command::CreateEnvironment { name: environment(name), id, description: String::new(), wrapped_key: wrapped_key(name) }
    })
}

/// Makes a token for `who`; nobody shows it unless the specification says so.
pub(crate) fn create_token(who: &'static str, policies: &'static [&'static str]) -> Request {
    create_token_for_ms(who, policies, 0)
}

pub(crate) fn create_token_for_ms(who: &'static str, policies: &'static [&'static str], ttl_ms: u64) -> Request {
    Box::new(move |world| {
        let policies = policies.iter().map(|name| policy(name)).collect();
        Command::CreateToken(Box::new(TokenWish::plain(world.draw_hash(), principal(who), policies, ttl_ms)))
    })
}

pub(crate) fn lookup_self() -> Request {
    Box::new(|_| Command::LookupSelf)
}

pub(crate) fn list_tokens() -> Request {
    Box::new(|_| Command::ListTokens)
}

/// Revokes the token that `whose` shows.
pub(crate) fn revoke(whose: &'static str) -> Request {
    Box::new(move |world| Command::RevokeToken { accessor: world.accessor(whose) })
}

pub(crate) fn put_policy(name: &'static str, rules: Vec<Rule>) -> Request {
    Box::new(move |_| Command::PutPolicy { name: policy(name), rules })
}

pub(crate) fn read_policy(name: &'static str) -> Request {
    Box::new(move |_| Command::ReadPolicy { name: policy(name) })
}

pub(crate) fn list_policies() -> Request {
    Box::new(|_| Command::ListPolicies)
}

pub(crate) fn delete_policy(name: &'static str) -> Request {
    Box::new(move |_| Command::DeletePolicy { name: policy(name) })
}

/// A look at the journal, or something else that was sent as one.
pub(crate) fn audit_as(operation: Operation) -> Request {
    Box::new(move |_| Command::Audit { operation, subject: "x".into() })
}

/// A question about node 3, or something else that was sent as one.
pub(crate) fn cluster_as(operation: Operation) -> Request {
    Box::new(move |_| Command::Cluster { operation, node: 3 })
}

pub(crate) fn query_audit(subject: &'static str) -> Request {
    Box::new(move |_| Command::Audit { operation: Operation::AuditQuery, subject: subject.into() })
}

pub(crate) fn promote(node: u64) -> Request {
    Box::new(move |_| Command::Cluster { operation: Operation::ClusterPromote, node })
}

/// What a door makes of a request that does not parse.
pub(crate) fn malformed(subject: &'static str, why: &'static str) -> Request {
    Box::new(move |_| Command::Malformed {
        operation: Operation::SecretPut,
        environment: HOME.into(),
        subject: subject.into(),
        rejection: node_domain::Rejection::invalid(why),
    })
}

// What is said about a secret.

pub(crate) fn of_type(kind: SecretType) -> AboutChange {
    AboutChange { kind: Some(kind), ..AboutChange::default() }
}

pub(crate) fn valid_for_ms(ttl_ms: u64) -> AboutChange {
    AboutChange { ttl_ms: Some(ttl_ms), ..AboutChange::default() }
}

pub(crate) fn keeping(max_versions: u32) -> AboutChange {
    AboutChange { max_versions: Some(max_versions), ..AboutChange::default() }
}

pub(crate) fn described(description: &str) -> AboutChange {
    AboutChange { description: Some(description.into()), ..AboutChange::default() }
}

pub(crate) fn tagged(tags: &[&str]) -> AboutChange {
    AboutChange { tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()), ..AboutChange::default() }
}

// Conditions and roles.

/// As `granted`, under conditions.
pub(crate) fn granted_when(who: &'static str, words: &'static str, pattern: &'static str, conditions: Conditions) -> Fact {
    Box::new(move |world| world.rule_of(who, Rule { conditions, ..rule(words, pattern) }))
}

/// As `denied`, under conditions.
pub(crate) fn denied_when(who: &'static str, words: &'static str, pattern: &'static str, conditions: Conditions) -> Fact {
    Box::new(move |world| world.rule_of(who, Rule { deny: true, conditions, ..rule(words, pattern) }))
}

/// Requests come from there, or from nobody knows where.
pub(crate) fn calling_from(address: Option<&'static str>) -> Fact {
    Box::new(move |world| world.address = address.map(|text| text.parse().unwrap()))
}

pub(crate) fn within(networks: &[&str]) -> Conditions {
    Conditions { addresses: networks.iter().map(|network| network.parse().unwrap()).collect(), ..Conditions::default() }
}

pub(crate) fn during(hours: &str) -> Conditions {
    Conditions { hours: Some(Hours::parse(hours).unwrap()), ..Conditions::default() }
}

pub(crate) fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

fn roles(names: &[&str]) -> Vec<RoleName> {
    names.iter().map(|name| role(name)).collect()
}

/// Root made a token for `who` with these policies and roles.
pub(crate) fn holds_roles(who: &'static str, policies: &'static [&'static str], names: &'static [&'static str]) -> Fact {
    Box::new(move |world| {
        let policies = policies.iter().map(|name| policy(name)).collect();
        world.token_with_roles("root", who, policies, roles(names), 0);
    })
}

/// Makes a token with roles.
pub(crate) fn create_token_with(who: &'static str, policies: &'static [&'static str], names: &'static [&'static str]) -> Request {
    Box::new(move |world| {
        let policies = policies.iter().map(|name| policy(name)).collect();
        let wish = TokenWish::plain(world.draw_hash(), principal(who), policies, 0);
        Command::CreateToken(Box::new(TokenWish { roles: roles(names), ..wish }))
    })
}

pub(crate) fn put_role(name: &'static str, policies: &'static [&'static str]) -> Request {
    Box::new(move |_| Command::PutRole {
        name: role(name),
        description: String::new(),
        policies: policies.iter().map(|name| policy(name)).collect(),
    })
}

pub(crate) fn read_role(name: &'static str) -> Request {
    Box::new(move |_| Command::ReadRole { name: role(name) })
}

pub(crate) fn list_roles() -> Request {
    Box::new(|_| Command::ListRoles)
}

pub(crate) fn delete_role(name: &'static str) -> Request {
    Box::new(move |_| Command::DeleteRole { name: role(name) })
}

/// Whether somebody may read something in production.
pub(crate) fn question(whom: Whom, at: &str) -> Question {
    Question {
        whom,
        capability: Capability::Read,
        environment: Some(environment(HOME)),
        subject: at.to_owned(),
        address: None,
        at: None,
        mfa: None,
        token_age_ms: None,
    }
}

pub(crate) fn test_policy(question: Question) -> Request {
    Box::new(move |_| Command::TestPolicy(Box::new(question)))
}

pub(crate) fn simulate_policy(name: &'static str, rules: Vec<Rule>) -> Request {
    Box::new(move |_| Command::SimulatePolicy { name: policy(name), rules })
}
