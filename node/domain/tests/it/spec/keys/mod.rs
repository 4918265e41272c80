//! Keys: rotated while everything can be read, retired when nothing needs them, and environments that are sealed.

mod environments;
pub(crate) mod examples;
mod founding;
mod root;
mod rotation;

use super::world::HOME;
use super::*;
use crate::invariants::WRAPPED_KEY_MARK;
use bytes::Bytes;
use node_domain::Command;
use node_domain::command::Upkeep;
use node_domain::keys::{KeysCommand, KeysUpkeep, Rewrap};
use node_domain::sealed::{Payload, Sealed};

/// A key in its wrapping, told from others by its name.
fn wrapped(name: &str) -> Bytes {
    [WRAPPED_KEY_MARK, name.as_bytes()].concat().into()
}

pub(super) fn ask(command: KeysCommand) -> Request {
    Box::new(|_| Command::Keys(Box::new(command)))
}

pub(super) fn upkeep(command: KeysUpkeep) -> Request {
    Box::new(|_| Command::Upkeep(Box::new(Upkeep::Keys(command))))
}

/// The door rotates the key of an environment to `version`.
pub(super) fn rotate(name: &'static str, version: u32) -> Request {
    let wrapped_key = wrapped(&format!("{name} v{version}"));
    ask(KeysCommand::RotateEnvironment { environment: environment(name), version, wrapped_key })
}

pub(super) fn seal(name: &str) -> Request {
    ask(KeysCommand::SealEnvironment { environment: environment(name) })
}

pub(super) fn unseal(name: &str) -> Request {
    ask(KeysCommand::UnsealEnvironment { environment: environment(name) })
}

/// The same value under version `key` of its environment's key.
fn under(sealed: &Sealed, key: u32) -> Sealed {
    let old = sealed.payload.as_ref().unwrap();
    let payload = Payload { wrapped_key: wrapped(&format!("a data key under v{key}")), ciphertext: old.ciphertext.clone() };
    Sealed::new(key, sealed.seal.value_id, sealed.seal.size_bytes, sealed.seal.structured, payload)
}

/// The leader's manager rewraps these versions of secrets in `production` under version `key`, as it finds them.
pub(super) fn rewrap(key: u32, items: &[(&'static str, u64)]) -> Request {
    let items = items.to_vec();
    Box::new(move |world| {
        let rewrapped = items.iter().map(|(at, version)| {
            let sealed = world.fetch(HOME, at, Some(*version));
            let secret = world.secret_in(HOME, at).map_or(node_domain::ids::SecretId(999), |secret| secret.id);
            let sealed = under(&sealed, key);
            world.know(&sealed);
            Rewrap { path: path(at), secret, version: *version, sealed }
        });
        let upkeep = KeysUpkeep::Rewrap { environment: environment(HOME), items: rewrapped.collect() };
        Command::Upkeep(Box::new(Upkeep::Keys(upkeep)))
    })
}

/// A door that knows of this version of the key seals a value by it.
fn put_under(at: &'static str, key: u32) -> Request {
    put_sealed(at, move |world| under(&world.seal("x"), key))
}

fn retire(version: u32) -> Request {
    upkeep(KeysUpkeep::RetireEnvironmentKey { environment: environment(HOME), version })
}
