//! Whoever may not know whether something exists learns nothing from how he is refused.

use super::journal::EVERY_COMMAND;
use super::*;

/// Asks in two worlds, and asserts that answer and record are the same in both.
#[track_caller]
fn assert_alike(one: World, other: World, who: &str, request: fn() -> Request) {
    let (one, other) = (one.when(who, request()), other.when(who, request()));
    assert!(one.rejection().is_denial(), "{}", one.rejection());
    assert_eq!(one.rejection(), other.rejection());
    assert_eq!(one.lines(), other.lines());
    assert_eq!(one.decision.events, other.decision.events);
}

/// Nothing of what `EVERY_COMMAND` asks for exists in one world, everything in the other.
fn empty_and_full<const N: usize>(facts: fn() -> [Fact; N]) -> (World, World) {
    let full = given(facts())
        .and(added("a", 1))
        .and(added("b", 1))
        .and(added("b", 2))
        .and(done(put_policy("p", vec![])))
        .and(done(create_environment("qa")))
        .and(granted("bob", "read", "*"));
    (given(facts()), full)
}

#[test]
fn whoever_may_nothing_learns_nothing() {
    for (request, _) in EVERY_COMMAND {
        let (empty, full) = empty_and_full(|| [granted("ana", "read", "zzz")]);
        assert_alike(empty, full, "ana", *request);
        let (empty, full) = empty_and_full(|| []);
        assert_alike(empty, full, "nobody", *request);
    }
}

#[test]
fn whoever_is_denied_everything_by_a_rule_learns_nothing() {
    const EVERY: &str = "read create update list metadata delete destroy tokens policies environments audit cluster";
    for (request, _) in EVERY_COMMAND {
        let (empty, full) = empty_and_full(|| [granted("ana", EVERY, "*"), denied("ana", EVERY, "*")]);
        assert_alike(empty, full, "ana", *request);
    }
}

#[test]
fn a_denied_write_does_not_tell_whether_something_stands_there() {
    for word in ["create", "update"] {
        let facts = || [granted("ana", "list", "zzz"), denied("ana", word, "*")];
        for request in [|| put("a"), || copy("zzz", "a"), || transact(vec![putting("a", None)])] as [fn() -> Request; 3] {
            let facts = || [granted("ana", "read", "zzz")].into_iter().chain(facts()).collect::<Vec<_>>();
            let world = |more: Vec<Fact>| facts().into_iter().chain(more).fold(given([]), |world, fact| world.and(fact));
            assert_alike(world(vec![]), world(vec![added("a", 1)]), "ana", request);
        }
    }
}

#[test]
fn whoever_may_not_write_is_told_just_that() {
    given([granted("ana", "read", "*"), added("old", 1)])
        .when("ana", put("old"))
        .then_denies("ana may not write old in production: no rule allows it")
        .when("ana", put("new"))
        .then_denies("ana may not write new in production: no rule allows it")
        .and(denied("ana", "update", "*"))
        .when("ana", put("new"))
        .then_denies("ana may not write new in production: policy of-ana denies *");
}

#[test]
fn a_denied_revocation_does_not_tell_whose_token_it_is_or_that_it_is_one() {
    let facts = || [granted("ana", "tokens", "ci-*"), granted("bob", "read", "*"), denied("ana", "tokens", "bob")];
    let bobs = given(facts()).accessor("bob");
    let there = given(facts()).when("ana", revoke("bob"));
    let gone = given(facts()).and(done(revoke("bob"))).when("ana", revoke("bob"));
    assert_eq!(there.rejection(), gone.rejection());
    assert_eq!(there.decision.events, gone.decision.events);
    there.then_denies(&format!("ana may not tokens {bobs} in the system: no rule allows it"));
}

#[test]
fn a_denied_grant_does_not_tell_whether_the_policy_exists() {
    let facts = || [granted("ana", "tokens", "*")];
    let (one, other) = (given(facts()), given(facts()).and(done(put_policy("p", vec![]))));
    assert_alike(one, other, "ana", || create_token("carol", &["of-ana", "p"]));
}
