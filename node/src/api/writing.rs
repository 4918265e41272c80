//! Commands that carry a sealed value: the plaintext ends here.

use crate::api::door::{Caller, Door};
use crate::api::{convert, status};
use crate::engine::View;
use crate::engine::rules::Candidate;
use crate::engine::sealing::SealingError;
use node_domain::command::{Expectation, TransactChange, TransactItem};
use node_domain::ids::{EnvironmentName, SecretId, SecretPath};
use node_domain::limits;
use node_domain::policy::Capability;
use node_domain::sealed::{Checked, Held, Sealed};
use node_domain::secret::{Secret, SecretType, Version, VersionState};
use node_domain::state::EnvironmentAbout;
use node_domain::{Command, Rejection};
use prost::Message;
use proto::v1;
use storage_crypto::secret_bytes::SecretBytes;

/// How often a change that rests on what this node has seen is tried again when the leader has seen more.
pub(crate) const TRIES: usize = 5;

impl Door {
    pub(crate) async fn parse_put(&self, caller: &Caller, message: &v1::PutRequest) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let path = convert::path(&message.path)?;
        let (environment, about) = self.environment(caller, &message.environment).await?;
        let plaintext = convert::plaintext(message.value.as_ref())?;
        let change = convert::about_change(message.metadata.as_ref())?;
        let view = self.view();
        let kind = change.kind.unwrap_or_else(|| kind_of(&view, &environment, &path));
        let holding = Holding { environment: &environment, path: &path, kind, structured: plaintext.structured };
        let sealed = self.seal_checked(&view, &about, &holding, &plaintext.bytes)?;
        let expect = convert::expectation(message.expect.as_ref())?;
        Ok(Command::Put { environment, path, sealed, expect, about: change, patch: false })
    }

    /// Merges fields into the newest version, which is the one that the caller expects where he expects one. The merged value is
    /// sealed for exactly that version: if it moved on meanwhile, the leader refuses, and the caller of this may try again.
    pub(crate) async fn parse_patch(&self, caller: &Caller, message: &v1::PatchRequest) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let path = convert::path(&message.path)?;
        let set = message.set.clone().unwrap_or_default();
        convert::check_fields(&set)?;
        let expected = match convert::expectation(message.expect.as_ref())? {
            Some(Expectation::Absent) => return Err(Rejection::invalid("a patch needs a version to start from: expect one")),
            Some(Expectation::Version(version)) => Some(version),
            None => None,
        };
        let (environment, about) = self.environment(caller, &message.environment).await?;
        let (version, _, opened) = self.stored(caller, &environment, &path, Start::Newest { expected }).await?;
        if !version.seal.structured {
            return Err(Rejection::invalid(format!("{path} v{} has no fields: put the whole value", version.number)));
        }
        let mut fields = v1::Fields::decode(opened.expose()).map_err(|error| Rejection::invalid(error.to_string()))?;
        fields.json.extend(set.json);
        message.remove.iter().for_each(|name| drop(fields.json.remove(name)));
        let merged = v1::Value { kind: Some(v1::value::Kind::Fields(fields)) };
        let plaintext = convert::plaintext(Some(&merged))?;
        let view = self.view();
        let kind = kind_of(&view, &environment, &path);
        let holding = Holding { environment: &environment, path: &path, kind, structured: true };
        let sealed = self.seal_checked(&view, &about, &holding, &plaintext.bytes)?;
        let expect = Some(Expectation::Version(version.number));
        Ok(Command::Put { environment, path, sealed, expect, about: Default::default(), patch: true })
    }

    pub(crate) async fn parse_rollback(&self, caller: &Caller, message: &v1::RollbackRequest) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let path = convert::path(&message.path)?;
        let (environment, _) = self.environment(caller, &message.environment).await?;
        let (_, mut sealed, opened) = self.stored(caller, &environment, &path, Start::Version(message.to_version)).await?;
        let view = self.view();
        let kind = kind_of(&view, &environment, &path);
        let holding = Holding { environment: &environment, path: &path, kind, structured: sealed.seal.structured };
        sealed.checked = self.held(&view, &holding, opened.expose());
        let expect = convert::expectation(message.expect.as_ref())?;
        Ok(Command::Rollback { environment, path, to: message.to_version, sealed, expect })
    }

    pub(crate) async fn parse_copy(&self, caller: &Caller, message: &v1::CopyRequest) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let (from, to) = (convert::path(&message.from)?, convert::path(&message.to)?);
        let (environment, _) = self.environment(caller, &message.environment).await?;
        let (_, mut sealed, opened) = self.stored(caller, &environment, &from, Start::Newest { expected: None }).await?;
        let view = self.view();
        let kind = kind_of(&view, &environment, &from);
        let holding = Holding { environment: &environment, path: &to, kind, structured: sealed.seal.structured };
        sealed.checked = self.held(&view, &holding, opened.expose());
        Ok(Command::Copy { environment, from, to, sealed, expect: convert::expectation(message.expect.as_ref())? })
    }

    pub(crate) async fn parse_transact(&self, caller: &Caller, message: &v1::TransactRequest) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let (environment, about) = self.environment(caller, &message.environment).await?;
        if message.items.len() > limits::TRANSACTION_ITEMS_MAX {
            return Err(Rejection::invalid(format!("a transaction has 1 to {} items", limits::TRANSACTION_ITEMS_MAX)));
        }
        let mut items = Vec::with_capacity(message.items.len());
        for item in &message.items {
            let change = match item.change.as_ref().ok_or_else(|| Rejection::invalid("an item puts, deletes or checks"))? {
                v1::transact_item::Change::Put(put) => {
                    let plaintext = convert::plaintext(put.value.as_ref())?;
                    let change = convert::about_change(put.metadata.as_ref())?;
                    let (view, path) = (self.view(), convert::path(&item.path)?);
                    let kind = change.kind.unwrap_or_else(|| kind_of(&view, &environment, &path));
                    let holding = Holding { environment: &environment, path: &path, kind, structured: plaintext.structured };
                    let sealed = self.seal_checked(&view, &about, &holding, &plaintext.bytes)?;
                    TransactChange::Put { sealed: Box::new(sealed), about: Box::new(change) }
                }
                v1::transact_item::Change::Delete(true) => TransactChange::Delete,
                v1::transact_item::Change::Check(true) => TransactChange::Check,
                _ => return Err(Rejection::invalid("delete and check are true or left out")),
            };
            let expect = convert::expectation(item.expect.as_ref())?;
            items.push(TransactItem { path: convert::path(&item.path)?, expect, change });
        }
        Ok(Command::Transact { environment, items })
    }

    pub(crate) async fn parse_move(&self, caller: &Caller, message: &v1::CopyRequest) -> Result<Command, Rejection> {
        if message.expect.is_some() {
            return Err(Rejection::invalid("a move always expects nothing at its target: leave expect out"));
        }
        let (from, to) = (convert::path(&message.from)?, convert::path(&message.to)?);
        let environment = EnvironmentName::parse(&message.environment)?;
        let needed = [Capability::Delete, Capability::Read];
        let held = self.held_standing(caller, &environment, (&from, &needed), |secret| (to.clone(), secret.about.kind)).await?;
        Ok(Command::Move { environment, from, to, held })
    }

    pub(crate) async fn parse_set_metadata(
        &self,
        caller: &Caller,
        message: &v1::SetMetadataRequest,
    ) -> Result<Command, Rejection> {
        let environment = EnvironmentName::parse(&message.environment)?;
        let path = convert::path(&message.path)?;
        let about = convert::about_change(message.metadata.as_ref())?;
        let held = match about.kind {
            Some(kind) => {
                // A rule that looks into the value tells of it: so may only somebody who may read it.
                let needed = [Capability::Metadata, Capability::Read];
                self.held_standing(caller, &environment, (&path, &needed), |_| (path.clone(), kind)).await?
            }
            None => None,
        };
        Ok(Command::SetMetadata { environment, path, about, held })
    }

    /// The newest value that stands there, held against the rules for where and as what it is going to stand. Nothing where there are
    /// no rules; and nothing is opened where none looks into it, nor for whoever may not do it: the leader says why.
    async fn held_standing(
        &self,
        caller: &Caller,
        environment: &EnvironmentName,
        (path, needed): (&SecretPath, &[Capability]),
        going: impl Fn(&Secret) -> (SecretPath, SecretType),
    ) -> Result<Option<Box<Held>>, Rejection> {
        caller.admitted()?;
        let view = self.view();
        let rules = &view.state.guard().rules;
        if rules.is_empty() {
            return Ok(None);
        }
        let Some(secret) = view.state.environment(environment).ok().and_then(|home| home.secrets.get(path)) else {
            return Ok(None);
        };
        let newest = secret.versions.last().filter(|newest| newest.state != VersionState::Destroyed);
        let Some(newest) = newest else { return Ok(None) };
        let (to, kind) = going(secret);
        let value_id = newest.seal.value_id;
        if !rules.about(environment, &to, kind).any(|rule| rule.looks_into_values()) {
            let checked = Checked { rules: rules.changed(), kind, broken: None };
            return Ok(Some(Box::new(Held { value_id, checked })));
        }
        let may = caller.token(&view).is_ok_and(|token| {
            let asking = caller.asking(&view, token);
            let may = |capability: &Capability| view.state.authorize(&asking, *capability, Some(environment), path.clone());
            needed.iter().all(|capability| may(capability).is_ok())
        });
        if !may {
            return Ok(None);
        }
        let (_, opened) = self.opened(&view, environment, secret.id, newest).await?;
        let holding = Holding { environment, path: &to, kind, structured: newest.seal.structured };
        let checked = self.held(&view, &holding, opened.expose());
        Ok(checked.map(|checked| Box::new(Held { value_id, checked: *checked })))
    }

    /// A stored version as this node has it: for changes that start from an existing value. Nobody is shown anything of it, and the
    /// caller's right is checked first, so that a refusal tells nothing. A node on which there is nothing to start from may be
    /// behind: it catches up once before it says so.
    async fn stored(
        &self,
        caller: &Caller,
        environment: &EnvironmentName,
        path: &SecretPath,
        start: Start,
    ) -> Result<(Version, Sealed, SecretBytes), Rejection> {
        let mut view = self.view();
        let mut found = version_in(&view, caller, environment, path, start);
        if found.is_err() {
            view = self.catch_up(caller).await;
            found = version_in(&view, caller, environment, path, start);
        }
        let (secret, version) = found?;
        let (sealed, opened) = self.opened(&view, environment, secret, &version).await?;
        Ok((version, sealed, opened))
    }

    /// A stored version, sealed and opened. Whether the caller may have that done is checked before.
    pub(crate) async fn opened(
        &self,
        view: &View,
        environment: &EnvironmentName,
        secret: SecretId,
        version: &Version,
    ) -> Result<(Sealed, SecretBytes), Rejection> {
        let values = self.values.clone();
        let (home, key) = (environment.clone(), (secret, version.number));
        let payload = raft::offload(move || values.find(&home, key)).await;
        let found = payload.ok().and_then(Result::ok).flatten();
        let about = &view.state.environment(environment)?.about;
        let opened = found.as_ref().map(|payload| self.sealing.open(about, &version.seal, payload));
        let (payload, opened) = match (found, opened) {
            (Some(payload), Some(Ok(opened))) => (payload, opened),
            (_, Some(Err(error))) if !error.is_damage() => return Err(sealing(error)),
            (None, _) if !self.view().state.holds_value(environment, secret, version.number) => {
                return Err(Rejection::not_found("value of", format!("{environment} v{}", version.number)));
            }
            _ => {
                let why = format!("secret {} v{} of {environment} does not open", secret.0, version.number);
                let fetched = self.mending.fetch(self, environment, (secret, version.number), &version.seal, why).await;
                let payload = fetched.map_err(|lost| Rejection::NodeFault(lost.to_string()))?;
                let opened = self.sealing.open(about, &version.seal, &payload).map_err(sealing)?;
                (payload, opened)
            }
        };
        let sealed = self.sealing.as_stored(&version.seal, &payload).map_err(sealing)?;
        Ok((Sealed { reuse: version.reuse, ..sealed }, opened))
    }

    /// Seals a plaintext for an environment, with what the rules for values say of it.
    pub(crate) fn seal_checked(
        &self,
        view: &View,
        about: &EnvironmentAbout,
        holding: &Holding<'_>,
        plaintext: &[u8],
    ) -> Result<Sealed, Rejection> {
        let mut sealed = self.sealing.seal(about, plaintext, holding.structured).map_err(sealing)?;
        sealed.checked = self.held(view, holding, plaintext);
        Ok(sealed)
    }

    /// A plaintext held against the rules that this node knows.
    fn held(&self, view: &View, holding: &Holding<'_>, plaintext: &[u8]) -> Option<Box<Checked>> {
        let Holding { environment, path, kind, structured } = *holding;
        self.rules.check(&view.state.guard().rules, &Candidate { environment, path, kind, plaintext, structured })
    }
}

