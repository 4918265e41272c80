//! `holdfast rule`.

use clap::{Args, Subcommand};
use proto_client::v1;
use serde_json::{Value, json};

use crate::{
    exit::{Doing, Failure},
    input,
    output::{table, time},
    settings::Session,
};

const PUT_EXAMPLES: &str = "\
Examples:
  holdfast rule put strong --type password --min-length 16 --classes lower,upper,digit
  holdfast rule put short-lived --in production --ttl-max 90d
  holdfast rule put db --path 'db/*' --json-schema @db.schema.json
  holdfast rule put own-values --in production --reuse refuse

Length, classes and expression are about a value that is a text; of a value with fields, about password, secret,
token, key or value, whichever is there first, and about every text where none is.";

/// Rules for values.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write a rule, instead of the one of this name.
    Put(Box<Put>),
    /// List the rules.
    #[command(after_help = "Examples:\n  holdfast rule list\n  holdfast rule list -o yaml")]
    List,
    /// Delete a rule.
    #[command(after_help = "Examples:\n  holdfast rule delete strong")]
    Delete {
        /// Its name.
        name: String,
    },
    /// Find secrets that break a rule, as far as metadata and fingerprints tell.
    #[command(after_help = "Examples:\n  holdfast rule check\n  holdfast rule check --in production -o json")]
    Check {
        /// Only in this environment.
        #[arg(long = "in", value_name = "ENVIRONMENT", default_value = "")]
        environment: String,
    },
}

/// A rule to be written.
#[derive(Args)]
#[command(after_help = PUT_EXAMPLES)]
pub(crate) struct Put {
    /// Its name.
    name: String,
    /// Only secrets of this type.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    kind: String,
    /// Only in this environment.
    #[arg(long = "in", value_name = "ENVIRONMENT", default_value = "")]
    environment: String,
    /// Only at these paths, as in policies.
    #[arg(long, value_name = "PATTERN", default_value = "")]
    path: String,
    /// Fewest characters.
    #[arg(long, default_value_t = 0)]
    min_length: u32,
    /// Most characters.
    #[arg(long, default_value_t = 0)]
    max_length: u32,
    /// Kinds of characters that must be there: lower, upper, digit, symbol.
    #[arg(long, value_delimiter = ',', value_name = "CLASS")]
    classes: Vec<String>,
    /// What the whole text must match.
    #[arg(long, default_value = "")]
    regex: String,
    /// A JSON schema that a value with fields must fit; - for standard input.
    #[arg(long, value_name = "@FILE")]
    json_schema: Option<String>,
    /// What becomes of a value that another environment has too: allow, alert or refuse.
    #[arg(long, default_value = "allow")]
    reuse: String,
    /// Longest validity of a version.
    #[arg(long, value_name = "DURATION", value_parser = time::parse_bound_ms)]
    ttl_max: Option<u64>,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::Put(put) => put.run(session).await,
            Command::List => list(session).await,
            Command::Delete { name } => delete(session, name).await,
            Command::Check { environment } => check(session, environment).await,
        }
    }
}

impl Put {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let json_schema = self.json_schema.map(|file| input::text(&file)).transpose()?;
        let rule = v1::ValueRule {
            name: self.name.clone(),
            r#type: self.kind,
            environment: self.environment,
            path: self.path,
            min_length: self.min_length,
            max_length: self.max_length,
            classes: self.classes,
            regex: self.regex,
            json_schema: json_schema.map(|text| text.to_string()).unwrap_or_default(),
            reuse: self.reuse,
            ttl_ms_max: self.ttl_max.unwrap_or(0),
            ..Default::default()
        };
        let rule = session.client().await?.value_rules().put(v1::PutValueRuleRequest { rule: Some(rule) }).await;
        let rule = rule.doing(|| format!("write the rule {}", self.name))?;
        let next = "values are held against it when they are next written; `holdfast rule check` finds what it can before";
        session.out.done(&document(&rule), &format!("rule {} is at v{}; {next}", rule.name, rule.version))
    }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client().await?.value_rules().list(v1::ListValueRulesRequest {}).await;
    let answer = answer.doing(|| "list the rules for values".to_owned())?;
    let rules: Vec<_> = answer.rules.iter().map(document).collect();
    session.out.show(&json!({ "rules": rules, "index": answer.index }), |out| {
        let any = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
        let row = |rule: &v1::ValueRule| {
            let version = format!("v{}", rule.version);
            [rule.name.clone(), version, any(&rule.environment), any(&rule.path), any(&rule.r#type), wants(rule)]
        };
        table::rows(out, &["NAME", "VERSION", "IN", "PATH", "TYPE", "WANTS"], answer.rules.iter().map(row))
    })
}

/// What a rule wants, in a line.
fn wants(rule: &v1::ValueRule) -> String {
    let mut wants = Vec::new();
    let mut add = |is_set: bool, text: String| wants.extend(is_set.then_some(text));
    add(rule.min_length > 0, format!("at least {} characters", rule.min_length));
    add(rule.max_length > 0, format!("at most {} characters", rule.max_length));
    add(!rule.classes.is_empty(), rule.classes.join(", "));
    add(!rule.regex.is_empty(), format!("/{}/", rule.regex));
    add(!rule.json_schema.is_empty(), "a schema".to_owned());
    add(rule.reuse != "allow", format!("reuse: {}", rule.reuse));
    add(rule.ttl_ms_max > 0, format!("valid for at most {} h", rule.ttl_ms_max / 3_600_000));
    wants.join("; ")
}

async fn delete(session: &Session, name: String) -> Result<(), Failure> {
    let answer = session.client().await?.value_rules().delete(v1::DeleteValueRuleRequest { name: name.clone() }).await;
    let answer = answer.doing(|| format!("delete the rule {name}"))?;
    session.out.done(&json!({ "name": name, "index": answer.index }), &format!("deleted the rule {name}"))
}

async fn check(session: &Session, environment: String) -> Result<(), Failure> {
    let answer = session.client().await?.value_rules().check(v1::CheckValueRulesRequest { environment }).await;
    let answer = answer.doing(|| "look for values that break rules".to_owned())?;
    let finding = |found: &v1::ValueFinding| json!({ "environment": found.environment, "path": found.path, "version": found.version, "rule": found.rule, "why": found.why });
    let findings: Vec<_> = answer.findings.iter().map(finding).collect();
    let body = json!({ "findings": findings, "checked": answer.checked, "more": answer.more, "index": answer.index });
    session.out.show(&body, |out| {
        let row = |found: &v1::ValueFinding| {
            let version = format!("v{}", found.version);
            [found.environment.clone(), found.path.clone(), version, found.rule.clone(), found.why.clone()]
        };
        table::rows(out, &["IN", "PATH", "VERSION", "RULE", "WHY"], answer.findings.iter().map(row))?;
        writeln!(out, "{} secrets looked at{}", answer.checked, if answer.more { "; there are more findings" } else { "" })
    })
}

fn document(rule: &v1::ValueRule) -> Value {
    json!({
        "name": rule.name,
        "type": rule.r#type,
        "environment": rule.environment,
        "path": rule.path,
        "min_length": rule.min_length,
        "max_length": rule.max_length,
        "classes": rule.classes,
        "regex": rule.regex,
        "json_schema": rule.json_schema,
        "reuse": rule.reuse,
        "ttl_ms_max": rule.ttl_ms_max,
        "version": rule.version,
        "updated": time::utc(rule.updated_at_ms),
    })
}
