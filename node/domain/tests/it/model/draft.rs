//! What may happen on a random walk: few names, so that people meet; all commands, fitting ones more often than others.

use super::wish::{Allow, Expect, Said, Which};
use node_domain::operation::Operation;
use node_domain::secret::SecretType;
use proptest::prelude::*;
use proptest::sample::select;

/// One step of a walk, before it is known what stands where.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// How the clock moves before it, in microseconds; back where it is negative.
    pub(super) tick_us: i64,
    /// The number of the token that is shown; some belong to nobody.
    pub(super) token: u8,
    pub(super) ticket: Ticket,
    pub(super) ask: DraftAsk,
}

/// Under which request id it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ticket {
    Fresh,
    /// The request so many steps ago, once more, by the same caller.
    Repeat(usize),
    /// Another request under the id of the one so many steps ago.
    Reuse(usize),
    /// The request so many steps ago, once more, by whoever this step names.
    Steal(usize),
}

/// An expectation, relative to what stands there.
#[derive(Clone, Copy, Debug)]
pub(super) enum DraftExpect {
    Anything,
    Absent,
    Newest,
    Stale,
}

/// The value that comes with a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DraftValue {
    Honest,
    /// Of another version, where it matters.
    Other,
    NotWhole,
}

#[derive(Clone, Debug)]
pub(super) enum DraftChange {
    Put(DraftValue, Said),
    Delete,
    Check,
}

#[derive(Clone, Debug)]
pub(super) enum DraftAsk {
    Put(&'static str, &'static str, DraftValue, DraftExpect, Said, bool),
    Read(&'static str, &'static str, Option<u64>),
    ReadMany(&'static str, Vec<(&'static str, Option<u64>)>),
    SetMetadata(&'static str, &'static str, Said),
    Look(&'static str, &'static str, Operation),
    History(&'static str, &'static str),
    Rollback(&'static str, &'static str, u64, DraftValue, DraftExpect),
    Delete(&'static str, &'static str, Which),
    Undelete(&'static str, &'static str, Which),
    Destroy(&'static str, &'static str, Which),
    Copy(&'static str, &'static str, &'static str, DraftValue, DraftExpect),
    Move(&'static str, &'static str, &'static str),
    Transact(&'static str, Vec<(&'static str, DraftExpect, DraftChange)>),
    CreateEnvironment(&'static str),
    CreateToken(u8, &'static str, Vec<&'static str>, u64),
    Revoke(u8),
    PutPolicy(&'static str, Vec<Allow>),
    ReadPolicy(&'static str),
    DeletePolicy(&'static str),
    Cluster(u64),
    Plain(u8),
}

pub(super) const PLACES: [&str; 2] = ["one", "two"];
const PATHS: [&str; 7] = ["a", "db/a", "db/b", "db/x/a", "db/x/b", "web/a", "web"];
const PATTERNS: [&str; 10] = ["*", "a", "db/*", "db/+", "db/+/a", "+/a", "d*", "web/a", "db/x*", "+/x/*"];
const SYSTEM_PATTERNS: [&str; 6] = ["*", "ana", "team-*", "node-1", "all", "th*"];
const PRINCIPALS: [&str; 5] = ["ana", "bob", "carol", "root", "holdfast"];
const WORDS: [&str; 12] = [
    "read",
    "create",
    "update",
    "list",
    "metadata",
    "delete",
    "destroy",
    "tokens",
    "policies",
    "environments",
    "audit",
    "cluster",
];

fn place() -> impl Strategy<Value = &'static str> {
    prop_oneof![30 => Just("one"), 8 => Just("two"), 2 => Just("three"), 1 => Just("nowhere")]
}

fn path() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just("a"), 4 => Just("db/a"), 5 => select(&PATHS[..])]
}

/// A version, or how far behind the newest it is: 1 is the newest, 0 the one after it.
fn version() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 2 => (0..5u64).prop_map(Some)]
}

