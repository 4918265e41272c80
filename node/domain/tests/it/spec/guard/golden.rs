//! The bytes of every event of guard outlive a release.

use super::*;
use crate::golden::assert_golden;
use node_domain::Event;
use node_domain::guard::{
    Classes, Difference, DifferenceKind, EnvironmentChange, GuardEvent, Promotion, PromotionItem, PromotionState, Reuse, Sink,
    ValueRule,
};
use node_domain::ids::{RuleName, Stamp};
use node_domain::policy::PathPattern;
use node_domain::secret::SecretType;
use proto_record::codec::{self, Kind};

/// Names every variant: a new one does not compile until it stands here.
fn name(event: &GuardEvent) -> &'static str {
    match event {
        GuardEvent::AlertRaised { .. } => "AlertRaised",
        GuardEvent::AlertAcknowledged { .. } => "AlertAcknowledged",
        GuardEvent::AlertDelivered { .. } => "AlertDelivered",
        GuardEvent::AlertAttempted { .. } => "AlertAttempted",
        GuardEvent::SinkPut { .. } => "SinkPut",
        GuardEvent::SinkDeleted { .. } => "SinkDeleted",
        GuardEvent::AddressSeen { .. } => "AddressSeen",
        GuardEvent::EnvironmentSet { .. } => "EnvironmentSet",
        GuardEvent::PromotionPlanned { .. } => "PromotionPlanned",
        GuardEvent::PromotionApproved { .. } => "PromotionApproved",
        GuardEvent::PromotionRejected { .. } => "PromotionRejected",
        GuardEvent::PromotionCancelled { .. } => "PromotionCancelled",
        GuardEvent::PromotionApplied { .. } => "PromotionApplied",
        GuardEvent::RulePut { .. } => "RulePut",
        GuardEvent::RuleDeleted { .. } => "RuleDeleted",
        GuardEvent::PromotionMakersNoted { .. } => "PromotionMakersNoted",
    }
}

fn rule() -> ValueRule {
    ValueRule {
        name: RuleName::parse("strong").unwrap(),
        kind: Some(SecretType::Password),
        environment: Some(environment("production")),
        path: Some(PathPattern::parse("db/*").unwrap()),
        length_min: 16,
        length_max: 64,
        classes: Classes::parse(["lower", "digit"]).unwrap(),
        regex: Some("[a-z0-9]+".into()),
        json_schema: Some("{}".into()),
        reuse: Reuse::Refuse,
        ttl_ms_max: Some(DAY_MS),
        version: 3,
        updated: Stamp(1_790_000_000_000_000),
    }
}

fn plan() -> Promotion {
    let difference = Difference {
        kind: DifferenceKind::Changed,
        from_bytes: 12,
        to_bytes: 11,
        added: vec!["port".into()],
        removed: vec!["host".into()],
        changed: vec!["password".into()],
    };
    Promotion {
        id: 4711,
        from: environment("staging"),
        to: environment("production"),
        items: vec![PromotionItem { from: path("app/db"), from_version: 3, to: path("app/db"), to_version: 2, difference }],
        requested_by: principal("ana"),
        created: Stamp(1_790_000_000_000_000),
        approved_by: vec![principal("bob")],
        state: PromotionState::Open,
    }
}

fn events() -> Vec<GuardEvent> {
    let sink = Sink {
        name: sink_name("chat"),
        kind: SinkKind::Webhook,
        place: "https://hooks.example.com".into(),
        sealed: vec![0xAA; 4].into(),
        least: Severity::Warning,
        delivered: 2,
        failures: 1,
        resumes: Stamp(1_790_000_000_000_000),
        last_error: "connection refused".into(),
    };
    let (promotion, to) = (4711, environment("production"));
    vec![
        GuardEvent::AlertRaised {
            kind: AlertKind::Violation,
            severity: Severity::Critical,
            subject: "ana in production".into(),
            text: "ana asked for db/password in production".into(),
        },
        GuardEvent::AlertAcknowledged { alert: 42 },
        GuardEvent::AlertDelivered { alert: 42, sink: sink_name("chat") },
        GuardEvent::AlertAttempted { alert: 42, sink: sink_name("chat"), error: "connection refused".into() },
        GuardEvent::SinkPut { sink: Box::new(sink), digest: [0xDD; 32] },
        GuardEvent::SinkDeleted { name: sink_name("chat") },
        GuardEvent::AddressSeen { principal: principal("ana"), address: "192.0.2.1".parse().unwrap() },
        GuardEvent::EnvironmentSet { environment: to.clone(), change: EnvironmentChange { approvals: Some(2) } },
        GuardEvent::PromotionPlanned { plan: Box::new(plan()) },
        GuardEvent::PromotionApproved { promotion, to: to.clone() },
        GuardEvent::PromotionRejected { promotion, to: to.clone(), reason: "not today".into() },
        GuardEvent::PromotionCancelled { promotion, to: to.clone() },
        GuardEvent::PromotionApplied { promotion, to, versions: vec![3, 0] },
        GuardEvent::RulePut { rule: Box::new(rule()) },
        GuardEvent::RuleDeleted { name: RuleName::parse("strong").unwrap() },
        GuardEvent::PromotionMakersNoted {
            promotion,
            to: environment("production"),
            makers: vec![principal("root"), principal("zoe")],
        },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_every_event_of_guard_never_drift() {
    let line = |event: GuardEvent| {
        let named = name(&event).to_owned();
        let event = Event::Guard(event);
        let bytes = codec::encode(Kind::Event, &event);
        assert_eq!(codec::decode::<Event>(Kind::Event, &bytes).unwrap(), event, "{named} reads back");
        (named, hex(&bytes))
    };
    assert_golden("guard_events", &events().into_iter().map(line).collect::<Vec<_>>());
}

#[test]
fn what_a_sink_seals_is_not_in_its_leaf() {
    for event in events() {
        let event = Event::Guard(event);
        let leaf = codec::encode(Kind::Event, &*event.without_payload());
        assert!(!leaf.windows(4).any(|bytes| bytes == [0xAA; 4]), "{event:?}");
    }
}

#[test]
fn an_event_is_never_much_larger_than_its_hint() {
    for event in events() {
        let event = Event::Guard(event);
        assert!(codec::encode(Kind::Event, &event).len() <= event.size_hint(), "{event:?}");
    }
}
