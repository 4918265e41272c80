//! Tokens: made by those who may, never for more than they hold themselves, and ended by stamps alone.

use super::*;
use node_domain::command::TokenWish;
use node_domain::ids::Accessor;
use node_domain::state::Piece;
use node_domain::token::Token;
use node_domain::{Command, Context, Event, decide, limits};
use std::sync::Arc;

#[test]
fn a_token_is_made_for_a_principal_with_policies_that_are_there() {
    given([done(put_policy("readers", vec![rule("read", "*")])), added("a", 1), holds_token("ana", &["readers"], 0)])
        .when("ana", read("a"))
        .then_reads(["a v1"])
        .when("root", create_token("bob", &["readers"]))
        .recording(["token.create - bob done"])
        .when("root", create_token("bob", &["writers"]))
        .then_refuses("policy writers does not exist")
        .recording(["token.create - bob refused"])
        .when("root", create_token("bob", &[]))
        .then_refuses("a token has 1 to 256 policies, or a role");
}

#[test]
fn a_token_has_at_most_256_policies() {
    let with = |count: usize| -> Request {
        let policies = vec![policy("root"); count];
        Box::new(move |_| Command::CreateToken(Box::new(TokenWish::plain([5; 32], principal("bob"), policies, 0))))
    };
    given([])
        .when("root", with(limits::TOKEN_POLICIES_MAX + 1))
        .then_refuses("a token has 1 to 256 policies, or a role")
        .when("root", with(limits::TOKEN_POLICIES_MAX))
        .then_is_done();
}

#[test]
fn a_token_is_known_by_its_hash_and_made_once() {
    let make = || -> Request {
        Box::new(|_| Command::CreateToken(Box::new(TokenWish::plain([5; 32], principal("bob"), vec![policy("root")], 0))))
    };
    let accessor = Accessor::of(&[5; 32]);
    given([]).when("root", make()).when("root", make()).then_refuses(&format!("token {accessor} exists already"));
}

#[test]
fn making_tokens_needs_the_capability_on_the_principal() {
    given([granted("ana", "tokens", "ci-*")])
        .when("ana", create_token("ci-build", &["of-ana"]))
        .recording(["token.create - ci-build done"])
        .by("ana")
        .when("ana", create_token("bob", &["of-ana"]))
        .then_denies("ana may not tokens bob in the system: no rule allows it")
        .recording(["token.create - bob denied"]);
}

#[test]
fn nobody_grants_a_policy_that_he_does_not_hold() {
    given([granted("ana", "tokens", "*"), granted("bob", "read", "*")])
        .when("ana", create_token("carol", &["of-bob"]))
        .then_denies("ana may not grant policy of-bob in the system: only the holder of a policy may grant it")
        .recording(["token.create - carol denied"])
        .when("ana", create_token("carol", &["of-ana", "root"]))
        .then_denies("ana may not grant policy root in the system: only the holder of a policy may grant it")
        .when("ana", create_token("carol", &["of-ana"]))
        .then_is_done();
}

#[test]
fn whoever_holds_root_grants_any_policy() {
    given([granted("bob", "read", "*"), holds_token("ana", &["root"], 0)])
        .when("ana", create_token("carol", &["of-bob", "root"]))
        .then_is_done();
}

#[test]
fn a_token_counts_until_its_last_stamp() {
    let world = given([granted("x", "read", "*"), added("a", 1), holds_token("ana", &["of-x"], 60_000)]);
    let end = world.end_of_token("ana").unwrap();
    let mut world = world;
    world.now.0 = end.0 - 1_001;
    let mut world = world.when("ana", read("a")).then_reads(["a v1"]).by("ana").world;
    world.now.0 = end.0 - 1_000;
    world.when("ana", read("a")).then_is_not_authenticated().recording(["secret.read production a denied"]);
}

#[test]
fn a_clock_that_goes_back_does_not_wake_a_token_that_has_ended() {
    given([granted("x", "read", "*"), added("a", 1), holds_token("ana", &["of-x"], 60_000), later_ms(60_000)])
        .when("ana", read("a"))
        .then_is_not_authenticated()
        .and(earlier_ms(50_000))
        .when("ana", read("a"))
        .then_is_not_authenticated();
}

