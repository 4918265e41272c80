//! Machines, certificates and signed tokens.

use super::*;
use node_domain::identity::{CertificateLogin, FailedBy, IdentityEvent, Issuer, IssuerKeys, JwtLogin, NameGlob};
use node_domain::token::{Login, Token};
use node_domain::{Event, Rejection};

pub(super) const ROLE_ID: [u8; 16] = [0xAB; 16];

fn machine(secret_ttl_ms: u64, secret_uses: u32) -> World {
    let (name, grants) = (called("ci"), gives(&["root"]));
    given([done(asks(IdentityCommand::CreateMachine { name, role_id: ROLE_ID, grants, secret_ttl_ms, secret_uses }))])
}

pub(super) fn issue(hash: TokenHash, ttl_ms: u64, uses: u32) -> Request {
    asks(IdentityCommand::IssueSecretId { machine: called("ci"), hash, ttl_ms, uses })
}

pub(super) fn machine_logs_in(role_id: [u8; 16], secret: TokenHash) -> Request {
    Box::new(move |world| {
        let token = world.draw_hash();
        world.hold("ci", token);
        Command::Login(Box::new(LoginCommand::Machine(MachineLogin { role_id, secret, token })))
    })
}

#[track_caller]
fn not_logged_in(asked: Asked) -> World {
    assert!(matches!(asked.rejection(), Rejection::NotLoggedIn(_)), "{}", asked.rejection());
    asked.world
}

#[test]
fn a_machine_logs_in_as_often_as_its_secret_id_says() {
    let world = machine(0, 2).and(done(issue([1; 32], 0, 0)));
    let asked = world.when("nobody", machine_logs_in(ROLE_ID, [1; 32]));
    let asked = asked.recording(["login.machine - ci done", "token.create - machine/ci done"]).by("machine/ci");
    let world = asked.when("nobody", machine_logs_in(ROLE_ID, [1; 32])).then_is_done();
    assert_eq!(world.state.token_by_accessor(&world.accessor("ci")).unwrap().login, Login::Machine);
    not_logged_in(world.when("nobody", machine_logs_in(ROLE_ID, [1; 32])));
}

#[test]
fn a_secret_id_only_narrows_what_its_machine_says_and_ends_by_its_stamp() {
    let world = machine(60_000, 3).and(done(issue([1; 32], 999_999, 9))).and(done(issue([2; 32], 1_000, 1)));
    let secret = |hash| world.state.identity().secret_id(&hash).unwrap().clone();
    assert_eq!((secret([1; 32]).uses_left, secret([2; 32]).uses_left), (Some(3), Some(1)));
    let world = not_logged_in(world.and(later_ms(1_001)).when("nobody", machine_logs_in(ROLE_ID, [2; 32])));
    let world = world.when("nobody", machine_logs_in(ROLE_ID, [1; 32])).then_is_done();
    let world = not_logged_in(world.and(later_ms(60_000)).when("nobody", machine_logs_in(ROLE_ID, [1; 32])));
    // The next one takes the place of those that have ended.
    let asked = world.when("root", issue([3; 32], 0, 0));
    let revoked = "machine.revoke-secret-id - ci done";
    asked.recording([revoked, revoked, "machine.secret-id - ci done"]);
}

#[test]
fn wrong_ids_are_refused_in_the_same_words_and_a_revoked_one_counts_no_more() {
    let world = machine(0, 0).and(done(issue([1; 32], 0, 0)));
    let asked = world.when("nobody", machine_logs_in([1; 16], [1; 32]));
    let words = asked.rejection();
    let asked = not_logged_in(asked).when("nobody", machine_logs_in(ROLE_ID, [2; 32]));
    assert_eq!(asked.rejection(), words);
    let accessor = Accessor::of(&[1; 32]);
    let world = asked.world.and(done(asks(IdentityCommand::RevokeSecretId { machine: called("ci"), accessor })));
    not_logged_in(world.when("nobody", machine_logs_in(ROLE_ID, [1; 32])));
}

#[test]
fn a_machine_that_is_deleted_takes_its_secret_ids_and_tokens_with_it() {
    let world = machine(0, 0).and(done(issue([1; 32], 0, 0)));
    let world = world.when("nobody", machine_logs_in(ROLE_ID, [1; 32])).then_is_done();
    let world = world.and(done(asks(IdentityCommand::DeleteMachine { name: called("ci") })));
    assert_eq!(world.state.identity().counts()[..3], [0, 0, 0]);
    let world = world.when("ci", lookup_self()).then_is_not_authenticated().world;
    not_logged_in(world.when("nobody", machine_logs_in(ROLE_ID, [1; 32])));
}

