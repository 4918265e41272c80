//! What is noticed about requests as they are decided: violations, bursts of denials, new addresses. It is raised as alerts.

use super::{AlertKind, GuardEvent, Severity};
use crate::decide::Context;
use crate::event::Event;
use crate::ids::{PrincipalName, Stamp};
use crate::limits;
use crate::rejection::Rejection;
use crate::state::State;
use crate::token::Token;
use std::collections::HashMap;

/// The event that raises an alert, for the decision that it belongs to. `subject` is whom or what it concerns: within ten minutes
/// the same kind with the same subject is one alert that counts up. `None` when it was counted so often that more says nothing.
#[must_use]
pub fn alert(state: &State, kind: AlertKind, severity: Severity, subject: &str, text: impl Into<String>) -> Option<Event> {
    let subject = limits::cut(subject.to_owned(), limits::ALERT_SUBJECT_BYTES_MAX);
    let repeated = state.guard.outbox.repeated(kind, &subject, state.stamp);
    if repeated.is_some_and(|alert| alert.count >= limits::ALERT_COUNT_MAX) {
        return None;
    }
    let text = limits::cut(text.into(), limits::ALERT_TEXT_BYTES_MAX);
    Some(Event::Guard(GuardEvent::AlertRaised { kind, severity, subject, text }))
}

/// Denials of the last minute, as the leader remembers them. They go with the leader: a burst is noticed by whoever saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    /// By principal, or by address where no valid token was shown: since when, and how many. Invariant: bounded.
    denials: HashMap<String, (Stamp, u32)>,
}

impl Recent {
    /// Counts denials; `true` when they have become a burst just now.
    fn denied(&mut self, who: &str, now: Stamp, count: u32) -> bool {
        let expired = |since: Stamp| now >= since.plus_ms(limits::BURST_WINDOW_MS);
        if self.denials.len() >= limits::BURST_PRINCIPALS_MAX && !self.denials.contains_key(who) {
            self.denials.retain(|_, (since, _)| !expired(*since));
            if self.denials.len() >= limits::BURST_PRINCIPALS_MAX {
                self.denials.clear();
            }
        }
        let (since, denied) = self.denials.entry(who.to_owned()).or_insert((now, 0));
        if expired(*since) {
            (*since, *denied) = (now, 0);
        }
        let before = *denied;
        *denied = before.saturating_add(count);
        before < limits::BURST_DENIALS && *denied >= limits::BURST_DENIALS
    }
}

/// What goes with the events of a decision. It costs next to nothing where nobody is refused and the address is known.
pub(crate) fn of_decision(
    state: &State,
    context: &Context,
    token: Option<&Token>,
    recent: &mut Recent,
    events: &[Event],
) -> Vec<Event> {
    let mut noticed = Vec::new();
    let mut denials = 0;
    for event in events {
        noticed.extend(super::noteworthy::of_event(state, context, token, event));
        let Event::Refused { rejection, .. } = event else { continue };
        denials += u32::from(rejection.is_denial());
        let raised = of_rejection(state, token, rejection);
        noticed.extend(raised.filter(|raised| !noticed.iter().any(|known| concerns_same(known, raised))));
    }
    if denials > 0 {
        noticed.extend(of_denials(state, context, token, recent, denials));
    }
    if let (Some(token), Some(address)) = (token, context.address) {
        noticed.extend(of_address(state, &token.principal, address));
    }
    noticed
}

/// A message often repeats within one decision: one alert is enough.
fn concerns_same(one: &Event, other: &Event) -> bool {
    match (one, other) {
        (
            Event::Guard(GuardEvent::AlertRaised { kind, subject, .. }),
            Event::Guard(GuardEvent::AlertRaised { kind: kind2, subject: subject2, .. }),
        ) => (kind, subject) == (kind2, subject2),
        _ => false,
    }
}

fn of_rejection(state: &State, token: Option<&Token>, rejection: &Rejection) -> Option<Event> {
    match rejection {
        Rejection::Violation { principal, subject, environment, .. } => {
            let concerns = format!("{principal} in {environment}");
            let text = format!("{principal} asked for {subject} in {environment}, an environment that it has nothing to do with");
            alert(state, AlertKind::Violation, Severity::Critical, &concerns, text)
        }
        Rejection::Throttled { what, .. } => {
            let who = token.map_or("somebody without a valid token", |token| token.principal.as_str());
            alert(state, AlertKind::Throttled, Severity::Warning, who, what.clone())
        }
        Rejection::AgainstRule { path, environment, rule, .. } => {
            let who = token.map_or("somebody", |token| token.principal.as_str());
            let text = format!("{who} tried to put a value at {environment}:{path} that rule {rule} refuses");
            alert(state, AlertKind::Governance, Severity::Warning, &format!("{who}: rule {rule}"), text)
        }
        _ => None,
    }
}

fn of_denials(state: &State, context: &Context, token: Option<&Token>, recent: &mut Recent, denials: u32) -> Option<Event> {
    let who = match (token, context.address) {
        (Some(token), _) => token.principal.to_string(),
        (None, Some(address)) => format!("address {address}"),
        (None, None) => "somebody without a valid token".to_owned(),
    };
    if !recent.denied(&who, context.stamp, denials) {
        return None;
    }
    let text = format!("{who} was denied {} times or more within a minute", limits::BURST_DENIALS);
    alert(state, AlertKind::Refusals, Severity::Warning, &who, text)
}

/// An address that the principal never came from before is remembered, and told of where it is not the first one.
fn of_address(state: &State, principal: &PrincipalName, address: std::net::IpAddr) -> Vec<Event> {
    let known = state.guard.known.of(principal);
    if known.is_some_and(|known| known.addresses.contains(&address)) {
        return Vec::new();
    }
    let mut events = vec![Event::Guard(GuardEvent::AddressSeen { principal: principal.clone(), address })];
    if known.is_some() {
        let text = format!("{principal} came from {address} for the first time");
        events.extend(alert(state, AlertKind::NewAddress, Severity::Note, principal.as_str(), text));
    }
    events
}
