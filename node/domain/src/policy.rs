//! Who may do what, where: rules with path patterns, default deny, and a denying rule wins.

use crate::ids::{EnvironmentName, PolicyName, RoleName, Stamp, check_segment};
use crate::limits;
use crate::rejection::Rejection;
use crate::token::Token;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The policy that allows everything. It exists from the start and cannot be changed.
pub const ROOT: &str = "root";

/// What a rule can allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Capability {
    Read = 1 << 0,
    Create = 1 << 1,
    Update = 1 << 2,
    List = 1 << 3,
    Metadata = 1 << 4,
    Delete = 1 << 5,
    Destroy = 1 << 6,
    Tokens = 1 << 7,
    Policies = 1 << 8,
    Environments = 1 << 9,
    Audit = 1 << 10,
    Cluster = 1 << 11,
    /// Take part in promotions between environments.
    Promote = 1 << 12,
    /// Approve what somebody else asked for.
    Approve = 1 << 13,
    /// Keys and seals: rotation, sealing an environment.
    Keys = 1 << 14,
    /// Users, machine roles, certificates, token issuers.
    Identities = 1 << 15,
    /// Alerts and where they go.
    Alerts = 1 << 16,
    /// Rules for values, limits, settings of environments.
    Governance = 1 << 17,
}

impl Capability {
    /// Every capability with its word.
    pub const ALL: [(Capability, &'static str); 18] = [
        (Capability::Read, "read"),
        (Capability::Create, "create"),
        (Capability::Update, "update"),
        (Capability::List, "list"),
        (Capability::Metadata, "metadata"),
        (Capability::Delete, "delete"),
        (Capability::Destroy, "destroy"),
        (Capability::Tokens, "tokens"),
        (Capability::Policies, "policies"),
        (Capability::Environments, "environments"),
        (Capability::Audit, "audit"),
        (Capability::Cluster, "cluster"),
        (Capability::Promote, "promote"),
        (Capability::Approve, "approve"),
        (Capability::Keys, "keys"),
        (Capability::Identities, "identities"),
        (Capability::Alerts, "alerts"),
        (Capability::Governance, "governance"),
    ];

    /// The word people use.
    #[must_use]
    pub fn word(self) -> &'static str {
        Capability::ALL.iter().find(|(capability, _)| *capability == self).map_or("", |(_, word)| word)
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Every capability.
    pub const EVERY: Capabilities = Capabilities((1 << 18) - 1);

    /// The set of these words.
    ///
    /// # Errors
    /// When a word is unknown or there is none; the error lists them.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Capabilities, Rejection> {
        let mut set = 0;
        for word in words {
            let found = Capability::ALL.iter().find(|(_, known)| *known == word);
            set |= found.map(|(capability, _)| *capability as u32).ok_or_else(|| {
                let known: Vec<_> = Capability::ALL.iter().map(|(_, word)| *word).collect();
                Rejection::invalid(format!("capabilities are {}", known.join(", ")))
            })?;
        }
        if set == 0 { Err(Rejection::invalid("a rule names at least one capability")) } else { Ok(Capabilities(set)) }
    }

    /// Whether `capability` is in the set.
    #[must_use]
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability as u32 != 0
    }

    /// The words of the set, in their fixed order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Capability::ALL.into_iter().filter(move |(capability, _)| self.has(*capability)).map(|(_, word)| word)
    }
}

/// Some rules under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name, which tokens carry.
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

/// Under which circumstances a rule counts; all that are named must hold. A rule without conditions always counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// The caller's address lies in one of these; empty: any.
    pub addresses: Vec<IpNet>,
    /// The time is within these hours.
    pub hours: Option<Hours>,
    /// The caller showed a second factor when it logged in.
    pub mfa: bool,
    /// The token was made at most so long ago.
    pub token_age_ms_max: Option<u64>,
}

/// A part of each week, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// Bit 0 is Monday, bit 6 Sunday.
    pub days: u8,
    /// First minute of the day that counts.
    pub from_minute: u16,
    /// First minute of the day that counts no more; at or before `from_minute`, the window runs past midnight.
    pub to_minute: u16,
}

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