/// As many tokens of logins of the machine as count at most, and one more that has ended.
fn a_crowd(world: &World) -> Vec<Event> {
    let one = world.state.token_by_accessor(&world.accessor("ci")).unwrap();
    let of_login = |number: u32, expires| {
        let mut hash = [0xCC; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        let token = Token { hash, accessor: Accessor::of(&hash), expires: Some(expires), ..one.clone() };
        Event::TokenCreated { token: Box::new(token) }
    };
    let most = u32::try_from(limits::OWN_LOGINS_MAX).unwrap();
    let mut events: Vec<Event> = (1..most).map(|number| of_login(number, world.now.plus_ms(60_000))).collect();
    events.push(of_login(most, world.state.stamp()));
    events
}

#[test]
fn one_principal_does_not_use_up_the_tokens_there_may_be() {
    let world = machine(0, 0).and(done(issue([1; 32], 0, 0)));
    let world = world.when("nobody", machine_logs_in(ROLE_ID, [1; 32])).then_is_done();
    let crowd = a_crowd(&world);
    world
        .recorded(crowd)
        .when("nobody", machine_logs_in(ROLE_ID, [1; 32]))
        .then_refuses("machine/ci has 10000 tokens of logins already: revoke some, or let them end")
        .when("root", create_user("ana", gives(&["root"])))
        .then_is_done()
        .when("nobody", with_password("ana"))
        .then_is_done()
        .and(later_ms(61_000))
        .when("nobody", machine_logs_in(ROLE_ID, [1; 32]))
        .then_is_done();
}

#[test]
fn whoever_may_not_grant_what_a_machine_may_makes_no_secret_id_of_it() {
    let world = machine(0, 0).and(granted("eve", "identities", "*"));
    let asked = world.when("eve", issue([1; 32], 0, 0));
    assert!(asked.rejection().is_denial());
}

#[test]
fn a_door_that_asks_again_for_the_same_token_is_told_the_same() {
    let world = machine(0, 1).and(done(issue([1; 32], 0, 0)));
    let login = || -> Request {
        Box::new(|_| {
            let login = MachineLogin { role_id: ROLE_ID, secret: [1; 32], token: [7; 32] };
            Command::Login(Box::new(LoginCommand::Machine(login)))
        })
    };
    let asked = world.when("nobody", login()).then_is_done().when("nobody", login());
    let accessor = Accessor::of(&[7; 32]);
    asked.recording([&format!("login.machine - {accessor} done")]).then_is_done();
}

pub(super) fn certificate(name: &'static str, common_name: &'static str, lasts_ms: u64) -> Request {
    Box::new(move |world| {
        let token = world.draw_hash();
        world.hold("cert", token);
        let login = CertificateLogin {
            role: None,
            names: vec![name.to_owned()],
            common_name: common_name.to_owned(),
            fingerprint: [9; 32],
            not_after: world.now.plus_ms(lasts_ms),
            token,
        };
        Command::Login(Box::new(LoginCommand::Certificate(login)))
    })
}

fn cert_role() -> Fact {
    let names = vec![NameGlob::parse("*.ci.example.org").unwrap()];
    let (common_names, grants) = (vec!["backup".to_owned()], gives(&["root"]));
    done(asks(IdentityCommand::PutCertRole { name: called("ci"), names, common_names, grants }))
}

#[test]
fn a_certificate_logs_in_by_its_names_and_its_token_never_outlives_it() {
    let asked = given([cert_role()]).when("nobody", certificate("a.ci.example.org", "", 30_000));
    let asked = asked
        .by("cert/ci/a.ci.example.org")
        .recording(["login.certificate - a.ci.example.org done", "token.create - cert/ci/a.ci.example.org done"]);
    let end = asked.world.end_of_token("cert").unwrap();
    assert!(end < asked.decision.stamp.plus_ms(30_001));
    let world = asked.when("nobody", certificate("elsewhere.org", "backup", 30_000)).then_is_done();
    let world = not_logged_in(world.when("nobody", certificate("a.ci.example.com", "backup2", 30_000)));
    let world = not_logged_in(world.when("nobody", certificate("a.ci.example.org", "", 0)));
    let world = world.and(done(asks(IdentityCommand::DeleteCertRole { name: called("ci") })));
    world.when("cert", lookup_self()).then_is_not_authenticated();
}

#[test]
fn tokens_end_when_what_logs_them_in_or_what_that_gives_becomes_another() {
    let world = || given([cert_role()]).when("nobody", certificate("a.ci.example.org", "", 30_000)).then_is_done();
    // The same again changes nothing.
    world().and(cert_role()).when("cert", lookup_self()).then_is_done();
    let put = |glob: &str, grants: Grants| {
        let (name, names) = (called("ci"), vec![NameGlob::parse(glob).unwrap()]);
        done(asks(IdentityCommand::PutCertRole { name, names, common_names: vec!["backup".to_owned()], grants }))
    };
    let fewer = Grants { ttl_ms: 1000, ..gives(&["root"]) };
    for changed in [put("*.ci.example.com", gives(&["root"])), put("*.ci.example.org", fewer)] {
        world().and(changed).when("cert", lookup_self()).then_is_not_authenticated();
    }
    let world = given([done(put_issuer("holdfast"))]).when("nobody", jwt(None, 30_000)).then_is_done();
    let world = world.and(done(put_issuer("holdfast"))).when("jwt", lookup_self()).then_is_done();
    world.and(done(put_issuer("another"))).when("jwt", lookup_self()).then_is_not_authenticated();
}

fn put_issuer(audience: &str) -> Request {
    asks(IdentityCommand::PutIssuer(Box::new(Issuer {
        name: called("github"),
        url: "https://issuer".into(),
        audience: audience.into(),
        keys: IssuerKeys::Inline("{}".into()),
        bound_claims: [("repository".to_owned(), "org/app".to_owned())].into(),
        grants: gives(&["root"]),
        version: 0,
        updated: Stamp(0),
    })))
}

fn jwt(version: Option<u64>, lasts_ms: u64) -> Request {
    Box::new(move |world| {
        let issuer = world.state.identity().issuer(&called("github")).map_or(0, |issuer| issuer.version);
        let token = world.draw_hash();
        world.hold("jwt", token);
        let login = JwtLogin {
            issuer: called("github"),
            version: version.unwrap_or(issuer),
            subject: "repo:org/app".into(),
            id: "1".into(),
            expires: world.now.plus_ms(lasts_ms),
            token,
        };
        Command::Login(Box::new(LoginCommand::Jwt(login)))
    })
}

#[test]
fn a_signed_token_logs_in_by_the_issuer_that_it_was_verified_against() {
    let asked = given([done(put_issuer("holdfast"))]).when("nobody", jwt(None, 30_000));
    let asked = asked
        .by("jwt/github/repo:org/app")
        .recording(["login.jwt - repo:org/app done", "token.create - jwt/github/repo:org/app done"]);
    let verified = asked.world.state.identity().issuer(&called("github")).unwrap().version;
    let world = asked.world.and(done(put_issuer("another")));
    let asked = world.when("nobody", jwt(Some(verified), 30_000));
    assert!(matches!(asked.rejection(), Rejection::Conflict { .. }), "verified against what stands no more");
    let world = not_logged_in(asked.when("nobody", jwt(None, 0)));
    let world = world.and(done(asks(IdentityCommand::DeleteIssuer { name: called("github") })));
    let world = world.when("jwt", lookup_self()).then_is_not_authenticated().world;
    not_logged_in(world.when("nobody", jwt(None, 30_000)));
}

#[test]
fn why_a_signed_token_does_not_count_is_for_the_journal_and_not_for_who_shows_it() {
    let wrong = |version, cause| -> Request {
        Box::new(move |_| Command::Login(Box::new(LoginCommand::JwtRefused { issuer: called("github"), version, cause })))
    };
    let mut world = given([done(put_issuer("holdfast"))]);
    let version = world.state.identity().issuer(&called("github")).unwrap().version;
    for cause in [FailedBy::Signature, FailedBy::Claims, FailedBy::Time, FailedBy::Keys] {
        let asked = world.when("nobody", wrong(version, cause)).then_denies("the token of the issuer does not count here");
        let failed =
            asked.decision.events.iter().any(
                |event| matches!(event, Event::Identity(IdentityEvent::LoginFailed { cause: found, .. }) if *found == cause),
            );
        assert!(failed, "{:?}", asked.decision.events);
        world = asked.world;
    }
    let asked = world.when("nobody", wrong(version - 1, FailedBy::Claims));
    assert!(matches!(asked.rejection(), Rejection::Conflict { .. }), "looked at as it stands no more: the door looks again");
}
