//! Wrapping: opened once, seen by nobody unnoticed.

use super::*;
use node_domain::identity::IdentityAnswer;
use node_domain::ids::EnvironmentName;
use node_domain::keys::KeysCommand;
use node_domain::{Answer, Rejection};

fn wrap(hash: TokenHash, ttl_ms: u64) -> Request {
    let payload = b"<<ciphertext>> of a token".to_vec().into();
    asks(IdentityCommand::Wrap(WrapWish { hash, payload, about: "token of ana".into(), ttl_ms, of: None }))
}

fn unwrap(hash: TokenHash) -> Request {
    Box::new(move |_| Command::Login(Box::new(LoginCommand::Unwrap { hash })))
}

fn look(hash: TokenHash) -> Request {
    Box::new(move |_| Command::Login(Box::new(LoginCommand::LookupWrapped { hash })))
}

fn payload(asked: &Asked) -> Vec<u8> {
    let Ok(Answer::Identity(answer)) = &asked.answer else { panic!("{:?}", asked.answer) };
    let IdentityAnswer::Unwrapped(wrapped) = &**answer;
    wrapped.payload.to_vec()
}

#[test]
fn a_wrapping_opens_once_and_the_second_time_is_the_sign_of_an_interception() {
    let asked = given([done(wrap([1; 32], 60_000))]).when("nobody", look([1; 32]));
    assert!(payload(&asked).is_empty(), "a look opens nothing");
    let asked = asked.recording(["wrap.lookup - token of ana done"]).when("nobody", unwrap([1; 32]));
    assert_eq!(payload(&asked), b"<<ciphertext>> of a token");
    let at = asked.decision.stamp;
    let asked = asked.recording(["wrap.unwrap - token of ana done"]).when("nobody", unwrap([1; 32]));
    assert_eq!(asked.rejection(), Rejection::UnwrappedBefore { at_ms: at.as_ms() });
    let raised = "alert.raise - wrapped by root done".to_owned();
    let asked = asked.recording(["wrap.unwrap - - denied", &raised]);
    assert_eq!(asked.world.state.identity().counts()[3..5], [1, 0], "remembered, and its contents gone");
}

#[test]
fn a_wrapping_waits_until_its_stamp_and_is_swept_by_the_next() {
    let world = given([done(wrap([1; 32], 60_000)), later_ms(60_000)]);
    let asked = world.when("nobody", unwrap([1; 32]));
    assert!(matches!(asked.rejection(), Rejection::NotLoggedIn(_)));
    let asked =
        asked.when("root", wrap([2; 32], 60_000)).recording(["wrap.end - token of ana done", "wrap.wrap - token of ana done"]);
    assert_eq!(asked.world.state.identity().counts()[3], 1);
}

#[test]
fn what_is_wrapped_is_bounded() {
    let wish = |bytes: usize, ttl_ms| {
        let payload = vec![0; bytes].into();
        asks(IdentityCommand::Wrap(WrapWish { hash: [1; 32], payload, about: String::new(), ttl_ms, of: None }))
    };
    given([])
        .when("root", wish(limits::WRAPPED_BYTES_MAX + 1, 1))
        .then_refuses("what is wrapped has 65537 sealed bytes, at most 65536 are kept")
        .when("root", wish(1, 0))
        .then_refuses("a wrapping waits 1 to 604800000 ms")
        .when("nobody", wish(1, 1))
        .then_is_not_authenticated()
        .when("root", wish(limits::WRAPPED_BYTES_MAX, 1))
        .then_is_done();
}

/// Wraps the newest value of `db/password` in production.
fn wrap_value(hash: TokenHash) -> Request {
    Box::new(move |world| {
        let secret = world.secret("db/password");
        let of = Some((environment("production"), secret.id, secret.newest));
        let payload = b"<<ciphertext>> of a value".to_vec().into();
        let about = "secret production:db/password".into();
        asks(IdentityCommand::Wrap(WrapWish { hash, payload, about, ttl_ms: 60_000, of }))(world)
    })
}

#[test]
fn a_wrapped_value_does_not_open_while_its_environment_is_sealed() {
    let keys = |command: fn(EnvironmentName) -> KeysCommand| -> Request {
        Box::new(move |_| Command::Keys(Box::new(command(environment("production")))))
    };
    let sealed = "environment production is sealed: holdfast env unseal production";
    let asked = given([added("db/password", 1), done(wrap_value([1; 32]))])
        .and(done(keys(|environment| KeysCommand::SealEnvironment { environment })))
        .when("nobody", look([1; 32]))
        .then_refuses(sealed)
        .when("nobody", unwrap([1; 32]))
        .then_refuses(sealed)
        .and(done(keys(|environment| KeysCommand::UnsealEnvironment { environment })))
        .when("nobody", unwrap([1; 32]));
    assert_eq!(payload(&asked), b"<<ciphertext>> of a value");
}

#[test]
fn a_wrapped_value_does_not_outlive_its_version() {
    let told = |state: &str| format!("secret production:db/password v1 is {state}: what was wrapped of it does not open");
    given([added("db/password", 1), done(wrap_value([1; 32])), done(delete("db/password"))])
        .when("nobody", unwrap([1; 32]))
        .then_refuses(&told("deleted"))
        .and(done(undelete("db/password")))
        .and(done(rename("db/password", "db/old")))
        .when("nobody", look([1; 32]))
        .and(done(destroy("db/old")))
        .when("nobody", unwrap([1; 32]))
        .then_refuses(&told("destroyed"));
}

#[test]
fn a_wrapped_value_does_not_open_once_it_has_expired() {
    given([done(put_about("db/password", valid_for_ms(30_000))), done(wrap_value([1; 32])), later_ms(30_000)])
        .when("nobody", unwrap([1; 32]))
        .then_refuses("secret production:db/password v1 is expired: what was wrapped of it does not open");
}

#[test]
fn whoever_has_many_wrappings_asked_for_again_raises_one_alert_that_counts_up() {
    let mut world = given([]);
    for number in 0..5 {
        world = world.and(done(wrap([number; 32], 60_000))).when("nobody", unwrap([number; 32])).then_is_done();
        world = world.when("nobody", unwrap([number; 32])).world;
    }
    assert_eq!(crate::spec::guard::alerts(&world), ["unwrap-twice critical wrapped by root ×5"]);
}

#[test]
fn one_principal_does_not_use_up_what_may_be_wrapped() {
    let large = |number: u16| -> Request {
        let mut hash = [9; 32];
        hash[..2].copy_from_slice(&number.to_be_bytes());
        let payload = vec![0; limits::WRAPPED_BYTES_MAX].into();
        asks(IdentityCommand::Wrap(WrapWish { hash, payload, about: "much".into(), ttl_ms: 60_000, of: None }))
    };
    let most = u16::try_from(limits::OWN_WRAPPED_BYTES_MAX / limits::WRAPPED_BYTES_MAX).unwrap();
    let mut world = given([granted("ana", "read", "*")]);
    for number in 0..most {
        world = world.when_unchecked("ana", large(number));
    }
    world
        .when("ana", large(most))
        .then_refuses("too much of ana is wrapped and waits for its hand-over: have some unwrapped")
        .when("root", wrap([1; 32], 60_000))
        .then_is_done();
}
