//! The service of tokens.

use crate::api::door::Done;
use crate::api::identity::check_ttl;
use crate::api::{Door, convert, status};
use crate::engine::sealing::new_token;
use node_domain::command::TokenWish;
use node_domain::identity::IdentityCommand;
use node_domain::ids::{Accessor, PrincipalName};
use node_domain::operation::Operation;
use node_domain::{Command, Rejection};
use proto::v1;
use proto::v1::tokens_server::Tokens;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service of tokens, behind the door.
pub(crate) struct TokensService(pub(crate) Arc<Door>);

#[tonic::async_trait]
impl Tokens for TokensService {
    async fn create(&self, request: Request<v1::CreateTokenRequest>) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::TokenCreate);
        let text = new_token(self.0.sealing.entropy());
        let hash = self.0.sealing.token_hash(&text);
        let parse = || {
            if message.wrap_ttl_ms > 0 {
                check_ttl(message.wrap_ttl_ms)?;
            }
            let principal = PrincipalName::parse(&message.principal)?;
            let policies = convert::policies(&message.policies)?;
            let wish = TokenWish {
                roles: convert::roles(&message.roles)?,
                renewal_ms: message.renewal_ms,
                ttl_ms_max: message.ttl_ms_max,
                uses_max: message.uses_max,
                networks: convert::networks(&message.networks)?,
                environments: convert::environments(&message.environments)?,
                orphan: message.orphan,
                ..TokenWish::plain(hash, principal, policies, message.ttl_ms)
            };
            Ok::<_, Rejection>(Command::CreateToken(Box::new(wish)))
        };
        let done = self.0.submit(&caller, Operation::TokenCreate, &message, parse()).await?;
        // A repeated request finds the token that its first asking made; its text is gone with that answer.
        let token = done.view.state.token_by_accessor(&Accessor::of(&hash)).ok_or_else(|| {
            Status::failed_precondition(
                "this request made its token before; the text was in the first answer only: revoke it and ask anew",
            )
        })?;
        let details = Some(convert::show_token(token));
        let made = v1::CreateTokenResponse { token: text.to_string(), details: details.clone(), wrapped: None };
        if message.wrap_ttl_ms == 0 {
            return Ok(Response::new(made));
        }
        let about = format!("token of {}", message.principal);
        let contents = v1::unwrap_response::Contents::Token(made);
        let wrapped = self.0.wrap(&caller.again(), about, contents, (message.wrap_ttl_ms, None)).await?;
        Ok(Response::new(v1::CreateTokenResponse { token: String::new(), details, wrapped: Some(wrapped) }))
    }

    async fn lookup_self(&self, request: Request<v1::LookupSelfRequest>) -> Result<Response<v1::Token>, Status> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::TokenLookupSelf, &message, Ok(Command::LookupSelf)).await?;
        let token = caller.token_of_answer(&done.view).map_err(|rejection| status::refused(&rejection))?;
        Ok(Response::new(convert::show_token(token)))
    }

    async fn lookup(&self, request: Request<v1::LookupTokenRequest>) -> Result<Response<v1::Token>, Status> {
        let (caller, message) = self.0.receive(request);
        let parse = || {
            let accessor = Accessor::parse(&message.accessor)?;
            Ok::<_, Rejection>(Command::Identity(Box::new(IdentityCommand::LookupToken { accessor })))
        };
        let done = self.0.submit(&caller, Operation::TokenLookup, &message, parse()).await?;
        shown(&done, Accessor::parse(&message.accessor).ok())
    }

    async fn renew(&self, request: Request<v1::RenewTokenRequest>) -> Result<Response<v1::Token>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::TokenRenew);
        let named = (!message.accessor.is_empty()).then(|| Accessor::parse(&message.accessor)).transpose();
        let own = caller.ask.credential.as_ref().map(Accessor::of);
        let renewed = named.as_ref().ok().copied().flatten().or(own);
        let increment_ms = message.increment_ms;
        let parse = || {
            let accessor = named?;
            Ok::<_, Rejection>(Command::Identity(Box::new(IdentityCommand::RenewToken { accessor, increment_ms })))
        };
        let done = self.0.submit(&caller, Operation::TokenRenew, &message, parse()).await?;
        shown(&done, renewed)
    }

    async fn list(&self, request: Request<v1::ListTokensRequest>) -> Result<Response<v1::ListTokensResponse>, Status> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::TokenList, &message, Ok(Command::ListTokens)).await?;
        Ok(Response::new(v1::ListTokensResponse { tokens: done.view.state.tokens().map(convert::show_token).collect() }))
    }

    async fn revoke(&self, request: Request<v1::RevokeTokenRequest>) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::TokenRevoke);
        let own = caller.ask.credential.as_ref().map(Accessor::of).filter(|_| message.accessor.is_empty());
        let parse = || {
            let accessor = own.map_or_else(|| Accessor::parse(&message.accessor), Ok)?;
            Ok::<_, Rejection>(Command::RevokeToken { accessor })
        };
        let done = self.0.submit(&caller, Operation::TokenRevoke, &message, parse()).await?;
        Ok(Response::new(v1::RevokeTokenResponse { index: done.index }))
    }
}

/// A token as the view that holds the answer's record knows it.
fn shown(done: &Done, accessor: Option<Accessor>) -> Result<Response<v1::Token>, Status> {
    let token = accessor.and_then(|accessor| done.view.state.token_by_accessor(&accessor));
    let token = token.ok_or_else(|| Status::not_found("the token has ended meanwhile"))?;
    Ok(Response::new(convert::show_token(token)))
}
