//! Alerts are kept until they were delivered, count up when they repeat, and never crowd out memory.

use super::*;
use node_domain::guard::EnvironmentChange;
use node_domain::{Answer, limits};

fn delivered(alert: u64, to: &str) -> Request {
    upkeep(GuardUpkeep::Delivered { alert, sink: sink_name(to) })
}

fn attempted(alert: u64, to: &str) -> Request {
    upkeep(GuardUpkeep::Attempted { alert, sink: sink_name(to), error: "connection refused".into() })
}

fn newest(world: &World) -> Alert {
    Alert::clone(world.state.guard().outbox.alerts().next_back().expect("an alert was raised"))
}

fn owed(world: &World) -> Vec<String> {
    newest(world).owed.iter().map(ToString::to_string).collect()
}

fn due(world: &World) -> Vec<String> {
    let due = world.state.guard().outbox.due(world.now);
    due.map(|(sink, alert)| format!("{} {}", sink.name, alert.id)).collect()
}

#[test]
fn an_alert_is_owed_to_every_sink_that_wants_its_severity_until_it_was_delivered_there() {
    let world = given([done(sink("pager", Severity::Critical)), done(sink("chat", Severity::Note))]);
    let world = world.when("root", test_alert(Severity::Warning)).then_is_done();
    assert_eq!(owed(&world), ["chat"]);
    let world = world.when("root", test_alert(Severity::Critical)).then_is_done();
    assert_eq!(owed(&world), ["chat", "pager"]);
    let id = newest(&world).id;
    let asked = world.when("nobody", delivered(id, "chat")).by("holdfast");
    let world = asked.recording([&format!("alert.deliver - chat v{id} done")]).then_is_done();
    assert_eq!(owed(&world), ["pager"]);
    // A second report of the same delivery finds nothing to mark.
    world.when("nobody", delivered(id, "chat")).then_refuses(&format!("alert {id} owed to chat does not exist"));
}

#[test]
fn a_sink_that_fails_is_left_alone_for_longer_each_time_and_other_alerts_get_their_turn() {
    let world = given([done(sink("chat", Severity::Note))]);
    let world = world.when("root", test_alert(Severity::Note)).when("root", test_alert(Severity::Note)).then_is_done();
    let ids: Vec<u64> = world.state.guard().outbox.alerts().map(|alert| alert.id).collect();
    assert_eq!(due(&world), [format!("chat {}", ids[0])]);
    let world = world.when("nobody", attempted(ids[0], "chat")).then_is_done();
    assert!(due(&world).is_empty());
    let world = world.and(later_ms(1_000));
    assert_eq!(due(&world), [format!("chat {}", ids[1])], "the one that did not fail comes first");
    let world = world.when("nobody", attempted(ids[1], "chat")).then_is_done().and(later_ms(1_990));
    assert!(due(&world).is_empty(), "the second wait is longer");
    let world = world.and(later_ms(20));
    assert_eq!(due(&world), [format!("chat {}", ids[0])]);
    let world = world.when("nobody", delivered(ids[0], "chat")).then_is_done();
    let sink = world.state.guard().outbox.sink(&sink_name("chat")).unwrap().clone();
    assert_eq!((sink.failures, sink.delivered, sink.last_error.as_str()), (0, 1, ""));
    assert_eq!(due(&world), [format!("chat {}", ids[1])]);
}

#[test]
fn the_same_alert_within_ten_minutes_counts_up_and_later_it_is_another_one() {
    let world = given([granted_in("staging", "ana", "read", "*")]);
    let world = world.when("ana", read("a")).when("ana", read("b")).world;
    assert_eq!(alerts(&world), ["violation critical ana in production ×2"]);
    let world = world.and(later_ms(limits::ALERT_REPEAT_MS)).when("ana", read("a")).world;
    assert_eq!(alerts(&world), ["violation critical ana in production ×2", "violation critical ana in production ×1"]);
}

