//! What a request about keys leads to.

use super::command::{FoundingKeys, WrappedRoots};
use super::event::{KeysEvent, Rewrap, digest_of};
use super::state::SealAbout;
use super::{KeysAnswer, KeysCommand, KeysUpkeep};
use crate::decide::{Answer, Context, Decided, Desk};
use crate::event::Event;
use crate::identity::admit;
use crate::ids::EnvironmentName;
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::secret::VersionState;
use crate::state::State;
use crate::token::Token;
use bytes::Bytes;

impl Desk<'_> {
    pub(crate) fn decide_keys(&self, command: KeysCommand) -> Decided {
        match command {
            KeysCommand::RotateEnvironment { environment, version, wrapped_key } => {
                self.rotate_environment(environment, version, wrapped_key)
            }
            KeysCommand::RotateSystem { version, wrapped_key } => self.rotate_system(version, wrapped_key),
            KeysCommand::SealEnvironment { environment } => {
                self.permit_system(Capability::Keys, environment.as_str())?;
                self.state.environment(&environment)?;
                if self.state.keys.sealed(&environment).is_some() {
                    return Err(Rejection::Exists { what: "the seal of environment".into(), name: environment.to_string() });
                }
                done(KeysEvent::EnvironmentSealed { environment })
            }
            KeysCommand::UnsealEnvironment { environment } => {
                self.permit_system(Capability::Keys, environment.as_str())?;
                self.state.environment(&environment)?;
                self.state
                    .keys
                    .sealed(&environment)
                    .ok_or_else(|| Rejection::not_found("the seal of environment", &environment))?;
                done(KeysEvent::EnvironmentUnsealed { environment })
            }
            KeysCommand::SealNode { node } => {
                let subject = format!("node-{node}");
                let subject = self.permit_system(Capability::Keys, &subject)?.subject;
                done(KeysEvent::NodeSealed { subject })
            }
            KeysCommand::Ask { operation, subject } => self.ask_about_keys(operation, subject),
        }
    }

    fn rotate_environment(&self, environment: EnvironmentName, version: u32, wrapped_key: Bytes) -> Decided {
        self.permit_system(Capability::Keys, environment.as_str())?;
        let about = &self.state.environment(&environment)?.about;
        self.state.keys.check_open(&environment)?;
        let newest = about.keys.last().map_or(0, |(version, _)| *version);
        check_next("the key of", environment.as_str(), newest, version)?;
        if about.keys.len() >= limits::ENVIRONMENT_KEYS_MAX {
            return Err(Rejection::Limit(format!(
                "{environment} has {} versions of its key already: wait until the older ones are retired",
                about.keys.len()
            )));
        }
        check_wrapped(&wrapped_key)?;
        let event = KeysEvent::environment_key_added(environment, version, wrapped_key);
        Ok((vec![Event::Keys(event)], Answer::Keys(Box::new(KeysAnswer::Version(version)))))
    }

    fn rotate_system(&self, version: u32, wrapped_key: Bytes) -> Decided {
        self.permit_system(Capability::Keys, "system")?;
        let newest = self.state.keys.system().last().map_or(0, |(version, _)| version);
        check_next("the key of", "the system", newest, version)?;
        if self.state.keys.system.len() >= limits::SYSTEM_KEYS_MAX {
            return Err(Rejection::Limit(format!("the system has {} versions of its key already", limits::SYSTEM_KEYS_MAX)));
        }
        check_wrapped(&wrapped_key)?;
        let event = KeysEvent::system_key_added(version, wrapped_key);
        Ok((vec![Event::Keys(event)], Answer::Keys(Box::new(KeysAnswer::Version(version)))))
    }

    fn ask_about_keys(&self, operation: Operation, subject: String) -> Decided {
        if !operation.is_of_keys() {
            return Err(Rejection::invalid(format!("{} is not a question about keys", operation.word())));
        }
        if subject.len() > limits::TEXT_BYTES_MAX {
            return Err(Rejection::invalid(format!("a question about keys is at most {} bytes", limits::TEXT_BYTES_MAX)));
        }
        self.observe_system(Capability::Keys, operation, subject)
    }
}

