//! A request asked twice is done once and answered alike.

use super::*;
use crate::invariants::receipts_are_bounded;
use node_domain::command::{Expectation, Selection};
use node_domain::ids::{Revision, Stamp};
use node_domain::state::{Piece, Receipt};
use node_domain::{Answer, Event, limits};

/// Asks under request id 1 with content 1, twice, and compares.
#[track_caller]
fn assert_done_once<const N: usize>(facts: [Fact; N], request: fn() -> Request) {
    let first = given(facts).when_under((1, 1), "root", request());
    let (answer, last) = (first.answer.clone().unwrap(), first.world.state.revision());
    let (what, line) = (first.decision.events.last().unwrap().operation(), first.lines().pop().unwrap());
    let digest = first.world.state.digest();
    let second = first.and(later_ms(5_000)).when_under((1, 1), "root", request()).then_answers(answer);
    assert_eq!(second.world.state.digest(), digest, "it was done twice");
    let [Event::AnsweredAgain { operation, first, .. }] = second.decision.events.as_slice() else {
        panic!("{:?}", second.decision.events)
    };
    assert_eq!(*first, last, "the record points at the first asking");
    assert_eq!(*operation, what);
    let place = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(place(&second.lines()[0]), place(&line), "a search finds the second asking where the first was");
    assert_eq!(second.world.state.revision().0, last.0 + 1);
}

#[test]
fn each_change_asked_twice_is_done_once_and_answered_alike() {
    assert_done_once([], || put_about("a", valid_for_ms(60_000)));
    assert_done_once([added("a", 1)], || put_if("a", 1));
    assert_done_once([added("a", 1)], || patch("a"));
    assert_done_once([added("a", 1)], || set_metadata("a", described("x")));
    assert_done_once([added("a", 1), added("a", 2)], || rollback("a", 1));
    assert_done_once([added("a", 1), added("a", 2)], || delete_those("a", Selection::All));
    assert_done_once([added("a", 1), done(delete("a"))], || undelete("a"));
    assert_done_once([added("a", 1)], || destroy("a"));
    assert_done_once([added("a", 1)], || copy("a", "b"));
    assert_done_once([added("a", 1), added("a", 2)], || rename("a", "b"));
    assert_done_once([], || create_environment("qa"));
    assert_done_once([], || create_token("ana", &["root"]));
    assert_done_once([granted("ana", "read", "*")], || revoke("ana"));
    assert_done_once([], || put_policy("p", vec![]));
    assert_done_once([done(put_policy("p", vec![]))], || put_policy("p", vec![]));
    assert_done_once([done(put_policy("p", vec![]))], || delete_policy("p"));
}

#[test]
fn a_transaction_asked_twice_answers_item_by_item_both_times() {
    let facts = || [added("a", 1), added("b", 1), added("c", 1), added("c", 2)];
    assert_done_once(facts(), || transact(vec![putting("a", None), putting("new", None)]));
    assert_done_once(facts(), || {
        transact(vec![checking("c", Some(Expectation::Version(2))), deleting("b"), checking("none", None), putting("a", None)])
    });
}

#[test]
fn the_second_answer_is_the_first_even_when_the_world_went_on() {
    given([])
        .when_under((1, 1), "root", put("a"))
        .then_writes(1)
        .and(added("a", 2))
        .when_under((1, 1), "root", put("a"))
        .then_writes(1)
        .recording(["secret.put production a done"])
        .when("root", put("a"))
        .then_writes(3);
}

#[test]
fn the_record_of_a_second_asking_names_what_was_asked() {
    let again = |request: fn() -> Request, line: &str| {
        given([added("a", 1), granted("ana", "read", "*")])
            .when_under((1, 1), "root", request())
            .when_under((1, 1), "root", request())
            .recording([line]);
    };
    again(|| put("a"), "secret.put production a done");
    again(|| copy("a", "b"), "secret.copy production a done");
    again(|| rename("a", "b"), "secret.move production a done");
    again(|| create_environment("qa"), "environment.create qa - done");
    again(|| create_token("bob", &["root"]), "token.create - bob done");
    again(|| put_policy("p", vec![]), "policy.put - p done");
}

