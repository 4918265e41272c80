//! `holdfast policy`.

mod rule;
mod simulate;
mod test;

use clap::Subcommand;
use proto_client::v1;
use serde_json::{Value, json};

use self::rule::{Document, Rule, When};
use crate::{
    exit::{Doing, Failure},
    input,
    output::{table, time},
    settings::Session,
};

const PUT_EXAMPLES: &str = "\
Examples:
  holdfast policy put developer --allow 'development:*:read,create,update,list'
  holdfast policy put auditor --allow '*:*:audit,metadata' --deny 'production:db/*:read'
  holdfast policy put on-call --allow 'production:db/*:read' --when mfa,address=10.0.0.0/8,hours=mon-fri/08:00-18:00,token-age=1h
  holdfast policy put deploy deploy.yaml
  holdfast policy get deploy -o yaml | holdfast policy put deploy-2 -

A document has `rules`, each with environment, path, capabilities and, where it forbids, deny: true; and `when`, where it counts under
conditions only: mfa: true, addresses: [10.0.0.0/8], hours: mon-fri/08:00-18:00 (UTC), token_age: 1h. All that are named must hold.
Paths: db/password, db/+/password (one segment), db/* (everything below), *.
Capabilities: read, create, update, list, metadata, delete, destroy, promote, approve; tokens, policies, environments, audit, cluster,
keys, identities, alerts, governance.
What no rule allows is denied, and a rule that forbids wins over every rule that allows. `holdfast policy explain` tells which decide.";

/// Policies.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write a policy, instead of the one there is.
    #[command(after_help = PUT_EXAMPLES)]
    Put {
        /// Its name.
        name: String,
        /// Its rules as YAML or JSON; - for standard input.
        #[arg(value_name = "FILE", required_unless_present_any = ["allow", "deny"], conflicts_with_all = ["allow", "deny"])]
        file: Option<String>,
        /// A rule that allows.
        #[arg(long, value_name = "ENV:PATH:CAPABILITIES", value_parser = Rule::parse_allow)]
        allow: Vec<Rule>,
        /// A rule that forbids; it wins over every rule that allows.
        #[arg(long, value_name = "ENV:PATH:CAPABILITIES", value_parser = Rule::parse_deny)]
        deny: Vec<Rule>,
        /// Conditions under which these rules count, all of them: mfa, address=NETWORK, hours=DAYS/FROM-TO, token-age=DURATION.
        #[arg(long, value_name = "CONDITION", value_delimiter = ',', conflicts_with = "file")]
        when: Vec<String>,
    },
    /// Show a policy.
    #[command(after_help = "Examples:\n  holdfast policy get deploy\n  holdfast policy get deploy -o yaml")]
    Get {
        /// Its name.
        name: String,
    },
    /// List policies.
    #[command(after_help = "Examples:\n  holdfast policy list")]
    List,
    /// Ask whether somebody may do something; the exit code is 0 when allowed and 4 when denied.
    #[command(after_help = test::TEST_EXAMPLES)]
    Test(test::Question),
    /// Show every rule that is about a request, whether it counts and why, and which one decides.
    #[command(after_help = test::EXPLAIN_EXAMPLES)]
    Explain(test::Question),
    /// Replay past requests against a policy that is not written yet, and show what would change.
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(simulate::Simulate),
    /// Delete a policy. Tokens that have it may less from then on.
    #[command(after_help = "Examples:\n  holdfast policy delete deploy-2")]
    Delete {
        /// Its name.
        name: String,
    },
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Put { name, file: Some(file), .. } => put(session, name, rules_of(&file)?).await,
            Command::Put { name, file: None, allow, deny, when } => {
                let when = When::parse(&when)?;
                put(session, name, allow.into_iter().chain(deny).map(|rule| rule.under(when.clone())).collect()).await
            }
            Command::Get { name } => show(session, name).await,
            Command::List => list(session).await,
            Command::Delete { name } => delete(session, name).await,
            Command::Test(question) => question.test(session).await,
            Command::Explain(question) => question.explain(session).await,
            Command::Simulate(simulate) => simulate.run(session).await,
        }
    }
}

fn rules_of(file: &str) -> Result<Vec<Rule>, Failure> {
    let text = input::text(file)?;
    // JSON is YAML, too. What `policy get` writes has more than rules in it; the rest does not count.
    let document: Document = serde_norway::from_str(&text).map_err(|error| {
        let next = "see `holdfast policy put --help` for the form";
        Failure::usage(format!("cannot use the policy in {file}"), error.to_string(), next)
    })?;
    Ok(document.rules)
}

fn proposed(name: String, rules: Vec<Rule>) -> Result<v1::Policy, Failure> {
    let rules = rules.into_iter().map(Rule::message).collect::<Result<_, _>>()?;
    Ok(v1::Policy { name, rules, ..Default::default() })
}

async fn put(session: &Session, name: String, rules: Vec<Rule>) -> Result<(), Failure> {
    let policy = proposed(name.clone(), rules)?;
    let answer = session.client().await?.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await;
    let answer = answer.doing(|| format!("write the policy {name}"))?;
    session.out.done(&document(&answer), &format!("policy {name} is at v{}", answer.version))
}

async fn show(session: &Session, name: String) -> Result<(), Failure> {
    let answer = session.client().await?.policies().get(v1::GetPolicyRequest { name: name.clone() }).await;
    let policy = answer.doing(|| format!("read the policy {name}"))?;
    session.out.show(&document(&policy), |out| {
        writeln!(out, "{} v{}, {}", policy.name, policy.version, time::local(policy.updated_at_ms))?;
        let row = |rule: &v1::Rule| rule::cells(rule);
        table::rows(out, &rule::TITLES, policy.rules.iter().map(row))
    })
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.policies().list(v1::ListPoliciesRequest {}).await;
    let policies = answer.doing(|| "list the policies".to_owned())?.policies;
    let documents: Vec<_> = policies.iter().map(document).collect();
    session.out.show(&json!({ "policies": documents }), |out| {
        let row = |policy: &v1::Policy| {
            let (version, rules) = (format!("v{}", policy.version), policy.rules.len().to_string());
            [policy.name.clone(), version, rules, time::local(policy.updated_at_ms)]
        };
        table::rows(out, &["NAME", "VERSION", "RULES", "UPDATED"], policies.iter().map(row))
    })
}

async fn delete(session: &Session, name: String) -> Result<(), Failure> {
    let answer = session.client().await?.policies().delete(v1::DeletePolicyRequest { name: name.clone() }).await;
    let answer = answer.doing(|| format!("delete the policy {name}"))?;
    let sentence = format!("deleted the policy {name} (record {})", answer.index);
    session.out.done(&json!({ "name": name, "index": answer.index }), &sentence)
}

fn document(policy: &v1::Policy) -> Value {
    json!({
        "name": policy.name,
        "rules": policy.rules.iter().map(rule::document).collect::<Vec<_>>(),
        "version": policy.version,
        "updated": time::utc(policy.updated_at_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_get_writes_put_reads() {
        let plain = Rule::parse_deny("production:db/*:read,list").unwrap();
        let when = ["mfa", "address=10.0.0.0/8", "address=fd00::/8", "hours=mon-fri/08:00-18:00", "token-age=90m"];
        let when = When::parse(&when.map(str::to_owned)).unwrap();
        let rules = vec![plain.clone(), plain.under(when)];
        let policy = v1::Policy { version: 3, updated_at_ms: 1, ..proposed("a".into(), rules.clone()).unwrap() };
        for text in [crate::output::document::yaml(&document(&policy)), crate::output::document::json(&document(&policy))] {
            let read: Document = serde_norway::from_str(&text).unwrap();
            assert_eq!(proposed("a".into(), read.rules).unwrap().rules, policy.rules, "{text}");
        }
    }
}