#[test]
fn ten_denials_within_a_minute_are_a_burst_and_nine_are_not() {
    let mut world = given([granted("ana", "read", "web/*")]);
    for _ in 0..9 {
        world = world.when("ana", read("db/password")).world;
    }
    assert!(alerts(&world).is_empty());
    // They are forgotten after a minute.
    world = world.and(later_ms(limits::BURST_WINDOW_MS));
    for _ in 0..10 {
        world = world.when("ana", read("db/password")).world;
    }
    assert_eq!(alerts(&world), ["refusals warning ana ×1"]);
    for _ in 0..100 {
        world = world.when("ana", read("db/password")).world;
    }
    assert_eq!(alerts(&world), ["refusals warning ana ×1"], "one burst is one alert");
}

#[test]
fn strangers_without_a_token_make_a_burst_by_their_address() {
    let mut world = given([]);
    for _ in 0..10 {
        world = world.when_from("198.51.100.7", "nobody", read("a")).world;
    }
    assert_eq!(alerts(&world), ["refusals warning address 198.51.100.7 ×1"]);
}

#[test]
fn the_first_address_of_a_principal_is_remembered_and_the_next_one_is_told_of() {
    let world = given([granted("ana", "read", "*"), added("a", 1)]);
    let asked = world.when_from("192.0.2.1", "ana", read("a"));
    let world = asked.recording(["secret.read production a v1 done", "address.seen - ana done"]).world;
    assert!(alerts(&world).is_empty());
    let asked = world.when_from("192.0.2.1", "ana", read("a")).recording(["secret.read production a v1 done"]);
    let asked = asked.world.when_from("192.0.2.2", "ana", read("a"));
    let world = asked.recording(["secret.read production a v1 done", "address.seen - ana done", "alert.raise - ana done"]).world;
    assert_eq!(alerts(&world), ["new-address note ana ×1"]);
}

#[test]
fn addresses_remembered_of_one_principal_are_bounded_and_the_oldest_is_forgotten() {
    let mut world = given([granted("ana", "read", "*"), added("a", 1)]);
    for last in 0..=limits::KNOWN_ADDRESSES_MAX {
        world = world.when_from(&format!("192.0.2.{last}"), "ana", read("a")).world;
    }
    let known = world.state.guard().known.of(&principal("ana")).unwrap();
    assert_eq!(known.addresses.len(), limits::KNOWN_ADDRESSES_MAX);
    assert!(!known.addresses.contains(&"192.0.2.0".parse().unwrap()));
}

#[test]
fn a_read_from_a_new_address_may_be_asked_again_and_is_still_a_read() {
    let world = given([granted("ana", "read", "*"), added("a", 1)]);
    let world = world.when_under_from("192.0.2.1", (9, 0), "ana", read("a")).world;
    let asked = world.when_under_from("192.0.2.9", (9, 0), "ana", read("a"));
    assert!(matches!(asked.answer, Ok(Answer::Readable(_))), "{:?}", asked.answer);
}

#[test]
fn a_full_outbox_drops_what_was_delivered_and_only_then_the_oldest_and_says_so() {
    let mut world = given([done(sink("chat", Severity::Warning))]);
    let raise = |world: World, severity| world.when_unchecked("root", test_alert(severity));
    // The second one is owed to nobody, so it counts as delivered.
    world = raise(world, Severity::Warning);
    world = raise(world, Severity::Note);
    let ids: Vec<u64> = world.state.guard().outbox.alerts().map(|alert| alert.id).collect();
    for _ in 2..limits::ALERTS_MAX {
        world = raise(world, Severity::Warning);
    }
    let counts = |world: &World| (world.state.guard().outbox.counts().dropped, world.state.guard().outbox.counts().lost);
    assert_eq!(counts(&world), (0, 0));
    world = raise(world, Severity::Warning);
    assert_eq!(counts(&world), (1, 0));
    assert!(world.state.guard().outbox.alert(ids[1]).is_none() && world.state.guard().outbox.alert(ids[0]).is_some());
    world = raise(world, Severity::Warning);
    assert_eq!(counts(&world), (2, 1));
    assert!(world.state.guard().outbox.alert(ids[0]).is_none());
    world.when("root", test_alert(Severity::Warning)).then_is_done();
}

