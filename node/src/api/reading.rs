//! Opening values after the record of who asked has committed, one by one, many at once, and over a stream.

use crate::api::door::{Caller, Door};
use crate::api::writing::sealing;
use crate::api::{convert, status};
use crate::engine::View;
use crate::engine::values::ValueKey;
use node_domain::decide::Readable;
use node_domain::ids::{EnvironmentName, SecretId};
use node_domain::limits;
use node_domain::operation::Operation;
use node_domain::sealed::Payload;
use node_domain::secret::Version;
use node_domain::{Answer, Command, Rejection};
use proto::v1;
use std::sync::Arc;
use storage::materialized::MaterializedError;
use storage_crypto::secret_bytes::SecretBytes;
use tonic::{Code, Status};

/// Plaintext that one answer may hold.
const ANSWER_BYTES_MAX: usize = 16 << 20;

impl Door {
    pub(crate) async fn get(&self, caller: &Caller, message: &v1::GetRequest) -> Result<v1::GetResponse, Status> {
        self.read_from(caller, message).await.map(|(answer, _)| answer)
    }

    /// As `get`, with which version of which secret it is.
    pub(crate) async fn read_from(
        &self,
        caller: &Caller,
        message: &v1::GetRequest,
    ) -> Result<(v1::GetResponse, (EnvironmentName, SecretId, u64)), Status> {
        let command = parse_get(message);
        let done = self.submit(caller, Operation::SecretRead, message, command).await?;
        let environment = environment_name(&message.environment)?;
        let mut readables = readables(done.answer)?;
        let readable = readables.pop().ok_or_else(|| Status::internal("a read was answered without its version"))?;
        let readable = readable.map_err(|rejection| status::refused(&rejection))?;
        let (secret, version) = (readable.secret, readable.version.number);
        let answer = self.open(&done.view, &environment, readable).await?;
        Ok((answer, (environment, secret, version)))
    }

    pub(crate) async fn get_many(&self, caller: &Caller, message: &v1::GetManyRequest) -> Result<v1::GetManyResponse, Status> {
        let command = parse_get_many(message);
        let done = self.submit(caller, Operation::SecretRead, message, command).await?;
        let environment = environment_name(&message.environment)?;
        let readables = readables(done.answer)?;
        let sizes = readables.iter().flatten().map(|readable| readable.version.seal.size_bytes as usize);
        if sizes.sum::<usize>() > ANSWER_BYTES_MAX {
            return Err(Status::resource_exhausted(format!(
                "the values asked for are more than {ANSWER_BYTES_MAX} bytes together: ask for fewer at once"
            )));
        }
        let mut results = Vec::with_capacity(message.items.len());
        for readable in readables {
            let opened = match readable {
                Ok(readable) => self.open(&done.view, &environment, readable).await,
                Err(rejection) => Err(status::refused(&rejection)),
            };
            results.push(result(opened));
        }
        Ok(v1::GetManyResponse { results, index: done.index })
    }

    /// Opens a version whose record has committed.
    async fn open(&self, view: &Arc<View>, environment: &EnvironmentName, readable: Readable) -> Result<v1::GetResponse, Status> {
        let Readable { secret, version, index } = readable;
        let opened = match self.open_here(view, environment, secret, &version).await {
            Ok(opened) => opened,
            Err(Unopened::Damaged(why)) => {
                let fetched = self.mending.fetch(self, environment, (secret, version.number), &version.seal, why).await;
                let payload = fetched.map_err(|error| status::fault("read a value", &error))?;
                let view = self.view();
                let home = view.state.environment(environment).map_err(|rejection| status::refused(&rejection))?;
                let opened = self.sealing.open(&home.about, &version.seal, &payload);
                opened.map_err(|error| status::refused(&sealing(error)))?
            }
            Err(Unopened::Refused(status)) => return Err(*status),
        };
        let value = convert::value(&opened, version.seal.structured).map_err(|error| status::fault("open a value", &error))?;
        Ok(v1::GetResponse { value: Some(value), version: Some(convert::show_version(&version)), index: index.0 })
    }
}

/// Why a value was not opened from what lies here.
enum Unopened {
    /// This copy of it is damaged or lost: another member has another.
    Damaged(String),
    Refused(Box<Status>),
}

impl From<Status> for Unopened {
    fn from(status: Status) -> Unopened {
        Unopened::Refused(Box::new(status))
    }
}

