//! What nodes repair by themselves is on the journal and raises an alert; none of it changes the state beyond that.

use super::guard::alerts;
use super::*;
use crate::golden::assert_golden;
use node_domain::command::Upkeep;
use node_domain::ids::Revision;
use node_domain::repair::{RepairEvent, RepairPart, RepairStep, RepairUpkeep};
use node_domain::{Command, Event, limits};
use proto_record::codec::{self, Kind};

fn report(step: RepairStep) -> Request {
    let upkeep = RepairUpkeep::Report { node: 2, part: RepairPart::Journal, step };
    Box::new(move |_| Command::Upkeep(Box::new(Upkeep::Repair(upkeep))))
}

fn began(found: &str) -> Request {
    report(RepairStep::Began { found: found.into() })
}

#[test]
fn a_repair_is_journalled_in_the_clusters_name_and_alerted() {
    let asked = given([]).when("nobody", began("a block does not read")).by("holdfast");
    let lines = ["repair.began - node-2 done", "alert.raise - node-2 journal done"];
    let world = asked.recording(lines).then_is_done();
    assert_eq!(alerts(&world), ["damage warning node-2 journal ×1"]);
    let world = world.when("nobody", report(RepairStep::Done)).recording(["repair.done - node-2 done"]).then_is_done();
    assert_eq!(alerts(&world), ["damage warning node-2 journal ×1"]);
}

#[test]
fn a_repair_that_fails_is_critical() {
    let world = given([]).when("nobody", report(RepairStep::Failed { why: "nobody has it".into() })).then_is_done();
    assert_eq!(alerts(&world), ["damage critical node-2 journal not repaired ×1"]);
}

#[test]
fn what_was_found_is_bounded() {
    let asked = given([]).when("nobody", began(&"x".repeat(100_000)));
    let Some(Event::Repair(RepairEvent::Repair { step: RepairStep::Began { found }, .. })) = asked.decision.events.first() else {
        panic!("{:?}", asked.decision.events)
    };
    assert_eq!(found.len(), limits::ALERT_TEXT_BYTES_MAX);
}

#[test]
fn a_check_of_the_state_names_a_record_that_is_there() {
    let check = |revision: u64| -> Request {
        let upkeep = RepairUpkeep::CheckState { revision: Revision(revision), digest: [7; 32] };
        Box::new(move |_| Command::Upkeep(Box::new(Upkeep::Repair(upkeep))))
    };
    let world = given([added("live", 1)]);
    let digest = world.state.digest();
    let now = world.state.revision().0;
    let world = world.when("nobody", check(now)).by("holdfast").then_is_done();
    assert_eq!(world.state.digest(), digest, "a check changes nothing");
    let later = world.state.revision().0 + 1;
    world.when("nobody", check(later)).then_refuses(&format!("record {later} is not there yet"));
}

/// Names every variant: a new one does not compile until it stands here.
fn name(event: &RepairEvent) -> String {
    match event {
        RepairEvent::Repair { part, step, .. } => {
            let step = match step {
                RepairStep::Began { .. } => "Began",
                RepairStep::Done => "Done",
                RepairStep::Failed { .. } => "Failed",
            };
            format!("Repair/{step}/{}", part.word())
        }
        RepairEvent::StateChecked { .. } => "StateChecked".to_owned(),
    }
}

fn examples() -> Vec<RepairEvent> {
    let of = |part, step| RepairEvent::Repair { node: "node-2".into(), part, step };
    let parts = RepairPart::ALL.iter().map(|part| of(*part, RepairStep::Began { found: "a block does not read".into() }));
    parts
        .chain([
            of(RepairPart::Journal, RepairStep::Done),
            of(RepairPart::Journal, RepairStep::Failed { why: "nobody has it".into() }),
            RepairEvent::StateChecked { revision: Revision(70_000), digest: [0xDD; 32] },
        ])
        .collect()
}

#[test]
fn the_bytes_of_every_event_of_repair_never_drift() {
    let line = |event: RepairEvent| {
        let named = name(&event);
        let event = Event::Repair(event);
        let bytes = codec::encode(Kind::Event, &event);
        assert_eq!(codec::decode::<Event>(Kind::Event, &bytes).unwrap(), event, "{named} reads back");
        assert!(bytes.len() <= event.size_hint(), "{named}");
        (named, bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    assert_golden("repair_events", &examples().into_iter().map(line).collect::<Vec<_>>());
}
