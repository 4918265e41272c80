//! The service of secrets.

use crate::api::door::{Asked, Caller, Done, Door};
use crate::api::{convert, listing, reading, status, watch, writing};
use futures::{Stream, StreamExt};
use node_domain::ids::EnvironmentName;
use node_domain::operation::Operation;
use node_domain::policy::Sight;
use node_domain::secret::Secret;
use node_domain::state::Environment;
use node_domain::{Answer, Command, Rejection};
use proto::v1;
use proto::v1::secrets_server::Secrets;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status, Streaming};

/// Reads of one stream that are decided together.
const STREAM_GATHER_MAX: usize = 64;
/// Groups of reads of one stream under way.
const STREAM_GROUPS_MAX: usize = 8;

/// The service, behind the door.
pub(crate) struct SecretsService(pub(crate) Arc<Door>);

type Reply<T> = Result<Response<T>, Status>;

fn reply<T>(message: T) -> Reply<T> {
    Ok(Response::new(message))
}

fn written(done: &Done) -> Reply<v1::PutResponse> {
    let Answer::Written { version, expires } = done.answer else {
        return Err(Status::failed_precondition("this request id was used for another request"));
    };
    reply(v1::PutResponse { version, index: done.index, expires_at_ms: convert::show_end(expires) })
}

fn versions(done: &Done) -> Vec<u64> {
    match &done.answer {
        Answer::Versions(versions) => versions.clone(),
        Answer::Written { version, .. } => vec![*version],
        Answer::Done | Answer::Readable(_) | Answer::Keys(_) | Answer::Identity(_) | Answer::Guard(_) => Vec::new(),
    }
}

impl SecretsService {
    async fn change_versions(
        &self,
        request: Request<v1::VersionsRequest>,
        operation: Operation,
        command: impl FnOnce(EnvironmentName, node_domain::ids::SecretPath, node_domain::command::Selection) -> Command,
    ) -> Reply<v1::VersionsResponse> {
        let (caller, message) = self.0.receive_change(request, operation);
        let parsed = parse_versions(&message).map(|(environment, path, selection)| command(environment, path, selection));
        let done = self.0.submit(&caller, operation, &message, parsed).await?;
        reply(v1::VersionsResponse { versions: versions(&done), index: done.index })
    }

    async fn list_page(
        &self,
        caller: &Caller,
        operation: Operation,
        asked: &(dyn Asked + Sync),
        command: Result<Command, Rejection>,
        page: impl FnOnce(&Environment, &Sight<'_>) -> listing::Page,
    ) -> Reply<v1::ListResponse> {
        let done = self.0.submit(caller, operation, asked, command).await?;
        let home = home(&done, asked.environment())?;
        let token = caller.token_of_answer(&done.view).map_err(|rejection| status::refused(&rejection))?;
        let sight = done.view.state.sight(&caller.asking(&done.view, token), &home.about.name);
        let look = || page(home, &sight);
        // It may look at everything that stands there: other calls go on beside it, where there are other threads.
        let listing::Page { entries, next_cursor } =
            if storage::workers::are_simulated() { look() } else { tokio::task::block_in_place(look) };
        reply(v1::ListResponse { entries, next_cursor, index: done.index })
    }
}

fn home<'a>(done: &'a Done, environment: &str) -> Result<&'a Environment, Status> {
    let name = EnvironmentName::parse(environment).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
    done.view.state.environment(&name).map_err(|rejection| status::refused(&rejection))
}

fn parse_versions(
    message: &v1::VersionsRequest,
) -> Result<(EnvironmentName, node_domain::ids::SecretPath, node_domain::command::Selection), Rejection> {
    Ok((EnvironmentName::parse(&message.environment)?, convert::path(&message.path)?, convert::selection(message)?))
}

