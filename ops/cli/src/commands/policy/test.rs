//! `holdfast policy test` and `explain`: what somebody may do, without doing it.

use std::io::{self, Write};

use clap::Args;
use proto_client::v1;
use serde_json::{Value, json};

use super::rule;
use crate::{
    exit::{Doing, Exit, Failure},
    output::{table, time},
    settings::Session,
};

pub(super) const TEST_EXAMPLES: &str = "\
Examples:
  holdfast policy test read production db/password
  holdfast policy test read production db/password --principal ana
  holdfast policy test read production db/password --policy on-call --mfa --address 10.1.2.3 --at 2026-11-23T09:00:00Z
  holdfast policy test tokens - ci/deploy --role platform

The environment - stands for the system. Without --principal, --accessor, --policy or --role it is about the token in use.";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  holdfast policy explain read production db/password
  holdfast policy explain read production db/password --principal ana --address 10.1.2.3
  holdfast policy explain update staging app/key --accessor 0198f2c17d1f700080000123

The environment - stands for the system. Without --principal, --accessor, --policy or --role it is about the token in use.";

/// What is asked.
#[derive(Args)]
pub(crate) struct Question {
    /// What would be done, such as read or update.
    capability: String,
    /// Where; - for the system.
    environment: String,
    /// On what; for the system a name, or nothing where all is listed.
    #[arg(default_value = "", hide_default_value = true)]
    path: String,
    /// About every live token of this principal.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["accessor", "policies", "roles"])]
    principal: Option<String>,
    /// About the token with this accessor.
    #[arg(long, conflicts_with_all = ["policies", "roles"])]
    accessor: Option<String>,
    /// About a token that would hold these policies.
    #[arg(long = "policy", value_name = "POLICY", value_delimiter = ',')]
    policies: Vec<String>,
    /// About a token that would hold these roles.
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
    /// As if the request came from there.
    #[arg(long)]
    address: Option<String>,
    /// As if a second factor had been shown.
    #[arg(long)]
    mfa: bool,
    /// As if it were this time: RFC 3339, a day, or a duration ago.
    #[arg(long, value_name = "TIME", value_parser = time::parse_moment)]
    at: Option<u64>,
    /// As if the token were so old.
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration_ms)]
    token_age: Option<u64>,
}

impl Question {
    /// A line for each token, and an exit code.
    pub(super) async fn test(self, session: &Session) -> Result<(), Failure> {
        let answer = self.ask(session).await?;
        session.out.show(&document(&answer, false), |out| {
            for judgement in &answer.judgements {
                let line = format!("{}{}: {}", verdict(judgement), whose(judgement), decided(judgement));
                writeln!(out, "{}", crate::output::mask::harmless(&line))?;
            }
            Ok(())
        })?;
        let allowed = answer.judgements.iter().filter(|judgement| judgement.allowed).count();
        match allowed {
            0 => Err(Failure::told(Exit::Denied)),
            all if all == answer.judgements.len() => Ok(()),
            _ => Err(Failure::told(Exit::Partial)),
        }
    }

    /// Every rule that is about it.
    pub(super) async fn explain(self, session: &Session) -> Result<(), Failure> {
        let answer = self.ask(session).await?;
        session
            .out
            .show(&document(&answer, true), |out| answer.judgements.iter().try_for_each(|judgement| explain(out, judgement)))
    }

    async fn ask(self, session: &Session) -> Result<v1::TestPolicyResponse, Failure> {
        let environment = if self.environment == "-" { String::new() } else { self.environment };
        let what = format!("ask about {} on {}", self.capability, self.path);
        let request = v1::TestPolicyRequest {
            principal: self.principal.unwrap_or_default(),
            accessor: self.accessor.unwrap_or_default(),
            policies: self.policies,
            roles: self.roles,
            capability: self.capability,
            environment,
            path: self.path,
            address: self.address.unwrap_or_default(),
            at_ms: self.at.unwrap_or(0),
            mfa: self.mfa.then_some(true),
            token_age_ms: self.token_age,
        };
        session.client().await?.policies().test(request).await.doing(|| what)
    }
}

fn verdict(judgement: &v1::Judgement) -> &'static str {
    if judgement.allowed { "allowed" } else { "denied" }
}

fn whose(judgement: &v1::Judgement) -> String {
    match judgement.accessor.as_str() {
        "" => String::new(),
        accessor => format!(" {} ({accessor})", judgement.principal),
    }
}

/// The rule that decided, in words.
fn decided(judgement: &v1::Judgement) -> String {
    let Some(decided) = &judgement.decided_by else { return judgement.why.clone() };
    let roles = if decided.roles.is_empty() { String::new() } else { format!(" through role {}", decided.roles.join(", ")) };
    let when = decided.rule.as_ref().map(rule::cells).map(|cells| cells[4].clone()).filter(|when| !when.is_empty());
    let when = when.map(|when| format!(" when {when}")).unwrap_or_default();
    format!("{}{when}, by rule {} of policy {} v{}{roles}", judgement.why, decided.number, decided.policy, decided.policy_version)
}

fn explain(out: &mut dyn Write, judgement: &v1::Judgement) -> io::Result<()> {
    let line = format!("{}{}: {}", verdict(judgement), whose(judgement), decided(judgement));
    writeln!(out, "{}", crate::output::mask::harmless(&line))?;
    if judgement.considered.is_empty() {
        return writeln!(out, "no rule is about it");
    }
    let row = |considered: &v1::ConsideredRule| {
        let [effect, environment, path, capabilities, when] = considered.rule.as_ref().map(rule::cells).unwrap_or_default();
        let decides = judgement.decided_by.as_ref() == Some(considered);
        let counts = match (decides, considered.counts) {
            (true, _) => "decides".to_owned(),
            (false, true) => "counts".to_owned(),
            (false, false) => format!("no: {}", considered.why_not),
        };
        let place = format!("{} v{} #{}", considered.policy, considered.policy_version, considered.number);
        [place, considered.roles.join(","), effect, environment, path, capabilities, when, counts]
    };
    let titles = ["RULE", "ROLE", "EFFECT", "ENVIRONMENT", "PATH", "CAPABILITIES", "WHEN", "COUNTS"];
    table::rows(out, &titles, judgement.considered.iter().map(row))?;
    if judgement.left_out > 0 {
        writeln!(out, "and {} more rules", judgement.left_out)?;
    }
    Ok(())
}

fn document(answer: &v1::TestPolicyResponse, with_rules: bool) -> Value {
    let judgement = |judgement: &v1::Judgement| {
        let mut document = json!({
            "accessor": judgement.accessor,
            "principal": judgement.principal,
            "allowed": judgement.allowed,
            "why": judgement.why,
            "decided_by": judgement.decided_by.as_ref().map(considered),
        });
        if with_rules {
            document["rules"] = judgement.considered.iter().map(considered).collect();
            document["left_out"] = json!(judgement.left_out);
        }
        document
    };
    json!({ "judgements": answer.judgements.iter().map(judgement).collect::<Vec<_>>(), "policies": answer.policies })
}

fn considered(considered: &v1::ConsideredRule) -> Value {
    json!({
        "policy": considered.policy,
        "version": considered.policy_version,
        "number": considered.number,
        "rule": considered.rule.as_ref().map(rule::document),
        "roles": considered.roles,
        "counts": considered.counts,
        "why_not": considered.why_not,
    })
}
