//! What is moved to where it does not belong never opens: one test for each move.

use super::*;
use crate::seal::founding;
use node_domain::command::Upkeep;
use node_domain::ids::Stamp;
use node_domain::keys::{KeysCommand, KeysUpkeep, SealAbout};
use node_domain::{Ask, Command, Head};
use storage_crypto::entropy::SeededEntropy;

const CLUSTER: ClusterId = [7; 16];

/// A founded cluster as one node has it: its state, moved on by real commands, and its keys.
struct World {
    head: Head,
    state: State,
    sealing: Sealing,
    drawn: u8,
}

fn world() -> World {
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(5));
    let sealing = Sealing::new(CLUSTER, Ring::generate(&*entropy), entropy);
    let state = State::empty(CLUSTER);
    let mut world = World { head: Head::new(state.clone()), state, sealing, drawn: 0 };
    let founding = founding(&world.sealing, "hf_root", SealAbout::default()).unwrap();
    world.decide(Command::Found(Box::new(founding)));
    world
}

impl World {
    fn decide(&mut self, command: Command) {
        self.drawn += 1;
        let credential = Some(self.sealing.token_hash("hf_root"));
        let ask = Ask { credential, request: [self.drawn; 16], fingerprint: 0, source: "1/test".into(), address: None };
        let (decision, answer) = self.head.decide(Stamp(1_790_000_000_000_000), ask, command).unwrap();
        answer.unwrap();
        self.state.apply(&decision).unwrap();
        self.sealing.learn(&self.state);
    }

    fn about(&self, name: &str) -> Arc<EnvironmentAbout> {
        self.state.environment(&EnvironmentName::parse(name).unwrap()).unwrap().about.clone()
    }

    fn seal(&self, environment: &str, text: &str) -> Sealed {
        self.sealing.seal(&self.about(environment), text.as_bytes(), false).unwrap()
    }

    fn open(&self, environment: &str, seal: &SealRef, payload: &Payload) -> Result<String, SealingError> {
        let opened = self.sealing.open(&self.about(environment), seal, payload)?;
        Ok(String::from_utf8(opened.expose().to_vec()).unwrap())
    }

    fn rotate(&mut self, environment: &str) {
        let (version, wrapped_key) = self.sealing.next_environment_key(&self.about(environment));
        let environment = EnvironmentName::parse(environment).unwrap();
        self.decide(Command::Keys(Box::new(KeysCommand::RotateEnvironment { environment, version, wrapped_key })));
    }

    fn rotate_root(&mut self, version: u32) {
        let mut ring = self.sealing.ring.read().duplicate();
        ring.add_root(version, self.sealing.new_root()).unwrap();
        self.sealing.replace_ring(ring);
        let wrapped = self.sealing.wrap_all(&self.state, version).unwrap();
        self.decide(Command::Upkeep(Box::new(Upkeep::Keys(KeysUpkeep::RotateRoot { version, wrapped }))));
    }
}

fn payload(sealed: &Sealed) -> &Payload {
    sealed.payload.as_ref().unwrap()
}

#[test]
fn a_value_opens_where_it_belongs() {
    let world = world();
    let sealed = world.seal("production", "hunter2");
    assert_eq!(world.open("production", &sealed.seal, payload(&sealed)).unwrap(), "hunter2");
}

#[test]
fn the_bytes_of_another_secret_or_version_do_not_open() {
    let world = world();
    let (one, other) = (world.seal("production", "one"), world.seal("production", "other"));
    assert!(matches!(world.open("production", &one.seal, payload(&other)), Err(SealingError::Digest)));
    let mixed = Payload { wrapped_key: payload(&one).wrapped_key.clone(), ciphertext: payload(&other).ciphertext.clone() };
    assert!(world.open("production", &one.seal, &mixed).is_err());
}

#[test]
fn the_bytes_of_another_environment_do_not_open_even_where_the_state_was_changed_to_name_them() {
    let world = world();
    let sealed = world.seal("staging", "of staging");
    assert!(matches!(world.open("production", &sealed.seal, payload(&sealed)), Err(SealingError::Value(_))));
}

#[test]
fn the_bytes_of_another_secret_do_not_open_as_if_they_had_been_rewrapped() {
    let mut world = world();
    let one = world.seal("production", "one");
    world.rotate("production");
    let other = world.seal("production", "other");
    assert_ne!(one.seal.key_version, other.seal.key_version);
    assert!(matches!(world.open("production", &one.seal, payload(&other)), Err(SealingError::Value(_))));
}

