//! Policies with their conditions, rules for values, and where alerts go, as they are asked for.

use crate::input::{Input, part};
use crate::protobuf;
use node_domain::ids::{PolicyName, Stamp};
use node_domain::policy::{Circumstances, Grants, Policy};
use prost::Message;
use proto::v1;
use std::sync::Arc;

pub(super) fn policy(bytes: &[u8]) {
    let Ok(asked) = v1::PutPolicyRequest::decode(bytes) else { return };
    let Some(policy) = asked.policy else { return };
    let Ok((rules, shown)) = node::fuzzing::policy_rules(&policy.rules) else { return };
    let (again, _) = node::fuzzing::policy_rules(&shown).expect("what is shown can be asked for");
    assert_eq!(again, rules, "rules change when they are shown and asked for again");
    let Ok(name) = PolicyName::parse(&policy.name) else { return };
    judged(Policy { name, rules, version: 1, updated: Stamp(0) });
}

fn judged(policy: Policy) {
    let about: Vec<(Option<_>, String)> =
        policy.rules.iter().map(|rule| (rule.environment.clone(), rule.path.to_string().replace('*', "x"))).collect();
    let capabilities: Vec<_> = node_domain::policy::Capability::ALL.iter().map(|(capability, _)| *capability).collect();
    let grants = Grants::of([Arc::new(policy)]);
    let at = Circumstances { address: None, now: Stamp(1_790_000_000_000_000), mfa: false, token_created: Stamp(5) };
    for (environment, path) in about.iter().take(4) {
        for capability in &capabilities {
            drop(grants.judge(*capability, environment.as_ref(), path, &at));
        }
    }
}

pub(super) fn policies() -> Vec<Vec<u8>> {
    let rule = |path: &str, deny| v1::Rule {
        environment: "production".to_owned(),
        path: path.to_owned(),
        capabilities: vec!["read".to_owned(), "write".to_owned()],
        deny,
        conditions: Some(v1::Conditions {
            addresses: vec!["10.0.0.0/8".to_owned(), "fd00::1".to_owned()],
            hours: "mon-fri/08:00-18:00".to_owned(),
            mfa: true,
            token_age_ms_max: 60_000,
        }),
    };
    let policy = v1::Policy {
        name: "readers".to_owned(),
        rules: vec![rule("db/*", false), rule("+/password", true)],
        ..v1::Policy::default()
    };
    vec![v1::PutPolicyRequest { policy: Some(policy), ..v1::PutPolicyRequest::default() }.encode_to_vec()]
}

/// A rule for values and a value, then a sink.
pub(super) fn values(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (rule, is_structured, plaintext) = (input.part(), input.byte() % 2 == 1, input.part());
    if let Ok(asked) = v1::ValueRule::decode(rule)
        && let Ok((rule, shown)) = node::fuzzing::value_rule(&asked)
    {
        let (again, _) = node::fuzzing::value_rule(&shown).expect("what is shown can be asked for");
        assert_eq!(again, rule, "a rule changes when it is shown and asked for again");
        drop(node::fuzzing::broken_by(rule, plaintext, is_structured));
    }
    if let Ok(asked) = v1::PutSinkRequest::decode(input.0) {
        drop(node::fuzzing::sink(&asked));
    }
}

pub(super) fn value_seeds() -> Vec<Vec<u8>> {
    let rule = |regex: &str, schema: &str| v1::ValueRule {
        name: "strong".to_owned(),
        environment: "production".to_owned(),
        path: "db/*".to_owned(),
        min_length: 2,
        max_length: 40,
        classes: vec!["lower".to_owned(), "digit".to_owned()],
        regex: regex.to_owned(),
        json_schema: schema.to_owned(),
        reuse: "refuse".to_owned(),
        ..v1::ValueRule::default()
    };
    let schema =
        r#"{"type":"object","required":["user"],"properties":{"port":{"type":"integer","minimum":1},"user":{"pattern":"^a"}}}"#;
    let fields = v1::Fields { json: [("user".to_owned(), "\"ab1\"".to_owned()), ("port".to_owned(), "5".to_owned())].into() };
    let webhook = v1::WebhookSink { url: "https://hooks.example.com/a".to_owned(), secret: "s".to_owned() };
    let sink = |to| v1::PutSinkRequest { name: "ops".to_owned(), least: "note".to_owned(), to: Some(to) }.encode_to_vec();
    let smtp = v1::SmtpSink {
        host: "mail.example.com".to_owned(),
        port: 25,
        from: "a@example.com".to_owned(),
        to: vec!["Ops <ops@example.com>".to_owned()],
        tls: "tls".to_owned(),
        ..v1::SmtpSink::default()
    };
    let seed = |rule: v1::ValueRule, structured: u8, value: &[u8], sink: Vec<u8>| {
        [part(&rule.encode_to_vec()), vec![structured], part(value), sink].concat()
    };
    vec![
        seed(rule("[a-z]{3}[0-9]+|x(?i)y", ""), 0, b"abc12", sink(v1::put_sink_request::To::Webhook(webhook))),
        seed(rule("", schema), 1, &fields.encode_to_vec(), sink(v1::put_sink_request::To::Smtp(smtp))),
        protobuf::message("holdfast.v1.ValueRule", "strong"),
    ]
}
