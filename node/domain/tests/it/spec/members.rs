//! Who belongs to the cluster: reported by the node that leads, and journalled where something is new.

use super::*;
use crate::golden::assert_golden;
use node_domain::command::Upkeep;
use node_domain::members::{Build, MembersEvent, MembersUpkeep, NodeName, Seat};
use node_domain::operation::Operation;
use node_domain::{Command, Event};
use proto_record::codec::{self, Kind};

fn upkeep(upkeep: MembersUpkeep) -> Request {
    Box::new(move |_| Command::Upkeep(Box::new(Upkeep::Members(upkeep))))
}

fn seat(zone: &str, voter: bool) -> Seat {
    Seat { zone: zone.into(), voter }
}

pub(crate) fn see(members: &[(u64, &str, bool)]) -> Request {
    let members = members.iter().map(|(node, zone, voter)| (*node, seat(zone, *voter))).collect();
    upkeep(MembersUpkeep::See { members })
}

pub(crate) fn announce(node: u64, level: u32) -> Request {
    upkeep(MembersUpkeep::Announce { node, build: Build { level, version: "1.2.3".into() } })
}

fn add(node: u64) -> Request {
    Box::new(move |_| Command::Cluster { operation: Operation::ClusterAddLearner, node })
}

#[test]
fn members_are_journalled_as_they_come_change_and_go() {
    let asked = given([]).when("nobody", see(&[(1, "a", true), (2, "b", true)])).by("holdfast");
    let world = asked.recording(["member.seen - node-1 done", "member.seen - node-2 done"]).then_is_done();
    let asked = world.when("nobody", see(&[(1, "a", true), (2, "b", false), (3, "c", true)]));
    let world = asked.recording(["member.seen - node-2 done", "member.seen - node-3 done"]).then_is_done();
    let asked = world.when("nobody", see(&[(1, "a", true), (3, "c", true)]));
    let world = asked.recording(["member.left - node-2 done"]).then_is_done();
    let members = world.state.members();
    assert_eq!(members.members().map(|(node, _)| node).collect::<Vec<_>>(), [1, 3]);
    assert!(members.has_left(2) && !members.has_left(3));
    assert!(members.are(&[(1, seat("a", true)), (3, seat("c", true))]) && !members.are(&[(1, seat("a", true))]));
    world.when("nobody", see(&[])).then_refuses("a cluster has 1 to 64 members");
}

#[test]
fn the_number_of_a_node_that_left_is_never_used_again() {
    let world = given([]).when("nobody", see(&[(1, "a", true), (2, "b", true)])).then_is_done();
    let world = world.when("nobody", see(&[(1, "a", true)])).then_is_done();
    let asked = world.when("root", add(2));
    let asked = asked.then_refuses("node 2 was a member and left: a number is never used again; 3 is free");
    asked.when("root", add(3)).then_is_done();
}

#[test]
fn the_level_rises_when_all_members_understand_it_and_never_goes_back() {
    let world = given([]).when("nobody", announce(1, 1)).then_is_done();
    assert_eq!(world.state.members().level(), 0, "nobody is known to be a member");
    let world = world.when("nobody", see(&[(1, "a", true), (2, "b", false)])).then_is_done();
    assert_eq!(world.state.members().level(), 0, "node 2 has said nothing");
    let asked = world.when("nobody", announce(2, 1));
    let world = asked.recording(["member.announced - node-2 done", "level.raised - features v1 done"]).then_is_done();
    assert_eq!(world.state.members().level(), 1);
    let world = world.when("nobody", announce(1, 2)).then_is_done();
    assert_eq!(world.state.members().level(), 1, "a learner counts too");
    let world =
        world.when("nobody", see(&[(1, "a", true)])).recording(["member.left - node-2 done", "level.raised - features v2 done"]);
    let world = world.then_is_done();
    assert_eq!(world.state.members().level(), 2, "whoever held it back has left");
    let asked = world.when("nobody", announce(4, 1));
    asked.then_refuses("node 4 understands features up to level 1, the cluster uses 2");
}

/// Names every variant: a new one does not compile until it stands here.
fn name(event: &MembersEvent) -> &'static str {
    match event {
        MembersEvent::MemberSeen { .. } => "MemberSeen",
        MembersEvent::MemberLeft { .. } => "MemberLeft",
        MembersEvent::MemberAnnounced { .. } => "MemberAnnounced",
        MembersEvent::LevelRaised { .. } => "LevelRaised",
    }
}

#[test]
fn the_bytes_of_every_event_of_members_never_drift() {
    let examples = [
        MembersEvent::MemberSeen { node: NodeName::of(3), seat: seat("zone-c", true) },
        MembersEvent::MemberLeft { node: NodeName::of(3) },
        MembersEvent::MemberAnnounced { node: NodeName::of(3), build: Build { level: 2, version: "1.2.3".into() } },
        MembersEvent::LevelRaised { level: 2 },
    ];
    let line = |event: MembersEvent| {
        let named = name(&event).to_owned();
        let event = Event::Members(event);
        let bytes = codec::encode(Kind::Event, &event);
        assert_eq!(codec::decode::<Event>(Kind::Event, &bytes).unwrap(), event, "{named} reads back");
        assert!(bytes.len() <= event.size_hint(), "{named}");
        (named, bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    assert_golden("members_events", &examples.into_iter().map(line).collect::<Vec<_>>());
}
