//! A new version of an environment's key, values brought under it, and the old one gone.

use super::super::world::HOME;
use super::super::*;
use super::{ask, put_under, retire, rewrap, rotate, wrapped};
use node_domain::keys::{KeysAnswer, KeysCommand};
use node_domain::{Answer, Event, limits};

fn versions(world: &World) -> Vec<u32> {
    world.state.environment(&environment(HOME)).unwrap().about.keys.iter().map(|(version, _)| *version).collect()
}

fn uses(world: &World, version: u32) -> u64 {
    world.state.keys().uses(&environment(HOME), version)
}

#[test]
fn a_rotation_adds_a_version_and_every_value_stays_readable() {
    let asked = given([added("db/password", 1)])
        .when("root", rotate(HOME, 2))
        .then_answers(Answer::Keys(Box::new(KeysAnswer::Version(2))))
        .recording(["key.rotate production - v2 done", "alert.raise - the key of production v2 done"])
        .by("root");
    assert_eq!(versions(&asked.world), [1, 2]);
    let asked = asked.when("root", read("db/password"));
    assert!(asked.answer.is_ok());
    assert_eq!((uses(&asked.world, 1), uses(&asked.world, 2)), (1, 0));
}

#[test]
fn the_journal_keeps_the_digest_of_a_wrapped_key_and_not_the_key() {
    let asked = given([]).when("root", rotate(HOME, 2));
    let Event::Keys(event) = &asked.decision.events[0] else { panic!("it was rotated") };
    let node_domain::keys::KeysEvent::EnvironmentKeyAdded { wrapped_key, key_digest, .. } = event else { panic!("{event:?}") };
    assert_eq!(*key_digest, *blake3::hash(wrapped_key).as_bytes());
    assert_ne!(event.without_payload().as_ref(), Some(event));
}

#[test]
fn rotating_needs_the_capability_on_the_name_of_the_environment() {
    given([granted("ana", "keys", "staging")])
        .when("ana", rotate(HOME, 2))
        .then_denies("ana may not keys production in the system: no rule allows it")
        .recording(["key.rotate production - denied"])
        .when("ana", rotate("staging", 2))
        .recording(["key.rotate staging - v2 done", "alert.raise - the key of staging v2 done"]);
}

#[test]
fn of_two_rotations_at_once_one_counts() {
    given([])
        .when("root", rotate(HOME, 2))
        .when("root", rotate(HOME, 2))
        .then_refuses("the key of production is at v2, not v1")
        .when("root", rotate(HOME, 4))
        .then_refuses("the key of production is at v2, not v3");
}

#[test]
fn there_are_at_most_sixteen_versions_at_once() {
    let mut world = given([]);
    for version in 2..=u32::try_from(limits::ENVIRONMENT_KEYS_MAX).unwrap() {
        world = world.when("root", rotate(HOME, version)).then_is_done();
    }
    world
        .when("root", rotate(HOME, 17))
        .then_refuses("production has 16 versions of its key already: wait until the older ones are retired");
}

#[test]
fn a_value_may_be_sealed_by_any_version_that_is_not_retired() {
    let world = given([]).when("root", rotate(HOME, 2)).then_is_done();
    world
        .when("root", put_under("a", 1))
        .then_writes(1)
        .when("root", put_under("b", 2))
        .then_writes(1)
        .when("root", put_under("c", 3))
        .then_refuses("the value is sealed by a key that the environment does not have");
}

#[test]
fn a_rewrapped_value_is_the_same_version_of_the_same_value() {
    let world = given([added("db/password", 1), added("db/password", 2)]).when("root", rotate(HOME, 2)).then_is_done();
    let before = world.secret("db/password");
    let asked = world
        .when("holdfast", rewrap(2, &[("db/password", 1), ("db/password", 2)]))
        .recording(["key.rewrap production - v2 done"])
        .by("holdfast");
    let after = asked.world.secret("db/password");
    for (old, new) in before.versions.iter().zip(&after.versions) {
        assert_eq!((new.seal.key_version, new.seal.value_id), (2, old.seal.value_id));
        assert_ne!(new.seal.digest, old.seal.digest, "other bytes fit it now");
        let same = node_domain::secret::Version { seal: old.seal.clone(), ..new.clone() };
        assert_eq!(same, *old, "nothing else of the version changed");
    }
    assert_eq!(after.updated, before.updated);
    assert_eq!((uses(&asked.world, 1), uses(&asked.world, 2)), (0, 2));
}

