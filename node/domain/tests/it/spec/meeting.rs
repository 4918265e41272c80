//! Where one part of the domain meets another: seals and promotions, alerts and logins, bound tokens and plans, repeated requests.

use super::guard::{alerts, guard, sink};
use super::keys::{ask, rotate, seal, unseal};
use super::world::{ELSEWHERE, HOME, wrapped_key};
use super::*;
use node_domain::command::{TokenWish, Upkeep};
use node_domain::guard::{Difference, DifferenceKind, GuardCommand, PromotionItem, Severity};
use node_domain::identity::{
    Grants, IdentityCommand, IdentityEvent, LoginCommand, PasswordHash, PasswordLogin, SecondFactor, TotpWish, UserWish, WrapWish,
};
use node_domain::ids::{Accessor, IdentityName};
use node_domain::keys::{KeysAnswer, KeysCommand, KeysUpkeep, WrappedRoots};
use node_domain::policy::{Asked, Asking};
use node_domain::{Answer, Command, Event, Rejection, limits};

const SEALED: &str = "environment production is sealed: holdfast env unseal production";

/// A plan to carry these from staging to production, as they stand.
fn plan(items: &'static [(&'static str, DifferenceKind)]) -> Request {
    Box::new(move |world| {
        let newest = |place, at| world.secret_in(place, at).map_or(0, |secret| secret.newest);
        let item = |(at, kind): &(&'static str, DifferenceKind)| PromotionItem {
            from: path(at),
            from_version: newest(ELSEWHERE, at),
            to: path(at),
            to_version: newest(HOME, at),
            difference: Difference { kind: *kind, ..Difference::default() },
        };
        let (from, to) = (environment(ELSEWHERE), environment(HOME));
        Command::Guard(Box::new(GuardCommand::PlanPromotion { from, to, items: items.iter().map(item).collect() }))
    })
}

fn newest_plan(world: &World) -> u64 {
    world.state.guard().promotions.plans().next_back().unwrap().id
}

fn apply(id: u64) -> Request {
    Box::new(move |world| {
        let count = world.state.guard().promotions.plan(id).map_or(0, |plan| plan.writing().count());
        let sealed = (0..count).map(|at| world.seal(&format!("promoted {at}"))).collect();
        Command::Guard(Box::new(GuardCommand::ApplyPromotion { id, sealed }))
    })
}

fn approve(id: u64) -> Request {
    guard(GuardCommand::ApprovePromotion { id })
}

fn look_at(id: u64) -> Request {
    guard(GuardCommand::ReadPromotion { id })
}

const NEW: &[(&str, DifferenceKind)] = &[("app/key", DifferenceKind::New)];

/// Ana has planned to promote `app/key`, and bob may approve.
fn planned() -> (World, u64) {
    let facts = [
        granted_in(ELSEWHERE, "ana", "promote", "app/*"),
        granted_in(HOME, "ana", "promote", "app/*"),
        granted_in(HOME, "bob", "approve", "app/*"),
        added_in(ELSEWHERE, "app/key", 1),
        added("app/db", 1),
        added_in(ELSEWHERE, "app/db", 1),
    ];
    let world = given(facts).when("ana", plan(NEW)).then_is_done();
    let id = newest_plan(&world);
    (world, id)
}

#[test]
fn nothing_is_planned_approved_shown_or_applied_while_either_side_is_sealed() {
    for place in [HOME, ELSEWHERE] {
        let words = SEALED.replace(HOME, place);
        let (world, id) = planned();
        let world = world.when("bob", approve(id)).and(done(seal(place)));
        let asking = |world: &World, who: &str| {
            let token = world.state.token_by_accessor(&world.accessor(who)).unwrap().clone();
            let asking = Asking { token: &token, address: None, now: world.now };
            let plan = world.state.guard().promotions.plan(id).unwrap();
            world.state.may_see_promotion(&asking, plan)
        };
        assert!(!asking(&world, "ana"), "a list shows what stands in a sealed environment");
        let asked = world
            .when("ana", plan(NEW))
            .then_refuses(&words)
            .when("ana", look_at(id))
            .then_refuses(&words)
            .when("ana", apply(id))
            .then_refuses(&words);
        let world = asked.and(done(unseal(place)));
        assert!(asking(&world, "ana"));
        world.when("ana", look_at(id)).when("ana", apply(id)).then_versions([1]);
    }
}