fn done(event: KeysEvent) -> Decided {
    Ok((vec![Event::Keys(event)], Answer::Done))
}

fn check_next(what: &str, name: &str, newest: u32, version: u32) -> Result<(), Rejection> {
    if version.checked_sub(1) == Some(newest) {
        return Ok(());
    }
    let expected = format!("v{}", i64::from(version) - 1);
    Err(Rejection::Conflict { path: format!("{what} {name}"), found: format!("v{newest}"), expected })
}

fn check_wrapped(wrapped: &Bytes) -> Result<(), Rejection> {
    if wrapped.is_empty() || wrapped.len() > limits::WRAPPED_KEY_BYTES_MAX {
        return Err(Rejection::invalid(format!("a wrapped key has 1 to {} bytes", limits::WRAPPED_KEY_BYTES_MAX)));
    }
    Ok(())
}

/// What the cluster asks of itself.
pub(crate) fn upkeep(state: &State, context: &Context, command: &KeysUpkeep) -> Decided {
    match command {
        KeysUpkeep::RotateRoot { version, wrapped } => rotate_root(state, *version, wrapped),
        KeysUpkeep::Rewrap { environment, items } => rewrap(state, environment, items),
        KeysUpkeep::RetireEnvironmentKey { environment, version } => retire(state, environment, *version),
        KeysUpkeep::SealChanged(seal) => change_seal(state, seal),
        KeysUpkeep::NodeUnsealed { node, kind } => {
            let kind = limits::cut(kind.clone(), limits::NAME_BYTES_MAX);
            done(KeysEvent::NodeUnsealed { subject: format!("node-{node}"), kind })
        }
        KeysUpkeep::MintRoot { token, ttl_ms } => {
            let token = Token::of_root(*token, context.stamp, (*ttl_ms > 0).then(|| context.stamp.plus_ms(*ttl_ms)))?;
            let mut events = vec![Event::Keys(KeysEvent::RootMinted { subject: token.accessor.to_string() })];
            events.extend(admit(state, context, token)?);
            Ok((events, Answer::Done))
        }
        KeysUpkeep::NodeSealedAlone { node, accessor, at_ms } => {
            done(KeysEvent::NodeSealedAlone { subject: format!("node-{node}"), accessor: *accessor, at_ms: *at_ms })
        }
    }
}

/// The events of a founding that are about keys.
pub(crate) fn founding(keys: FoundingKeys) -> Result<[Event; 2], Rejection> {
    let FoundingKeys { system_key, seal } = keys;
    check_wrapped(&system_key)?;
    check_seal(&seal)?;
    Ok([Event::Keys(KeysEvent::SealInitialized { seal }), Event::Keys(KeysEvent::system_key_added(1, system_key))])
}

/// What is wrapped must be all that there is and nothing else: a key that was added meanwhile would be left under the old root.
fn rotate_root(state: &State, version: u32, wrapped: &WrappedRoots) -> Decided {
    let current = state.keys.root();
    // The same version once more takes in what was wrapped by an older one while the root was rotated.
    if version != current && version != current.saturating_add(1) {
        return Err(Rejection::Conflict {
            path: "the root key".into(),
            found: format!("v{current}"),
            expected: format!("v{}", i64::from(version) - 1),
        });
    }
    let known = state.environments().map(|environment| (&environment.about.name, &environment.about.keys));
    let same_environments = known.eq_by_versions(wrapped.environments.iter().map(|(name, keys)| (name, keys)));
    let same_system = state.keys.system().map(|(version, _)| version).eq(wrapped.system.iter().map(|(version, _)| *version));
    if !same_environments || !same_system {
        return Err(Rejection::invalid("keys were added or retired while the root key was rotated: it is tried again"));
    }
    let keys = wrapped.environments.iter().flat_map(|(_, keys)| keys).chain(&wrapped.system);
    keys.map(|(_, key)| key).try_for_each(check_wrapped)?;
    done(KeysEvent::RootRotated { version, wrapped: wrapped.clone(), keys_digest: digest_of(wrapped) })
}

