//! A new root key: everything is wrapped anew by one record, or nothing is.

use super::super::world::{ELSEWHERE, HOME};
use super::super::*;
use super::{ask, rotate, seal, upkeep, wrapped};
use node_domain::keys::{KeysCommand, KeysUpkeep, SealAbout, WrappedRoots};
use node_domain::operation::Operation;

/// What the leader wraps anew, as the state has it.
fn all_wrapped(world: &World, name: &str) -> WrappedRoots {
    let state = &world.state;
    let environments = state.environments().map(|environment| {
        let keys = environment.about.keys.iter().map(|(version, _)| (*version, wrapped(name)));
        (environment.about.name.clone(), keys.collect())
    });
    let system = state.keys().system().map(|(version, _)| (version, wrapped(name)));
    WrappedRoots { environments: environments.collect(), system: system.collect() }
}

fn rotate_root(version: u32, change: impl FnOnce(&mut WrappedRoots) + 'static) -> Request {
    Box::new(move |world| {
        let mut wrapped = all_wrapped(world, &format!("by root v{version}"));
        change(&mut wrapped);
        upkeep(KeysUpkeep::RotateRoot { version, wrapped })(world)
    })
}

#[test]
fn a_new_root_key_wraps_every_key_of_the_state() {
    let asked = given([added("a", 1)])
        .when("root", rotate(HOME, 2))
        .when("root", ask(KeysCommand::RotateSystem { version: 1, wrapped_key: wrapped("system") }))
        .when("root", seal(ELSEWHERE))
        .when("holdfast", rotate_root(2, |_| {}))
        .recording(["key.rotate-root - - v2 done", "alert.raise - the root key v2 done"])
        .by("holdfast");
    let state = &asked.world.state;
    assert_eq!(state.keys().root(), 2);
    assert_eq!(all_wrapped(&asked.world, "by root v2"), {
        let environments = state.environments().map(|found| (found.about.name.clone(), found.about.keys.clone()));
        let system = state.keys().system().map(|(version, key)| (version, key.clone()));
        WrappedRoots { environments: environments.collect(), system: system.collect() }
    });
}

#[test]
fn a_key_that_is_missing_or_left_over_lets_the_whole_rotation_wait() {
    let words = "keys were added or retired while the root key was rotated: it is tried again";
    let world = given([]).when("root", rotate(HOME, 2)).then_is_done();
    world
        .when("holdfast", rotate_root(2, |wrapped| drop(wrapped.environments.pop())))
        .then_refuses(words)
        .when("holdfast", rotate_root(2, |wrapped| drop(wrapped.environments[0].1.pop())))
        .then_refuses(words)
        .when("holdfast", rotate_root(2, |all| all.system.push((1, wrapped("more")))))
        .then_refuses(words)
        .when("holdfast", rotate_root(2, |wrapped| wrapped.environments.reverse()))
        .then_refuses(words)
        .when("holdfast", rotate_root(2, |_| {}))
        .recording(["key.rotate-root - - v2 done", "alert.raise - the root key v2 done"]);
}

#[test]
fn versions_of_the_root_key_are_dense_and_the_same_may_be_said_twice() {
    given([])
        .when("holdfast", rotate_root(3, |_| {}))
        .then_refuses("the root key is at v1, not v2")
        .when("holdfast", rotate_root(2, |_| {}))
        .when("holdfast", rotate_root(2, |_| {}))
        .recording(["key.rotate-root - - v2 done"])
        .when("holdfast", rotate_root(1, |_| {}))
        .then_refuses("the root key is at v2, not v0");
}

#[test]
fn questions_about_keys_need_the_capability_and_are_journalled() {
    let about = |operation| ask(KeysCommand::Ask { operation, subject: "root".into() });
    given([granted("ana", "keys", "root")])
        .when("ana", about(Operation::KeyRotateRoot))
        .recording(["key.rotate-root - root done"])
        .when("ana", about(Operation::SecretRead))
        .then_refuses("secret.read is not a question about keys")
        .when("eve", about(Operation::KeyStatus))
        .then_is_not_authenticated();
}

#[test]
fn a_changed_seal_is_remembered_by_its_generation() {
    let changed = |generation| {
        let seal = SealAbout { kind: "shamir".into(), shares: 5, threshold: 3, set: "0011".into(), generation };
        upkeep(KeysUpkeep::SealChanged(seal))
    };
    let asked = given([])
        .when("holdfast", changed(4))
        .recording(["seal.rekey - shamir v4 done", "alert.raise - the seal, generation 4 done"]);
    assert_eq!(asked.world.state.keys().seal().map(|seal| seal.generation), Some(4));
    asked.when("holdfast", changed(3)).then_refuses("the seal is at generation 4, not generation 3");
}

#[test]
fn nodes_say_that_they_were_unsealed_and_are_about_to_be_sealed() {
    given([])
        .when("holdfast", upkeep(KeysUpkeep::NodeUnsealed { node: 2, kind: "shamir".into() }))
        .recording(["seal.unseal - node-2 done", "alert.raise - node-2 unsealed done"])
        .by("holdfast")
        .when("root", ask(KeysCommand::SealNode { node: 2 }))
        .recording(["seal.seal - node-2 done", "alert.raise - node-2 sealed done"])
        .by("root");
    let world = given([granted("ana", "keys", "*")]);
    let alone = KeysUpkeep::NodeSealedAlone { node: 3, accessor: world.accessor("ana"), at_ms: 1_790_000_000_000 };
    world
        .when("holdfast", upkeep(alone))
        .recording(["seal.seal - node-3 done", "alert.raise - node-3 sealed alone done"])
        .by("holdfast");
    given([granted("ana", "keys", "node-1")])
        .when("ana", ask(KeysCommand::SealNode { node: 2 }))
        .then_denies("ana may not keys node-2 in the system: no rule allows it");
}

#[test]
fn whoever_opens_the_seal_gets_a_token_of_root_though_the_first_is_gone() {
    let first = given([added("a", 1)]).when("root", revoke("root")).then_is_done();
    let mut world = first.when("root", read("a")).then_is_not_authenticated().world;
    world.hold("root", [8; 32]);
    let accessor = world.accessor("root");
    let asked = world
        .when("holdfast", upkeep(KeysUpkeep::MintRoot { token: [8; 32], ttl_ms: 3_600_000 }))
        .recording([
            &format!("seal.root - {accessor} done"),
            "token.create - root done",
            &format!("alert.raise - root token {accessor} done"),
        ])
        .by("holdfast")
        .when("root", read("a"))
        .then_reads(["a v1"]);
    asked.and(later_ms(3_600_000)).when("root", read("a")).then_is_not_authenticated();
}
