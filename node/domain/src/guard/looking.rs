//! Looking into a value by a rule: whoever has rules look into a value that he did not bring learns of it, a bit at a time, so he
//! has to be somebody who may read it, and it stands in the journal as a read.
//!
//! Promotions are the exception: who promotes need not read. What he learns is recorded as a read all the same.

use super::{GuardCommand, ValueRule};
use crate::command::Command;
use crate::decide::Desk;
use crate::event::Event;
use crate::ids::{EnvironmentName, SecretPath};
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::secret::{Secret, SecretType};
use crate::state::State;

/// A value that stands already, and what it is to stand as.
pub(crate) struct Look<'a> {
    pub(crate) environment: &'a EnvironmentName,
    pub(crate) secret: &'a Secret,
    pub(crate) version: u64,
    pub(crate) to: &'a SecretPath,
    pub(crate) kind: SecretType,
}

impl Desk<'_> {
    /// The read that a change of what stands amounts to, where a rule looks into the value.
    ///
    /// # Errors
    /// When the caller may not read it.
    pub(crate) fn look(&self, look: &Look<'_>) -> Result<Option<Event>, Rejection> {
        let Look { environment, secret, version, to, kind } = *look;
        let mut rules = self.state.guard.rules.about(environment, to, kind);
        let Some(rule) = rules.find(|rule| rule.looks_into_values()) else { return Ok(None) };
        let because = |rejection| told_why(rejection, rule);
        self.permit(Capability::Read, environment, secret.path.clone()).map_err(because)?;
        Ok(Some(read(environment, secret, version)))
    }
}

fn told_why(rejection: Rejection, rule: &ValueRule) -> Rejection {
    match rejection {
        Rejection::Denied { principal, capability, subject, environment, why } => {
            let why = format!("{why}, and rule {} for values looks into what stands there", rule.name);
            Rejection::Denied { principal, capability, subject, environment, why }
        }
        other => other,
    }
}

fn read(environment: &EnvironmentName, secret: &Secret, version: u64) -> Event {
    let (environment, path) = (environment.clone(), secret.path.clone());
    Event::SecretRead { environment, path, secret: secret.id, version }
}

/// What was looked into by a command that a rule refused: the refusal tells something of it.
pub(crate) fn looked_into(state: &State, command: &Command, rejection: &Rejection) -> Vec<Event> {
    let one = |environment, path, version: Option<u64>| {
        let secret = state.environment(environment).ok()?.secret(path).ok()?;
        Some(read(environment, secret, version.unwrap_or(secret.newest)))
    };
    let looked = match command {
        Command::Put { environment, path, patch: true, .. } | Command::SetMetadata { environment, path, .. } => {
            one(environment, path, None)
        }
        Command::Copy { environment, from, .. } | Command::Move { environment, from, .. } => one(environment, from, None),
        Command::Rollback { environment, path, to, .. } => one(environment, path, Some(*to)),
        Command::Guard(command) => match &**command {
            GuardCommand::ApplyPromotion { id, .. } => return looked_into_by_plan(state, *id, rejection),
            _ => None,
        },
        _ => None,
    };
    looked.into_iter().collect()
}

/// All of a plan up to the one that is refused: that those before it were not tells something of them, too.
fn looked_into_by_plan(state: &State, id: u64, rejection: &Rejection) -> Vec<Event> {
    let Rejection::AgainstRule { path, .. } = rejection else { return Vec::new() };
    let Some(plan) = state.guard.promotions.plan(id) else { return Vec::new() };
    let refused = plan.items.iter().position(|item| item.to.as_str() == path).map_or(0, |at| at + 1);
    let looked = plan.items[..refused].iter().filter_map(|item| {
        let secret = state.environment(&plan.from).ok()?.secret(&item.from).ok()?;
        Some(read(&plan.from, secret, item.from_version))
    });
    looked.collect()
}
