//! What rules are judged on, and what comes of it.

use super::condition::Circumstances;
use super::rule::{Policy, Rule};
use crate::ids::{EnvironmentName, Stamp};
use crate::token::Token;
use core::net::IpAddr;
use std::sync::Arc;

/// Who asks, from where and when: what rules are judged on.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The token shown.
    pub token: &'a Token,
    /// Where the request came from, where that is known.
    pub address: Option<IpAddr>,
    /// The leader's stamp.
    pub now: Stamp,
}

impl Asking<'_> {
    /// What conditions are judged on.
    #[must_use]
    pub fn circumstances(&self) -> Circumstances {
        Circumstances { address: self.address, now: self.now, mfa: self.token.mfa, token_created: self.token.created }
    }

    /// Whether the terms of the token let it act there at all. A token that is bound to environments has no business in the
    /// system either, or it could make itself one that is not.
    #[must_use]
    pub fn is_bound_elsewhere(&self, environment: Option<&EnvironmentName>) -> bool {
        let bound = &self.token.terms.environments;
        !bound.is_empty() && environment.is_none_or(|asked| !bound.contains(asked))
    }
}

/// The rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Which rule of it, from 0. Invariant: there is one.
    pub at: usize,
}

impl Ground {
    /// The rule itself.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.policy.rules[self.at]
    }
}

/// Which rule decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This rule allows it and none denies it.
    Allowed(Ground),
    /// This rule denies it.
    Denied(Ground),
    /// No rule that counts is about it.
    NoRule,
    /// The token is bound to other environments.
    BoundElsewhere,
}

impl Verdict {
    /// Whether the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Verdict::Allowed(_))
    }

    /// The rule that decided, where one did.
    #[must_use]
    pub fn ground(&self) -> Option<&Ground> {
        match self {
            Verdict::Allowed(ground) | Verdict::Denied(ground) => Some(ground),
            Verdict::NoRule | Verdict::BoundElsewhere => None,
        }
    }

    /// Why, in the words of a refusal; `token` is the one that was judged.
    #[must_use]
    pub fn why(&self, token: &Token) -> String {
        match self {
            Verdict::Allowed(ground) => format!("policy {} allows {}", ground.policy.name, ground.rule().path),
            Verdict::Denied(ground) => format!("policy {} denies {}", ground.policy.name, ground.rule().path),
            Verdict::NoRule => "no rule allows it".to_owned(),
            Verdict::BoundElsewhere => {
                let names: Vec<_> = token.terms.environments.iter().map(EnvironmentName::as_str).collect();
                format!("the token counts in {} only", names.join(", "))
            }
        }
    }
}
