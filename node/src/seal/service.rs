//! The service of a node's seal, in every phase.

use super::alone::SealedAlone;
use super::desk::SealDesk;
use super::gathering::Origin;
use super::phases::Given;
use crate::api::door::Caller;
use crate::api::{Door, status};
use crate::engine::sealing::new_token;
use node_domain::command::Upkeep;
use node_domain::identity::LoginCommand;
use node_domain::ids::Accessor;
use node_domain::keys::{KeysCommand, KeysUpkeep};
use node_domain::operation::Operation;
use node_domain::policy::{Asking, Capability};
use node_domain::{Command, Rejection};
use proto::v1;
use proto::v1::seal_server::Seal;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

/// How long a node that is to be sealed waits for the record of it.
const RECORD_PATIENCE: Duration = Duration::from_secs(3);

/// The service. Without a door the node is not unsealed.
#[derive(Clone)]
pub(crate) struct SealService {
    pub(crate) desk: Arc<SealDesk>,
    pub(crate) door: Option<Arc<Door>>,
}

impl SealService {
    /// Asks the desk, off the threads that serve: passphrases are stretched and files are written there.
    async fn at_desk<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&SealDesk) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let desk = self.desk.clone();
        tokio::task::spawn_blocking(move || ask(&desk)).await.map_err(|error| Status::internal(error.to_string()))?
    }

    async fn standing(&self) -> Result<Response<v1::SealStatusResponse>, Status> {
        self.at_desk(|desk| Ok(desk.status())).await.map(Response::new)
    }
}

/// Where a request comes from.
fn origin<T>(request: &Request<T>) -> Origin {
    request.remote_addr().map(|address| address.ip().to_canonical())
}

#[tonic::async_trait]
impl Seal for SealService {
    async fn status(&self, _request: Request<v1::SealStatusRequest>) -> Result<Response<v1::SealStatusResponse>, Status> {
        self.standing().await
    }

    async fn init(&self, request: Request<v1::InitRequest>) -> Result<Response<v1::InitResponse>, Status> {
        let (origin, request) = (origin(&request), request.into_inner());
        let (cluster, key) = self.at_desk(move |desk| desk.begin_init(origin)).await?;
        let kept = match request.kms.as_str() {
            "" => None,
            named => Some(self.desk.keeper().make(named, cluster, key).await?),
        };
        self.at_desk(move |desk| desk.init(&request, cluster, kept)).await.map(Response::new)
    }

    async fn adopt(&self, request: Request<v1::AdoptRequest>) -> Result<Response<v1::SealStatusResponse>, Status> {
        let (origin, request) = (origin(&request), request.into_inner());
        self.at_desk(move |desk| desk.adopt(&request.seal_file, origin)).await?;
        self.standing().await
    }

    async fn unseal(&self, request: Request<v1::UnsealRequest>) -> Result<Response<v1::SealStatusResponse>, Status> {
        let origin = origin(&request);
        let v1::UnsealRequest { share, passphrase, key_file, reset, service } = request.into_inner();
        let given = [(share, Given::Share as fn(_) -> _), (passphrase, Given::Passphrase), (key_file, Given::KeyFile)];
        let mut given: Vec<Given> =
            given.into_iter().filter(|(text, _)| !text.is_empty()).map(|(text, kind)| kind(Zeroizing::new(text))).collect();
        if service && given.is_empty() {
            self.at_desk(move |desk| desk.ask_service(origin)).await?;
            return self.standing().await;
        }
        if service || given.len() > 1 || (given.is_empty() && !reset) {
            return Err(Status::invalid_argument("give a share, or a passphrase, or the text of a key file"));
        }
        self.at_desk(move |desk| {
            if reset {
                desk.reset(origin)?;
            }
            given.pop().map_or(Ok(()), |given| desk.unseal(given, origin))
        })
        .await?;
        self.standing().await
    }

    async fn seal(&self, request: Request<v1::SealRequest>) -> Result<Response<v1::SealStatusResponse>, Status> {
        let Some(door) = self.door.clone() else { return self.standing().await };
        self.desk.check_sealable()?;
        let service = self.clone();
        // Whoever asked may go away: what the record says is done.
        let sealed = tokio::spawn(async move { service.record_and_seal(&door, request).await });
        sealed.await.map_err(|error| Status::internal(error.to_string()))??;
        self.standing().await
    }