#[test]
fn a_token_never_outlives_the_one_that_made_it() {
    let world = given([granted("x", "tokens", "*"), holds_token("ana", &["of-x"], 60_000)]);
    let end = world.end_of_token("ana");
    for ttl_ms in [0, 60_001, u64::MAX] {
        let hash = [9; 32];
        let made = Command::CreateToken(Box::new(TokenWish::plain(hash, principal("bob"), vec![policy("of-x")], ttl_ms)));
        let world = given([granted("x", "tokens", "*"), holds_token("ana", &["of-x"], 60_000)]);
        let world = world.when("ana", Box::new(|_| made)).then_is_done();
        assert_eq!(world.state.token_by_accessor(&Accessor::of(&hash)).unwrap().expires, world.end_of_token("ana"), "{ttl_ms}");
    }
    let mut world = world;
    world.token_for("ana", "bob", vec![policy("of-x")], 1_000);
    assert!(world.end_of_token("bob") < end);
}

#[test]
fn a_token_for_ever_is_made_by_a_token_for_ever() {
    let world = given([granted("ana", "tokens", "*")]);
    assert_eq!(world.end_of_token("ana"), None);
}

#[test]
fn a_revoked_token_counts_no_more() {
    given([granted("ana", "read", "*"), added("a", 1)])
        .when("root", revoke("ana"))
        .recording(["token.revoke - ana done"])
        .when("ana", read("a"))
        .then_is_not_authenticated();
}

#[test]
fn anybody_may_revoke_his_own_token() {
    given([granted("ana", "read", "*")]).when("ana", revoke("ana")).recording(["token.revoke - ana done"]).by("ana");
}

#[test]
fn revoking_the_token_of_another_needs_the_capability_on_him() {
    given([granted("ana", "tokens", "ci-*"), granted("ci-build", "read", "*"), granted("bob", "read", "*")])
        .when("ana", revoke("ci-build"))
        .recording(["token.revoke - ci-build done"])
        .when("ana", revoke("bob"))
        .and(granted("carol", "tokens", "*"))
        .when("carol", revoke("bob"))
        .recording(["token.revoke - bob done"]);
}

#[test]
fn a_token_that_is_not_there_cannot_be_revoked() {
    let accessor = Accessor([3; 12]);
    given([])
        .when("root", Box::new(move |_| Command::RevokeToken { accessor }))
        .then_refuses("token 030303030303030303030303 does not exist")
        .recording(["token.revoke - 030303030303030303030303 refused"]);
}

#[test]
fn anybody_may_look_up_his_own_token_and_the_record_names_it() {
    let world = given([granted("ana", "read", "db/*")]);
    let accessor = world.accessor("ana");
    world.when("ana", lookup_self()).recording([&format!("token.lookup-self - {accessor} done")]);
}

#[test]
fn listing_tokens_needs_the_capability_on_all_of_them() {
    given([granted("ana", "tokens", "*"), granted("bob", "tokens", "ci-*")])
        .when("ana", list_tokens())
        .recording(["token.list - - done"])
        .when("bob", list_tokens())
        .then_denies("bob may not tokens  in the system: no rule allows it")
        .recording(["token.list - - denied"]);
}

#[test]
fn nobody_is_called_like_the_cluster_itself() {
    given([granted("ana", "tokens", "*")])
        .when("root", create_token("holdfast", &["root"]))
        .then_refuses("the principal holdfast is the cluster itself: name another")
        .recording(["token.create - holdfast refused"])
        .when("ana", create_token("holdfast", &["of-ana"]))
        .then_refuses("the principal holdfast is the cluster itself: name another")
        .and(granted("bob", "tokens", "ci-*"))
        .when("bob", create_token("holdfast", &["of-bob"]))
        .then_denies("bob may not tokens holdfast in the system: no rule allows it");
}