#[test]
fn a_plan_into_a_sealed_environment_may_still_be_taken_back() {
    let (world, id) = planned();
    let world = world.and(done(seal(HOME)));
    world.when("bob", approve(id)).then_refuses(SEALED).when("ana", guard(GuardCommand::CancelPromotion { id })).then_is_done();
}

#[test]
fn a_check_of_the_rules_for_values_lists_nothing_of_a_sealed_environment() {
    let check = |name: Option<&'static str>| guard(GuardCommand::CheckRules { environment: name.map(environment) });
    given([done(seal(HOME))])
        .when("root", check(Some(HOME)))
        .then_refuses(SEALED)
        .when("root", check(None))
        .then_refuses(SEALED)
        .when("root", check(Some(ELSEWHERE)))
        .recording(["rule.check staging - done"]);
}

#[test]
fn a_violation_points_to_nothing_in_a_sealed_environment() {
    given([granted_in(ELSEWHERE, "ana", "read", "*"), added_in(ELSEWHERE, "a", 1), done(seal(ELSEWHERE))])
        .when("ana", read("a"))
        .then_denies("ana has no business in production (a): this attempt is recorded as a violation");
}

/// `who` shows a token with the policy `of-<who>` that counts in staging alone.
fn bound_to_staging(who: &'static str) -> Fact {
    Box::new(move |world| {
        let name = policy(format!("of-{who}").leak());
        let wish = TokenWish::plain(world.draw_hash(), principal(who), vec![name], 0);
        let (hash, environments) = (wish.hash, vec![environment(ELSEWHERE)]);
        world.establish(Command::CreateToken(Box::new(TokenWish { environments, ..wish })));
        world.hold(who, hash);
    })
}

#[test]
fn a_token_bound_to_environments_reaches_no_other_one_whatever_its_policies_say() {
    let facts = || [granted("ana", "read list update create", "*"), added_in(ELSEWHERE, "a", 1), bound_to_staging("ana")];
    let violation =
        "ana has no business in production (a): this attempt is recorded as a violation: the one for staging is staging:a";
    let asked = given(facts()).when("ana", read("a")).then_denies(violation);
    assert_eq!(alerts(&asked.world), ["violation critical ana in production ×1"]);
    let elsewhere = asked.when("ana", read_in(ELSEWHERE, "a")).then_reads(["a v1"]);
    for request in [list("") as Request, search(""), watch(""), transact(vec![putting("a", None)]), copy("a", "b")] {
        let asked = elsewhere.world.clone().when("ana", request);
        assert!(asked.rejection().is_violation(), "{}", asked.rejection());
    }
    let token = elsewhere.world.state.token_by_accessor(&elsewhere.world.accessor("ana")).unwrap();
    let asking = Asking { token, address: None, now: elsewhere.world.now };
    assert!(!elsewhere.world.state.sight(&asking, &environment(HOME)).shows("a"));
    assert!(elsewhere.world.state.sight(&asking, &environment(ELSEWHERE)).shows("a"));
}

#[test]
fn a_token_bound_to_environments_does_nothing_in_the_system_and_sees_no_plan_for_elsewhere() {
    let (world, id) = planned();
    let world = world.and(granted("ana", "tokens keys identities", "*")).and(bound_to_staging("ana"));
    world
        .when("ana", create_token("zoe", &["of-ana"]))
        .then_denies("ana may not tokens zoe in the system: the token counts in staging only")
        .when("ana", seal(HOME))
        .then_denies("ana may not keys production in the system: the token counts in staging only")
        .when("ana", look_at(id))
        .then_refuses(&format!("promotion {id} does not exist"))
        .when("ana", guard(GuardCommand::CancelPromotion { id }))
        .then_refuses(&format!("promotion {id} does not exist"));
}

