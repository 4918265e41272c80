//! Users: what they log in with, and when they are locked.

use super::*;
use node_domain::identity::{FailedBy, IdentityEvent, PasswordChange};
use node_domain::token::Login;
use node_domain::{Event, Rejection};

fn cause(asked: &Asked) -> Option<FailedBy> {
    asked.decision.events.iter().find_map(|event| match event {
        Event::Identity(IdentityEvent::LoginFailed { cause, .. }) => Some(*cause),
        _ => None,
    })
}

#[track_caller]
fn fails(asked: Asked, expected: FailedBy) -> World {
    assert_eq!(asked.rejection().to_string(), NOT_LOGGED_IN, "the same words whatever it was");
    assert_eq!((cause(&asked), asked.decision.actor.as_ref()), (Some(expected), None));
    asked.world
}

fn with_second_factor() -> World {
    given(a_user()).and(done(enrol("ana"))).and(done(confirm("ana", 0))).and(later_ms(60_000))
}

#[test]
fn a_login_leads_to_a_token_with_what_the_user_is_given() {
    let asked = given(a_user()).and(added("a", 1)).when("nobody", with_password("ana"));
    let asked = asked.recording(["login.password - ana done", "token.create - ana done"]).by("ana");
    let accessor = asked.world.accessor("ana");
    assert_eq!(asked.decision.accessor, Some(accessor), "the record names the token that was made");
    let token = asked.world.state.token_by_accessor(&accessor).unwrap().clone();
    assert_eq!((token.login, token.mfa, token.terms.parent, token.terms.renewal_ms), (Login::Password, false, None, 60_000));
    assert_eq!(token.expires, Some(asked.decision.stamp.plus_ms(60_000)));
    assert_eq!(token.terms.expires_latest, Some(asked.decision.stamp.plus_ms(180_000)));
    asked.when("ana", read("a")).then_reads(["a v1"]).by("ana");
}

#[test]
fn an_unknown_user_and_a_wrong_password_are_refused_in_the_same_words() {
    let world = fails(given(a_user()).when("nobody", with_wrong_password("ana")), FailedBy::Secret);
    fails(world.when("nobody", with_wrong_password("bob")), FailedBy::Unknown);
}

#[test]
fn five_failures_lock_and_the_right_password_is_refused_until_the_lock_ends() {
    let mut world = given(a_user());
    for _ in 0..5 {
        world = fails(world.when("nobody", with_wrong_password("ana")), FailedBy::Secret);
    }
    world = fails(world.when("nobody", with_password("ana")), FailedBy::Locked);
    world = fails(world.and(later_ms(limits::LOCKOUT_MS - 60_000)).when("nobody", with_password("ana")), FailedBy::Locked);
    world.and(later_ms(60_000)).when("nobody", with_password("ana")).by("ana");
}

#[test]
fn failures_far_apart_and_failures_before_a_success_do_not_lock() {
    let mut world = given(a_user());
    for _ in 0..20 {
        world = world.and(later_ms(4 * 60_000));
        world = fails(world.when("nobody", with_wrong_password("ana")), FailedBy::Secret);
    }
    world = world.and(later_ms(16 * 60_000));
    for _ in 0..4 {
        world = fails(world.when("nobody", with_wrong_password("ana")), FailedBy::Secret);
    }
    world = world.when("nobody", with_password("ana")).then_is_done();
    for _ in 0..4 {
        world = fails(world.when("nobody", with_wrong_password("ana")), FailedBy::Secret);
    }
    world.when("nobody", with_password("ana")).by("ana");
}

#[test]
fn a_lock_is_taken_away_by_whoever_may() {
    let mut world = given(a_user());
    for _ in 0..5 {
        world = fails(world.when("nobody", with_wrong_password("ana")), FailedBy::Secret);
    }
    let unlock = || asks(IdentityCommand::UnlockUser { name: called("ana") });
    let asked = world.and(granted("bob", "read", "*")).when("bob", unlock());
    assert!(asked.rejection().is_denial());
    asked.when("root", unlock()).recording(["user.unlock - ana done"]).when("nobody", with_password("ana")).by("ana");
}

#[test]
fn a_disabled_or_deleted_user_has_no_tokens_and_gets_none() {
    for command in [IdentityCommand::DisableUser { name: called("ana") }, IdentityCommand::DeleteUser { name: called("ana") }] {
        let world = given(a_user()).when("nobody", with_password("ana")).then_is_done();
        let world = world.when("root", asks(command.clone())).then_is_done();
        let world = world.when("ana", lookup_self()).then_is_not_authenticated().world;
        let expected = if matches!(command, IdentityCommand::DeleteUser { .. }) { FailedBy::Unknown } else { FailedBy::Disabled };
        fails(world.when("nobody", with_password("ana")), expected);
    }
}

