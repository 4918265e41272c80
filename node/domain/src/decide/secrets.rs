//! Secrets: reading, writing, hiding, destroying.

use super::{Answer, Decided, Desk, Readable};
use crate::command::{Expectation, Selection};
use crate::event::{Cause, Event};
use crate::guard::Incoming;
use crate::guard::looking::Look;
use crate::ids::{EnvironmentName, SecretId, SecretPath, Stamp};
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::quoting::holds_token;
use crate::rejection::Rejection;
use crate::sealed::{Held, Sealed};
use crate::secret::{About, AboutChange, Secret, Version, VersionState};
use crate::state::{Environment, Permit};
use std::sync::Arc;

impl Desk<'_> {
    pub(super) fn put(
        &self,
        environment: EnvironmentName,
        path: SecretPath,
        sealed: Sealed,
        expect: Option<Expectation>,
        about: AboutChange,
        patch: bool,
    ) -> Decided {
        let cause = if patch { Cause::Patch } else { Cause::Put };
        let permit =
            if patch { self.permit(Capability::Update, &environment, path)? } else { self.permit_write(&environment, path)? };
        let path = permit.subject;
        if patch && !matches!(expect, Some(Expectation::Version(_))) {
            return Err(Rejection::invalid("a patch expects the version that it was merged from"));
        }
        let existing = self.state.environment(&environment)?.secrets.get(&path);
        check_expectation(&path, existing, expect)?;
        let merged = if patch {
            let secret = existing.ok_or_else(|| Rejection::not_found("secret", &path))?;
            Some((secret, secret.readable(None)?.number))
        } else {
            None
        };
        let about = about.normalized()?;
        let read = match merged {
            Some((secret, version)) => {
                let kind = about.kind.unwrap_or(secret.about.kind);
                self.look(&Look { environment: &environment, secret, version, to: &path, kind })?
            }
            None => None,
        };
        let at = usize::from(read.is_some());
        let (added, answer) = self.added(Adding { environment, path, existing, sealed, about, cause, at })?;
        Ok((read.into_iter().chain(added).collect(), answer))
    }

    /// Writing over a secret needs `update`; anything else needs `create`. Whoever may do neither is not told which it was: his
    /// refusal is the same whether something stands there or not.
    pub(super) fn permit_write(&self, environment: &EnvironmentName, path: SecretPath) -> Result<Permit<SecretPath>, Rejection> {
        let exists = self.state.environments.get(environment).is_some_and(|home| home.secrets.contains_key(&path));
        let update = self.permit(Capability::Update, environment, path.clone());
        let create = self.permit(Capability::Create, environment, path);
        match (update, create) {
            (Err(Rejection::Denied { principal, subject, environment, why, .. }), Err(Rejection::Denied { .. })) => {
                Err(Rejection::Denied { principal, capability: "write".into(), subject, environment, why })
            }
            (update, _) if exists => update,
            (_, create) => create,
        }
    }

    /// The event that adds the next version of a secret.
    pub(crate) fn added(&self, adding: Adding<'_>) -> Decided {
        let Adding { environment, path, existing, mut sealed, about, cause, at } = adding;
        let home = self.state.environment(&environment)?;
        if existing.is_none() {
            check_new_path(&path)?;
        }
        check_sealed(&sealed, &home.about.keys)?;
        let version = existing.map_or_else(|| home.first_version(&path), |secret| secret.newest + 1);
        let mut after = existing.map_or_else(About::default, |secret| secret.about.clone());
        after.change(&about);
        let expires = after.expiry(self.context.stamp);
        let checked = sealed.checked.take();
        let alert = self.check_value_rules(&Incoming {
            environment: &environment,
            path: &path,
            kind: after.kind,
            checked: checked.as_deref(),
            reuse: sealed.reuse,
            created: self.context.stamp,
            expires,
        })?;
        let event = Event::SecretVersionAdded {
            secret: existing.map_or(SecretId(self.seq(at).0), |secret| secret.id),
            oldest_kept: (version + 1).saturating_sub(after.versions_kept()),
            environment,
            path,
            version,
            sealed,
            expires,
            about,
            cause,
        };
        Ok((std::iter::once(event).chain(alert).collect(), Answer::Written { version, expires }))
    }

    pub(super) fn read(&self, environment: EnvironmentName, path: SecretPath, version: Option<u64>) -> Decided {
        let (event, readable) = self.read_one(environment, path, version, 0)?;
        Ok((vec![event], Answer::Readable(vec![Ok(readable)])))
    }

    pub(super) fn read_many(&self, environment: EnvironmentName, items: Vec<(SecretPath, Option<u64>)>) -> Decided {
        if items.is_empty() || items.len() > limits::READ_MANY_MAX {
            return Err(Rejection::invalid(format!("read 1 to {} secrets at once", limits::READ_MANY_MAX)));
        }
        let mut events = Vec::with_capacity(items.len());
        let mut answers = Vec::with_capacity(items.len());
        for (path, version) in items {
            let subject = path.to_string();
            match self.read_one(environment.clone(), path, version, events.len()) {
                Ok((event, readable)) => {
                    events.push(event);
                    answers.push(Ok(readable));
                }
                Err(rejection) => {
                    let (environment, rejection) = (environment.to_string(), rejection.quotable());
                    events.push(Event::Refused {
                        operation: Operation::SecretRead,
                        environment,
                        subject,
                        rejection: rejection.clone(),
                    });
                    answers.push(Err(rejection));
                }
            }
        }
        Ok((events, Answer::Readable(answers)))
    }

    fn read_one(
        &self,
        environment: EnvironmentName,
        path: SecretPath,
        version: Option<u64>,
        at: usize,
    ) -> Result<(Event, Readable), Rejection> {
        let path = self.permit(Capability::Read, &environment, path)?.subject;
        let secret = self.state.environment(&environment)?.secret(&path)?;
        let version = secret.readable(version)?;
        check_valid(secret, version, self.context.stamp)?;
        let readable = Readable { secret: secret.id, version: version.clone(), index: self.seq(at) };
        Ok((Event::SecretRead { environment, secret: secret.id, version: version.number, path }, readable))
    }

    pub(super) fn set_metadata(
        &self,
        environment: EnvironmentName,
        path: SecretPath,
        about: AboutChange,
        held: Option<&Held>,
    ) -> Decided {
        let path = self.permit(Capability::Metadata, &environment, path)?.subject;
        let secret = self.state.environment(&environment)?.secret(&path)?;
        if about.is_empty() {
            return Err(Rejection::invalid("name at least one thing to change"));
        }
        let about = about.normalized()?;
        let (read, alert) = match about.kind.filter(|kind| *kind != secret.about.kind) {
            Some(kind) => self.check_standing(&environment, (&path, kind), secret, held)?,
            None => (None, None),
        };
        let event = Event::SecretMetadataChanged { environment, secret: secret.id, path, about };
        Ok((read.into_iter().chain([event]).chain(alert).collect(), Answer::Done))
    }

    pub(super) fn history(&self, environment: EnvironmentName, path: SecretPath) -> Decided {
        let path = self.permit(Capability::List, &environment, path)?.subject;
        self.state.environment(&environment)?.secret(&path)?;
        let subject = path.to_string();
        Ok((vec![Event::Observed { operation: Operation::SecretHistory, environment: Some(environment), subject }], Answer::Done))
    }

    pub(super) fn rollback(
        &self,
        environment: EnvironmentName,
        path: SecretPath,
        to: u64,
        sealed: Sealed,
        expect: Option<Expectation>,
    ) -> Decided {
        let path = self.permit(Capability::Update, &environment, path)?.subject;
        let home = self.state.environment(&environment)?;
        let secret = home.secret(&path)?;
        check_expectation(&path, Some(secret), expect)?;
        let source = secret.readable(Some(to))?;
        check_same(&path, source, &sealed)?;
        let kind = secret.about.kind;
        let read = self.look(&Look { environment: &environment, secret, version: to, to: &path, kind })?;
        let (about, cause, at) = (AboutChange::default(), Cause::Rollback { to }, usize::from(read.is_some()));
        let existing = Some(secret);
        let (added, answer) = self.added(Adding { environment, existing, path, sealed, about, cause, at })?;
        Ok((read.into_iter().chain(added).collect(), answer))
    }

    pub(super) fn copy(
        &self,
        environment: EnvironmentName,
        from: SecretPath,
        to: SecretPath,
        sealed: Sealed,
        expect: Option<Expectation>,
    ) -> Decided {
        let from = self.permit(Capability::Read, &environment, from)?.subject;
        let to = self.permit_write(&environment, to)?.subject;
        let home = self.state.environment(&environment)?;
        let source = home.secret(&from)?;
        let newest = source.readable(None)?;
        check_valid(source, newest, self.context.stamp)?;
        check_same(&from, newest, &sealed)?;
        let existing = home.secrets.get(&to);
        check_expectation(&to, existing, Some(expect.unwrap_or(Expectation::Absent)))?;
        let about = AboutChange::all_of(&source.about);
        // A copy is a read of its source, and stands in the journal as one.
        let read =
            Event::SecretRead { environment: environment.clone(), path: from.clone(), secret: source.id, version: newest.number };
        let cause = Cause::Copy { from, version: newest.number };
        let (mut events, answer) = self.added(Adding { environment, existing, path: to, sealed, about, cause, at: 1 })?;
        events.insert(0, read);
        Ok((events, answer))
    }

    pub(super) fn rename(&self, environment: EnvironmentName, from: SecretPath, to: SecretPath, held: Option<&Held>) -> Decided {
        let from = self.permit(Capability::Delete, &environment, from)?.subject;
        // Whoever could move without reading would read what he moves, where he may.
        let from = self.permit(Capability::Read, &environment, from)?.subject;
        let to = self.permit(Capability::Create, &environment, to)?.subject;
        let home = self.state.environment(&environment)?;
        let secret = home.secret(&from)?;
        if home.secrets.contains_key(&to) {
            return Err(Rejection::Exists { what: "secret".into(), name: to.to_string() });
        }
        check_new_path(&to)?;
        check_arrival(home, secret, &to)?;
        let (read, alert) = self.check_standing(&environment, (&to, secret.about.kind), secret, held)?;
        let answer = Answer::Versions(vec![secret.newest]);
        let event = Event::SecretRenamed { environment, secret: secret.id, from, to };
        Ok((read.into_iter().chain([event]).chain(alert).collect(), answer))
    }

    pub(super) fn delete(&self, environment: EnvironmentName, path: SecretPath, versions: &Selection) -> Decided {
        let (path, secret) = self.changing(Capability::Delete, &environment, path)?;
        let versions = select(secret, versions, VersionState::Live)?;
        let event = Event::SecretVersionsDeleted { environment, path, secret: secret.id, versions: versions.clone() };
        Ok((vec![event], Answer::Versions(versions)))
    }

    pub(super) fn undelete(&self, environment: EnvironmentName, path: SecretPath, versions: &Selection) -> Decided {
        let (path, secret) = self.changing(Capability::Delete, &environment, path)?;
        let versions = select(secret, versions, VersionState::Deleted)?;
        let event = Event::SecretVersionsUndeleted { environment, path, secret: secret.id, versions: versions.clone() };
        Ok((vec![event], Answer::Versions(versions)))
    }

    pub(super) fn destroy(&self, environment: EnvironmentName, path: SecretPath, versions: &Selection) -> Decided {
        let (path, secret) = self.changing(Capability::Destroy, &environment, path)?;
        let versions = select_any(secret, versions)?;
        let event = Event::SecretVersionsDestroyed { environment, path, secret: secret.id, versions: versions.clone() };
        Ok((vec![event], Answer::Versions(versions)))
    }

    fn changing(
        &self,
        capability: Capability,
        environment: &EnvironmentName,
        path: SecretPath,
    ) -> Result<(SecretPath, &Arc<Secret>), Rejection> {
        let path = self.permit(capability, environment, path)?.subject;
        let secret = self.state.environment(environment)?.secret(&path)?;
        Ok((path, secret))
    }
}

