//! What watches over values and people.

mod alerts;
mod golden;
mod isolation;
mod promotions;
mod rules;

use super::*;
use node_domain::Command;
use node_domain::command::Upkeep;
use node_domain::guard::{Alert, AlertKind, GuardCommand, GuardUpkeep, Severity, SinkKind, SinkWish};
use node_domain::ids::SinkName;

fn sink_name(name: &str) -> SinkName {
    SinkName::parse(name).unwrap()
}

pub(super) fn guard(command: GuardCommand) -> Request {
    Box::new(move |_| Command::Guard(Box::new(command)))
}

pub(super) fn upkeep(command: GuardUpkeep) -> Request {
    Box::new(move |_| Command::Upkeep(Box::new(Upkeep::Guard(command))))
}

/// Alerts of at least `least` go to a webhook of this name.
pub(super) fn sink(name: &'static str, least: Severity) -> Request {
    let (kind, place) = (SinkKind::Webhook, "https://hooks.example.com".to_owned());
    guard(GuardCommand::PutSink(SinkWish { name: sink_name(name), kind, place, sealed: wrapped_key("sink"), least }))
}

pub(super) fn test_alert(severity: Severity) -> Request {
    guard(GuardCommand::TestAlert { severity, text: "does it arrive?".into() })
}

/// `kind severity subject ×count`, oldest first.
pub(super) fn alerts(world: &World) -> Vec<String> {
    let line = |alert: &std::sync::Arc<Alert>| {
        format!("{} {} {} ×{}", alert.kind.word(), alert.severity.word(), alert.subject, alert.count)
    };
    world.state.guard().outbox.alerts().map(line).collect()
}

use super::world::wrapped_key;