#[test]
fn a_flood_of_small_alerts_does_not_drive_out_a_critical_one_and_without_a_sink_what_goes_is_lost() {
    let mut world = given([]).when_unchecked("root", test_alert(Severity::Critical));
    let critical = newest(&world).id;
    world = world.when_unchecked("root", test_alert(Severity::Warning));
    let noted = newest(&world).id;
    world = world.when_unchecked("root", guard(GuardCommand::Acknowledge { alert: noted }));
    for _ in 0..limits::ALERTS_MAX - 2 {
        world = world.when_unchecked("root", test_alert(Severity::Note));
    }
    let lost = |world: &World| (world.state.guard().outbox.counts().dropped, world.state.guard().outbox.counts().lost);
    world = world.when_unchecked("root", test_alert(Severity::Note));
    assert!(world.state.guard().outbox.alert(noted).is_none(), "what somebody took note of goes first");
    assert_eq!(lost(&world), (1, 0));
    for _ in 0..8 {
        world = world.when_unchecked("root", test_alert(Severity::Note));
    }
    assert!(world.state.guard().outbox.alert(critical).is_some(), "what matters most stays");
    assert_eq!(lost(&world), (9, 8), "nobody was told of them");
    world.when("root", test_alert(Severity::Note)).then_is_done();
}

#[test]
fn many_alerts_of_one_kind_do_not_drive_out_the_only_one_of_another() {
    let change = EnvironmentChange { approvals: Some(0) };
    let set = guard(GuardCommand::SetEnvironment { environment: environment("production"), change });
    let mut world = given([]).when_unchecked("root", set);
    let only = newest(&world).id;
    for _ in 0..limits::ALERTS_MAX + 8 {
        world = world.when_unchecked("root", test_alert(Severity::Warning));
    }
    assert!(world.state.guard().outbox.alert(only).is_some(), "the oldest, and as grave as all others");
}

#[test]
fn whoever_may_is_told_of_alerts_takes_note_of_them_and_says_where_they_go() {
    let world = given([granted("ana", "alerts", "*"), granted("bob", "read", "*")]);
    let world = world.when("ana", sink("chat", Severity::Note)).recording(["sink.put - chat done"]).then_is_done();
    let asked = world.when("ana", test_alert(Severity::Note));
    let world = asked.then_is_done();
    let id = newest(&world).id;
    let world = world.when("ana", guard(GuardCommand::Acknowledge { alert: id })).then_is_done();
    assert_eq!(newest(&world).acknowledged.map(|(by, _)| by.to_string()), Some("ana".to_owned()));
    world
        .when("ana", guard(GuardCommand::Acknowledge { alert: id }))
        .then_refuses(&format!("acknowledgement of alert {id} by ana exists already"))
        .when("ana", guard(GuardCommand::Acknowledge { alert: 1 }))
        .then_refuses("alert 1 does not exist")
        .when("bob", guard(GuardCommand::ListAlerts))
        .then_denies("bob may not alerts  in the system: no rule allows it")
        .when("bob", sink("mine", Severity::Note))
        .then_denies("bob may not alerts mine in the system: no rule allows it")
        .when("ana", guard(GuardCommand::ListSinks))
        .when("ana", guard(GuardCommand::DeleteSink { name: sink_name("chat") }))
        .recording(["sink.delete - chat done"])
        .when("ana", guard(GuardCommand::DeleteSink { name: sink_name("chat") }))
        .then_refuses("sink chat does not exist");
}

#[test]
fn what_was_owed_to_a_sink_that_goes_is_owed_no_more() {
    let world = given([done(sink("chat", Severity::Note))]).when("root", test_alert(Severity::Note)).then_is_done();
    assert_eq!(owed(&world), ["chat"]);
    let world = world.when("root", guard(GuardCommand::DeleteSink { name: sink_name("chat") })).then_is_done();
    assert!(owed(&world).is_empty());
}

#[test]
fn sinks_are_bounded() {
    let mut world = given([]);
    for number in 0..limits::SINKS_MAX {
        world = world.when("root", sink(format!("sink-{number}").leak(), Severity::Note)).then_is_done();
    }
    world.when("root", sink("one-more", Severity::Note)).then_refuses("there are 32 sinks already: delete one");
}

#[test]
fn every_word_reads_back() {
    for kind in AlertKind::ALL {
        assert_eq!(AlertKind::parse(kind.word()), Ok(*kind));
    }
    for severity in Severity::ALL {
        assert_eq!(Severity::parse(severity.word()), Ok(*severity));
    }
    assert_eq!(Severity::parse("loud").unwrap_err().to_string(), "severity must be one of note, warning, critical");
}
