//! Policies: rules under a name.

use super::capability::{Capabilities, Capability};
use super::condition::Conditions;
use super::pattern::PathPattern;
use crate::ids::{EnvironmentName, PolicyName, Stamp};
use serde::{Deserialize, Serialize};

/// Some rules under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name, which tokens and roles carry.
    pub name: PolicyName,
    /// Its rules; their order does not matter.
    pub rules: Vec<Rule>,
    /// Counts changes, from 1.
    pub version: u64,
    /// When it last changed.
    pub updated: Stamp,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// An environment, or `None` for all of them and for the system.
    pub environment: Option<EnvironmentName>,
    /// Which paths.
    pub path: PathPattern,
    /// What it is about.
    pub capabilities: Capabilities,
    /// Whether it denies rather than allows.
    pub deny: bool,
    /// When it counts at all.
    pub conditions: Conditions,
}

impl Rule {
    /// Whether the rule is about `capability` on `subject`; a system subject has no environment.
    #[must_use]
    pub fn is_about(&self, capability: Capability, environment: Option<&EnvironmentName>, subject: &str) -> bool {
        self.is_of(capability, environment) && self.path.matches(subject)
    }

    /// Whether the rule is about `capability` there, on some subject.
    pub(super) fn is_of(&self, capability: Capability, environment: Option<&EnvironmentName>) -> bool {
        self.capabilities.has(capability) && (self.environment.is_none() || self.environment.as_ref() == environment)
    }

    /// `allow`, `deny`.
    #[must_use]
    pub fn effect(&self) -> &'static str {
        if self.deny { "deny" } else { "allow" }
    }
}

impl Policy {
    /// The policy that allows everything.
    #[must_use]
    pub fn root(name: PolicyName, updated: Stamp) -> Policy {
        let rule = Rule {
            environment: None,
            path: PathPattern::every(),
            capabilities: Capabilities::EVERY,
            deny: false,
            conditions: Conditions::default(),
        };
        Policy { name, rules: vec![rule], version: 1, updated }
    }
}
