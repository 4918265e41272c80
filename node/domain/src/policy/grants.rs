//! All rules of a token together, made ready to be asked.

use super::capability::Capability;
use super::condition::{Circumstances, Conditions};
use super::judge::{Ground, Verdict};
use super::rule::{Policy, Rule};
use super::tree::{Found, Number, Tree};
use crate::ids::EnvironmentName;
use crate::limits;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rules of some policies. The answer does not depend on the order in which the policies were named.
#[derive(Debug)]
pub struct Grants {
    /// Invariant: by name, each once.
    policies: Vec<Arc<Policy>>,
    /// Which policy and which rule of it, by number.
    rules: Vec<(u32, u32)>,
    /// Nothing where there are too many rules: then they are asked one after the other.
    trees: Option<Trees>,
}

#[derive(Debug, Default)]
struct Trees {
    /// Rules for every environment and for the system.
    every: Tree,
    /// Rules for one.
    one: BTreeMap<EnvironmentName, Tree>,
}

impl Grants {
    /// The rules of these policies.
    #[must_use]
    pub fn of(policies: impl IntoIterator<Item = Arc<Policy>>) -> Grants {
        let mut policies: Vec<Arc<Policy>> = policies.into_iter().collect();
        policies.sort_by(|one, other| one.name.cmp(&other.name));
        policies.dedup_by(|one, other| one.name == other.name);
        let places =
            policies.iter().zip(0_u32..).flat_map(|(policy, at)| (0_u32..).zip(&policy.rules).map(move |(rule, _)| (at, rule)));
        let rules: Vec<(u32, u32)> = places.collect();
        let trees = (rules.len() <= limits::COMPILED_RULES_MAX).then(|| Trees::of(&policies));
        Grants { policies, rules, trees }
    }

    /// How many rules there are.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Its policies, by name.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.iter()
    }

    /// Which rule decides about `capability` on `subject`; a system subject has no environment.
    #[must_use]
    pub fn judge(
        &self,
        capability: Capability,
        environment: Option<&EnvironmentName>,
        subject: &str,
        circumstances: &Circumstances,
    ) -> Verdict {
        let counts = |deny: bool, conditions: &Conditions| conditions.unmet(deny, circumstances).is_none();
        let mut found = Found::default();
        match &self.trees {
            Some(trees) => trees.about(environment).for_each(|tree| {
                tree.fitting(subject, &mut |slot| slot.weigh(capability, &counts, &mut found));
            }),
            None => {
                let about = |rule: &Rule| rule.is_about(capability, environment, subject) && counts(rule.deny, &rule.conditions);
                found.denying = self.first(|rule| rule.deny && about(rule));
                found.allowing = self.first(|rule| !rule.deny && about(rule));
            }
        }
        self.verdict(found)
    }

    /// Which rule decides whether anything at all may be listed under `prefix`, whatever stands there.
    #[must_use]
    pub fn judge_listing(&self, environment: &EnvironmentName, prefix: &str, circumstances: &Circumstances) -> Verdict {
        self.judge_under(Capability::List, environment, prefix, circumstances)
    }

    /// Which rule decides whether `capability` can be used on anything at all under `prefix`, whatever stands there.
    #[must_use]
    pub fn judge_under(
        &self,
        capability: Capability,
        environment: &EnvironmentName,
        prefix: &str,
        circumstances: &Circumstances,
    ) -> Verdict {
        let counts = |deny: bool, conditions: &Conditions| conditions.unmet(deny, circumstances).is_none();
        let environment = Some(environment);
        let mut found = Found::default();
        match &self.trees {
            Some(trees) => {
                let mut covering = Found::default();
                trees.about(environment).for_each(|tree| {
                    tree.covering(prefix, &mut |slot| slot.weigh(capability, &counts, &mut covering));
                });
                let allowing = |tree: &Tree| tree.allowing_under(prefix, capability, &|conditions| counts(false, conditions));
                found = Found { denying: covering.denying, allowing: trees.about(environment).find_map(allowing) };
            }
            None => {
                let about = |rule: &Rule| rule.is_of(capability, environment) && counts(rule.deny, &rule.conditions);
                found.denying = self.first(|rule| rule.deny && about(rule) && rule.path.matches_all_under(prefix));
                found.allowing = self.first(|rule| !rule.deny && about(rule) && rule.path.matches_some_under(prefix));
            }
        }
        self.verdict(found)
    }

    fn first(&self, fits: impl Fn(&Rule) -> bool) -> Option<Number> {
        (0..).zip(&self.rules).find(|(_, place)| fits(self.rule(**place))).map(|(number, _)| number)
    }

    fn rule(&self, (policy, rule): (u32, u32)) -> &Rule {
        &self.policies[policy as usize].rules[rule as usize]
    }

    fn verdict(&self, found: Found) -> Verdict {
        let ground = |number: Number| {
            let (policy, rule) = self.rules[number as usize];
            Ground { policy: self.policies[policy as usize].clone(), at: rule as usize }
        };
        match (found.denying, found.allowing) {
            (Some(number), _) => Verdict::Denied(ground(number)),
            (None, Some(number)) => Verdict::Allowed(ground(number)),
            (None, None) => Verdict::NoRule,
        }
    }
}

impl Trees {
    fn of(policies: &[Arc<Policy>]) -> Trees {
        let mut trees = Trees::default();
        for (number, rule) in (0..).zip(policies.iter().flat_map(|policy| &policy.rules)) {
            let tree = match &rule.environment {
                None => &mut trees.every,
                Some(name) => trees.one.entry(name.clone()).or_default(),
            };
            tree.insert(rule, number);
        }
        trees
    }

    /// The trees whose rules are about this environment.
    fn about(&self, environment: Option<&EnvironmentName>) -> impl Iterator<Item = &Tree> {
        std::iter::once(&self.every).chain(environment.and_then(|name| self.one.get(name)))
    }
}
