//! What rules for values decide, and what a request about them leads to.

use super::looking::Look;
use super::{AlertKind, GuardEvent, Reuse, Severity, ValueRule, notice};
use crate::decide::{Answer, Decided, Desk};
use crate::event::Event;
use crate::ids::{EnvironmentName, RuleName, SecretPath, Stamp};
use crate::limits;
use crate::operation::Operation;
use crate::policy::Capability;
use crate::rejection::Rejection;
use crate::sealed::{Checked, Held};
use crate::secret::{Secret, SecretType, VersionState};

/// A version that is about to come in, or to stand somewhere else.
pub(crate) struct Incoming<'a> {
    pub(crate) environment: &'a EnvironmentName,
    pub(crate) path: &'a SecretPath,
    pub(crate) kind: SecretType,
    /// What the node found that had the plaintext.
    pub(crate) checked: Option<&'a Checked>,
    pub(crate) reuse: Option<[u8; 16]>,
    pub(crate) created: Stamp,
    pub(crate) expires: Option<Stamp>,
}

impl Desk<'_> {
    pub(super) fn put_rule(&self, rule: ValueRule) -> Decided {
        self.permit_system(Capability::Governance, rule.name.as_str())?;
        rule.check()?;
        if let Some(environment) = &rule.environment {
            self.state.environment(environment)?;
        }
        let rules = &self.state.guard.rules;
        let old = rules.rule(&rule.name);
        if old.is_none() && rules.count() >= limits::VALUE_RULES_MAX {
            return Err(Rejection::Limit(format!("there are {} rules for values already", limits::VALUE_RULES_MAX)));
        }
        let version = old.map_or(1, |old| old.version + 1);
        let rule = Box::new(ValueRule { version, updated: self.context.stamp, ..rule });
        Ok((vec![Event::Guard(GuardEvent::RulePut { rule })], Answer::Versions(vec![version])))
    }

    pub(super) fn delete_rule(&self, name: RuleName) -> Decided {
        self.permit_system(Capability::Governance, name.as_str())?;
        self.state.guard.rules.rule(&name).ok_or_else(|| Rejection::not_found("rule for values", &name))?;
        Ok((vec![Event::Guard(GuardEvent::RuleDeleted { name })], Answer::Done))
    }

    pub(super) fn check_rules(&self, environment: Option<EnvironmentName>) -> Decided {
        let subject = environment.as_ref().map_or("", EnvironmentName::as_str);
        self.permit_system(Capability::Governance, subject)?;
        // It lists what stands there.
        match &environment {
            Some(name) => {
                self.state.environment(name)?;
                self.state.keys.check_open(name)?;
            }
            None => self.state.environments.keys().try_for_each(|name| self.state.keys.check_open(name))?,
        }
        Ok((vec![Event::Observed { operation: Operation::RuleCheck, environment, subject: String::new() }], Answer::Done))
    }

    /// Holds a value that stands already against the rules for where it is going, or for the type that it is to have: the read that
    /// this amounts to, where a rule looks into the value, and what goes with it.
    pub(crate) fn check_standing(
        &self,
        environment: &EnvironmentName,
        (path, kind): (&SecretPath, SecretType),
        secret: &Secret,
        held: Option<&Held>,
    ) -> Result<(Option<Event>, Option<Event>), Rejection> {
        // What was destroyed is nothing to hold against a rule; what is hidden may be brought back.
        let newest = secret.versions.last().filter(|newest| newest.state != VersionState::Destroyed);
        let Some(newest) = newest else { return Ok((None, None)) };
        let read = self.look(&Look { environment, secret, version: newest.number, to: path, kind })?;
        let alert = self.check_value_rules(&Incoming {
            environment,
            path,
            kind,
            checked: held.filter(|held| held.value_id == newest.seal.value_id).map(|held| &held.checked),
            reuse: newest.reuse,
            created: newest.created,
            expires: newest.expires,
        })?;
        Ok((read, alert))
    }

    /// Holds a version against the rules, and says what goes with it: an alert where a rule wants one.
    ///
    /// What is in the value, the node that took it has checked; here it counts that it checked by the rules in force, for the type
    /// that the secret will have.
    pub(crate) fn check_value_rules(&self, incoming: &Incoming<'_>) -> Result<Option<Event>, Rejection> {
        let rules = &self.state.guard.rules;
        if rules.is_empty() {
            return Ok(None);
        }
        let Incoming { environment, path, kind, checked, reuse, created, expires } = incoming;
        let expected = (rules.changed(), *kind);
        if checked.is_none_or(|checked| (checked.rules, checked.kind) != expected) {
            return Err(Rejection::RulesMoved { path: path.to_string(), rules: rules.changed() });
        }
        let against = |rule: &ValueRule, why: String| Rejection::AgainstRule {
            path: path.to_string(),
            environment: environment.to_string(),
            rule: rule.name.to_string(),
            why,
        };
        if let Some((name, why)) = checked.and_then(|checked| checked.broken.clone()) {
            let (path, environment) = (path.to_string(), environment.to_string());
            return Err(Rejection::AgainstRule { path, environment, rule: name.to_string(), why });
        }
        let elsewhere = reuse.as_ref().and_then(|value| self.state.reuse.elsewhere(value, environment));
        let mut told = None;
        for rule in rules.about(environment, path, *kind) {
            if rule.is_too_long(*created, *expires) {
                let most = rule.ttl_ms_max.unwrap_or(0);
                return Err(against(rule, format!("a version may be valid for {most} ms at most")));
            }
            match (elsewhere, rule.reuse) {
                // Where the same value stands is nobody's business who only writes here.
                (Some(_), Reuse::Refuse) => return Err(against(rule, "the value is used in another environment too".into())),
                (Some(other), Reuse::Alert) => told = Some((rule.name.clone(), other.clone())),
                _ => {}
            }
        }
        Ok(told.and_then(|(rule, other)| {
            let subject = format!("{environment}:{path}");
            let text = format!("rule {rule}: the value that {} put at {subject} is used in {other} too", self.token.principal);
            notice::alert(self.state, AlertKind::Governance, Severity::Warning, &subject, text)
        }))
    }
}
