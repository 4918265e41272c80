//! What a record quotes of what somebody typed: not much of it, and no token.

use super::*;
use node_domain::{Event, Rejection};

/// As the door makes them: a prefix, and 64 digits.
const PASTED: &str = "hf_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const PASTED_FOLDER: &str = "app/hf_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f/";

#[test]
fn a_token_that_was_pasted_somewhere_stands_in_no_record() {
    let mut asked = given([added("app/db", 1)])
        .when("root", read(PASTED))
        .then_refuses("secret [a token] does not exist")
        .recording(["secret.read production [a token] refused"])
        .when("root", list(PASTED_FOLDER))
        .recording(["secret.list production app/[a token]/ done"])
        .when("root", search(PASTED_FOLDER))
        .recording(["secret.search production app/[a token]/ done"])
        .when("root", query_audit(PASTED))
        .recording(["audit.query - [a token] done"])
        .when("root", malformed(PASTED, PASTED))
        .then_refuses("[a token]")
        .recording(["secret.put production [a token] refused"]);
    for request in [put(PASTED), put_if_absent(PASTED), copy("app/db", PASTED), rename("app/db", PASTED)] {
        let told = "what looks like a token stands in the path: name another, and revoke the token if it is one";
        asked = asked.when("root", request).then_refuses(told);
        assert!(!format!("{:?}", asked.decision).contains("00010203"), "{:?}", asked.decision);
    }
}

#[test]
fn nor_does_one_among_several_or_in_an_alert() {
    let stranger = given([added("app/db", 1), granted("ana", "read", "*")]);
    let asked = stranger.when("ana", read_many(vec![("app/db", None), (PASTED, None)]));
    assert!(asked.decision.events.len() >= 2, "{:?}", asked.decision.events);
    assert!(!format!("{:?}", asked.decision).contains("00010203"), "{:?}", asked.decision);
    assert!(!format!("{:?}", asked.answer).contains("00010203"), "{:?}", asked.answer);
}

#[test]
fn a_refusal_is_short_in_the_journal_however_long_its_cause() {
    let long: &'static str = "why ".repeat(1 << 20).leak();
    let asked = given([]).when("root", malformed("a", long));
    let [Event::Refused { rejection: Rejection::Invalid(why), .. }, ..] = asked.decision.events.as_slice() else {
        panic!("{:?}", asked.decision.events.len())
    };
    assert_eq!(why.len(), node_domain::limits::REFUSAL_TEXT_BYTES_MAX);
}

#[test]
fn the_size_of_a_refusal_is_guessed_no_smaller_than_it_is() {
    let long = "w".repeat(1 << 20);
    let event = Event::Refused {
        operation: node_domain::operation::Operation::SecretPut,
        environment: String::new(),
        subject: long.clone(),
        rejection: Rejection::Conflict { path: long.clone(), found: long.clone(), expected: long },
    };
    assert!(event.size_hint() >= proto_record::codec::encoded_bytes(&event));
}