fn value() -> impl Strategy<Value = DraftValue> {
    prop_oneof![12 => Just(DraftValue::Honest), 1 => Just(DraftValue::Other), 1 => Just(DraftValue::NotWhole)]
}

fn expect() -> impl Strategy<Value = DraftExpect> {
    let choices = [DraftExpect::Absent, DraftExpect::Newest, DraftExpect::Stale];
    prop_oneof![3 => Just(DraftExpect::Anything), 3 => select(choices.to_vec())]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        4 => Just(Which::Newest),
        2 => Just(Which::All),
        2 => prop::collection::vec(prop_oneof![1 => Just(0), 8 => 1..4u64], 0..3).prop_map(Which::These),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    let owner = prop::option::weighted(0.2, select(vec!["ops".to_owned(), "dev".to_owned()]));
    let kind = prop::option::weighted(0.2, select(SecretType::ALL.to_vec()));
    let tags =
        prop::option::weighted(0.2, prop::collection::vec(select(vec!["x".to_owned(), "y".to_owned(), "z".to_owned()]), 0..4));
    let bad_tags = prop::option::weighted(0.03, Just(vec![String::new()]));
    let max_versions = prop::option::weighted(0.2, select(vec![0, 1, 2, 3, 100, 101]));
    let ttl_ms = prop::option::weighted(0.2, select(vec![0, 1, 60_000, 86_400_000]));
    (owner, kind, tags, bad_tags, max_versions, ttl_ms).prop_map(|(owner, kind, tags, bad_tags, max_versions, ttl_ms)| Said {
        owner,
        kind,
        tags: bad_tags.or(tags),
        max_versions,
        ttl_ms,
    })
}

fn rules() -> impl Strategy<Value = Vec<Allow>> {
    let rule = |patterns: &'static [&'static str], words: &'static [&'static str]| {
        let places = select(vec![None, None, Some("one".to_owned()), Some("two".to_owned())]);
        let words = prop::sample::subsequence(words, 1..=words.len());
        (places, select(patterns), words, prop::bool::weighted(0.15)).prop_map(|(environment, pattern, words, deny)| Allow {
            environment,
            pattern: pattern.to_owned(),
            words,
            deny,
        })
    };
    prop::collection::vec(prop_oneof![3 => rule(&PATTERNS, &WORDS[..7]), 1 => rule(&SYSTEM_PATTERNS, &WORDS[7..])], 0..5)
}

fn change() -> impl Strategy<Value = DraftChange> {
    prop_oneof![
        4 => (value(), said()).prop_map(|(value, said)| DraftChange::Put(value, said)),
        1 => Just(DraftChange::Delete),
        2 => Just(DraftChange::Check),
    ]
}

fn about_secrets() -> BoxedStrategy<DraftAsk> {
    let look = select(vec![Operation::SecretList, Operation::SecretSearch, Operation::SecretWatch]);
    let prefix = select(vec!["", "a", "db/", "db/b", "db/x/", "db/x/q", "w", "web/", "none/"]);
    let items = prop::collection::vec((path(), version()), 0..5);
    let changes = prop_oneof![1 => 0..4usize, 4 => 1..3usize]
        .prop_flat_map(|count| prop::collection::vec((path(), expect(), change()), count));
    prop_oneof![
        10 => (place(), path(), value(), expect(), said(), prop::bool::weighted(0.2))
            .prop_map(|(place, path, value, expect, said, patch)| DraftAsk::Put(place, path, value, expect, said, patch)),
        6 => (place(), path(), version()).prop_map(|(place, path, version)| DraftAsk::Read(place, path, version)),
        2 => (place(), items).prop_map(|(place, items)| DraftAsk::ReadMany(place, items)),
        2 => (place(), path(), said()).prop_map(|(place, path, said)| DraftAsk::SetMetadata(place, path, said)),
        4 => (place(), prefix, look).prop_map(|(place, prefix, look)| DraftAsk::Look(place, prefix, look)),
        1 => (place(), path()).prop_map(|(place, path)| DraftAsk::History(place, path)),
        3 => (place(), path(), 0..5u64, value(), expect())
            .prop_map(|(place, path, to, value, expect)| DraftAsk::Rollback(place, path, to, value, expect)),
        3 => (place(), path(), which()).prop_map(|(place, path, which)| DraftAsk::Delete(place, path, which)),
        4 => (place(), path(), which()).prop_map(|(place, path, which)| DraftAsk::Undelete(place, path, which)),
        1 => (place(), path(), which()).prop_map(|(place, path, which)| DraftAsk::Destroy(place, path, which)),
        3 => (place(), path(), path(), value(), expect())
            .prop_map(|(place, from, to, value, expect)| DraftAsk::Copy(place, from, to, value, expect)),
        2 => (place(), path(), path()).prop_map(|(place, from, to)| DraftAsk::Move(place, from, to)),
        4 => (place(), changes).prop_map(|(place, changes)| DraftAsk::Transact(place, changes)),
    ]
    .boxed()
}