impl Door {
    async fn open_here(
        &self,
        view: &Arc<View>,
        environment: &EnvironmentName,
        secret: SecretId,
        version: &Version,
    ) -> Result<SecretBytes, Unopened> {
        let key = (secret, version.number);
        let payload = self.payload(environment, key).await?;
        let home = view.state.environment(environment).map_err(|rejection| status::refused(&rejection))?;
        if let Ok(opened) = self.sealing.open(&home.about, &version.seal, &payload) {
            return Ok(opened);
        }
        // It may have been rewrapped since, by a key that came after the view: once more, with everything as new as it gets.
        self.values.forget(key);
        let payload = self.payload(environment, key).await?;
        let view = self.view();
        let home = view.state.environment(environment).map_err(|rejection| status::refused(&rejection))?;
        self.sealing.open(&home.about, &version.seal, &payload).map_err(|error| {
            if error.is_damage() {
                return Unopened::Damaged(format!("secret {} v{} of {environment}: {error}", secret.0, key.1));
            }
            // The environment may have been sealed since the read was decided.
            status::refused(&sealing(error)).into()
        })
    }

    /// The sealed bytes of a version, off the threads that serve where the disk has to be read.
    async fn payload(&self, environment: &EnvironmentName, key: ValueKey) -> Result<Arc<Payload>, Unopened> {
        if let Some(payload) = self.values.find_in_memory(key) {
            return Ok(payload);
        }
        let (values, home) = (self.values.clone(), environment.clone());
        let found = raft::offload(move || values.find(&home, key)).await;
        match found.map_err(|error| status::fault("read a value", &error))? {
            Ok(Some(payload)) => Ok(payload),
            Ok(None) => Err(self.missing(environment, key.0, key.1)),
            Err(error @ (MaterializedError::Damaged { .. } | MaterializedError::Unusable { .. })) => {
                Err(Unopened::Damaged(format!("secret {} v{} of {environment}: {error}", key.0.0, key.1)))
            }
            Err(error) => Err(status::fault("read a value", &error).into()),
        }
    }

    /// A value without bytes was destroyed, or dropped as too old, after the read was decided; otherwise this copy is damaged.
    fn missing(&self, environment: &EnvironmentName, secret: SecretId, version: u64) -> Unopened {
        if self.view().state.holds_value(environment, secret, version) {
            return Unopened::Damaged(format!("secret {} v{version} of {environment} is missing from the database", secret.0));
        }
        Status::not_found(format!("v{version} was destroyed meanwhile")).into()
    }
}

fn parse_get(message: &v1::GetRequest) -> Result<Command, Rejection> {
    Ok(Command::Read {
        environment: EnvironmentName::parse(&message.environment)?,
        path: convert::path(&message.path)?,
        version: convert::version_number(message.version),
    })
}

fn parse_get_many(message: &v1::GetManyRequest) -> Result<Command, Rejection> {
    if message.items.len() > limits::READ_MANY_MAX {
        return Err(Rejection::invalid(format!("read 1 to {} secrets at once", limits::READ_MANY_MAX)));
    }
    let items = message.items.iter().map(|item| Ok((convert::path(&item.path)?, convert::version_number(item.version))));
    Ok(Command::ReadMany {
        environment: EnvironmentName::parse(&message.environment)?,
        items: items.collect::<Result<_, Rejection>>()?,
    })
}

fn environment_name(text: &str) -> Result<EnvironmentName, Status> {
    EnvironmentName::parse(text).map_err(|bad| status::refused(&bad.into()))
}

fn readables(answer: Answer) -> Result<Vec<Result<Readable, Rejection>>, Status> {
    match answer {
        Answer::Readable(readables) => Ok(readables),
        // The request id was used before, for something that changed the state.
        _ => Err(Status::failed_precondition("this request id was used for another request")),
    }
}

/// One result among many.
pub(crate) fn result(opened: Result<v1::GetResponse, Status>) -> v1::GetManyResult {
    let result = match opened {
        Ok(found) => v1::get_many_result::Result::Found(found),
        Err(status) => refusal(status.code(), status.message()),
    };
    v1::GetManyResult { result: Some(result) }
}

pub(crate) fn refusal(code: Code, message: &str) -> v1::get_many_result::Result {
    v1::get_many_result::Result::Refused(v1::Refusal { code: code as i32, message: message.to_owned() })
}