#[tonic::async_trait]
impl Secrets for SecretsService {
    async fn put(&self, request: Request<v1::PutRequest>) -> Reply<v1::PutResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::SecretPut);
        let parse = || self.0.parse_put(&caller, &message);
        written(&self.0.submit_checked(&caller, Operation::SecretPut, &message, parse).await?)
    }

    async fn patch(&self, request: Request<v1::PatchRequest>) -> Reply<v1::PutResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::SecretSetMetadata);
        // Without an expectation of the caller's own, what was merged into a version that was not the newest is merged again.
        let mut tries = if message.expect.is_some() { 1 } else { writing::TRIES };
        loop {
            tries -= 1;
            let command = self.0.parse_patch(&caller, &message).await;
            match self.0.decided(&caller, Operation::SecretPatch, &message, command).await? {
                Err(Rejection::Conflict { .. } | Rejection::RulesMoved { .. }) if tries > 0 => {}
                Err(rejection) => return Err(status::refused(&rejection)),
                Ok(done) => return written(&done),
            }
        }
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Reply<v1::GetResponse> {
        let (caller, message) = self.0.receive(request);
        reply(self.0.get(&caller, &message).await?)
    }

    async fn get_many(&self, request: Request<v1::GetManyRequest>) -> Reply<v1::GetManyResponse> {
        let (caller, message) = self.0.receive(request);
        reply(self.0.get_many(&caller, &message).await?)
    }

    type GetStreamStream = Pin<Box<dyn Stream<Item = Result<v1::GetStreamResponse, Status>> + Send>>;

    async fn get_stream(&self, request: Request<Streaming<v1::GetStreamRequest>>) -> Reply<Self::GetStreamStream> {
        let (caller, messages) = self.0.receive(request);
        caller.admitted().map_err(|rejection| status::refused(&rejection))?;
        let door = self.0.clone();
        let open = door.streams.open(&door.view(), &caller).map_err(|rejection| status::refused(&rejection))?;
        // A broken message ends the stream; what came before it is answered.
        let asked = messages
            .take_until(door.gate.clone().closed())
            .take_while(|message| futures::future::ready(message.is_ok()))
            .filter_map(|message| async { message.ok() });
        let answers = asked
            .ready_chunks(STREAM_GATHER_MAX)
            .map(move |group| answer_group(door.clone(), caller.again(), group))
            .buffer_unordered(STREAM_GROUPS_MAX)
            .flat_map(futures::stream::iter)
            // It is counted for as long as it lives.
            .map(move |answer| {
                let _counted = &open;
                answer
            });
        reply(Box::pin(answers))
    }

    async fn set_metadata(&self, request: Request<v1::SetMetadataRequest>) -> Reply<v1::SetMetadataResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::SecretSetMetadata);
        let parse = || self.0.parse_set_metadata(&caller, &message);
        let done = self.0.submit_checked(&caller, Operation::SecretSetMetadata, &message, parse).await?;
        reply(v1::SetMetadataResponse { index: done.index })
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Reply<v1::ListResponse> {
        let (caller, message) = self.0.receive(request);
        let parse =
            || Ok(Command::List { environment: EnvironmentName::parse(&message.environment)?, prefix: message.prefix.clone() });
        let page = |home: &Environment, sight: &Sight<'_>| {
            let fits =
                |secret: &Secret| (message.include_deleted || secret.live().is_some()) && sight.shows(secret.path.as_str());
            let size = listing::page_size(message.limit);
            if message.recursive {
                listing::deep(home, &message.prefix, &message.cursor, size, fits)
            } else {
                listing::shallow(home, &message.prefix, &message.cursor, size, fits)
            }
        };
        self.list_page(&caller, Operation::SecretList, &message, parse(), page).await
    }

    async fn search(&self, request: Request<v1::SearchRequest>) -> Reply<v1::ListResponse> {
        let (caller, message) = self.0.receive(request);
        let parse = || {
            listing::check(&message)?;
            Ok(Command::Search { environment: EnvironmentName::parse(&message.environment)?, prefix: message.prefix.clone() })
        };
        let page = |home: &Environment, sight: &Sight<'_>| {
            let fits = |secret: &Secret| listing::matches(&message, secret) && sight.shows(secret.path.as_str());
            listing::deep(home, &message.prefix, &message.cursor, listing::page_size(message.limit), fits)
        };
        self.list_page(&caller, Operation::SecretSearch, &message, parse(), page).await
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Reply<v1::HistoryResponse> {
        let (caller, message) = self.0.receive(request);
        let parse = || {
            Ok(Command::History {
                environment: EnvironmentName::parse(&message.environment)?,
                path: convert::path(&message.path)?,
            })
        };
        let done = self.0.submit(&caller, Operation::SecretHistory, &message, parse()).await?;
        let path = convert::path(&message.path).map_err(|rejection| status::refused(&rejection))?;
        let secret = home(&done, &message.environment)?.secret(&path).map_err(|rejection| status::refused(&rejection))?;
        reply(v1::HistoryResponse {
            secret: Some(convert::show_secret(secret)),
            versions: secret.versions.iter().map(convert::show_version).collect(),
            index: done.index,
        })
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Reply<v1::PutResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::SecretRollback);
        let parse = || self.0.parse_rollback(&caller, &message);
        written(&self.0.submit_checked(&caller, Operation::SecretRollback, &message, parse).await?)
    }

    async fn delete(&self, request: Request<v1::VersionsRequest>) -> Reply<v1::VersionsResponse> {
        let command = |environment, path, versions| Command::Delete { environment, path, versions };
        self.change_versions(request, Operation::SecretDelete, command).await
    }

    async fn undelete(&self, request: Request<v1::VersionsRequest>) -> Reply<v1::VersionsResponse> {
        let command = |environment, path, versions| Command::Undelete { environment, path, versions };
        self.change_versions(request, Operation::SecretUndelete, command).await
    }

    async fn destroy(&self, request: Request<v1::VersionsRequest>) -> Reply<v1::VersionsResponse> {
        let command = |environment, path, versions| Command::Destroy { environment, path, versions };
        self.change_versions(request, Operation::SecretDestroy, command).await
    }

    async fn copy(&self, request: Request<v1::CopyRequest>) -> Reply<v1::PutResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::SecretCopy);
        let parse = || self.0.parse_copy(&caller, &message);
        written(&self.0.submit_checked(&caller, Operation::SecretCopy, &message, parse).await?)
    }

    async fn r#move(&self, request: Request<v1::CopyRequest>) -> Reply<v1::PutResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::SecretMove);
        let parse = || self.0.parse_move(&caller, &message);
        let done = self.0.submit_checked(&caller, Operation::SecretMove, &message, parse).await?;
        reply(v1::PutResponse { version: versions(&done).first().copied().unwrap_or(0), index: done.index, expires_at_ms: 0 })
    }

    async fn transact(&self, request: Request<v1::TransactRequest>) -> Reply<v1::TransactResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::SecretTransact);
        let parse = || self.0.parse_transact(&caller, &message);
        let done = self.0.submit_checked(&caller, Operation::SecretTransact, &message, parse).await?;
        reply(v1::TransactResponse { versions: versions(&done), index: done.index })
    }

    type WatchStream = watch::Events;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Reply<Self::WatchStream> {
        let (caller, message) = self.0.receive(request);
        let parse = || {
            Ok(Command::Watch {
                environment: EnvironmentName::parse(&message.environment)?,
                prefix: message.prefix.clone(),
                after: message.after_index,
            })
        };
        let open = self.0.streams.open(&self.0.view(), &caller);
        let command = parse().and_then(|command| open.as_ref().map(|_| command).map_err(Clone::clone));
        let done = self.0.submit(&caller, Operation::SecretWatch, &message, command).await?;
        let open = open.map_err(|rejection| status::refused(&rejection))?;
        reply(watch::changes(self.0.clone(), caller, message, done.index, open)?)
    }
}

