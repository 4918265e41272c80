//! Tokens that last longer, and tokens that are looked up.

use super::IdentityEvent;
use super::decide::done;
use crate::decide::{Answer, Decided, Desk};
use crate::event::Event;
use crate::ids::Accessor;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::token::Token;

impl Desk<'_> {
    /// A token of the caller's own, or of another on whom the caller has the capability.
    fn token_at(&self, accessor: Accessor) -> Result<&Token, Rejection> {
        if self.token.accessor == accessor {
            return Ok(self.token);
        }
        let found = self.state.token_by_accessor(&accessor);
        let subject = found.map_or("", |token| token.principal.as_str());
        // The same words whether there is such a token or not, and whosever it is.
        self.permit_system(Capability::Tokens, subject).map_err(|_| Rejection::Denied {
            principal: self.token.principal.to_string(),
            capability: Capability::Tokens.word().into(),
            subject: accessor.to_string(),
            environment: "the system".into(),
            why: "no rule allows it".into(),
        })?;
        found.ok_or_else(|| Rejection::not_found("token", accessor))
    }

    pub(super) fn lookup_token(&self, accessor: Accessor) -> Decided {
        self.token_at(accessor)?;
        let event = Event::Observed { operation: Operation::TokenLookup, environment: None, subject: accessor.to_string() };
        Ok((vec![event], Answer::Done))
    }

    pub(super) fn renew_token(&self, accessor: Option<Accessor>, increment_ms: u64) -> Decided {
        let token = self.token_at(accessor.unwrap_or(self.token.accessor))?;
        let now = self.context.stamp;
        if token.terms.renewal_ms == 0 {
            return Err(Rejection::invalid(format!("token {} cannot be renewed: make a new one", token.accessor)));
        }
        if !token.is_valid_at(now) {
            return Err(Rejection::not_found("token", token.accessor));
        }
        let longest = token.terms.renewal_ms;
        let increment = if increment_ms == 0 { longest } else { increment_ms.min(longest) };
        let parents = token.terms.parent.and_then(|parent| self.state.token_by_accessor(&parent)?.expires);
        let ends = [Some(now.plus_ms(increment)), token.terms.expires_latest, parents];
        // Never shorter than it is: what it has made would outlive it.
        let expires = ends.into_iter().flatten().min().max(token.expires).unwrap_or(now);
        done(IdentityEvent::TokenRenewed { accessor: token.accessor, principal: token.principal.clone(), expires })
    }
}
