//! Why a request is allowed or denied, rule by rule.

use super::capability::Capability;
use super::condition::Unmet;
use super::judge::{Asking, Ground, Verdict};
use super::rule::Policy;
use crate::ids::{EnvironmentName, RoleName};
use crate::limits;
use std::sync::Arc;

/// The verdict, and every rule that is about the request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What `authorize` goes by.
    pub verdict: Verdict,
    /// By policy and in the order of its rules; at most [`limits::EXPLAINED_RULES_MAX`].
    pub considered: Vec<Considered>,
    /// How many more there are.
    pub left_out: usize,
}

/// A rule that is about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// The rule.
    pub ground: Ground,
    /// The roles through which the token has its policy; empty where the token names it itself.
    pub roles: Vec<RoleName>,
    /// Why it does not count, where it does not.
    pub unmet: Option<Unmet>,
}

impl Explanation {
    /// Asks each rule by itself. `policies` come with the roles that give them, by name.
    pub(crate) fn of(
        verdict: Verdict,
        policies: impl Iterator<Item = (Arc<Policy>, Vec<RoleName>)>,
        asking: &Asking<'_>,
        (capability, environment, subject): (Capability, Option<&EnvironmentName>, &str),
    ) -> Explanation {
        let circumstances = asking.circumstances();
        let mut explanation = Explanation { verdict, considered: Vec::new(), left_out: 0 };
        for (policy, roles) in policies {
            let about = policy.rules.iter().enumerate().filter(|(_, rule)| rule.is_about(capability, environment, subject));
            for (at, rule) in about {
                if explanation.considered.len() == limits::EXPLAINED_RULES_MAX {
                    explanation.left_out += 1;
                    continue;
                }
                let unmet = rule.conditions.unmet(rule.deny, &circumstances);
                let ground = Ground { policy: policy.clone(), at };
                explanation.considered.push(Considered { ground, roles: roles.clone(), unmet });
            }
        }
        explanation
    }
}