/// A path stands in records for ever.
fn check_new_path(path: &SecretPath) -> Result<(), Rejection> {
    if !holds_token(path.as_str()) {
        return Ok(());
    }
    Err(Rejection::invalid("what looks like a token stands in the path: name another, and revoke the token if it is one"))
}

/// Numbers at a path never go back: who expects v3 there, or approved it, must not meet the v3 of another secret.
fn check_arrival(home: &Environment, secret: &Secret, to: &SecretPath) -> Result<(), Rejection> {
    let before = home.left.get(to).filter(|left| left.secret != secret.id && left.newest >= secret.newest);
    if let Some(left) = before {
        return Err(Rejection::Conflict {
            path: secret.path.to_string(),
            found: format!("v{}", secret.newest),
            expected: format!("above v{}, where {to} had come to before: copy it there instead", left.newest),
        });
    }
    if home.left.len() >= limits::PATHS_LEFT_MAX && !home.left.contains_key(to) {
        return Err(Rejection::Limit(format!(
            "secrets were moved away from {} paths already: copy and delete, or put something where one was",
            limits::PATHS_LEFT_MAX
        )));
    }
    Ok(())
}

/// A version about to be added.
pub(crate) struct Adding<'a> {
    pub(crate) environment: EnvironmentName,
    pub(crate) path: SecretPath,
    pub(crate) existing: Option<&'a Arc<Secret>>,
    pub(crate) sealed: Sealed,
    pub(crate) about: AboutChange,
    pub(crate) cause: Cause,
    /// Which event of the decision it will be.
    pub(crate) at: usize,
}