#[test]
fn a_request_id_used_for_something_else_is_refused() {
    let asked = given([]).when_under((1, 1), "root", put("a")).then_writes(1);
    let at = asked.world.state.revision().0;
    asked
        .when_under((1, 2), "root", put("b"))
        .then_refuses(&format!("this request id was used for another request, at record {at}"))
        .recording(["secret.put production b refused"])
        .when_under((1, 3), "root", read("a"))
        .then_refuses(&format!("this request id was used for another request, at record {at}"));
}

#[test]
fn the_request_id_of_another_principal_is_refused() {
    let asked = given([granted("ana", "create", "*")]).when_under((1, 1), "root", put("a")).then_writes(1);
    let at = asked.world.state.revision().0;
    asked
        .when_under((1, 1), "ana", put("a"))
        .then_refuses(&format!("this request id was used for another request, at record {at}"))
        .recording(["secret.put production a refused"])
        .by("ana")
        .when_under((1, 1), "nobody", put("a"))
        .then_is_not_authenticated();
}

#[test]
fn a_refused_request_leaves_no_receipt_and_may_be_asked_again() {
    given([])
        .when_under((1, 1), "root", patch("a"))
        .then_refuses("secret a does not exist")
        .and(added("a", 1))
        .when_under((1, 1), "root", patch("a"))
        .then_writes(2);
}

#[test]
fn a_read_leaves_no_receipt_and_is_decided_anew() {
    given([added("a", 1)])
        .when_under((1, 1), "root", read("a"))
        .then_reads(["a v1"])
        .and(added("a", 2))
        .when_under((1, 1), "root", read("a"))
        .then_reads(["a v2"]);
}

#[test]
fn a_receipt_is_forgotten_an_hour_later() {
    let hour_ms = limits::RECEIPT_AGE_US_MAX / 1_000;
    given([])
        .when_under((1, 1), "root", put("a"))
        .and(later_ms(hour_ms - 10_000))
        .and(added("b", 1))
        .when_under((1, 1), "root", put("a"))
        .then_writes(1)
        .and(later_ms(20_000))
        .and(added("b", 2))
        .when_under((1, 1), "root", put("a"))
        .then_writes(2);
}

#[test]
fn the_oldest_receipts_are_forgotten_beyond_a_hundred_thousand() {
    let mut state = given([]).state;
    let start = state.stamp();
    let revision = state.revision();
    // The founding's receipt has the same id as the first of these: not even that may keep the oldest from going.
    for at in 1..=limits::RECEIPTS_MAX as u64 + 3 {
        let request = u128::from(at).to_be_bytes();
        let (actor, stamp) = (principal("root"), Stamp(start.0 + at));
        state
            .take(Piece::Receipt(Receipt { request, actor, fingerprint: at, index: revision, stamp, versions: vec![] }))
            .unwrap();
    }
    receipts_are_bounded(&state);
    let oldest =
        state.pieces().find_map(|piece| if let Piece::Receipt(receipt) = piece { Some(receipt.fingerprint) } else { None });
    assert_eq!(oldest, Some(4));
}

#[test]
fn a_receipt_names_the_last_record_of_what_it_did() {
    let asked =
        given([]).when_under((1, 1), "root", transact(vec![putting("a", None), putting("b", None)])).then_versions([1, 1]);
    let last = asked.world.state.revision();
    let again = asked.when_under((1, 1), "root", transact(vec![putting("a", None), putting("b", None)]));
    let expected = Event::AnsweredAgain {
        operation: node_domain::operation::Operation::SecretTransact,
        first: last,
        environment: "production".into(),
        subject: "a".into(),
    };
    assert_eq!(again.decision.events, [expected]);
    assert_eq!(again.answer, Ok(Answer::Versions(vec![1, 1])));
    assert_eq!(again.world.state.revision(), Revision(last.0 + 1));
}