#[test]
fn only_who_holds_the_policy_root_names_somebody_root() {
    given([granted("ana", "tokens", "*"), holds_token("bob", &["root"], 0)])
        .when("ana", create_token("root", &["of-ana"]))
        .then_denies("ana may not tokens root in the system: only a holder of the policy root may make a token for root")
        .recording(["token.create - root denied"])
        .when("bob", create_token("root", &["of-ana"]))
        .recording(["token.create - root done"])
        .by("bob");
}

/// A world in which `count` tokens for `late` have ended, one after the other, and one has not.
fn ended(count: usize) -> World {
    let world = given([granted("x", "read", "*"), holds_token("living", &["of-x"], 3_600_000)]);
    // The last that was made is the first to end.
    let world = (0..count).fold(world, |world, at| world.and(holds_token("late", &["of-x"], 600_000 - 10_000 * at as u64)));
    world.and(later_ms(600_000))
}

#[test]
fn a_new_token_takes_the_place_of_those_that_have_ended() {
    let asked = ended(2).when("root", create_token("new", &["of-x"])).recording([
        "token.revoke - late done",
        "token.revoke - late done",
        "token.create - new done",
    ]);
    let made = asked.world.state.tokens().find(|token| token.principal.as_str() == "new").unwrap();
    assert_eq!(made.created, asked.world.state.stamp());
    let mut names: Vec<_> = asked.world.state.tokens().map(|token| token.principal.to_string()).collect();
    names.sort();
    assert_eq!(names, ["living", "new", "root", "x"]);
    asked.when("root", create_token("newer", &["of-x"])).recording(["token.create - newer done"]);
}

#[test]
fn a_new_token_takes_away_sixteen_at_most_and_those_first_that_ended_first() {
    let world = ended(limits::TOKENS_SWEPT_MAX + 3);
    let ends: Vec<_> = world.state.tokens_ended_by(world.now).map(|token| token.accessor).collect();
    assert_eq!(ends.len(), limits::TOKENS_SWEPT_MAX + 3);
    let asked = world.when("root", create_token("new", &["of-x"]));
    let gone = asked.decision.events.iter().filter_map(|event| match event {
        Event::TokenRevoked { accessor, .. } => Some(*accessor),
        _ => None,
    });
    let gone: Vec<_> = gone.collect();
    assert_eq!(gone, ends[..limits::TOKENS_SWEPT_MAX]);
    let asked = asked.when("root", create_token("newer", &["of-x"]));
    assert_eq!(asked.decision.events.len(), 3 + 1);
    assert_eq!(asked.world.state.tokens_ended_by(asked.world.now).count(), 0);
}

#[test]
fn a_refused_token_takes_nothing_away() {
    let asked = ended(2).when("root", create_token("new", &["nowhere"])).then_refuses("policy nowhere does not exist");
    assert_eq!(asked.world.state.tokens().count(), 5);
}

#[test]
fn a_token_for_which_there_is_no_room_is_refused_unless_some_have_ended() {
    let founded = given([]).state;
    let root = Token::clone(founded.authenticate(Some(&[0; 32]), None, founded.stamp()).unwrap());
    let mut full = founded.clone();
    for at in founded.tokens().count() as u64..limits::TOKENS_MAX as u64 {
        let mut hash = [7; 32];
        hash[..8].copy_from_slice(&at.to_be_bytes());
        let expires = (at == 1).then_some(founded.stamp().plus_ms(60_000));
        let mut accessor = [7; 12];
        accessor[..8].copy_from_slice(&at.to_be_bytes());
        let token = Token { hash, accessor: Accessor(accessor), expires, ..root.clone() };
        full.take(Piece::Token(Arc::new(token))).unwrap();
    }
    let make = |after_ms| {
        let stamp = founded.stamp().plus_ms(after_ms);
        let context = Context { stamp, credential: Some([0; 32]), address: None, request: [1; 16], fingerprint: 1 };
        let (hash, principal, policies) = ([9; 32], principal("bob"), vec![policy("root")]);
        decide(&full, &context, Command::CreateToken(Box::new(TokenWish::plain(hash, principal, policies, 0))))
            .map(|(events, _)| events.len())
    };
    assert_eq!(make(59_999).unwrap_err().to_string(), "there are 1000000 live tokens already: revoke some");
    assert_eq!(make(60_000), Ok(2));
}