#[test]
fn a_rewrapped_value_opens_before_and_after_the_state_says_so_and_so_do_its_older_bytes() {
    let mut world = world();
    let old = world.seal("production", "hunter2");
    world.rotate("production");
    let new = world.sealing.rewrap(&world.about("production"), &old.seal, payload(&old)).unwrap().unwrap();
    assert_eq!((new.seal.key_version, &payload(&new).ciphertext), (2, &payload(&old).ciphertext));
    for seal in [&old.seal, &new.seal] {
        for bytes in [payload(&old), payload(&new)] {
            assert_eq!(world.open("production", seal, bytes).unwrap(), "hunter2");
        }
    }
    assert_eq!(world.sealing.rewrap(&world.about("production"), &new.seal, payload(&new)).unwrap(), None);
}

#[test]
fn a_wrapped_key_moved_between_environments_or_versions_does_not_open() {
    let mut world = world();
    let sealed = world.seal("production", "hunter2");
    world.rotate("production");
    world.sealing.learned.write().opened.clear();
    let own = world.about("production");
    let moved = EnvironmentAbout { keys: vec![(1, world.about("staging").keys[0].1.clone())], ..EnvironmentAbout::clone(&own) };
    let renumbered = EnvironmentAbout { keys: vec![(1, own.keys[1].1.clone())], ..EnvironmentAbout::clone(&own) };
    for about in [moved, renumbered] {
        assert!(matches!(world.sealing.open(&about, &sealed.seal, payload(&sealed)), Err(SealingError::Key { .. })));
    }
}

#[test]
fn after_a_new_root_key_everything_opens_with_it_alone_and_older_wrappings_do_not() {
    let mut world = world();
    let sealed = world.seal("production", "hunter2");
    let before = world.about("production");
    world.rotate_root(2);
    let mut ring = world.sealing.ring.read().duplicate();
    ring.make_current(2).unwrap();
    assert!(ring.drop_root(1));
    world.sealing.replace_ring(ring);
    world.sealing.learned.write().opened.clear();
    assert_eq!(world.open("production", &sealed.seal, payload(&sealed)).unwrap(), "hunter2");
    world.sealing.learned.write().opened.clear();
    let put_back = world.sealing.open(&before, &sealed.seal, payload(&sealed));
    assert!(matches!(put_back, Err(SealingError::NoRoot { root: 1, .. })), "{put_back:?}");
    assert!(world.sealing.snapshot_key(1).is_none() && world.sealing.snapshot_key(2).is_some());
}

#[test]
fn the_keys_of_a_sealed_environment_are_not_in_memory_and_do_not_come_back_by_asking() {
    let mut world = world();
    let sealed = world.seal("production", "hunter2");
    let environment = EnvironmentName::parse("production").unwrap();
    world.decide(Command::Keys(Box::new(KeysCommand::SealEnvironment { environment: environment.clone() })));
    let id = world.about("production").id;
    let held = |world: &World| world.sealing.learned.read().opened.keys().any(|(environment, _)| *environment == id);
    assert!(!held(&world));
    assert!(matches!(world.open("production", &sealed.seal, payload(&sealed)), Err(SealingError::Sealed { .. })));
    world.rotate_root(2);
    assert!(!held(&world), "its keys passed through and did not stay");
    world.decide(Command::Keys(Box::new(KeysCommand::UnsealEnvironment { environment })));
    assert_eq!(world.open("production", &sealed.seal, payload(&sealed)).unwrap(), "hunter2");
}

#[test]
fn a_secret_of_the_system_opens_as_what_it_was_sealed_as_by_every_version_of_the_key() {
    let mut world = world();
    let blob = world.sealing.seal_system("totp/ana", b"seed").unwrap();
    let (version, wrapped_key) = world.sealing.next_system_key(&world.state);
    world.decide(Command::Keys(Box::new(KeysCommand::RotateSystem { version, wrapped_key })));
    world.rotate_root(2);
    assert_eq!(world.sealing.open_system("totp/ana", &blob).unwrap().expose(), b"seed");
    assert!(world.sealing.open_system("totp/eve", &blob).is_err());
    let newer = world.sealing.seal_system("totp/ana", b"seed").unwrap();
    assert_eq!(key_version(&newer).unwrap(), 2);
    assert_eq!(world.sealing.open_system("totp/ana", &newer).unwrap().expose(), b"seed");
}
