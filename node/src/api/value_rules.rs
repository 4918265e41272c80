//! The service of rules for values.

use crate::api::{Door, convert, status};
use crate::engine::View;
use crate::engine::rules::check_rule;
use node_domain::guard::{Classes, GuardCommand, Reuse, ValueRule};
use node_domain::ids::{EnvironmentName, RuleName, Stamp};
use node_domain::operation::Operation;
use node_domain::policy::PathPattern;
use node_domain::secret::{Secret, SecretType};
use node_domain::state::Environment;
use node_domain::{Command, Rejection};
use proto::v1;
use proto::v1::value_rules_server::ValueRules;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service, behind the door.
pub(crate) struct ValueRulesService(pub(crate) Arc<Door>);

/// Findings shown of one check.
const FINDINGS_MAX: usize = 1000;

type Reply<T> = Result<Response<T>, Status>;

fn guard(command: GuardCommand) -> Command {
    Command::Guard(Box::new(command))
}

#[tonic::async_trait]
impl ValueRules for ValueRulesService {
    async fn put(&self, request: Request<v1::PutValueRuleRequest>) -> Reply<v1::ValueRule> {
        let (caller, message) = self.0.receive_change(request, Operation::RulePut);
        let asked = message.rule.clone().unwrap_or_default();
        let command = parse(&asked).map(|rule| guard(GuardCommand::PutRule(Box::new(rule))));
        let done = self.0.submit(&caller, Operation::RulePut, &message, command).await?;
        let name = RuleName::parse(&asked.name).map_err(|bad| status::refused(&bad.into()))?;
        let rule = done.view.state.guard().rules.rule(&name);
        let rule = rule.ok_or_else(|| Status::not_found(format!("rule {name} was deleted meanwhile")))?;
        Ok(Response::new(show(rule)))
    }

    async fn delete(&self, request: Request<v1::DeleteValueRuleRequest>) -> Reply<v1::DeleteValueRuleResponse> {
        let (caller, message) = self.0.receive_change(request, Operation::RuleDelete);
        let parse = || Ok::<_, Rejection>(guard(GuardCommand::DeleteRule { name: RuleName::parse(&message.name)? }));
        let done = self.0.submit(&caller, Operation::RuleDelete, &message, parse()).await?;
        Ok(Response::new(v1::DeleteValueRuleResponse { index: done.index }))
    }

    async fn list(&self, request: Request<v1::ListValueRulesRequest>) -> Reply<v1::ListValueRulesResponse> {
        let (caller, message) = self.0.receive(request);
        let done = self.0.submit(&caller, Operation::RuleList, &message, Ok(guard(GuardCommand::ListRules))).await?;
        let rules = done.view.state.guard().rules.rules().map(|rule| show(rule)).collect();
        Ok(Response::new(v1::ListValueRulesResponse { rules, index: done.index }))
    }

    async fn check(&self, request: Request<v1::CheckValueRulesRequest>) -> Reply<v1::CheckValueRulesResponse> {
        let (caller, message) = self.0.receive(request);
        let environment = convert::optional(&message.environment, EnvironmentName::parse);
        let command = environment.clone().map(|environment| guard(GuardCommand::CheckRules { environment }));
        let done = self.0.submit(&caller, Operation::RuleCheck, &message, command).await?;
        let environment = environment.map_err(|rejection| status::refused(&rejection))?;
        let view = done.view;
        // It looks at every secret: not on the threads that serve.
        let looked = tokio::task::spawn_blocking(move || look(&view, environment.as_ref())).await;
        let mut answer = looked.map_err(|error| status::fault("look for values that break rules", &error))?;
        answer.index = done.index;
        Ok(Response::new(answer))
    }
}

pub(crate) fn parse(asked: &v1::ValueRule) -> Result<ValueRule, Rejection> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let rule = ValueRule {
        name: RuleName::parse(&asked.name)?,
        kind: convert::optional(&asked.r#type, SecretType::parse)?,
        environment: convert::optional(&asked.environment, EnvironmentName::parse)?,
        path: convert::optional(&asked.path, PathPattern::parse)?,
        length_min: asked.min_length,
        length_max: asked.max_length,
        classes: Classes::parse(asked.classes.iter().map(String::as_str))?,
        regex: text(&asked.regex),
        json_schema: text(&asked.json_schema),
        reuse: convert::optional(&asked.reuse, Reuse::parse)?.unwrap_or(Reuse::Allow),
        ttl_ms_max: (asked.ttl_ms_max > 0).then_some(asked.ttl_ms_max),
        version: 0,
        updated: Stamp(0),
    };
    check_rule(&rule)?;
    Ok(rule)
}

pub(crate) fn show(rule: &ValueRule) -> v1::ValueRule {
    v1::ValueRule {
        name: rule.name.to_string(),
        r#type: rule.kind.map(|kind| kind.word().to_owned()).unwrap_or_default(),
        environment: rule.environment.as_ref().map(ToString::to_string).unwrap_or_default(),
        path: rule.path.as_ref().map(ToString::to_string).unwrap_or_default(),
        min_length: rule.length_min,
        max_length: rule.length_max,
        classes: rule.classes.words().map(str::to_owned).collect(),
        regex: rule.regex.clone().unwrap_or_default(),
        json_schema: rule.json_schema.clone().unwrap_or_default(),
        reuse: rule.reuse.word().to_owned(),
        ttl_ms_max: rule.ttl_ms_max.unwrap_or(0),
        version: rule.version,
        updated_at_ms: rule.updated.as_ms(),
    }
}

/// What metadata tells of every newest version; what is in the values is checked when they are next written.
fn look(view: &View, only: Option<&EnvironmentName>) -> v1::CheckValueRulesResponse {
    let mut answer = v1::CheckValueRulesResponse::default();
    let homes = view.state.environments().filter(|home| only.is_none_or(|only| *only == home.about.name));
    for home in homes {
        for secret in home.secrets.values() {
            answer.checked += 1;
            for finding in findings(view, home, secret) {
                if answer.findings.len() >= FINDINGS_MAX {
                    answer.more = true;
                    return answer;
                }
                answer.findings.push(finding);
            }
        }
    }
    answer
}

fn findings(view: &View, home: &Environment, secret: &Secret) -> Vec<v1::ValueFinding> {
    let Some(newest) = secret.live() else { return Vec::new() };
    let environment = &home.about.name;
    let mut findings = Vec::new();
    let elsewhere = view.state.reused_elsewhere(environment, newest);
    for rule in view.state.guard().rules.about(environment, &secret.path, secret.about.kind) {
        let mut found = |why: String| {
            findings.push(v1::ValueFinding {
                environment: environment.to_string(),
                path: secret.path.to_string(),
                version: newest.number,
                rule: rule.name.to_string(),
                why,
            });
        };
        if rule.is_too_long(newest.created, newest.expires) {
            let end = if newest.expires.is_some() { "longer than the rule allows" } else { "for ever" };
            found(format!("it is valid {end}"));
        }
        if let (Some(other), true) = (elsewhere, rule.reuse != Reuse::Allow) {
            found(format!("the same value is used in {other}"));
        }
    }
    findings
}

impl crate::api::door::Asked for v1::PutValueRuleRequest {
    fn subject(&self) -> &str {
        self.rule.as_ref().map_or("", |rule| &rule.name)
    }
}

impl crate::api::door::Asked for v1::CheckValueRulesRequest {
    fn environment(&self) -> &str {
        &self.environment
    }
}

convert::asked_of_system! { v1::ListValueRulesRequest, v1::DeleteValueRuleRequest: name }
