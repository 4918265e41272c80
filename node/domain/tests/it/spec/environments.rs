//! Environments: made once, listed by anybody with a token, never mixed.

use super::*;
use node_domain::{Command, Event, limits};

#[test]
fn an_environment_is_made_with_its_first_key() {
    let asked = given([]).when("root", create_environment("qa")).recording(["environment.create qa - done"]);
    let made = asked.world.state.environment(&environment("qa")).unwrap();
    assert_eq!(made.about.keys.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1]);
    assert!(made.secrets.is_empty());
    let Event::EnvironmentCreated { wrapped_key, key_digest, .. } = &asked.decision.events[0] else { panic!("it was made") };
    assert_eq!(made.about.keys[0].1, wrapped_key, "the state has the key");
    assert_eq!(*key_digest, *blake3::hash(wrapped_key).as_bytes(), "the journal has its digest");
    asked.when("root", put_in("qa", "a")).then_writes(1);
}

#[test]
fn an_environment_is_made_once() {
    given([])
        .when("root", create_environment("staging"))
        .then_refuses("environment staging exists already")
        .recording(["environment.create staging - refused"]);
}

#[test]
fn making_an_environment_needs_the_capability_on_its_name() {
    given([granted("ana", "environments", "qa-*")])
        .when("ana", create_environment("qa-one"))
        .recording(["environment.create qa-one - done"])
        .by("ana")
        .when("ana", create_environment("prod"))
        .then_denies("ana may not environments prod in the system: no rule allows it")
        .recording(["environment.create prod - denied"]);
}

#[test]
fn a_description_is_bounded() {
    let described = |bytes: usize| -> Request {
        let description = "x".repeat(bytes);
        Box::new(|_| Command::CreateEnvironment { name: environment("qa"), id: [9; 16], description, wrapped_key: "key".into() })
    };
    given([])
        .when("root", described(limits::TEXT_BYTES_MAX + 1))
        .then_refuses("description is longer than 1024 bytes")
        .when("root", described(limits::TEXT_BYTES_MAX))
        .then_is_done();
}

#[test]
fn there_are_at_most_256_environments() {
    let mut world = given([]);
    for at in 2..limits::ENVIRONMENTS_MAX {
        world = world.and(done(create_environment(format!("e{at}").leak())));
    }
    world.when("root", create_environment("one-more")).then_refuses("there are 256 environments already");
}

#[test]
fn anybody_with_a_token_may_list_environments() {
    given([granted("ana", "read", "db/*")])
        .when("ana", list_environments())
        .recording(["environment.list - - done"])
        .when("nobody", list_environments())
        .then_is_not_authenticated()
        .recording(["environment.list - - denied"]);
}

#[test]
fn asking_for_a_secret_of_an_environment_that_is_not_there_says_so_only_to_who_may() {
    given([granted("ana", "read", "*"), granted_in("production", "bob", "read", "*")])
        .when("ana", read_in("nowhere", "a"))
        .then_refuses("environment nowhere does not exist")
        .when("bob", read_in("nowhere", "a"))
        .then_denies("bob may not read a in nowhere: no rule allows it")
        .when("bob", read_in("staging", "a"))
        .then_denies("bob has no business in staging (a): this attempt is recorded as a violation");
}