trait ByVersions<'a>: Iterator<Item = (&'a EnvironmentName, &'a Vec<(u32, Bytes)>)> + Sized {
    /// Whether both name the same environments with the same versions of their keys.
    fn eq_by_versions(self, other: impl Iterator<Item = (&'a EnvironmentName, &'a Vec<(u32, Bytes)>)>) -> bool {
        fn versions<'a>((name, keys): (&'a EnvironmentName, &'a Vec<(u32, Bytes)>)) -> (&'a EnvironmentName, Vec<u32>) {
            (name, keys.iter().map(|(version, _)| *version).collect())
        }
        self.map(versions).eq(other.map(versions))
    }
}

impl<'a, T: Iterator<Item = (&'a EnvironmentName, &'a Vec<(u32, Bytes)>)>> ByVersions<'a> for T {}

/// Items that no longer fit (moved, destroyed, written over, rewrapped before) are left out.
fn rewrap(state: &State, environment: &EnvironmentName, items: &[Rewrap]) -> Decided {
    let home = state.environment(environment)?;
    state.keys.check_open(environment)?;
    if items.is_empty() || items.len() > limits::REWRAP_ITEMS_MAX {
        return Err(Rejection::invalid(format!("1 to {} values are rewrapped at once", limits::REWRAP_ITEMS_MAX)));
    }
    if items.iter().map(Rewrap::bytes).sum::<usize>() > limits::TRANSACTION_BYTES_MAX {
        return Err(Rejection::Limit(format!("at most {} bytes are rewrapped at once", limits::TRANSACTION_BYTES_MAX)));
    }
    let newest = home.about.keys.last().map_or(0, |(version, _)| *version);
    let fits = |item: &&Rewrap| {
        let secret = home.secrets.get(&item.path).filter(|secret| secret.id == item.secret);
        let version = secret.and_then(|secret| secret.version(item.version));
        version.is_some_and(|version| {
            version.state != VersionState::Destroyed
                && version.seal.value_id == item.sealed.seal.value_id
                && version.seal.size_bytes == item.sealed.seal.size_bytes
                && version.seal.structured == item.sealed.seal.structured
                && version.seal.key_version < item.sealed.seal.key_version
        }) && item.sealed.seal.key_version == newest
            && item.sealed.is_whole()
    };
    let items: Vec<Rewrap> = items.iter().filter(fits).cloned().collect();
    if items.is_empty() {
        return Err(Rejection::invalid("none of the values stands as it did when it was rewrapped"));
    }
    done(KeysEvent::Rewrapped { environment: environment.clone(), items })
}

fn retire(state: &State, environment: &EnvironmentName, version: u32) -> Decided {
    let about = &state.environment(environment)?.about;
    let newest = about.keys.last().map_or(0, |(version, _)| *version);
    if version == newest || !about.keys.iter().any(|(known, _)| *known == version) {
        return Err(Rejection::not_found("older key of environment", format!("{environment} v{version}")));
    }
    let uses = state.keys.uses(environment, version);
    if uses > 0 {
        return Err(Rejection::Conflict {
            path: format!("what v{version} of the key of {environment} wraps"),
            found: format!("{uses} values"),
            expected: "none".into(),
        });
    }
    done(KeysEvent::EnvironmentKeyRetired { environment: environment.clone(), version })
}

fn change_seal(state: &State, seal: &SealAbout) -> Decided {
    check_seal(seal)?;
    let before = state.keys.seal().map_or(0, |seal| seal.generation);
    if seal.generation < before {
        return Err(Rejection::Conflict {
            path: "the seal".into(),
            found: format!("generation {before}"),
            expected: format!("generation {}", seal.generation),
        });
    }
    done(KeysEvent::SealChanged { seal: seal.clone() })
}

fn check_seal(seal: &SealAbout) -> Result<(), Rejection> {
    if seal.kind.len() > limits::NAME_BYTES_MAX || seal.set.len() > limits::NAME_BYTES_MAX {
        return Err(Rejection::invalid("a seal is named in few words"));
    }
    Ok(())
}
