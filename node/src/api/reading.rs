//! Opening values after the record of who asked has committed, one by one, many at once, and over a stream.

use crate::api::door::{Caller, Door};
use crate::api::{convert, status};
use crate::engine::View;
use crate::engine::values::ValueKey;
use node_domain::decide::Readable;
use node_domain::ids::{EnvironmentName, SecretId};
use node_domain::limits;
use node_domain::operation::Operation;
use node_domain::sealed::Payload;
use node_domain::{Answer, Command, Rejection};
use proto::v1;
use std::sync::Arc;
use tonic::{Code, Status};

/// Plaintext that one answer may hold.
const ANSWER_BYTES_MAX: usize = 16 << 20;

impl Door {
    pub(crate) async fn get(&self, caller: &Caller, message: &v1::GetRequest) -> Result<v1::GetResponse, Status> {
        self.get_from(caller, message).await.map(|(answer, _)| answer)
    }

    /// As `get`, with which version of which secret it is.
    pub(crate) async fn get_from(
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
        let key = (secret, version.number);
        let missing = || self.missing(environment, secret, version.number);
        let payload = self.payload(environment, key).await?.ok_or_else(missing)?;
        let home = view.state.environment(environment).map_err(|rejection| status::refused(&rejection))?;
        let opened = match self.sealing.open(&home.about, &version.seal, &payload) {
            Ok(opened) => opened,
            // It may have been rewrapped since, by a key that came after the view: once more, with everything as new as it gets.
            Err(_) => {
                self.values.forget(key);
                let payload = self.payload(environment, key).await?.ok_or_else(missing)?;
                let view = self.view();
                let home = view.state.environment(environment).map_err(|rejection| status::refused(&rejection))?;
                let opened = self.sealing.open(&home.about, &version.seal, &payload);
                opened.map_err(|error| status::fault("open a value", &error))?
            }
        };
        let value = convert::value(&opened, version.seal.structured).map_err(|error| status::fault("open a value", &error))?;
        Ok(v1::GetResponse { value: Some(value), version: Some(convert::show_version(&version)), index: index.0 })
    }
}

impl Door {
    /// The sealed bytes of a version, off the threads that serve where the disk has to be read.
    async fn payload(&self, environment: &EnvironmentName, key: ValueKey) -> Result<Option<Arc<Payload>>, Status> {
        if let Some(payload) = self.values.find_in_memory(key) {
            return Ok(Some(payload));
        }
        let (values, environment) = (self.values.clone(), environment.clone());
        let found = tokio::task::spawn_blocking(move || values.find(&environment, key)).await;
        let found = found.map_err(|error| status::fault("read a value", &error))?;
        found.map_err(|error| status::fault("read a value", &error))
    }

    /// A value without bytes was destroyed, or dropped as too old, after the read was decided; otherwise this copy is damaged.
    fn missing(&self, environment: &EnvironmentName, secret: SecretId, version: u64) -> Status {
        if self.view().state.holds_value(environment, secret, version) {
            tracing::error!(secret = secret.0, version, %environment, "a value is missing from this node's store");
            return Status::data_loss("this node has lost the value: ask another node, and have this one rebuilt");
        }
        Status::not_found(format!("v{version} was destroyed meanwhile"))
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