/// Some policies under a name, for tokens and identities to carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// What it is for.
    pub description: String,
    /// What it gives.
    pub policies: Vec<PolicyName>,
    /// Counts changes, from 1.
    pub version: u64,
    /// When it last changed.
    pub updated: Stamp,
}

/// `db/password`, `db/+/password` (any one segment), `db/*` (all that starts so), `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPattern {
    /// The pattern without its final `*`.
    stem: String,
    /// Whether it ended in `*`.
    open: bool,
    /// Whether a segment is `+`; otherwise a plain comparison does.
    wild: bool,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// When it has a `*` elsewhere than at its end, an empty segment, or is too long.
    pub fn parse(text: &str) -> Result<PathPattern, Rejection> {
        let wrong = |why: &str| {
            let quoted: String = text.chars().take(limits::QUOTE_BYTES_MAX / 4).collect();
            Rejection::invalid(format!("path pattern {quoted:?}: {why}"))
        };
        if text.is_empty() || text.len() > limits::PATH_BYTES_MAX {
            return Err(wrong("use 1 to 512 bytes; * stands for every path"));
        }
        let (stem, open) = text.strip_suffix('*').map_or((text, false), |stem| (stem, true));
        let mut segments = stem.split('/').peekable();
        while let Some(segment) = segments.next() {
            let unfinished = open && segments.peek().is_none();
            if segment == "+" || (unfinished && segment.is_empty()) {
                continue;
            }
            check_segment(segment).map_err(wrong)?;
        }
        Ok(PathPattern { stem: stem.to_owned(), open, wild: stem.split('/').any(|segment| segment == "+") })
    }

    /// Whether `path` fits.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        if self.wild {
            return self.matches_by_segment(path);
        }
        if self.open { path.starts_with(&self.stem) } else { path == self.stem }
    }

    /// Whether every path that starts with `prefix` fits.
    #[must_use]
    pub fn matches_all_under(&self, prefix: &str) -> bool {
        self.open && self.matches(prefix)
    }

    /// Whether some path that starts with `prefix` could fit.
    #[must_use]
    pub fn matches_some_under(&self, prefix: &str) -> bool {
        let mut wanted = self.stem.split('/').peekable();
        let mut found = prefix.split('/').peekable();
        while let Some(candidate) = found.next() {
            let Some(segment) = wanted.next() else { return false };
            // The last segment of a prefix is the start of one, and so is that of a pattern before its `*`.
            let (begun, unfinished) = (found.peek().is_none(), self.open && wanted.peek().is_none());
            let fits = segment == "+"
                || segment == candidate
                || (begun && segment.starts_with(candidate))
                || (unfinished && candidate.starts_with(segment));
            if !fits || unfinished {
                return fits;
            }
        }
        true
    }

    fn matches_by_segment(&self, path: &str) -> bool {
        let mut found = path.split('/');
        let mut wanted = self.stem.split('/').peekable();
        while let Some(segment) = wanted.next() {
            let Some(candidate) = found.next() else { return false };
            let unfinished = self.open && wanted.peek().is_none();
            let fits = if unfinished && segment != "+" {
                candidate.starts_with(segment)
            } else {
                segment == "+" || segment == candidate
            };
            if !fits {
                return false;
            }
        }
        self.open || found.next().is_none()
    }
}

impl std::fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.stem, if self.open { "*" } else { "" })
    }
}

impl Rule {
    /// Whether the rule is about `capability` on `subject`; a system subject has no environment.
    #[must_use]
    pub fn is_about(&self, capability: Capability, environment: Option<&EnvironmentName>, subject: &str) -> bool {
        self.is_of(capability, environment) && self.path.matches(subject)
    }

    /// Whether the rule is about `capability` there, on some subject.
    fn is_of(&self, capability: Capability, environment: Option<&EnvironmentName>) -> bool {
        self.capabilities.has(capability) && (self.environment.is_none() || self.environment.as_ref() == environment)
    }
}

impl Policy {
    /// The policy that allows everything.
    #[must_use]
    pub fn root(name: PolicyName, updated: Stamp) -> Policy {
        let path = PathPattern { stem: String::new(), open: true, wild: false };
        let rule =
            Rule { environment: None, path, capabilities: Capabilities::EVERY, deny: false, conditions: Conditions::default() };
        Policy { name, rules: vec![rule], version: 1, updated }
    }
}