/// Decides the reads of one group together and opens what may be seen.
async fn answer_group(
    door: Arc<Door>,
    caller: Caller,
    group: Vec<v1::GetStreamRequest>,
) -> Vec<Result<v1::GetStreamResponse, Status>> {
    let mut by_environment: BTreeMap<String, (Vec<u64>, Vec<v1::GetManyItem>)> = BTreeMap::new();
    for v1::GetStreamRequest { id, get } in group {
        let get = get.unwrap_or_default();
        let (ids, items) = by_environment.entry(get.environment).or_default();
        ids.push(id);
        items.push(v1::GetManyItem { path: get.path, version: get.version });
    }
    let mut answers = Vec::new();
    for (environment, (ids, items)) in by_environment {
        let message = v1::GetManyRequest { environment, items };
        let many = door.get_many(&door.measured(caller.again(), &message), &message).await;
        let results = match many {
            Ok(many) => many.results,
            Err(status) if ids.len() == 1 => vec![reading::result(Err(status))],
            // One of them is malformed, or they are too much together: each is asked by itself, so that it spoils only its own answer.
            Err(status) if matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted) => {
                one_by_one(&door, &caller, &message).await
            }
            Err(status) => ids.iter().map(|_| reading::result(Err(status.clone()))).collect(),
        };
        answers.extend(ids.into_iter().zip(results).map(|(id, result)| Ok(v1::GetStreamResponse { id, result: Some(result) })));
    }
    answers
}

async fn one_by_one(door: &Door, caller: &Caller, message: &v1::GetManyRequest) -> Vec<v1::GetManyResult> {
    let gets = message.items.iter().map(|item| v1::GetRequest {
        environment: message.environment.clone(),
        path: item.path.clone(),
        version: item.version,
    });
    futures::stream::iter(gets)
        .then(|get| async move {
            let caller = door.measured(caller.again(), &get);
            reading::result(door.get(&caller, &get).await)
        })
        .collect()
        .await
}
