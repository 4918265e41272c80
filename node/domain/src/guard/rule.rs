//! Rules for values: what a value must be like to come into an environment. The node that has the plaintext checks it; the leader
//! decides whether it checked by the rules that are in force.

use super::alert::words;
use crate::ids::{EnvironmentName, Revision, RuleName, SecretPath, Stamp};
use crate::limits;
use crate::policy::PathPattern;
use crate::rejection::Rejection;
use crate::secret::SecretType;
use crate::state::{At, Digest};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Kinds of rows in the digest.
mod row {
    pub(super) const RULE: u8 = 70;
    pub(super) const CHANGED: u8 = 71;
}

words! {
    /// What becomes of a value that another environment has too.
    Reuse, "reuse" {
        /// Nothing.
        Allow "allow",
        /// It is written, and an alert says so.
        Alert "alert",
        /// It is refused.
        Refuse "refuse",
    }
}

/// Which kinds of characters a text must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Classes {
    pub lower: bool,
    pub upper: bool,
    pub digit: bool,
    pub symbol: bool,
}

impl Classes {
    /// The classes of these words.
    ///
    /// # Errors
    /// When a word is unknown; the error lists them.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Classes, Rejection> {
        let mut classes = Classes::default();
        for word in words {
            let slot = match word {
                "lower" => &mut classes.lower,
                "upper" => &mut classes.upper,
                "digit" => &mut classes.digit,
                "symbol" => &mut classes.symbol,
                _ => return Err(Rejection::invalid("classes are lower, upper, digit, symbol")),
            };
            *slot = true;
        }
        Ok(classes)
    }

    /// The words of the classes.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let all = [(self.lower, "lower"), (self.upper, "upper"), (self.digit, "digit"), (self.symbol, "symbol")];
        all.into_iter().filter(|(set, _)| *set).map(|(_, word)| word)
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueRule {
    /// Its name.
    pub name: RuleName,
    /// Secrets of which type; `None`: any.
    pub kind: Option<SecretType>,
    /// In which environment; `None`: any.
    pub environment: Option<EnvironmentName>,
    /// At which paths; `None`: all.
    pub path: Option<PathPattern>,
    /// Fewest characters.
    pub length_min: u32,
    /// Most characters; 0: any.
    pub length_max: u32,
    /// Kinds of characters that must be there.
    pub classes: Classes,
    /// The whole text matches it.
    pub regex: Option<String>,
    /// A structured value fits this JSON schema.
    pub json_schema: Option<String>,
    /// What becomes of a value that another environment has too.
    pub reuse: Reuse,
    /// Longest validity of a version in milliseconds.
    pub ttl_ms_max: Option<u64>,
    /// Counts changes, from 1.
    pub version: u64,
    /// When it last changed.
    pub updated: Stamp,
}

impl ValueRule {
    /// Whether it is about what stands, or would stand, there.
    #[must_use]
    pub fn is_about(&self, environment: &EnvironmentName, path: &SecretPath, kind: SecretType) -> bool {
        self.kind.is_none_or(|own| own == kind)
            && self.environment.as_ref().is_none_or(|own| own == environment)
            && self.path.as_ref().is_none_or(|own| own.matches(path.as_str()))
    }

    /// Whether it is about what is in a value, not only about how long it is valid or where else it is.
    #[must_use]
    pub fn looks_into_values(&self) -> bool {
        let is_of_text = self.length_min > 0 || self.length_max > 0 || self.classes != Classes::default();
        is_of_text || self.regex.is_some() || self.json_schema.is_some()
    }

    /// Whether a validity from `created` to `expires` is longer than the rule allows.
    #[must_use]
    pub fn is_too_long(&self, created: Stamp, expires: Option<Stamp>) -> bool {
        let latest = self.ttl_ms_max.map(|ms| created.plus_ms(ms));
        latest.is_some_and(|latest| expires.is_none_or(|expires| expires > latest))
    }

    pub(super) fn check(&self) -> Result<(), Rejection> {
        let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > limits::RULE_TEXT_BYTES_MAX);
        if long(&self.regex) || long(&self.json_schema) {
            return Err(Rejection::invalid(format!(
                "a regular expression or a schema of a rule is at most {} bytes",
                limits::RULE_TEXT_BYTES_MAX
            )));
        }
        if self.length_max != 0 && self.length_max < self.length_min {
            return Err(Rejection::invalid(format!(
                "the rule wants at least {} and at most {} characters",
                self.length_min, self.length_max
            )));
        }
        Ok(())
    }

    pub(super) fn size_hint(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        text(&self.regex) + text(&self.json_schema) + limits::PATH_BYTES_MAX
    }
}

/// All rules, by name. Invariant: at most `limits::VALUE_RULES_MAX`.
#[derive(Clone, Debug, Default)]
pub struct ValueRules {
    rules: OrdMap<RuleName, Arc<ValueRule>>,
    /// The record that changed a rule last: what a value was checked by is told by it.
    changed: Revision,
}

impl ValueRules {
    /// All rules, by name.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<ValueRule>> {
        self.rules.values()
    }

    /// The rule with this name.
    #[must_use]
    pub fn rule(&self, name: &RuleName) -> Option<&Arc<ValueRule>> {
        self.rules.get(name)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rules.len()
    }

    /// The record that changed a rule last.
    #[must_use]
    pub fn changed(&self) -> Revision {
        self.changed
    }

    /// Rules about what stands, or would stand, there.
    pub fn about<'a>(
        &'a self,
        environment: &'a EnvironmentName,
        path: &'a SecretPath,
        kind: SecretType,
    ) -> impl Iterator<Item = &'a Arc<ValueRule>> {
        self.rules.values().filter(move |rule| rule.is_about(environment, path, kind))
    }

    pub(super) fn put(&mut self, rule: ValueRule, at: &At<'_>, digest: &mut Digest) {
        let rule = ValueRule { updated: at.stamp, ..rule };
        digest.add(row::RULE, &rule);
        if let Some(old) = self.rules.insert(rule.name.clone(), Arc::new(rule)) {
            digest.subtract(row::RULE, &*old);
        }
        self.move_to(at.seq, digest);
    }

    pub(super) fn delete(&mut self, name: &RuleName, at: &At<'_>, digest: &mut Digest) -> Result<(), &'static str> {
        let old = self.rules.remove(name).ok_or("its rule does not exist")?;
        digest.subtract(row::RULE, &*old);
        self.move_to(at.seq, digest);
        Ok(())
    }

    fn move_to(&mut self, seq: Revision, digest: &mut Digest) {
        if self.changed != Revision(0) {
            digest.subtract(row::CHANGED, &self.changed);
        }
        self.changed = seq;
        digest.add(row::CHANGED, &self.changed);
    }

    pub(super) fn changed_piece(&self) -> Option<Revision> {
        (self.changed != Revision(0)).then_some(self.changed)
    }

    pub(super) fn take(&mut self, rule: Arc<ValueRule>) {
        self.rules.insert(rule.name.clone(), rule);
    }

    pub(super) fn take_changed(&mut self, revision: Revision) {
        self.changed = revision;
    }

    pub(super) fn add_rows(&self, digest: &mut Digest) {
        self.rules.values().for_each(|rule| digest.add(row::RULE, &**rule));
        if let Some(changed) = self.changed_piece() {
            digest.add(row::CHANGED, &changed);
        }
    }
}