#[test]
fn nobody_approves_by_a_token_that_he_made_in_another_name() {
    let world = given([
        granted_in(ELSEWHERE, "ana", "promote", "*"),
        granted_in(HOME, "ana", "promote approve", "*"),
        granted("ana", "tokens", "*"),
        added_in(ELSEWHERE, "app/key", 1),
    ]);
    let mut world = world.when("ana", plan(NEW)).then_is_done();
    let id = newest_plan(&world);
    world.token_for("ana", "zoe", vec![policy("of-ana")], 0);
    world.when("zoe", approve(id)).then_denies(&format!(
        "zoe may not approve promotion {id} in production: whoever asks for a promotion never approves it: another principal must"
    ));
}

// Alerts.

fn called(name: &str) -> IdentityName {
    IdentityName::parse(name).unwrap()
}

fn identity(command: IdentityCommand) -> Command {
    Command::Identity(Box::new(command))
}

/// A user `ursula` who is given the policy `shared`.
fn a_user() -> [Fact; 2] {
    let grants = Grants { policies: vec![policy("shared")], ttl_ms: 60_000, ..Grants::default() };
    let password = PasswordHash { salt: [1; 16], hash: [1; 32], memory_kib: 64, passes: 1, lanes: 1 };
    let wish = UserWish { name: called("ursula"), password, grants, requires_totp: false };
    [done(put_policy("shared", vec![rule("read", "*")])), done(Box::new(|_| identity(IdentityCommand::CreateUser(wish))))]
}

fn logs_in(password_fits: bool, token: [u8; 32]) -> Request {
    Box::new(move |world| {
        let credential = world.state.identity().user(&called("ursula")).unwrap().credential;
        let (user, factor) = (called("ursula"), SecondFactor::None);
        Command::Login(Box::new(LoginCommand::Password(PasswordLogin { user, credential, password_fits, factor, token })))
    })
}

#[test]
fn the_failure_that_locks_a_user_raises_an_alert_and_no_other_failure_does() {
    let mut world = given(a_user());
    for failure in 1..=limits::LOGIN_FAILURES_MAX + 2 {
        let asked = world.when("nobody", logs_in(false, [9; 32]));
        let raised = asked.lines().contains(&"alert.raise - user ursula done".to_owned());
        assert_eq!(raised, failure == limits::LOGIN_FAILURES_MAX, "failure {failure}: {:?}", asked.lines());
        world = asked.world;
    }
    assert_eq!(alerts(&world), ["lockout warning user ursula ×1"]);
}

#[test]
fn a_second_unwrapping_raises_an_alert_and_so_does_a_look_after_the_first() {
    let wish =
        || WrapWish { hash: [9; 32], payload: wrapped_key("token"), about: "token of ana".into(), ttl_ms: 60_000, of: None };
    let wrap: Request = Box::new(move |_| identity(IdentityCommand::Wrap(wish())));
    let unwrap = || -> Request { Box::new(|_| Command::Login(Box::new(LoginCommand::Unwrap { hash: [9; 32] }))) };
    let look: Request = Box::new(|_| Command::Login(Box::new(LoginCommand::LookupWrapped { hash: [9; 32] })));
    let subject = "wrapped by root";
    let asked = given([done(sink("chat", Severity::Critical)), done(wrap)]).when("nobody", unwrap());
    assert!(alerts(&asked.world).is_empty());
    let asked = asked
        .when("nobody", unwrap())
        .recording(["wrap.unwrap - - denied", &format!("alert.raise - {subject} done")])
        .when("nobody", look)
        .recording(["wrap.lookup - - denied", &format!("alert.raise - {subject} done")]);
    assert_eq!(alerts(&asked.world), [format!("unwrap-twice critical {subject} ×2")]);
    assert_eq!(asked.world.state.guard().outbox.alerts().next().unwrap().owed.len(), 1, "it goes out");
    // When its time is up nobody can say any more.
    let asked = asked.and(later_ms(60_000)).when("nobody", unwrap());
    assert!(matches!(asked.rejection(), Rejection::NotLoggedIn(_)));
    assert_eq!(asked.lines().len(), 1);
}