    async fn root_token(&self, request: Request<v1::RootTokenRequest>) -> Result<Response<v1::RootTokenResponse>, Status> {
        match &self.door {
            Some(door) => self.mint_root(door, request).await.map(Response::new),
            None => Err(Status::failed_precondition("this node is sealed: unseal it first")),
        }
    }
}

impl SealService {
    async fn record_and_seal(&self, door: &Door, request: Request<v1::SealRequest>) -> Result<(), Status> {
        let (mut caller, message) = door.receive_change(request, Operation::SealSeal);
        let command = Command::Keys(Box::new(KeysCommand::SealNode { node: door.node_id }));
        // The record first, as long as there is time left to do without: a node that has forgotten its keys cannot say so any more.
        let now = Instant::now();
        caller.deadline = now + (caller.deadline.saturating_duration_since(now) / 2).min(RECORD_PATIENCE);
        match door.decided(&caller, Operation::SealSeal, &message, Ok(command)).await {
            Ok(decided) => drop(decided.map_err(|rejection| status::refused(&rejection))?),
            Err(lost) => self.note_alone(door, &caller, &lost).await?,
        }
        self.desk.ask_to_seal()
    }

    /// What opens the seal is shown at the desk, and what does not is on the journal as any other failure to log in.
    async fn mint_root(&self, door: &Door, request: Request<v1::RootTokenRequest>) -> Result<v1::RootTokenResponse, Status> {
        let origin = origin(&request);
        // No fingerprint of it is kept: shares and passphrases are in it.
        let (caller, message) = door.receive_login(request);
        let v1::RootTokenRequest { current, ttl_ms } = message;
        let current: Vec<_> = current.into_iter().map(Zeroizing::new).collect();
        let asked = v1::RootTokenRequest::default();
        let operation = Operation::RootMint;
        if let Err(status) = self.at_desk(move |desk| desk.prove(&current, origin)).await {
            if status.code() == Code::PermissionDenied {
                let rejection = Rejection::NotLoggedIn(status.message().to_owned());
                let flawed = LoginCommand::Flawed { operation, subject: String::new(), rejection };
                door.submit(&caller, operation, &asked, Ok(Command::Login(Box::new(flawed)))).await?;
            }
            return Err(status);
        }
        let text = new_token(door.sealing.entropy());
        let token = door.sealing.token_hash(&text);
        let upkeep = Upkeep::Keys(KeysUpkeep::MintRoot { token, ttl_ms });
        let done = door.submit(&caller, operation, &asked, Ok(Command::Upkeep(Box::new(upkeep)))).await?;
        let made = done.view.state.token_by_accessor(&Accessor::of(&token));
        let made = made.ok_or_else(|| Status::failed_precondition("the token was revoked meanwhile: ask for another"))?;
        Ok(v1::RootTokenResponse {
            token: text.to_string(),
            accessor: made.accessor.to_string(),
            expires_at_ms: made.expires.map_or(0, |end| end.as_ms()),
            index: done.index,
        })
    }

    /// Nobody can record it: whoever may seal this node, as far as it knows, does so all the same, and it is noted for the journal.
    async fn note_alone(&self, door: &Door, caller: &Caller, lost: &Status) -> Result<(), Status> {
        let view = door.view();
        let now = view.state.stamp().max(door.authn.clock.now());
        let known = view.state.authenticate(caller.ask.credential.as_ref(), caller.ask.address, now);
        let token = known.map_err(|rejection| status::refused(&rejection))?;
        let asking = Asking { token, address: caller.ask.address, now };
        let may = view.state.authorize(&asking, Capability::Keys, None, format!("node-{}", door.node_id));
        may.map_err(|rejection| status::refused(&rejection))?;
        tracing::warn!(accessor = %token.accessor, why = lost.message(), "this node is sealed without a record: it says so when it is unsealed");
        let alone = SealedAlone::new(token.accessor, now);
        self.at_desk(move |desk| desk.note(&alone)).await
    }
}
