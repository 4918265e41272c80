//! Walls between environments: who is denied something in an environment that they have nothing to do with has crossed a line.

use crate::ids::{EnvironmentName, SecretPath};
use crate::policy::{Asking, Capability};
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::Token;

/// What a rule can allow on secrets, rather than on the system.
const ON_SECRETS: [Capability; 9] = [
    Capability::Read,
    Capability::Create,
    Capability::Update,
    Capability::List,
    Capability::Metadata,
    Capability::Delete,
    Capability::Destroy,
    Capability::Promote,
    Capability::Approve,
];

/// A denial in `environment` as it is told: a violation where the token may do nothing at all there, and something elsewhere.
///
/// An environment that does not exist is no wall, and says nothing either: its denial stays what it is.
pub(crate) fn sharpened(
    state: &State,
    asking: &Asking<'_>,
    environment: &EnvironmentName,
    subject: &str,
    rejection: Rejection,
) -> Rejection {
    let crosses = matches!(rejection, Rejection::Denied { .. })
        && state.environments.contains_key(environment)
        && !state.has_business(asking.token, environment)
        && state.environments.keys().any(|other| other != environment && state.has_business(asking.token, other));
    if !crosses {
        return rejection;
    }
    Rejection::Violation {
        principal: asking.token.principal.to_string(),
        subject: subject.to_owned(),
        environment: environment.to_string(),
        hint: hint(state, asking, environment, subject),
    }
}

impl State {
    /// Whether the token may do anything with secrets of this environment, at some hour or from some place.
    #[must_use]
    pub fn has_business(&self, token: &Token, environment: &EnvironmentName) -> bool {
        let bound = &token.terms.environments;
        if !bound.is_empty() && !bound.contains(environment) {
            return false;
        }
        let grants = self.grants_of(token);
        let mut rules = grants.policies().flat_map(|policy| &policy.rules);
        rules.any(|rule| {
            let here = rule.environment.as_ref().is_none_or(|named| named == environment);
            here && !rule.deny && ON_SECRETS.iter().any(|capability| rule.capabilities.has(*capability))
        })
    }
}

/// Where the same path may be read. It tells only what its reader may know anyway, and nothing of what was asked for.
fn hint(state: &State, asking: &Asking<'_>, asked: &EnvironmentName, subject: &str) -> String {
    let Ok(path) = SecretPath::parse(subject) else { return String::new() };
    let own = state.environments.iter().find(|(name, home)| {
        *name != asked
            && home.secrets.contains_key(&path)
            && state.has_business(asking.token, name)
            && state.keys.check_open(name).is_ok()
            && state.authorize(asking, Capability::Read, Some(name), subject.to_owned()).is_ok()
    });
    own.map(|(name, _)| format!(": the one for {name} is {name}:{path}")).unwrap_or_default()
}