pub(crate) fn check_valid(secret: &Secret, version: &Version, now: Stamp) -> Result<(), Rejection> {
    match version.expires.filter(|end| *end <= now) {
        Some(end) => Err(Rejection::expired(secret.path.as_str(), version.number, end)),
        None => Ok(()),
    }
}

pub(super) fn check_expectation(
    path: &SecretPath,
    existing: Option<&Arc<Secret>>,
    expect: Option<Expectation>,
) -> Result<(), Rejection> {
    let newest = existing.map_or(0, |secret| secret.newest);
    let (met, expected) = match expect {
        None => return Ok(()),
        Some(Expectation::Absent) => (existing.is_none_or(|secret| secret.live().is_none()), 0),
        Some(Expectation::Version(expected)) => (newest == expected, expected),
    };
    if met { Ok(()) } else { Err(Rejection::conflict(path, newest, expected)) }
}

/// Any version of the key that the environment still has will do: the newest is drawn at one node and known at others later.
fn check_sealed(sealed: &Sealed, keys: &[(u32, bytes::Bytes)]) -> Result<(), Rejection> {
    if sealed.seal.size_bytes as usize > limits::VALUE_BYTES_MAX || sealed.payload_bytes() > limits::SEALED_BYTES_MAX {
        return Err(Rejection::Limit(format!("a value is at most {} bytes", limits::VALUE_BYTES_MAX)));
    }
    if !sealed.is_whole() {
        return Err(Rejection::invalid("the sealed value is not whole"));
    }
    if !keys.iter().any(|(version, _)| *version == sealed.seal.key_version) {
        return Err(Rejection::invalid("the value is sealed by a key that the environment does not have"));
    }
    Ok(())
}