fn about_the_system() -> BoxedStrategy<DraftAsk> {
    let policy = || prop_oneof![1 => Just("team-a"), 8 => select(vec!["team-b", "team-c", "team-d", "deny", "root", "none"])];
    let ttl_ms = select(vec![0, 0, 1, 60_000, 3_600_000]);
    prop_oneof![
        1 => select(vec!["one", "three"]).prop_map(DraftAsk::CreateEnvironment),
        3 => (1..9u8, select(&PRINCIPALS[..]), prop::collection::vec(policy(), 0..3), ttl_ms)
            .prop_map(|(number, principal, policies, ttl_ms)| DraftAsk::CreateToken(number, principal, policies, ttl_ms)),
        1 => (1..9u8).prop_map(DraftAsk::Revoke),
        4 => (policy(), rules()).prop_map(|(name, rules)| DraftAsk::PutPolicy(name, rules)),
        1 => policy().prop_map(DraftAsk::ReadPolicy),
        1 => policy().prop_map(DraftAsk::DeletePolicy),
        1 => (0..3u64).prop_map(DraftAsk::Cluster),
        2 => (0..8u8).prop_map(DraftAsk::Plain),
    ]
    .boxed()
}

pub(super) fn draft() -> impl Strategy<Value = Draft> {
    const SECOND: i64 = 1_000_000;
    let tick = prop_oneof![
        20 => Just(1000),
        4 => Just(0),
        1 => Just(-10 * SECOND),
        2 => Just(20 * SECOND),
        1 => Just(1800 * SECOND),
        1 => Just(40 * 86_400 * SECOND),
    ];
    let token = prop_oneof![8 => Just(0u8), 8 => Just(1), 5 => 2..9u8];
    let ticket = prop_oneof![
        20 => Just(Ticket::Fresh),
        3 => (1..6usize).prop_map(Ticket::Repeat),
        1 => (1..6usize).prop_map(Ticket::Reuse),
        1 => (1..6usize).prop_map(Ticket::Steal),
    ];
    let ask = prop_oneof![5 => about_secrets(), 1 => about_the_system()];
    (tick, token, ticket, ask).prop_map(|(tick_us, token, ticket, ask)| Draft { tick_us, token, ticket, ask })
}

/// What a door makes of the expectation of a patch: it names the version that it merged into.
pub(super) fn door_expects(expect: DraftExpect) -> DraftExpect {
    if matches!(expect, DraftExpect::Anything) { DraftExpect::Newest } else { expect }
}

/// The expectation that is meant where the newest version is this.
pub(super) fn expectation(expect: DraftExpect, newest: u64) -> Expect {
    match expect {
        DraftExpect::Anything => Expect::Anything,
        DraftExpect::Absent => Expect::Absent,
        DraftExpect::Newest => Expect::At(newest),
        DraftExpect::Stale => Expect::At(newest + 1),
    }
}
