//! Environments and tokens.

use super::{Answer, Decided, Desk, FOUNDER};
use crate::command::TokenWish;
use crate::event::Event;
use crate::identity::admit;
use crate::ids::{Accessor, EnvironmentId, EnvironmentName, PrincipalName};
use crate::limits;
use crate::policy::{Capability, ROOT};
use crate::rejection::Rejection;
use crate::token::{Login, Token};
use bytes::Bytes;

impl Desk<'_> {
    pub(super) fn create_environment(
        &self,
        name: EnvironmentName,
        id: EnvironmentId,
        description: String,
        wrapped_key: Bytes,
    ) -> Decided {
        self.permit_system(Capability::Environments, name.as_str())?;
        if self.state.environments.contains_key(&name) {
            return Err(Rejection::Exists { what: "environment".into(), name: name.to_string() });
        }
        if self.state.environments.len() >= limits::ENVIRONMENTS_MAX {
            return Err(Rejection::Limit(format!("there are {} environments already", limits::ENVIRONMENTS_MAX)));
        }
        if description.len() > limits::TEXT_BYTES_MAX {
            return Err(Rejection::invalid(format!("description is longer than {} bytes", limits::TEXT_BYTES_MAX)));
        }
        Ok((vec![Event::environment_created(name, id, description, wrapped_key)], Answer::Done))
    }

    pub(super) fn create_token(&self, wish: TokenWish) -> Decided {
        self.permit_system(Capability::Tokens, wish.principal.as_str())?;
        self.check_principal(&wish.principal)?;
        self.check_grants(&wish.policies, &wish.roles)?;
        let (expires, terms) = self.terms_of(&wish)?;
        let token = Token {
            accessor: Accessor::of(&wish.hash),
            hash: wish.hash,
            principal: wish.principal,
            policies: wish.policies,
            roles: wish.roles,
            created: self.context.stamp,
            created_by: self.token.principal.clone(),
            login: Login::Token,
            mfa: self.token.mfa,
            expires,
            terms,
        };
        Ok((admit(self.state, self.context, token)?, Answer::Done))
    }

    /// Names that stand in the journal for something else: the cluster itself, and who may everything.
    fn check_principal(&self, principal: &PrincipalName) -> Result<(), Rejection> {
        match principal.as_str() {
            FOUNDER => Err(Rejection::invalid(format!("the principal {FOUNDER} is the cluster itself: name another"))),
            ROOT if !self.holds_root() => Err(Rejection::Denied {
                principal: self.token.principal.to_string(),
                capability: Capability::Tokens.word().into(),
                subject: principal.to_string(),
                environment: "the system".into(),
                why: "only a holder of the policy root may make a token for root".into(),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn revoke_token(&self, accessor: Accessor) -> Decided {
        let own = self.token.accessor == accessor;
        let found = self.state.token_by_accessor(&accessor);
        if !own && self.permit_system(Capability::Tokens, found.map_or("", |token| token.principal.as_str())).is_err() {
            // The same words whether there is such a token or not, and whosever it is.
            return Err(Rejection::Denied {
                principal: self.token.principal.to_string(),
                capability: Capability::Tokens.word().into(),
                subject: accessor.to_string(),
                environment: "the system".into(),
                why: "no rule allows it".into(),
            });
        }
        let token = found.ok_or_else(|| Rejection::not_found("token", accessor))?;
        Ok((vec![Event::TokenRevoked { accessor, principal: token.principal.clone() }], Answer::Done))
    }
}