#[test]
fn what_changed_while_it_was_rewrapped_is_left_out() {
    let world = given([added("a", 1), added("b", 1), added("c", 1)]).when("root", rotate(HOME, 2)).then_is_done();
    let world = world.when("root", destroy_those("a", these(&[1]))).then_is_done();
    let asked = world.when("holdfast", rewrap(2, &[("a", 1), ("b", 1), ("never", 1)]));
    assert_eq!((uses(&asked.world, 1), uses(&asked.world, 2)), (1, 1), "only b moved, and c is left");
    asked
        .when("holdfast", rewrap(2, &[("b", 1)]))
        .then_refuses("none of the values stands as it did when it was rewrapped")
        .when("holdfast", rewrap(1, &[("c", 1)]))
        .then_refuses("none of the values stands as it did when it was rewrapped");
}

#[test]
fn another_value_is_never_taken_for_a_rewrapped_one() {
    let world = given([added("a", 1), added("b", 1)]).when("root", rotate(HOME, 2)).then_is_done();
    let swapped: Request = Box::new(|world| {
        let other = super::under(&world.fetch(HOME, "b", Some(1)), 2);
        let secret = world.secret("a").id;
        let items = vec![node_domain::keys::Rewrap { path: path("a"), secret, version: 1, sealed: other }];
        let upkeep = node_domain::keys::KeysUpkeep::Rewrap { environment: environment(HOME), items };
        node_domain::Command::Upkeep(Box::new(node_domain::command::Upkeep::Keys(upkeep)))
    });
    world.when("holdfast", swapped).then_refuses("none of the values stands as it did when it was rewrapped");
}

#[test]
fn a_key_is_retired_when_no_value_needs_it() {
    let world = given([added("a", 1), added("b", 1)]).when("root", rotate(HOME, 2)).then_is_done();
    let asked = world
        .when("holdfast", retire(1))
        .then_refuses("what v1 of the key of production wraps is at 2 values, not none")
        .when("root", destroy_those("a", these(&[1])))
        .when("holdfast", rewrap(2, &[("b", 1)]))
        .when("holdfast", retire(1))
        .recording(["key.retire production - v1 done"]);
    assert_eq!(versions(&asked.world), [2]);
    asked
        .when("root", put_under("c", 1))
        .then_refuses("the value is sealed by a key that the environment does not have")
        .when("root", rotate(HOME, 3))
        .recording(["key.rotate production - v3 done", "alert.raise - the key of production v3 done"]);
}

#[test]
fn the_newest_key_and_one_that_is_not_there_are_not_retired() {
    given([])
        .when("holdfast", retire(1))
        .then_refuses("older key of environment production v1 does not exist")
        .when("holdfast", retire(7))
        .then_refuses("older key of environment production v7 does not exist");
}

#[test]
fn a_copy_and_a_rollback_of_a_value_that_was_rewrapped_meanwhile_still_count() {
    let world = given([added("a", 1), added("a", 2)]).when("root", rotate(HOME, 2)).then_is_done();
    let mut world = world;
    let (old, older) = (world.fetch(HOME, "a", Some(2)), world.fetch(HOME, "a", Some(1)));
    let copy =
        node_domain::Command::Copy { environment: environment(HOME), from: path("a"), to: path("b"), sealed: old, expect: None };
    let rollback =
        node_domain::Command::Rollback { environment: environment(HOME), path: path("a"), to: 1, sealed: older, expect: None };
    world
        .when("holdfast", rewrap(2, &[("a", 1), ("a", 2)]))
        .when("root", Box::new(|_| copy))
        .then_writes(1)
        .when("root", Box::new(|_| rollback))
        .then_writes(3);
}

#[test]
fn the_system_has_a_key_of_its_own() {
    let rotate = |version| ask(KeysCommand::RotateSystem { version, wrapped_key: wrapped("system") });
    let asked = given([])
        .when("root", rotate(2))
        .then_refuses("the key of the system is at v0, not v1")
        .when("root", rotate(1))
        .recording(["key.rotate-system - - v1 done"])
        .when("root", rotate(2))
        .recording(["key.rotate-system - - v2 done", "alert.raise - the key of the system v2 done"]);
    assert_eq!(asked.world.state.keys().system().map(|(version, _)| version).collect::<Vec<_>>(), [1, 2]);
    given([granted("ana", "keys", "production")])
        .when("ana", rotate(1))
        .then_denies("ana may not keys system in the system: no rule allows it");
}

#[test]
fn an_empty_or_overlong_wrapped_key_is_refused() {
    for bytes in [0, limits::WRAPPED_KEY_BYTES_MAX + 1] {
        let wrapped_key = vec![1; bytes].into();
        given([])
            .when("root", ask(KeysCommand::RotateEnvironment { environment: environment(HOME), version: 2, wrapped_key }))
            .then_refuses("a wrapped key has 1 to 256 bytes");
    }
}
