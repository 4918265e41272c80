//! Environments and tokens.

use super::{Answer, Decided, Desk, FOUNDER};
use crate::command::TokenWish;
use crate::event::Event;
use crate::ids::{Accessor, EnvironmentId, EnvironmentName, PrincipalName};
use crate::limits;
use crate::policy::{Capability, ROOT};
use crate::rejection::Rejection;
use crate::token::{Login, Terms, Token};
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
        let mut events = self.sweep_tokens();
        if self.state.tokens.len() - events.len() >= limits::TOKENS_MAX {
            return Err(Rejection::Limit(format!("there are {} live tokens already: revoke some", limits::TOKENS_MAX)));
        }
        if self.state.tokens.contains_key(&wish.hash) {
            return Err(Rejection::Exists { what: "token".into(), name: Accessor::of(&wish.hash).to_string() });
        }
        let own_end = self.token.expires;
        let asked_end = (wish.ttl_ms > 0).then(|| self.context.stamp.plus_ms(wish.ttl_ms));
        // A token never outlives the one that made it.
        let expires = match (own_end, asked_end) {
            (Some(own), Some(asked)) => Some(own.min(asked)),
            (own, asked) => own.or(asked),
        };
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
            terms: Terms::default(),
        };
        events.push(Event::TokenCreated { token: Box::new(token) });
        Ok((events, Answer::Done))
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

    /// Takes away some of the tokens that have ended, so that the dead never crowd out the living.
    fn sweep_tokens(&self) -> Vec<Event> {
        let ended = self.state.tokens_ended_by(self.context.stamp).take(limits::TOKENS_SWEPT_MAX);
        ended.map(|token| Event::TokenRevoked { accessor: token.accessor, principal: token.principal.clone() }).collect()
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