#[test]
fn a_second_factor_counts_from_its_first_code_on() {
    let world = given(a_user()).and(done(enrol("ana")));
    let world = world.when("nobody", with_password("ana")).then_is_done();
    let asked =
        world.when("root", confirm("ana", 2)).then_refuses("the code is wrong, or not of this half minute: try the next one");
    let world = asked.when("root", confirm("ana", 0)).recording(["user.totp-confirm - ana done"]).then_is_done();
    let world = fails(world.when("nobody", with_password("ana")), FailedBy::NoCode);
    let world = world.and(later_ms(60_000)).when("nobody", with_code("ana", 0)).then_is_done();
    assert!(world.state.token_by_accessor(&world.accessor("ana")).unwrap().mfa);
}

#[test]
fn no_code_is_accepted_twice_nor_one_before_it() {
    let world = with_second_factor().when("nobody", with_code("ana", 0)).then_is_done();
    let world = fails(world.when("nobody", with_code("ana", 0)), FailedBy::Code);
    fails(world.when("nobody", with_code("ana", -1)), FailedBy::Code);
}

#[test]
fn a_code_may_be_one_step_early_or_late_by_the_leaders_stamp() {
    for offset in [-1, 0, 1] {
        with_second_factor().when("nobody", with_code("ana", offset)).by("ana");
    }
    for offset in [-2, 2, 120] {
        fails(with_second_factor().when("nobody", with_code("ana", offset)), FailedBy::Code);
    }
}

#[test]
fn a_recovery_code_logs_in_once() {
    let recovery = |code: u8| logs_in("ana", true, move |_| SecondFactor::Recovery([code; 32]));
    let world = with_second_factor().when("nobody", recovery(3)).then_is_done();
    let world = fails(world.when("nobody", recovery(3)), FailedBy::Code);
    let world = fails(world.when("nobody", recovery(99)), FailedBy::Code);
    world.when("nobody", recovery(4)).by("ana");
}

#[test]
fn who_must_have_a_second_factor_does_not_log_in_without() {
    let wish = UserWish { name: called("bob"), password: hashed(1), grants: gives(&["readers"]), requires_totp: true };
    let world = given(a_user()).and(done(asks(IdentityCommand::CreateUser(wish))));
    let world = fails(world.when("nobody", with_password("bob")), FailedBy::NoCode);
    let world = world.and(done(enrol("bob"))).and(done(confirm("bob", 0))).and(later_ms(60_000));
    world.when("nobody", with_code("bob", 0)).by("bob");
}

#[test]
fn what_a_door_verified_against_another_credential_does_not_count_and_is_no_failure() {
    let stale: Request = Box::new(|_| {
        let (user, factor) = (called("ana"), SecondFactor::None);
        let login = PasswordLogin { user, credential: 0, password_fits: false, factor, token: [8; 32] };
        Command::Login(Box::new(LoginCommand::Password(login)))
    });
    let asked = given(a_user()).when("nobody", stale);
    assert!(matches!(asked.rejection(), Rejection::Conflict { .. }));
    assert_eq!(asked.decision.events.len(), 1);
}

#[test]
fn people_change_their_own_password_by_showing_the_one_there_is() {
    let change = |proven: bool| -> Request {
        Box::new(move |world| {
            let credential = world.state.identity().user(&called("ana")).unwrap().credential;
            let proven = proven.then_some(credential);
            let change = PasswordChange { name: called("ana"), password: hashed(2), proven };
            Command::Identity(Box::new(IdentityCommand::SetPassword(change)))
        })
    };
    let world = given(a_user()).and(granted("bob", "read", "*")).when("nobody", with_password("ana")).then_is_done();
    let asked = world.when("bob", change(true));
    assert!(asked.rejection().is_denial(), "of another");
    let asked = asked.when("ana", change(false));
    assert!(asked.rejection().is_denial(), "without the old one");
    let world = asked.when("ana", change(true)).recording(["user.password - ana done"]).then_is_done();
    assert_eq!(world.state.identity().user(&called("ana")).unwrap().password, Some(hashed(2)));
    let world = world.when("ana", lookup_self()).then_is_not_authenticated().world;
    world.when("root", change(false)).then_is_done();
}

