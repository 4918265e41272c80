//! The service of tokens.

use crate::api::{Door, convert, status};
use crate::engine::sealing::new_token;
use node_domain::command::TokenWish;
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
            let principal = PrincipalName::parse(&message.principal)?;
            let policies = convert::policies(&message.policies)?;
            let roles = convert::roles(&message.roles)?;
            let wish = TokenWish { roles, ..TokenWish::plain(hash, principal, policies, message.ttl_ms) };
            Ok::<_, Rejection>(Command::CreateToken(Box::new(wish)))
        };
        let done = self.0.submit(&caller, Operation::TokenCreate, &message, parse()).await?;
        // A repeated request finds the token that its first asking made; its text is gone with that answer.
        let token = done.view.state.token_by_accessor(&Accessor::of(&hash)).ok_or_else(|| {
            Status::failed_precondition(
                "this request made its token before; the text was in the first answer only: revoke it and ask anew",
            )
        })?;
        Ok(Response::new(v1::CreateTokenResponse { token: text.to_string(), details: Some(convert::show_token(token)) }))
    }

    async fn lookup_self(&self, request: Request<v1::LookupSelfRequest>) -> Result<Response<v1::Token>, Status> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::TokenLookupSelf, &message, Ok(Command::LookupSelf)).await?;
        let token = caller.token(&done.view).map_err(|rejection| status::refused(&rejection))?;
        Ok(Response::new(convert::show_token(token)))
    }

    async fn list(&self, request: Request<v1::ListTokensRequest>) -> Result<Response<v1::ListTokensResponse>, Status> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::TokenList, &message, Ok(Command::ListTokens)).await?;
        Ok(Response::new(v1::ListTokensResponse { tokens: done.view.state.tokens().map(convert::show_token).collect() }))
    }

    async fn revoke(&self, request: Request<v1::RevokeTokenRequest>) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (caller, message) = self.0.receive_change(request, Operation::TokenRevoke);
        let parse = || Ok::<_, Rejection>(Command::RevokeToken { accessor: Accessor::parse(&message.accessor)? });
        let done = self.0.submit(&caller, Operation::TokenRevoke, &message, parse()).await?;
        Ok(Response::new(v1::RevokeTokenResponse { index: done.index }))
    }
}