#[test]
fn seals_and_rotations_raise_alerts_in_the_name_of_who_asked() {
    let root = |world: &World| {
        let keys = |home: &node_domain::state::Environment| {
            let rewrapped = home.about.keys.iter().map(|(version, _)| (*version, wrapped_key("again")));
            (home.about.name.clone(), rewrapped.collect())
        };
        let system = world.state.keys().system().map(|(version, _)| (version, wrapped_key("again")));
        WrappedRoots { environments: world.state.environments().map(keys).collect(), system: system.collect() }
    };
    let rotated: fn(u32, WrappedRoots) -> Command =
        |version, wrapped| Command::Upkeep(Box::new(Upkeep::Keys(KeysUpkeep::RotateRoot { version, wrapped })));
    let asked = given([granted("ana", "keys", "*")])
        .when("ana", rotate(HOME, 2))
        .when("ana", seal(HOME))
        .when("ana", unseal(HOME))
        .when("ana", ask(KeysCommand::SealNode { node: 3 }))
        .when("holdfast", Box::new(move |world| rotated(2, root(world))))
        // The same version once more is no rotation.
        .when("holdfast", Box::new(move |world| rotated(2, root(world))));
    assert_eq!(
        alerts(&asked.world),
        [
            "key note the key of production v2 ×1",
            "seal warning production sealed ×1",
            "seal warning production unsealed ×1",
            "seal warning node-3 sealed ×1",
            "key warning the root key v2 ×1",
        ]
    );
    let texts: Vec<_> = asked.world.state.guard().outbox.alerts().map(|alert| alert.text.clone()).collect();
    assert_eq!(texts[0], "ana rotated the key of production to v2");
    assert_eq!(texts[1], "ana sealed production: nothing is read or written there until it is unsealed");
}

#[test]
fn a_refused_rotation_or_seal_raises_nothing() {
    let asked = given([]).when("root", rotate(HOME, 7)).when("root", unseal(HOME));
    assert!(alerts(&asked.world).is_empty());
}

// Uses.

/// `ana` shows a token that is good for so many requests and may read.
fn limited(uses: u32) -> World {
    let mut world = given([added("a", 1), done(put_policy("readers", vec![rule("read", "*")]))]);
    let wish = TokenWish::plain(world.draw_hash(), principal("ana"), vec![policy("readers")], 0);
    let hash = wish.hash;
    world.establish(Command::CreateToken(Box::new(TokenWish { uses_max: uses, ..wish })));
    world.hold("ana", hash);
    world
}

#[test]
fn a_refused_a_violating_and_a_malformed_request_each_use_up_a_limited_token() {
    let left = |asked: &world::Asked| {
        asked.decision.events.iter().find_map(|event| match event {
            Event::Identity(IdentityEvent::TokenUsed { left, .. }) => Some(*left),
            _ => None,
        })
    };
    let asked = limited(4).when("ana", put("a"));
    assert_eq!(left(&asked), Some(3));
    let asked = asked.when("ana", read("none")).then_refuses("secret none does not exist");
    assert_eq!(left(&asked), Some(2));
    let asked = asked.when("ana", malformed("a", "no sense in it"));
    assert_eq!(left(&asked), Some(1));
    let asked = asked.when("ana", read("a"));
    assert_eq!(left(&asked), Some(0));
    let asked = asked.when("ana", read("a")).then_is_not_authenticated();
    assert_eq!(left(&asked), None, "what has ended is not used");
}

// Asked again.

#[test]
fn a_promotion_applied_twice_under_one_id_answers_alike_items_that_were_the_same_included() {
    const MIXED: &[(&str, DifferenceKind)] = &[("app/db", DifferenceKind::Same), ("app/key", DifferenceKind::New)];
    let (world, _) = planned();
    let world = world.when("ana", plan(MIXED)).then_is_done();
    let id = newest_plan(&world);
    let asked = world.when("bob", approve(id)).when_under((1, 1), "ana", apply(id)).then_versions([0, 1]);
    let digest = asked.world.state.digest();
    let again = asked
        .when_under((1, 1), "ana", apply(id))
        .then_versions([0, 1])
        .recording([&format!("promotion.apply - promotion-{id} done")]);
    assert_eq!(again.world.state.digest(), digest);
}

