//! The bytes of every event of recovery outlive a release.

use super::*;
use crate::golden::assert_golden;
use proto_record::codec::{self, Kind};

/// Names every variant: a new one does not compile until it stands here.
fn name(event: &RecoveryEvent) -> &'static str {
    match event {
        RecoveryEvent::SnapshotSaved(_) => "SnapshotSaved",
        RecoveryEvent::SnapshotFailed { .. } => "SnapshotFailed",
        RecoveryEvent::Restored(_) => "Restored",
        RecoveryEvent::Recovered(_) => "Recovered",
        RecoveryEvent::DrillReported(_) => "DrillReported",
        RecoveryEvent::SnapshotsPruned { .. } => "SnapshotsPruned",
    }
}

fn events() -> Vec<RecoveryEvent> {
    let state = State::empty([7; 16]);
    let from = || "s3://backups/holdfast".to_owned();
    vec![
        RecoveryEvent::SnapshotSaved(Box::new(saved(Some(4), 6))),
        RecoveryEvent::SnapshotFailed { to: from(), why: "no such bucket".into() },
        RecoveryEvent::Restored(Box::new(restored(&state))),
        RecoveryEvent::Recovered(Box::new(recovered(&state))),
        RecoveryEvent::DrillReported(Box::new(drill(true))),
        RecoveryEvent::SnapshotsPruned { from: from(), count: 3, bytes: 12_288 },
    ]
}

#[test]
fn the_bytes_of_every_event_of_recovery_never_drift() {
    let line = |event: RecoveryEvent| {
        let named = name(&event).to_owned();
        let event = Event::Recovery(event);
        let bytes = codec::encode(Kind::Event, &event);
        assert_eq!(codec::decode::<Event>(Kind::Event, &bytes).unwrap(), event, "{named} reads back");
        (named, bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    assert_golden("recovery_events", &events().into_iter().map(line).collect::<Vec<_>>());
}

#[test]
fn an_event_of_recovery_is_never_much_larger_than_its_hint() {
    for event in events().into_iter().map(Event::Recovery) {
        assert!(codec::encode(Kind::Event, &event).len() <= event.size_hint(), "{event:?}");
    }
}