/// The door fetched sealed bytes from its own state: they must still be the version that is meant. The id tells: bytes sealed under one
/// id open to one value, whichever version of the key wraps their data key by now.
fn check_same(path: &SecretPath, version: &Version, sealed: &Sealed) -> Result<(), Rejection> {
    let (known, given) = (&version.seal, &sealed.seal);
    if (known.value_id, known.size_bytes, known.structured) == (given.value_id, given.size_bytes, given.structured) {
        return Ok(());
    }
    Err(Rejection::Conflict { path: path.to_string(), found: format!("v{}", version.number), expected: "another version".into() })
}

fn select(secret: &Secret, selection: &Selection, wanted: VersionState) -> Result<Vec<u64>, Rejection> {
    let fits = |number: &u64| secret.version(*number).is_some_and(|version| version.state == wanted);
    let numbers = numbers(secret, selection)?;
    let all = *selection == Selection::All;
    let chosen: Vec<u64> = numbers.iter().copied().filter(fits).collect();
    if chosen.is_empty() || (!all && chosen.len() != numbers.len()) {
        let which = numbers.iter().rev().find(|number| !fits(number)).and_then(|number| secret.version(*number));
        let found =
            which.map_or_else(|| "no version".to_owned(), |version| format!("v{} ({})", version.number, version.state.word()));
        return Err(Rejection::Conflict { path: secret.path.to_string(), found, expected: wanted.word().into() });
    }
    Ok(chosen)
}

fn select_any(secret: &Secret, selection: &Selection) -> Result<Vec<u64>, Rejection> {
    let numbers: Vec<u64> = numbers(secret, selection)?
        .into_iter()
        .filter(|number| secret.version(*number).is_some_and(|version| version.state != VersionState::Destroyed))
        .collect();
    if numbers.is_empty() {
        return Err(Rejection::Conflict {
            path: secret.path.to_string(),
            found: "destroyed".into(),
            expected: "a version with a value".into(),
        });
    }
    Ok(numbers)
}

fn numbers(secret: &Secret, selection: &Selection) -> Result<Vec<u64>, Rejection> {
    let mut numbers = match selection {
        Selection::These(none) if none.is_empty() => return Err(Rejection::invalid("name at least one version")),
        Selection::Newest => vec![secret.newest],
        Selection::All => secret.versions.iter().map(|version| version.number).collect(),
        Selection::These(numbers) => numbers.clone(),
    };
    numbers.sort_unstable();
    numbers.dedup();
    match numbers.iter().find(|number| secret.version(**number).is_none()) {
        Some(missing) => Err(Rejection::not_found("version", format!("{} v{missing}", secret.path))),
        None => Ok(numbers),
    }
}
