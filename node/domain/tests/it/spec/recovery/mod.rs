//! Snapshots, and the timelines that start from them.

mod golden;

use super::*;
use node_domain::command::Upkeep;
use node_domain::event::Event;
use node_domain::guard::{AlertKind, Severity};
use node_domain::identity::{IdentityCommand, WrapWish};
use node_domain::ids::{Revision, Stamp};
use node_domain::operation::Operation;
use node_domain::recovery::{Drill, Recovered, RecoveryCommand, RecoveryEvent, RecoveryUpkeep, Restored, SavedSnapshot};
use node_domain::{Command, Decision, State};
use words::Request;

pub(crate) fn ask(command: RecoveryCommand) -> Request {
    Box::new(move |_| Command::Recovery(Box::new(command)))
}

pub(crate) fn upkeep(upkeep: RecoveryUpkeep) -> Request {
    Box::new(move |_| Command::Upkeep(Box::new(Upkeep::Recovery(upkeep))))
}

pub(crate) fn saved(after: Option<u64>, revision: u64) -> SavedSnapshot {
    SavedSnapshot {
        file: format!("{revision:020}.full"),
        to: "s3://backups/holdfast".into(),
        after: after.map(Revision),
        revision: Revision(revision),
        log_index: revision + 3,
        digest: [0xD1; 32],
        bytes: 4096,
        secrets: 2,
        note: String::new(),
    }
}

pub(crate) fn drill(passed: bool) -> Drill {
    Drill { passed, from: "s3://backups/holdfast".into(), revision: Revision(7), secrets: 2, took_ms: 1200, report: [0xD2; 32] }
}

fn restored(state: &State) -> Restored {
    Restored {
        epoch: state.epoch() + 1,
        from_epoch: state.epoch(),
        revision: state.revision(),
        stamp: state.stamp(),
        files: vec!["one.full".into(), "two.increment".into()],
        from: "s3://backups/holdfast".into(),
        digest: [0xD3; 32],
        by: "root on host".into(),
    }
}

fn recovered(state: &State) -> Recovered {
    Recovered {
        epoch: state.epoch() + 1,
        node: 3,
        revision: state.revision(),
        stamp: state.stamp(),
        unsure: 2,
        lost: vec![1, 2],
        by: "root on host".into(),
    }
}

fn begun(state: &State, event: RecoveryEvent) -> Decision {
    Decision {
        stamp: Stamp(state.stamp().0 + 1),
        actor: Some(words::principal("holdfast")),
        accessor: None,
        policies: state.policies_changed(),
        request: [9; 16],
        fingerprint: 0,
        source: "3/restore".into(),
        events: vec![Event::Recovery(event)],
    }
}

/// A world in which something is lent to somebody in every way there is.
fn lending() -> World {
    let mut world = given([added("db/password", 1), granted("ana", "read", "*")]);
    let hash = world.draw_hash();
    let payload = world::wrapped_key("wrapped");
    let wish = WrapWish { hash, payload, about: "token of ana".into(), ttl_ms: 60_000, of: None };
    world.establish(Command::Identity(Box::new(IdentityCommand::Wrap(wish))));
    world
}

#[test]
fn a_restore_starts_an_epoch_and_ends_all_that_was_lent_before_it() {
    let world = lending();
    let mut state = world.state.clone();
    let wrappings = |state: &State| state.identity().counts()[3];
    assert_eq!((wrappings(&state), state.token(&world.credential("ana")).is_some()), (1, true));
    state.apply(&begun(&state, RecoveryEvent::Restored(Box::new(restored(&state))))).unwrap();
    assert_eq!(state.epoch(), 2);
    assert_eq!(wrappings(&state), 0);
    for who in ["root", "ana"] {
        assert!(state.token(&world.credential(who)).is_none(), "{who} still holds a token");
    }
    assert_eq!(state.secret_count(), 1, "what was kept is there");
    assert_eq!(state.recovery().timelines().len(), 1);
    assert_eq!(state.check_digest(), Ok(()));
    crate::invariants::pieces_round_trip(&state);
}