#[test]
fn an_approval_a_sink_and_a_rotation_asked_twice_answer_alike() {
    let (world, id) = planned();
    let asked = world.when_under((2, 2), "bob", approve(id)).then_answers(Answer::Done);
    let asked = asked.when_under((2, 2), "bob", approve(id)).then_answers(Answer::Done);
    let version = |version| Answer::Keys(Box::new(KeysAnswer::Version(version)));
    asked
        .when_under((3, 3), "root", sink("chat", Severity::Note))
        .then_answers(Answer::Done)
        .when_under((3, 3), "root", sink("chat", Severity::Note))
        .then_answers(Answer::Done)
        .when_under((4, 4), "root", rotate(HOME, 2))
        .then_answers(version(2))
        .when("root", rotate(HOME, 3))
        .when_under((4, 4), "root", rotate(HOME, 2))
        .then_answers(version(2))
        .when_under((5, 5), "root", seal(HOME))
        .then_answers(Answer::Done)
        .when_under((5, 5), "root", seal(HOME))
        .then_answers(Answer::Done);
}

#[test]
fn a_login_never_leaves_a_receipt_and_a_door_that_asks_again_for_the_same_token_makes_no_second_one() {
    let asked = given(a_user()).when_under((1, 1), "nobody", logs_in(true, [9; 32]));
    let world = asked.by("ursula").then_is_done();
    let tokens = world.state.tokens().count();
    let asked = world.when_under((1, 1), "nobody", logs_in(true, [9; 32])).then_answers(Answer::Done);
    assert_eq!(asked.world.state.tokens().count(), tokens);
    // The same request id with another token is another login: nothing of the first is answered.
    let asked = asked.when_under((1, 1), "nobody", logs_in(true, [8; 32]));
    assert_eq!(asked.decision.accessor, Some(Accessor::of(&[8; 32])));
    let asked = asked.when_under((1, 1), "nobody", logs_in(false, [7; 32]));
    assert!(matches!(asked.rejection(), Rejection::NotLoggedIn(_)));
}

// Second factors of others.

#[test]
fn whoever_does_not_hold_what_a_user_is_given_chooses_no_second_factor_for_him() {
    let enrol = || -> Request {
        Box::new(|_| {
            let (name, sealed, recovery) = (called("ursula"), wrapped_key("totp"), vec![[3; 32]]);
            identity(IdentityCommand::EnrolTotp(TotpWish { name, sealed, recovery }))
        })
    };
    given(a_user())
        .and(granted("helpdesk", "identities", "*"))
        .when("helpdesk", enrol())
        .then_denies("helpdesk may not grant policy shared in the system: only the holder of a policy may grant it")
        .when("root", enrol())
        .then_is_done();
}

// Replays.

#[test]
fn a_replay_asks_of_each_record_what_its_request_was_asked() {
    let rights = |asked: world::Asked, expected: &str| {
        let event = &asked.decision.events[0];
        let told = match Asked::of(event) {
            Asked::Nothing => "nothing".to_owned(),
            Asked::Unknown => "unknown".to_owned(),
            Asked::All(rights) => {
                let right = &rights[0];
                let place = right.environment.as_ref().map_or("the system", |name| name.as_str());
                format!("{} {} in {place}", right.any_of[0].word(), right.subject)
            }
        };
        assert_eq!(told, expected, "{event:?}");
        asked
    };
    let asked = rights(given(a_user()).when("root", rotate(HOME, 2)), "keys production in the system");
    let asked = rights(asked.when("nobody", rotate(HOME, 3)), "keys production in the system");
    let asked = rights(asked.when("root", seal(HOME)), "keys production in the system");
    let asked = rights(asked.when("root", unseal(HOME)), "keys production in the system");
    let asked = rights(asked.when("root", create_environment("qa")), "environments qa in the system");
    let asked = rights(asked.when("nobody", create_environment("qb")), "environments qb in the system");
    let asked = rights(asked.when("root", guard(GuardCommand::CheckRules { environment: None })), "governance  in the system");
    let asked = asked.when("nobody", logs_in(true, [9; 32]));
    let created = asked.decision.events.iter().find(|event| matches!(event, Event::TokenCreated { .. })).unwrap();
    assert_eq!(Asked::of(created), Asked::Nothing, "a login needs no right");
    let (world, id) = planned();
    rights(world.when("bob", approve(id)).when("ana", guard(GuardCommand::CancelPromotion { id })), "nothing");
    let (world, id) = planned();
    rights(world.when("bob", approve(id)), "unknown");
}