#[test]
fn nobody_makes_a_user_who_may_more_than_he_may_himself() {
    given([granted("eve", "identities", "*"), granted("bob", "read", "*")])
        .when("eve", create_user("x", gives(&["of-bob"])))
        .then_denies("eve may not grant policy of-bob in the system: only the holder of a policy may grant it")
        .when("eve", create_user("root", gives(&["of-eve"])))
        .then_refuses("the name root stands for somebody else in the journal: name another")
        .when("eve", create_user("x", gives(&["of-eve"])))
        .recording(["user.create - x done"])
        .when("eve", create_user("x", gives(&["of-eve"])))
        .then_refuses("user x exists already");
}

#[test]
fn no_hash_of_a_password_and_no_secret_of_a_second_factor_stands_in_a_leaf() {
    let asked = given([]).when("root", create_user("ana", gives(&["root"])));
    let Event::Identity(event) = &asked.decision.events[0] else { panic!("{:?}", asked.decision.events) };
    let Some(IdentityEvent::UserCreated { user }) = event.without_payload() else { panic!("it has no payload") };
    assert_eq!(user.password, None);
    // That of the second factor is marked as a ciphertext, which no leaf may hold: the invariants look.
    asked.when("root", enrol("ana")).then_is_done();
}

fn set_grants(name: &str, grants: Grants) -> Request {
    asks(IdentityCommand::SetUserGrants { name: called(name), grants })
}

#[test]
fn other_grants_count_from_the_next_login_on_and_the_tokens_that_are_out_end() {
    let world = given(a_user()).and(done(put_policy("writers", vec![rule("read create", "*")])));
    let world = world.when("nobody", with_password("ana")).then_is_done();
    let asked = world.when("root", set_grants("ana", gives(&["writers"]))).recording(["user.grant - ana done"]);
    let Event::Identity(IdentityEvent::UserGrantsSet { before, after, .. }) = &asked.decision.events[0] else {
        panic!("{:?}", asked.decision.events)
    };
    assert_eq!((&**before, &**after), (&gives(&["readers"]), &gives(&["writers"])), "the journal has both");
    let world = asked.when("ana", lookup_self()).then_is_not_authenticated().world;
    let world = world.when("nobody", with_password("ana")).then_is_done();
    world.when("ana", put("x")).then_writes(1);
}

fn a_machine() -> [Fact; 3] {
    let grants = gives(&["readers"]);
    let machine =
        IdentityCommand::CreateMachine { name: called("ci"), role_id: [5; 16], grants, secret_ttl_ms: 0, secret_uses: 0 };
    let issue = IdentityCommand::IssueSecretId { machine: called("ci"), hash: [6; 32], ttl_ms: 0, uses: 0 };
    [done(put_policy("none", vec![])), done(asks(machine)), done(asks(issue))]
}

fn set_machine(policies: &[&str]) -> Request {
    asks(IdentityCommand::SetMachineGrants { name: called("ci"), grants: gives(policies) })
}

#[test]
fn nobody_gives_a_user_or_machine_more_than_he_may_himself() {
    let told = "eve may not grant policy readers in the system: only the holder of a policy may grant it";
    let world = given(a_user()).and(granted("eve", "identities", "*"));
    let world = a_machine().into_iter().fold(world, World::and);
    world
        .when("eve", set_grants("ana", gives(&["readers"])))
        .then_denies(told)
        .when("eve", set_machine(&["readers"]))
        .then_denies(told)
        .when("eve", set_grants("zoe", gives(&["of-eve"])))
        .then_refuses("user zoe does not exist")
        .when("eve", set_grants("ana", Grants { ttl_ms: 0, ..gives(&["of-eve"]) }))
        .then_refuses(&format!("a login lasts 1 to {} ms, renewals included", limits::LOGIN_TTL_MS_MAX))
        .when("eve", set_grants("ana", gives(&["of-eve"])))
        .recording(["user.grant - ana done"])
        .when("eve", set_machine(&["of-eve"]))
        .recording(["machine.grant - ci done"]);
}

#[test]
fn a_machine_with_other_grants_logs_in_again_with_the_secret_id_it_has() {
    fn log_in() -> Request {
        Box::new(|world| {
            let token = world.draw_hash();
            world.hold("ci", token);
            Command::Login(Box::new(LoginCommand::Machine(MachineLogin { role_id: [5; 16], secret: [6; 32], token })))
        })
    }
    let world = a_machine().into_iter().fold(given(a_user()), World::and).and(added("x", 1));
    let world = world.when("nobody", log_in()).then_is_done();
    let world = world.when("ci", read("x")).then_is_done();
    let world = world.when("root", set_machine(&["none"])).then_is_done();
    let world = world.when("ci", read("x")).then_is_not_authenticated().world;
    let world = world.when("nobody", log_in()).then_is_done();
    assert!(world.when("ci", read("x")).rejection().is_denial());
}
