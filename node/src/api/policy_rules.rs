//! Rules of policies, with roles and verdicts, between the contract and the domain. Rules for values are `value_rules`.

use crate::api::convert;
use node_domain::ids::EnvironmentName;
use node_domain::policy::{
    Capabilities, Conditions, Considered, Explanation, Ground, Hours, PathPattern, Policy, Role, Rule, Unmet,
};
use node_domain::token::Token;
use node_domain::{Rejection, limits};
use proto::v1;

/// Rules as they came in.
pub(crate) fn parse(rules: &[v1::Rule]) -> Result<Vec<Rule>, Rejection> {
    convert::check_count("rules", rules.len(), limits::POLICY_RULES_MAX)?;
    rules.iter().map(rule).collect()
}

fn rule(rule: &v1::Rule) -> Result<Rule, Rejection> {
    let environment = match rule.environment.as_str() {
        "*" => None,
        name => Some(EnvironmentName::parse(name)?),
    };
    Ok(Rule {
        environment,
        path: PathPattern::parse(&rule.path)?,
        capabilities: Capabilities::parse(rule.capabilities.iter().map(String::as_str))?,
        deny: rule.deny,
        conditions: rule.conditions.as_ref().map(conditions).transpose()?.unwrap_or_default(),
    })
}

fn conditions(named: &v1::Conditions) -> Result<Conditions, Rejection> {
    let conditions = Conditions {
        addresses: convert::networks(&named.addresses)?,
        hours: (!named.hours.is_empty()).then(|| Hours::parse(&named.hours)).transpose()?,
        mfa: named.mfa,
        token_age_ms_max: (named.token_age_ms_max > 0).then_some(named.token_age_ms_max),
    };
    conditions.check()?;
    Ok(conditions)
}

pub(crate) fn show_rule(rule: &Rule) -> v1::Rule {
    let conditions = &rule.conditions;
    let shown = || v1::Conditions {
        addresses: conditions.addresses.iter().map(ToString::to_string).collect(),
        hours: conditions.hours.map(|hours| hours.to_string()).unwrap_or_default(),
        mfa: conditions.mfa,
        token_age_ms_max: conditions.token_age_ms_max.unwrap_or(0),
    };
    v1::Rule {
        environment: rule.environment.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string),
        path: rule.path.to_string(),
        capabilities: rule.capabilities.words().map(str::to_owned).collect(),
        deny: rule.deny,
        conditions: (!conditions.is_empty()).then(shown),
    }
}

pub(crate) fn show_policy(policy: &Policy) -> v1::Policy {
    v1::Policy {
        name: policy.name.to_string(),
        rules: policy.rules.iter().map(show_rule).collect(),
        version: policy.version,
        updated_at_ms: policy.updated.as_ms(),
    }
}

pub(crate) fn show_role(role: &Role) -> v1::Role {
    v1::Role {
        name: role.name.to_string(),
        description: role.description.clone(),
        policies: role.policies.iter().map(ToString::to_string).collect(),
        version: role.version,
        updated_at_ms: role.updated.as_ms(),
    }
}

/// What would come of a request, and every rule that is about it. A token that nobody holds has an accessor of zeros.
pub(crate) fn show_judgement(token: &Token, explanation: &Explanation) -> v1::Judgement {
    let verdict = &explanation.verdict;
    let nobody = token.accessor.0 == [0; 12];
    let decided = |ground: &Ground| {
        let known = explanation.considered.iter().find(|rule| rule.ground == *ground);
        known.map_or_else(|| considered(ground, &[], None), show_considered)
    };
    v1::Judgement {
        accessor: if nobody { String::new() } else { token.accessor.to_string() },
        principal: if nobody { String::new() } else { token.principal.to_string() },
        allowed: verdict.is_allowed(),
        why: verdict.why(token),
        decided_by: verdict.ground().map(decided),
        considered: explanation.considered.iter().map(show_considered).collect(),
        left_out: explanation.left_out as u64,
    }
}

fn show_considered(rule: &Considered) -> v1::ConsideredRule {
    considered(&rule.ground, &rule.roles, rule.unmet)
}

fn considered(ground: &Ground, roles: &[node_domain::ids::RoleName], unmet: Option<Unmet>) -> v1::ConsideredRule {
    v1::ConsideredRule {
        policy: ground.policy.name.to_string(),
        policy_version: ground.policy.version,
        number: u32::try_from(ground.at + 1).unwrap_or(u32::MAX),
        rule: Some(show_rule(ground.rule())),
        roles: roles.iter().map(ToString::to_string).collect(),
        counts: unmet.is_none(),
        why_not: unmet.map(|unmet| unmet.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_shown_as_it_was_written() {
        let written = v1::Rule {
            environment: "production".into(),
            path: "db/+/password".into(),
            capabilities: vec!["read".into(), "list".into()],
            deny: true,
            conditions: Some(v1::Conditions {
                addresses: vec!["10.0.0.0/8".into(), "fd00::1/128".into()],
                hours: "mon-fri/08:00-18:00".into(),
                mfa: true,
                token_age_ms_max: 3_600_000,
            }),
        };
        assert_eq!(show_rule(&rule(&written).unwrap()), written);
    }

    #[test]
    fn an_address_is_a_network_of_one_and_host_bits_are_cut() {
        let written = |network: &str| v1::Conditions { addresses: vec![network.into()], ..v1::Conditions::default() };
        assert_eq!(conditions(&written("10.1.2.3")).unwrap().addresses[0].to_string(), "10.1.2.3/32");
        assert_eq!(conditions(&written("10.1.2.3/8")).unwrap().addresses[0].to_string(), "10.0.0.0/8");
        assert!(conditions(&written("10.1.2")).is_err());
    }
}