#[test]
fn a_snapshot_that_stands_in_the_new_epoch_already_takes_the_record_as_well() {
    let old = lending().state;
    let mut state = old.in_epoch(old.epoch() + 1);
    state.apply(&begun(&state, RecoveryEvent::Restored(Box::new(restored(&old))))).unwrap();
    assert_eq!(state.epoch(), old.epoch() + 1);
}

#[test]
fn whoever_goes_on_after_a_loss_keeps_what_was_lent() {
    let world = lending();
    let mut state = world.state.clone();
    state.apply(&begun(&state, RecoveryEvent::Recovered(Box::new(recovered(&state))))).unwrap();
    assert_eq!(state.epoch(), 2);
    assert!(state.token(&world.credential("ana")).is_some());
}

#[test]
fn a_timeline_starts_where_the_state_stands_and_at_a_later_epoch() {
    let state = lending().state.in_epoch(3);
    // The epochs between belong to timelines that were left for this one.
    let mut later = state.clone();
    later.apply(&begun(&state, RecoveryEvent::Restored(Box::new(Restored { epoch: 6, ..restored(&state) })))).unwrap();
    assert_eq!(later.epoch(), 6);
    let wrong =
        [Restored { epoch: 2, ..restored(&state) }, Restored { revision: Revision(state.revision().0 - 1), ..restored(&state) }];
    for wrong in wrong {
        let decision = begun(&state, RecoveryEvent::Restored(Box::new(wrong)));
        assert!(state.clone().apply(&decision).is_err());
    }
}

#[test]
fn the_newest_snapshot_and_the_newest_whole_one_are_known_until_a_timeline_starts() {
    let world = given([]);
    let world = world.when("root", upkeep(RecoveryUpkeep::Saved(saved(None, 4)))).by("holdfast").then_is_done();
    let world = world.when("root", upkeep(RecoveryUpkeep::Saved(saved(Some(4), 6)))).then_is_done();
    let known = world.state.recovery();
    assert_eq!(known.saved().map(|saved| saved.snapshot.revision), Some(Revision(6)));
    assert_eq!(known.full().map(|saved| saved.snapshot.revision), Some(Revision(4)));
    let mut state = world.state.clone();
    state.apply(&begun(&state, RecoveryEvent::Restored(Box::new(restored(&state))))).unwrap();
    assert_eq!((state.recovery().saved(), state.recovery().full()), (None, None));
}

#[test]
fn a_snapshot_that_was_due_and_failed_is_an_alert_until_one_is_saved() {
    let failed = RecoveryUpkeep::Failed { to: "s3://backups".into(), why: "no such bucket".into() };
    let world = given([]).when("root", upkeep(failed)).then_is_done();
    let alert = world.state.guard().outbox.alerts().next_back().unwrap().clone();
    assert_eq!((alert.kind, alert.severity), (AlertKind::Snapshot, Severity::Critical));
    assert!(alert.text.contains("no such bucket"), "{}", alert.text);
    assert!(world.state.recovery().failed().is_some());
    let world = world.when("root", upkeep(RecoveryUpkeep::Saved(saved(None, 4)))).then_is_done();
    assert!(world.state.recovery().failed().is_none());
}

#[test]
fn a_drill_is_remembered_and_one_that_failed_is_an_alert() {
    let world = given([]).when("root", ask(RecoveryCommand::ReportDrill(drill(true)))).then_is_done();
    assert_eq!(world.state.guard().outbox.alerts().count(), 0);
    assert!(world.state.recovery().drill().unwrap().drill.passed);
    let world = world.when("root", ask(RecoveryCommand::ReportDrill(drill(false)))).then_is_done();
    assert_eq!(world.state.guard().outbox.alerts().count(), 1);
}

#[test]
fn only_questions_about_snapshots_are_asked_of_them() {
    let wrong = RecoveryCommand::Ask { operation: Operation::SecretRead, subject: String::new() };
    given([]).when("root", ask(wrong)).then_refuses("secret.read is not asked of snapshots");
}
