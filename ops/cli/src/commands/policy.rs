//! `holdfast policy`.

use clap::Subcommand;
use proto_client::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
  holdfast policy put deploy deploy.yaml
  holdfast policy get deploy -o yaml | holdfast policy put deploy-2 -

A document has `rules`, each with environment, path, capabilities and, where it forbids, deny: true.
Paths: db/password, db/+/password (one segment), db/* (everything below), *.
Capabilities: read, create, update, list, metadata, delete, destroy; tokens, policies, environments, audit, cluster.";

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
    /// Delete a policy. Tokens that have it may less from then on.
    #[command(after_help = "Examples:\n  holdfast policy delete deploy-2")]
    Delete {
        /// Its name.
        name: String,
    },
}

/// A rule as it stands in a document.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    environment: String,
    path: String,
    capabilities: Vec<String>,
    #[serde(default)]
    deny: bool,
}

/// What `policy put` reads, and what `policy get` writes.
#[derive(Deserialize)]
struct Document {
    rules: Vec<Rule>,
}

impl Rule {
    fn parse_allow(text: &str) -> Result<Rule, String> {
        let parts: Vec<_> = text.split(':').collect();
        let [environment, path, capabilities] = parts.as_slice() else {
            return Err("write ENVIRONMENT:PATH:CAPABILITIES, such as 'staging:db/*:read,list'".to_owned());
        };
        let capabilities = capabilities.split(',').map(str::to_owned).collect();
        Ok(Rule { environment: (*environment).to_owned(), path: (*path).to_owned(), capabilities, deny: false })
    }

    fn parse_deny(text: &str) -> Result<Rule, String> {
        Ok(Rule { deny: true, ..Rule::parse_allow(text)? })
    }
}

impl From<Rule> for v1::Rule {
    fn from(rule: Rule) -> v1::Rule {
        v1::Rule { environment: rule.environment, path: rule.path, capabilities: rule.capabilities, deny: rule.deny }
    }
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Put { name, file: Some(file), .. } => put(session, name, rules_of(&file)?).await,
            Command::Put { name, file: None, allow, deny } => put(session, name, allow.into_iter().chain(deny).collect()).await,
            Command::Get { name } => show(session, name).await,
            Command::List => list(session).await,
            Command::Delete { name } => delete(session, name).await,
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

async fn put(session: &Session, name: String, rules: Vec<Rule>) -> Result<(), Failure> {
    let policy = v1::Policy { name: name.clone(), rules: rules.into_iter().map(v1::Rule::from).collect(), ..Default::default() };
    let answer = session.client().await?.policies().put(v1::PutPolicyRequest { policy: Some(policy) }).await;
    let answer = answer.doing(|| format!("write the policy {name}"))?;
    session.out.done(&document(&answer), &format!("policy {name} is at v{}", answer.version))
}

async fn show(session: &Session, name: String) -> Result<(), Failure> {
    let answer = session.client().await?.policies().get(v1::GetPolicyRequest { name: name.clone() }).await;
    let policy = answer.doing(|| format!("read the policy {name}"))?;
    session.out.show(&document(&policy), |out| {
        writeln!(out, "{} v{}, {}", policy.name, policy.version, time::local(policy.updated_at_ms))?;
        let row = |rule: &v1::Rule| {
            let effect = if rule.deny { "deny" } else { "allow" };
            [effect.to_owned(), rule.environment.clone(), rule.path.clone(), rule.capabilities.join(",")]
        };
        table::rows(out, &["EFFECT", "ENVIRONMENT", "PATH", "CAPABILITIES"], policy.rules.iter().map(row))
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
    let rule = |rule: &v1::Rule| json!({ "environment": rule.environment, "path": rule.path, "capabilities": rule.capabilities, "deny": rule.deny });
    json!({
        "name": policy.name,
        "rules": policy.rules.iter().map(rule).collect::<Vec<_>>(),
        "version": policy.version,
        "updated": time::utc(policy.updated_at_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_get_writes_put_reads() {
        let rule = Rule::parse_deny("production:db/*:read,list").unwrap();
        let policy = v1::Policy { name: "a".into(), rules: vec![rule.clone().into()], version: 3, updated_at_ms: 1 };
        for text in [crate::output::document::yaml(&document(&policy)), crate::output::document::json(&document(&policy))] {
            let read: Document = serde_norway::from_str(&text).unwrap();
            assert_eq!(read.rules, std::slice::from_ref(&rule));
        }
    }

    #[test]
    fn a_misspelt_member_of_a_rule_is_refused() {
        let text = "rules:\n- environment: a\n  path: b\n  capabilities: [read]\n  denied: true\n";
        assert!(serde_norway::from_str::<Document>(text).is_err());
        assert!(Rule::parse_allow("staging:db").is_err());
    }
}