/// Where a value comes to stand, for the rules that are about it.
pub(crate) struct Holding<'a> {
    pub(crate) environment: &'a EnvironmentName,
    pub(crate) path: &'a SecretPath,
    pub(crate) kind: SecretType,
    pub(crate) structured: bool,
}

/// The type of what stands there, as this node knows it.
fn kind_of(view: &View, environment: &EnvironmentName, path: &SecretPath) -> SecretType {
    let home = view.state.environment(environment).ok();
    home.and_then(|home| home.secrets.get(path)).map_or(SecretType::default(), |secret| secret.about.kind)
}

/// From which version a change starts.
#[derive(Clone, Copy)]
enum Start {
    /// The newest, which must be the expected one where one is expected.
    Newest { expected: Option<u64> },
    /// This one.
    Version(u64),
}

fn version_in(
    view: &View,
    caller: &Caller,
    environment: &EnvironmentName,
    path: &SecretPath,
    start: Start,
) -> Result<(node_domain::ids::SecretId, Version), Rejection> {
    let state = &view.state;
    let token = caller.token(view)?;
    let asking = caller.asking(view, token);
    let may = |capability| state.authorize(&asking, capability, Some(environment), path.clone());
    may(Capability::Update).or_else(|_| may(Capability::Read))?;
    state.keys().check_open(environment)?;
    let secret = state.environment(environment)?.secret(path)?;
    let version = match start {
        Start::Newest { expected: Some(expected) } if expected != secret.newest => {
            return Err(Rejection::conflict(path, secret.newest, expected));
        }
        Start::Newest { .. } => secret.readable(None)?,
        Start::Version(number) => secret.readable(Some(number))?,
    };
    Ok((secret.id, version.clone()))
}

/// A value that cannot be sealed or opened is a fault of this node or of its disk; the caller learns that much.
pub(super) fn sealing(error: SealingError) -> Rejection {
    if let SealingError::Sealed { environment } = &error {
        let hint = format!(": holdfast env unseal {environment}");
        return Rejection::Sealed { what: format!("environment {environment}"), hint };
    }
    drop(status::fault("seal or open a value", &error));
    Rejection::NodeFault(error.to_string())
}
