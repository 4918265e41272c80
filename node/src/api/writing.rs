//! Commands that carry a sealed value: the plaintext ends here.

use crate::api::door::{Caller, Door};
use crate::api::{convert, status};
use crate::engine::sealing::SealingError;
use node_domain::command::{Expectation, TransactChange, TransactItem};
use node_domain::ids::{EnvironmentName, SecretPath};
use node_domain::limits;
use node_domain::sealed::Sealed;
use node_domain::secret::Version;
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
        let sealed = self.sealing.seal(&about, &plaintext.bytes, plaintext.structured).map_err(sealing)?;
        let expect = convert::expectation(message.expect.as_ref())?;
        Ok(Command::Put {
            environment,
            path,
            sealed,
            expect,
            about: convert::about_change(message.metadata.as_ref())?,
            patch: false,
        })
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
        let sealed = self.sealing.seal(&about, &plaintext.bytes, true).map_err(sealing)?;
        let expect = Some(Expectation::Version(version.number));
        Ok(Command::Put { environment, path, sealed, expect, about: Default::default(), patch: true })
    }

    pub(crate) async fn parse_rollback(&self, caller: &Caller, message: &v1::RollbackRequest) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let path = convert::path(&message.path)?;
        let (environment, _) = self.environment(caller, &message.environment).await?;
        let (_, sealed, _) = self.stored(caller, &environment, &path, Start::Version(message.to_version)).await?;
        let expect = convert::expectation(message.expect.as_ref())?;
        Ok(Command::Rollback { environment, path, to: message.to_version, sealed, expect })
    }

    pub(crate) async fn parse_copy(&self, caller: &Caller, message: &v1::CopyRequest) -> Result<Command, Rejection> {
        self.check_known(caller).await?;
        let (from, to) = (convert::path(&message.from)?, convert::path(&message.to)?);
        let (environment, _) = self.environment(caller, &message.environment).await?;
        let (_, sealed, _) = self.stored(caller, &environment, &from, Start::Newest { expected: None }).await?;
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
                    let sealed = self.sealing.seal(&about, &plaintext.bytes, plaintext.structured).map_err(sealing)?;
                    TransactChange::Put {
                        sealed: Box::new(sealed),
                        about: Box::new(convert::about_change(put.metadata.as_ref())?),
                    }
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
        let values = self.values.clone();
        let (home, key) = (environment.clone(), (secret, version.number));
        let payload = tokio::task::spawn_blocking(move || values.find(&home, key)).await;
        let payload = payload.ok().and_then(Result::ok).flatten();
        let payload = payload.ok_or_else(|| Rejection::not_found("value of", format!("{path} v{}", version.number)))?;
        let about = &view.state.environment(environment)?.about;
        let opened = self.sealing.open(about, &version.seal, &payload).map_err(sealing)?;
        let sealed = self.sealing.as_stored(&version.seal, &payload).map_err(sealing)?;
        Ok((version, sealed, opened))
    }
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
    view: &crate::engine::View,
    caller: &Caller,
    environment: &EnvironmentName,
    path: &SecretPath,
    start: Start,
) -> Result<(node_domain::ids::SecretId, Version), Rejection> {
    let state = &view.state;
    let token = caller.token(view)?;
    let asking = caller.asking(view, token);
    let may = |capability| state.authorize(&asking, capability, Some(environment), path.clone());
    may(node_domain::policy::Capability::Update).or_else(|_| may(node_domain::policy::Capability::Read))?;
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
fn sealing(error: SealingError) -> Rejection {
    if let SealingError::Sealed { environment } = &error {
        let hint = format!(": holdfast env unseal {environment}");
        return Rejection::Sealed { what: format!("environment {environment}"), hint };
    }
    drop(status::fault("seal a value", &error));
    Rejection::NodeFault(error.to_string())
}
