//! What happens to seals, keys and logins that somebody should hear of, whoever asked for it: each is raised as an alert.

use super::notice::alert;
use super::{AlertKind, Severity};
use crate::decide::{Context, FOUNDER};
use crate::event::Event;
use crate::identity::{IdentityEvent, locks};
use crate::keys::KeysEvent;
use crate::recovery::RecoveryEvent;
use crate::repair::{RepairEvent, RepairPart, RepairStep};
use crate::state::State;
use crate::token::Token;

/// The alert that goes with an event, decided on `state`.
pub(super) fn of_event(state: &State, context: &Context, token: Option<&Token>, event: &Event) -> Option<Event> {
    match event {
        Event::Keys(event) => of_keys(state, token, event),
        Event::Recovery(event) => of_recovery(state, event),
        Event::Repair(RepairEvent::Repair { node, part, step }) => of_repair(state, node, *part, step),
        Event::Identity(IdentityEvent::LoginFailed { user: Some(name), cause, .. }) if locks(state, context, name, *cause) => {
            let text = format!("{name} failed to log in too often and is locked for a while");
            alert(state, AlertKind::Lockout, Severity::Warning, &format!("user {name}"), text)
        }
        _ => None,
    }
}

/// Opposites have subjects of their own: an alert that counts up says what happened the first time.
fn of_keys(state: &State, token: Option<&Token>, event: &KeysEvent) -> Option<Event> {
    let who = token.map_or(FOUNDER, |token| token.principal.as_str());
    let (kind, severity, subject, text) = match event {
        KeysEvent::EnvironmentSealed { environment } => {
            let text = format!("{who} sealed {environment}: nothing is read or written there until it is unsealed");
            (AlertKind::Seal, Severity::Warning, format!("{environment} sealed"), text)
        }
        KeysEvent::EnvironmentUnsealed { environment } => {
            (AlertKind::Seal, Severity::Warning, format!("{environment} unsealed"), format!("{who} unsealed {environment}"))
        }
        KeysEvent::NodeSealed { subject } => {
            (AlertKind::Seal, Severity::Warning, format!("{subject} sealed"), format!("{who} sealed {subject}"))
        }
        KeysEvent::RootMinted { subject } => {
            let text = format!("somebody who opens the seal made a root token ({subject}): revoke it if nobody of you did");
            (AlertKind::Key, Severity::Critical, format!("root token {subject}"), text)
        }
        KeysEvent::NodeSealedAlone { subject, accessor, .. } => {
            let known = state.token_by_accessor(accessor).map(|token| token.principal.to_string());
            let by = known.unwrap_or_else(|| format!("the holder of token {accessor}"));
            let text = format!("{by} sealed {subject} while no quorum could record it: it says so now");
            (AlertKind::Seal, Severity::Warning, format!("{subject} sealed alone"), text)
        }
        KeysEvent::NodeUnsealed { subject, kind } => {
            (AlertKind::Seal, Severity::Note, format!("{subject} unsealed"), format!("{subject} was unsealed ({kind})"))
        }
        KeysEvent::SealChanged { seal } => {
            let text = format!("the seal was changed: it is {} now, generation {}", seal.kind, seal.generation);
            (AlertKind::Seal, Severity::Warning, format!("the seal, generation {}", seal.generation), text)
        }
        KeysEvent::EnvironmentKeyAdded { environment, version, .. } => {
            let text = format!("{who} rotated the key of {environment} to v{version}");
            (AlertKind::Key, Severity::Note, format!("the key of {environment} v{version}"), text)
        }
        // The first one is no rotation: the cluster is founded with it.
        KeysEvent::SystemKeyAdded { version, .. } if *version > 1 => {
            let text = format!("{who} rotated the key of the system to v{version}");
            (AlertKind::Key, Severity::Note, format!("the key of the system v{version}"), text)
        }
        KeysEvent::RootRotated { version, .. } if *version > state.keys.root() => {
            let text = format!("the root key was rotated to v{version}");
            (AlertKind::Key, Severity::Warning, format!("the root key v{version}"), text)
        }
        // The same root key once more takes in what was wrapped meanwhile.
        KeysEvent::RootRotated { .. }
        | KeysEvent::SystemKeyAdded { .. }
        | KeysEvent::SealInitialized { .. }
        | KeysEvent::Rewrapped { .. }
        | KeysEvent::EnvironmentKeyRetired { .. } => return None,
    };
    alert(state, kind, severity, &subject, text)
}

fn of_recovery(state: &State, event: &RecoveryEvent) -> Option<Event> {
    match event {
        RecoveryEvent::SnapshotFailed { to, why } => {
            let text = format!("a snapshot that was due was not saved to {to}: {why}");
            alert(state, AlertKind::Snapshot, Severity::Critical, &format!("snapshots in {to}"), text)
        }
        RecoveryEvent::DrillReported(drill) if !drill.passed => {
            let text = format!("a drill with the snapshots in {} failed: read its report", drill.from);
            alert(state, AlertKind::Snapshot, Severity::Critical, &format!("drill with {}", drill.from), text)
        }
        // The records of a new timeline are written before anybody leads: whoever starts it raises the alert beside them.
        _ => None,
    }
}

/// Damage is somebody's business though it is repaired: a disk that lies once lies again.
fn of_repair(state: &State, node: &str, part: RepairPart, step: &RepairStep) -> Option<Event> {
    let part = part.word();
    match step {
        RepairStep::Began { found } => {
            let text = format!("{node} found damage in its {part} and repairs it: {found}");
            alert(state, AlertKind::Damage, Severity::Warning, &format!("{node} {part}"), text)
        }
        RepairStep::Failed { why } => {
            let text = format!("{node} could not repair its {part}: {why}");
            alert(state, AlertKind::Damage, Severity::Critical, &format!("{node} {part} not repaired"), text)
        }
        RepairStep::Done => None,
    }
}
