//! Asking what somebody may do, without doing it.

use super::capability::Capability;
use super::explain::Explanation;
use super::judge::Asking;
use crate::ids::{Accessor, EnvironmentName, PolicyName, PrincipalName, RoleName, Stamp};
use crate::limits;
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::{Login, Terms, Token};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Who would do it.
    pub whom: Whom,
    /// What.
    pub capability: Capability,
    /// Where; `None` for the system.
    pub environment: Option<EnvironmentName>,
    /// On what.
    pub subject: String,
    /// From where, where that is known.
    pub address: Option<IpAddr>,
    /// When; now where it is not said.
    pub at: Option<Stamp>,
    /// Whether with a second factor, where the token is not to say.
    pub mfa: Option<bool>,
    /// With a token so old, where the token is not to say.
    pub token_age_ms: Option<u64>,
}

/// Who would do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// Whoever asks, with the token shown.
    Oneself,
    /// Each live token of this principal.
    Principal(PrincipalName),
    /// This token.
    Token(Accessor),
    /// A token that would hold these.
    Holder {
        /// Its policies.
        policies: Vec<PolicyName>,
        /// Its roles.
        roles: Vec<RoleName>,
    },
}

impl Question {
    /// Answers it on `state`, with the token that would be used; `own` is the token of whoever asks.
    ///
    /// # Errors
    /// When there is nobody to ask it about.
    pub fn answer(&self, state: &State, own: &Token) -> Result<Vec<(Token, Explanation)>, Rejection> {
        let now = self.at.unwrap_or(state.stamp());
        let tokens = self.tokens(state, own, now)?;
        let answer = |mut token: Token| {
            token.mfa = self.mfa.unwrap_or(token.mfa);
            if let Some(age_ms) = self.token_age_ms {
                token.created = Stamp(now.0.saturating_sub(age_ms.saturating_mul(1000)));
            }
            let asking = Asking { token: &token, address: self.address, now };
            let explanation = state.explain(&asking, self.capability, self.environment.as_ref(), &self.subject);
            (token, explanation)
        };
        Ok(tokens.into_iter().map(answer).collect())
    }

    fn tokens(&self, state: &State, own: &Token, now: Stamp) -> Result<Vec<Token>, Rejection> {
        match &self.whom {
            Whom::Oneself => Ok(vec![own.clone()]),
            Whom::Token(accessor) => {
                Ok(vec![state.token_by_accessor(accessor).ok_or_else(|| Rejection::not_found("token", accessor))?.clone()])
            }
            Whom::Principal(principal) => {
                let live = state.tokens().filter(|token| token.principal == *principal && token.is_valid_at(now));
                let tokens: Vec<Token> = live.take(limits::TESTED_TOKENS_MAX).cloned().collect();
                if tokens.is_empty() { Err(Rejection::not_found("live token of", principal)) } else { Ok(tokens) }
            }
            Whom::Holder { policies, roles } => {
                check_known(state, policies, roles)?;
                Ok(vec![holder(policies.clone(), roles.clone(), now)?])
            }
        }
    }
}

fn check_known(state: &State, policies: &[PolicyName], roles: &[RoleName]) -> Result<(), Rejection> {
    if let Some(unknown) = policies.iter().find(|name| state.policy(name).is_none()) {
        return Err(Rejection::not_found("policy", unknown));
    }
    match roles.iter().find(|name| state.role(name).is_none()) {
        Some(unknown) => Err(Rejection::not_found("role", unknown)),
        None => Ok(()),
    }
}

/// A token that nobody holds. Its accessor is that of no text.
fn holder(policies: Vec<PolicyName>, roles: Vec<RoleName>, now: Stamp) -> Result<Token, Rejection> {
    Ok(Token {
        hash: [0; 32],
        accessor: Accessor([0; 12]),
        principal: PrincipalName::parse("somebody")?,
        policies,
        roles,
        created: now,
        created_by: PrincipalName::parse("somebody")?,
        login: Login::Token,
        mfa: false,
        expires: None,
        terms: Terms::default(),
    })
}

/// As the journal names it.
impl fmt::Display for Whom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whom::Oneself => formatter.write_str("oneself"),
            Whom::Principal(principal) => write!(formatter, "{principal}"),
            Whom::Token(accessor) => write!(formatter, "token {accessor}"),
            Whom::Holder { policies, roles } => {
                let names = policies.iter().map(PolicyName::as_str).chain(roles.iter().map(RoleName::as_str));
                write!(formatter, "holder of {}", names.collect::<Vec<_>>().join(","))
            }
        }
    }
}
