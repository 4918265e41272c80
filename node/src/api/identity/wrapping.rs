//! Wrapping: sealed here, handed over once by the log, opened here.

use super::{Reply, identity, without_token};
use crate::api::door::Caller;
use crate::api::{Door, status};
use crate::engine::sealing::{WRAP_PREFIX, new_text};
use node_domain::identity::{IdentityAnswer, IdentityCommand, LoginCommand, WrapWish, Wrapped};
use node_domain::ids::{EnvironmentName, SecretId, TokenHash};
use node_domain::operation::Operation;
use node_domain::{Answer, Rejection, limits};
use prost::Message as _;
use proto::v1;
use proto::v1::unwrap_response::Contents;
use proto::v1::wrapping_server::Wrapping;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

const PURPOSE: &str = "wrapping";

/// The service of wrapping, behind the door.
pub(crate) struct WrappingService(pub(crate) Arc<Door>);

impl Door {
    /// Wraps what the caller is told, instead of telling it.
    pub(crate) async fn wrap(
        &self,
        caller: &Caller,
        about: String,
        contents: Contents,
        (ttl_ms, of): (u64, Option<(EnvironmentName, SecretId, u64)>),
    ) -> Result<v1::WrapToken, Status> {
        let caller = caller.again();
        let text = new_text(WRAP_PREFIX, self.sealing.entropy());
        let hash = self.sealing.token_hash(&text);
        let message = v1::UnwrapResponse { contents: Some(contents), ..Default::default() };
        let mut plaintext = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
        message.encode(&mut *plaintext).map_err(|error| status::fault("wrap an answer", &error))?;
        let payload = self.sealing.seal_system(&place_of(&hash), &plaintext);
        let payload = payload.map_err(|error| status::fault("wrap an answer", &error))?.into();
        let wish = WrapWish { hash, payload, about: limits::cut(about, limits::TEXT_BYTES_MAX), ttl_ms, of };
        let asked = v1::UnwrapRequest::default();
        let done = self.submit(&caller, Operation::Wrap, &asked, Ok(identity(IdentityCommand::Wrap(wish)))).await?;
        let wrapped = done.view.state.identity().wrapped(&hash);
        let wrapped = wrapped.ok_or_else(|| Status::failed_precondition("the wrapping has ended already: give it more time"))?;
        Ok(v1::WrapToken { token: text.to_string(), ..show(wrapped) })
    }

    fn unwrapped(&self, hash: &TokenHash, wrapped: &Wrapped) -> Result<v1::UnwrapResponse, Status> {
        let plaintext = self.sealing.open_system(&place_of(hash), &wrapped.payload);
        let plaintext = plaintext.map_err(|error| status::fault("open a wrapping", &error))?;
        let message = v1::UnwrapResponse::decode(plaintext.expose());
        let message = message.map_err(|error| status::fault("open a wrapping", &error))?;
        let (about, created_by) = (wrapped.about.clone(), wrapped.created_by.to_string());
        Ok(v1::UnwrapResponse { about, created_by, created_at_ms: wrapped.created.as_ms(), ..message })
    }
}

/// How long a wrapping may wait: asked before what is to be wrapped is made or read, so that nothing is left over.
pub(crate) fn check_ttl(ttl_ms: u64) -> Result<(), Rejection> {
    if ttl_ms == 0 || ttl_ms > limits::WRAP_TTL_MS_MAX {
        return Err(Rejection::invalid(format!("a wrapping waits 1 to {} ms", limits::WRAP_TTL_MS_MAX)));
    }
    Ok(())
}

/// What is wrapped opens with its own token alone.
fn place_of(hash: &TokenHash) -> String {
    format!("{PURPOSE}/{}", storage_crypto::hex::encode(hash))
}

fn show(wrapped: &Wrapped) -> v1::WrapToken {
    v1::WrapToken {
        token: String::new(),
        accessor: wrapped.accessor.to_string(),
        about: wrapped.about.clone(),
        created_at_ms: wrapped.created.as_ms(),
        created_by: wrapped.created_by.to_string(),
        expires_at_ms: wrapped.expires.as_ms(),
    }
}

fn handed_over(answer: Answer) -> Result<Wrapped, Status> {
    match answer {
        Answer::Identity(answer) => match *answer {
            IdentityAnswer::Unwrapped(wrapped) => Ok(*wrapped),
        },
        _ => Err(Status::internal("an unwrapping was answered without what was wrapped")),
    }
}

#[tonic::async_trait]
impl Wrapping for WrappingService {
    async fn wrap_secret(&self, request: Request<v1::WrapSecretRequest>) -> Reply<v1::WrapToken> {
        let (caller, message) = self.0.receive(request);
        let v1::WrapSecretRequest { environment, path, version, ttl_ms } = message;
        let about = format!("secret {environment}:{path}");
        let asked = v1::GetRequest { environment, path, version };
        if let Err(rejection) = check_ttl(ttl_ms) {
            self.0.submit(&caller, Operation::Wrap, &asked, Err(rejection)).await?;
        }
        let (read, of) = self.0.read_from(&caller, &asked).await?;
        Ok(Response::new(self.0.wrap(&caller, about, Contents::Secret(read), (ttl_ms, Some(of))).await?))
    }

    async fn unwrap(&self, request: Request<v1::UnwrapRequest>) -> Reply<v1::UnwrapResponse> {
        let (caller, message) = self.0.receive_login(request);
        let hash = self.0.sealing.token_hash(message.token.trim());
        let command = Ok(without_token(LoginCommand::Unwrap { hash }));
        let done = self.0.submit(&caller, Operation::Unwrap, &message, command).await?;
        Ok(Response::new(self.0.unwrapped(&hash, &handed_over(done.answer)?)?))
    }

    async fn lookup(&self, request: Request<v1::UnwrapRequest>) -> Reply<v1::WrapToken> {
        let (caller, message) = self.0.receive_login(request);
        let hash = self.0.sealing.token_hash(message.token.trim());
        let command = Ok(without_token(LoginCommand::LookupWrapped { hash }));
        let done = self.0.submit(&caller, Operation::WrapLookup, &message, command).await?;
        Ok(Response::new(show(&handed_over(done.answer)?)))
    }
}