/// Which rule decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// A rule of this policy allows it and none denies it.
    Allowed(&'a Policy, &'a Rule),
    /// A rule of this policy denies it.
    Denied(&'a Policy, &'a Rule),
    /// No rule is about it.
    NoRule,
}

/// Asks the rules of `policies` whether anything at all may be listed under `prefix`, whatever stands there.
pub(crate) fn judge_listing<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    environment: &EnvironmentName,
    prefix: &str,
) -> Verdict<'a> {
    let mut verdict = Verdict::NoRule;
    for policy in policies {
        for rule in policy.rules.iter().filter(|rule| rule.is_of(Capability::List, Some(environment))) {
            if rule.deny && rule.path.matches_all_under(prefix) {
                return Verdict::Denied(policy, rule);
            }
            if !rule.deny && verdict == Verdict::NoRule && rule.path.matches_some_under(prefix) {
                verdict = Verdict::Allowed(policy, rule);
            }
        }
    }
    verdict
}

/// What one token may list in one environment: its rules, picked once for many paths.
#[derive(Clone, Debug)]
pub struct Sight<'a> {
    rules: Vec<&'a Rule>,
}

impl<'a> Sight<'a> {
    pub(crate) fn new(policies: impl Iterator<Item = &'a Policy>, environment: &EnvironmentName) -> Sight<'a> {
        let rules = policies.flat_map(|policy| &policy.rules);
        Sight { rules: rules.filter(|rule| rule.is_of(Capability::List, Some(environment))).collect() }
    }

    /// Whether this very path may be listed: as `judge` says.
    #[must_use]
    pub fn shows(&self, path: &str) -> bool {
        let mut allowed = false;
        for rule in self.rules.iter().filter(|rule| rule.path.matches(path)) {
            if rule.deny {
                return false;
            }
            allowed = true;
        }
        allowed
    }
}

/// Asks the rules of `policies`.
pub fn judge<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    capability: Capability,
    environment: Option<&EnvironmentName>,
    subject: &str,
) -> Verdict<'a> {
    let mut verdict = Verdict::NoRule;
    for policy in policies {
        for rule in &policy.rules {
            if !rule.is_about(capability, environment, subject) {
                continue;
            }
            if rule.deny {
                return Verdict::Denied(policy, rule);
            }
            if verdict == Verdict::NoRule {
                verdict = Verdict::Allowed(policy, rule);
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn a_pattern_matches_exactly_by_segment_or_by_start() {
        assert!(matches("db/password", "db/password"));
        assert!(!matches("db/password", "db/password2"));
        assert!(matches("db/*", "db/a/b"));
        assert!(!matches("db/*", "dbx"));
        assert!(matches("db/pass*", "db/password"));
        assert!(matches("*", "anything/at/all"));
        assert!(matches("db/+/password", "db/one/password"));
        assert!(!matches("db/+/password", "db/one/two/password"));
        assert!(!matches("db/+", "db"));
        assert!(matches("+/x/*", "a/x/b/c"));
        assert!(matches("+/x*", "a/xyz"));
        assert!(!matches("+/x*", "a/yx"));
    }

    #[test]
    fn a_pattern_with_a_star_inside_is_refused() {
        for bad in ["", "a*b", "*/a", "a//b", "/a", "a/", "a b", "**"] {
            assert!(PathPattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_denying_rule_wins_whatever_the_order() {
        let rule = |path: &str, deny| Rule {
            environment: None,
            path: PathPattern::parse(path).unwrap(),
            capabilities: Capabilities::parse(["read"]).unwrap(),
            deny,
            conditions: Conditions::default(),
        };
        for rules in [vec![rule("db/*", false), rule("db/root", true)], vec![rule("db/root", true), rule("db/*", false)]] {
            let policy = Policy { name: PolicyName::parse("p").unwrap(), rules, version: 1, updated: Stamp(0) };
            let ask = |path| judge(std::iter::once(&policy), Capability::Read, None, path);
            assert!(matches!(ask("db/root"), Verdict::Denied(..)));
            assert!(matches!(ask("db/app"), Verdict::Allowed(..)));
            assert_eq!(ask("web/app"), Verdict::NoRule);
        }
    }
}
