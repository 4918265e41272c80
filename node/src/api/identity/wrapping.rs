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
/// How the words begin that stand for what somebody brought.
const GIVEN: &str = "bytes";

/// The service of wrapping, behind the door.
pub(crate) struct WrappingService(pub(crate) Arc<Door>);

impl Door {
    /// Wraps what the caller is told, instead of telling it, or what the caller brings. Where something was recorded under the request's id
    /// before, this is asked by the caller [again](Caller::again).
    pub(crate) async fn wrap(
        &self,
        caller: &Caller,
        about: String,
        contents: Contents,
        (ttl_ms, of): (u64, Option<(EnvironmentName, SecretId, u64)>),
    ) -> Result<v1::WrapToken, Status> {
        let text = new_text(WRAP_PREFIX, self.sealing.entropy());
        let hash = self.sealing.token_hash(&text);
        let is_given = matches!(contents, Contents::Given(_));
        let message = v1::UnwrapResponse { contents: Some(contents), ..Default::default() };
        let mut plaintext = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
        message.encode(&mut *plaintext).map_err(|error| status::fault("wrap an answer", &error))?;
        let payload = self.sealing.seal_system(&place_of(&hash), &plaintext);
        let payload = payload.map_err(|error| status::fault("wrap an answer", &error))?.into();
        let wish = WrapWish { hash, payload, about: limits::cut(about, limits::TEXT_BYTES_MAX), ttl_ms, of };
        let asked = v1::UnwrapRequest::default();
        let command = if is_given { IdentityCommand::WrapGiven(wish) } else { IdentityCommand::Wrap(wish) };
        let done = self.submit(caller, Operation::Wrap, &asked, Ok(identity(command))).await?;
        let wrapped = done.view.state.identity().wrapped(&hash);
        let wrapped = wrapped.ok_or_else(|| {
            let why =
                "the wrapping has ended already, or was made before, and its token was in the first answer only: wrap it anew";
            Status::failed_precondition(why)
        })?;
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

/// What somebody brings to be wrapped has an end and is not too large.
fn check_given(asked: &v1::WrapRequest) -> Result<(), Rejection> {
    check_ttl(asked.ttl_ms)?;
    let (found, most) = (asked.contents.len(), limits::WRAPPED_GIVEN_BYTES_MAX);
    if found == 0 {
        return Err(Rejection::invalid("there is nothing in it"));
    }
    if found > most {
        return Err(Rejection::Limit(format!("what is to be wrapped has {found} bytes, at most {most} are taken")));
    }
    if given_about(&asked.about).len() > limits::TEXT_BYTES_MAX {
        return Err(Rejection::invalid(format!("what is said about it has more than {} bytes", limits::TEXT_BYTES_MAX)));
    }
    Ok(())
}

/// Nobody takes what somebody brought for a secret or a token of this cluster, whatever is said about it.
fn given_about(about: &str) -> String {
    if about.is_empty() { GIVEN.to_owned() } else { format!("{GIVEN}: {about}") }
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
    async fn wrap(&self, request: Request<v1::WrapRequest>) -> Reply<v1::WrapToken> {
        let (caller, message) = self.0.receive_change(request, Operation::Wrap);
        if let Err(rejection) = self.0.check_known(&caller).await.and_then(|()| check_given(&message)) {
            self.0.submit(&caller, Operation::Wrap, &message, Err(rejection)).await?;
        }
        let v1::WrapRequest { about, contents, ttl_ms } = message;
        let wrapped = self.0.wrap(&caller, given_about(&about), Contents::Given(contents), (ttl_ms, None)).await?;
        Ok(Response::new(wrapped))
    }

    async fn wrap_secret(&self, request: Request<v1::WrapSecretRequest>) -> Reply<v1::WrapToken> {
        let (caller, message) = self.0.receive(request);
        let v1::WrapSecretRequest { environment, path, version, ttl_ms } = message;
        let about = format!("secret {environment}:{path}");
        let asked = v1::GetRequest { environment, path, version };
        if let Err(rejection) = check_ttl(ttl_ms) {
            self.0.submit(&caller, Operation::Wrap, &asked, Err(rejection)).await?;
        }
        let (read, of) = self.0.read_from(&caller, &asked).await?;
        Ok(Response::new(self.0.wrap(&caller.again(), about, Contents::Secret(read), (ttl_ms, Some(of))).await?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_brought_to_be_wrapped_is_bounded() {
        let asked = |bytes: usize, about: usize, ttl_ms| {
            let (about, contents) = ("x".repeat(about), vec![0; bytes].into());
            check_given(&v1::WrapRequest { about, contents, ttl_ms }).map_err(|rejection| rejection.to_string())
        };
        assert_eq!(asked(limits::WRAPPED_GIVEN_BYTES_MAX, 1000, 1), Ok(()));
        let large = "what is to be wrapped has 61441 bytes, at most 61440 are taken";
        assert_eq!(asked(limits::WRAPPED_GIVEN_BYTES_MAX + 1, 0, 1), Err(large.into()));
        assert!(asked(0, 0, 1).is_err() && asked(1, limits::TEXT_BYTES_MAX, 1).is_err());
        assert!(asked(1, 0, 0).is_err() && asked(1, 0, limits::WRAP_TTL_MS_MAX + 1).is_err());
    }
}
