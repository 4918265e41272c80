//! Values cross from one environment to another by a plan that somebody else approved, all of them or none.

use super::*;
use node_domain::guard::{Difference, DifferenceKind, EnvironmentChange, PromotionItem};
use node_domain::limits;

fn item(world: &World, from: &str, to: &str, kind: DifferenceKind) -> PromotionItem {
    let newest = |environment, at| world.secret_in(environment, at).map_or(0, |secret| secret.newest);
    PromotionItem {
        from: path(from),
        from_version: newest("staging", from),
        to: path(to),
        to_version: newest("production", to),
        difference: Difference { kind, ..Difference::default() },
    }
}

/// Plans to carry these from staging to production; the door compared what stands there just now.
fn plan(items: &'static [(&'static str, &'static str)]) -> Request {
    plan_kinds(items.iter().map(|(from, to)| (*from, *to, DifferenceKind::Changed)).collect())
}

fn plan_kinds(items: Vec<(&'static str, &'static str, DifferenceKind)>) -> Request {
    Box::new(move |world| {
        let items = items.into_iter().map(|(from, to, kind)| item(world, from, to, kind)).collect();
        let (from, to) = (environment("staging"), environment("production"));
        Command::Guard(Box::new(GuardCommand::PlanPromotion { from, to, items }))
    })
}

fn approve(id: u64) -> Request {
    guard(GuardCommand::ApprovePromotion { id })
}

/// Applies a plan; the door opened the sources and sealed them for production.
fn apply(id: u64) -> Request {
    Box::new(move |world| {
        let plan = world.state.guard().promotions.plan(id).map(|plan| plan.writing().count());
        let sealed = (0..plan.unwrap_or(0)).map(|at| world.seal(&format!("promoted {at}"))).collect();
        Command::Guard(Box::new(GuardCommand::ApplyPromotion { id, sealed }))
    })
}

fn needing(approvals: u32) -> Request {
    let change = EnvironmentChange { approvals: Some(approvals) };
    guard(GuardCommand::SetEnvironment { environment: environment("production"), change })
}

/// Ana promotes, bob and carol approve; staging has `app/db` and `app/key`, production `app/db` v1.
fn world() -> World {
    given([
        granted_in("staging", "ana", "promote", "app/*"),
        granted_in("production", "ana", "promote", "app/*"),
        granted_in("production", "bob", "approve", "app/*"),
        granted_in("production", "carol", "approve", "app/*"),
        added_in("staging", "app/db", 1),
        added_in("staging", "app/db", 2),
        added_in("staging", "app/key", 1),
        added("app/db", 1),
    ])
}

fn planned() -> (World, u64) {
    let world = world().when("ana", plan(&[("app/db", "app/db"), ("app/key", "app/key")])).then_is_done();
    let id = world.state.guard().promotions.plans().next_back().unwrap().id;
    (world, id)
}

fn word(world: &World, id: u64) -> &'static str {
    let plan = world.state.guard().promotions.plan(id).unwrap();
    plan.word(world.state.approvals_needed(plan), world.now)
}

#[test]
fn an_approved_plan_writes_all_its_versions_in_one_decision_and_both_sides_stand_in_the_journal() {
    let (world, id) = planned();
    assert_eq!(word(&world, id), "open");
    let world = world.when("bob", approve(id)).recording([&format!("promotion.approve production promotion v{id} done")]).world;
    assert_eq!(word(&world, id), "approved");
    let world = world
        .when("ana", apply(id))
        .then_versions([2, 1])
        .recording([
            "secret.read staging app/db v2 done",
            "promotion.apply production app/db v2 done",
            "secret.read staging app/key v1 done",
            "promotion.apply production app/key v1 done",
            &format!("promotion.apply production promotion v{id} done"),
            &format!("alert.raise - promotion {id} to production done"),
        ])
        .by("ana")
        .then_is_done();
    assert_eq!(word(&world, id), "applied");
    assert_eq!(world.secret("app/db").versions.last().unwrap().created_by, principal("ana"));
    world
        .when("ana", apply(id))
        .then_refuses(&format!("promotion {id} is at applied, not open"))
        .when("root", read("app/key"))
        .then_reads(["promoted 1"]);
}

#[test]
fn a_plan_that_a_rule_refuses_is_recorded_as_reads_of_all_up_to_the_one_refused() {
    use super::rules::{checked, looking, put_rule};
    let (world, id) = planned();
    let world = world.when("bob", approve(id)).and(done(put_rule(looking("strong"))));
    let apply_checked = move |broken: [Option<&'static str>; 2]| -> Request {
        Box::new(move |world| {
            let seal = |broken| {
                let sealed = world.seal("promoted");
                checked(world, sealed, node_domain::secret::SecretType::Generic, broken)
            };
            Command::Guard(Box::new(GuardCommand::ApplyPromotion { id, sealed: broken.map(seal).into() }))
        })
    };
    for (broken, read) in [([Some("strong"), None], vec!["app/db"]), ([None, Some("strong")], vec!["app/db", "app/key"])] {
        let asked = world.clone().when("ana", apply_checked(broken));
        let events = asked.decision.events.iter();
        let looked: Vec<_> = events
            .filter_map(|event| match event {
                node_domain::Event::SecretRead { environment, path, .. } => Some((environment.as_str(), path.as_str())),
                _ => None,
            })
            .collect();
        let read: Vec<_> = read.into_iter().map(|path| ("staging", path)).collect();
        assert_eq!(looked, read);
    }
}

#[test]
fn nobody_fills_the_room_of_all_with_plans_nor_asks_for_the_same_twice() {
    let to = |target: &'static str| plan(vec![("app/db", target)].leak());
    let mut world = world().when("ana", to("app/db")).then_is_done();
    let id = world.state.guard().promotions.plans().next().unwrap().id;
    world = world.when("ana", to("app/db")).then_refuses(&format!("the same plan of ana, promotion {id}, exists already")).world;
    for number in 1..16 {
        world = world.when("ana", to(format!("app/{number}").leak())).then_is_done();
    }
    let asked = world.when("ana", to("app/16")).then_refuses("ana has 16 open promotions already: apply or cancel some");
    asked.when("ana", guard(GuardCommand::CancelPromotion { id })).when("ana", to("app/16")).then_is_done();
}

#[test]
fn nobody_approves_a_plan_of_their_own_with_whatever_token() {
    let world = world().and(granted_in("production", "ana", "approve", "app/*"));
    let asked = world.when("ana", plan(&[("app/db", "app/db")]));
    let id = asked.world.state.guard().promotions.plans().next().unwrap().id;
    let told = format!(
        "ana may not approve promotion {id} in production: whoever asks for a promotion never approves it: another principal must"
    );
    let world = asked.when("ana", approve(id)).then_denies(&told).world;
    // Another token of the same principal is the same principal.
    let mut world = world;
    world.token_for("root", "ana", vec![policy("of-ana")], 0);
    world.when("ana", approve(id)).then_denies(&told);
}

/// Ana makes a token for `zoe`, who may what ana may.
fn with_zoe() -> World {
    let world = world().and(granted_in("production", "ana", "approve", "app/*")).and(granted("ana", "tokens", "*"));
    world.and(Box::new(|world| world.token_for("ana", "zoe", vec![policy("of-ana")], 0)))
}

#[test]
fn whoever_made_the_token_that_asked_does_not_approve_even_when_that_token_is_gone() {
    let told = |id, who| {
        format!(
            "{who} may not approve promotion {id} in production: whoever made the token that a promotion was asked for with \
             never approves it: another principal must"
        )
    };
    let asked = with_zoe().when("zoe", plan(&[("app/db", "app/db")]));
    let id = asked.world.state.guard().promotions.plans().next().unwrap().id;
    // Ana made zoe's token, and root made ana's.
    let world = asked.when("ana", approve(id)).then_denies(&told(id, "ana")).world;
    let world = world.when("root", approve(id)).then_denies(&told(id, "root")).world;
    let world = world.when("ana", revoke("zoe")).then_is_done();
    let world = world.when("ana", approve(id)).then_denies(&told(id, "ana")).world;
    world.when("bob", approve(id)).recording([&format!("promotion.approve production promotion v{id} done")]);
}

#[test]
fn whoever_asked_does_not_approve_by_a_token_made_for_another_name() {
    let asked = with_zoe().when("ana", plan(&[("app/db", "app/db")]));
    let id = asked.world.state.guard().promotions.plans().next().unwrap().id;
    asked.when("zoe", approve(id)).then_denies(&format!(
        "zoe may not approve promotion {id} in production: whoever asks for a promotion never approves it: another principal must"
    ));
}

#[test]
fn whoever_asked_does_not_approve_as_a_user_that_he_made() {
    use node_domain::identity::{Grants, IdentityCommand, LoginCommand, PasswordHash, PasswordLogin, SecondFactor, UserWish};
    let name = || node_domain::ids::IdentityName::parse("zed").unwrap();
    let password = PasswordHash { salt: [1; 16], hash: [1; 32], memory_kib: 64, passes: 1, lanes: 1 };
    let grants = Grants { policies: vec![policy("of-ana")], ttl_ms: 60_000, ..Grants::default() };
    let wish = UserWish { name: name(), password, grants, requires_totp: false };
    let world = world().and(granted_in("production", "ana", "approve", "app/*")).and(granted("ana", "identities", "*"));
    let create: Request = Box::new(move |_| Command::Identity(Box::new(IdentityCommand::CreateUser(wish))));
    let world = world.when("ana", create).then_is_done();
    let log_in: Request = Box::new(move |world| {
        let (token, credential) = (world.draw_hash(), world.state.identity().user(&name()).unwrap().credential);
        world.hold("zed", token);
        let login = PasswordLogin { user: name(), credential, password_fits: true, factor: SecondFactor::None, token };
        Command::Login(Box::new(LoginCommand::Password(login)))
    });
    let asked = world.when("nobody", log_in).when("ana", plan(&[("app/db", "app/db")]));
    let id = asked.world.state.guard().promotions.plans().next().unwrap().id;
    asked.when("zed", approve(id)).then_denies(&format!(
        "zed may not approve promotion {id} in production: whoever asks for a promotion never approves it: another principal must"
    ));
}

#[test]
fn who_made_the_token_is_kept_with_the_plan_in_a_snapshot() {
    let world = with_zoe().when("zoe", plan(&[("app/db", "app/db")])).then_is_done();
    let id = world.state.guard().promotions.plans().next().unwrap().id;
    assert_eq!(world.state.guard().promotions.makers(id), [principal("ana"), principal("holdfast"), principal("root")]);
    crate::invariants::encoded_pieces_round_trip_of(&world.state);
}

#[test]
fn a_plan_without_enough_approvals_is_not_applied_and_nobody_counts_twice() {
    let (world, id) = planned();
    let world = world.and(done(needing(2)));
    world
        .when("ana", apply(id))
        .then_refuses(&format!("promotion {id} is at 0 of 2 approvals, not approved"))
        .when("bob", approve(id))
        .when("bob", approve(id))
        .then_refuses(&format!("approval of promotion {id} by bob exists already"))
        .when("ana", apply(id))
        .then_refuses(&format!("promotion {id} is at 1 of 2 approvals, not approved"))
        .when("carol", approve(id))
        .when("ana", apply(id))
        .then_versions([2, 1]);
}

#[test]
fn a_plan_whose_source_or_target_has_moved_is_refused_with_both_versions() {
    let (world, id) = planned();
    let stale_source = world.when("bob", approve(id)).and(added_in("staging", "app/db", 3)).when("ana", apply(id));
    stale_source.then_refuses("staging:app/db is at v3, not v2");
    let (world, id) = planned();
    let stale_target = world.when("bob", approve(id)).and(added("app/key", 1)).when("ana", apply(id));
    let asked = stale_target.then_refuses("production:app/key is at v1, not absent");
    assert_eq!(asked.world.secret("app/db").newest, 1, "nothing of it was written");
}

fn moved_in_staging(from: &'static str, to: &'static str) -> Request {
    Box::new(move |_| Command::Move { environment: environment("staging"), from: path(from), to: path(to), held: None })
}

#[test]
fn another_secret_in_the_place_of_the_approved_one_is_not_promoted() {
    let (world, id) = planned();
    let world = world.when("bob", approve(id)).then_is_done();
    // The approved source is put aside, and other values take its place until the number fits again.
    let world = world.and(done(moved_in_staging("app/key", "app/key-old"))).and(done(put_in("staging", "app/key")));
    world.clone().when("ana", apply(id)).then_refuses("staging:app/key is at v2, not v1");
    // Nor does one fit that was made elsewhere and moved there.
    let world = world.and(done(moved_in_staging("app/key", "app/key-2"))).and(done(put_in("staging", "app/other")));
    world
        .when("root", moved_in_staging("app/other", "app/key"))
        .then_refuses("app/other is at v1, not above v2, where app/key had come to before: copy it there instead")
        .when("ana", apply(id))
        .then_refuses("secret app/key does not exist");
}

#[test]
fn another_secret_in_the_place_of_the_target_makes_a_plan_stale() {
    let (world, id) = planned();
    let world = world.when("bob", approve(id)).then_is_done();
    world
        .and(done(rename("app/db", "app/db-old")))
        .and(done(put("app/db")))
        .when("ana", apply(id))
        .then_refuses("production:app/db is at v2, not v1");
}

#[test]
fn promoting_needs_the_right_on_both_sides_of_every_secret() {
    given([
        granted_in("staging", "ana", "promote", "app/*"),
        granted_in("production", "ana", "promote", "app/key"),
        granted_in("production", "bob", "promote read", "*"),
        added_in("staging", "app/db", 1),
    ])
    .when("ana", plan(&[("app/db", "app/db")]))
    .then_denies("ana may not promote app/db in production: no rule allows it")
    .when("bob", plan(&[("app/db", "app/db")]))
    .then_denies("bob has no business in staging (app/db): this attempt is recorded as a violation");
}

#[test]
fn the_right_to_promote_is_no_right_to_read() {
    let (world, _) = planned();
    world
        .when("ana", read_in("staging", "app/db"))
        .then_denies("ana may not read app/db in staging: no rule allows it")
        .when("bob", read("app/db"))
        .then_denies("bob may not read app/db in production: no rule allows it");
}

#[test]
fn whoever_has_nothing_to_do_with_a_plan_is_told_that_there_is_none() {
    let (world, id) = planned();
    let world = world.and(granted("dan", "read list", "*"));
    let told = format!("promotion {id} does not exist");
    world
        .when("dan", guard(GuardCommand::ReadPromotion { id }))
        .then_refuses(&told)
        .when("dan", approve(id))
        .then_refuses(&told)
        .when("dan", apply(id))
        .then_refuses(&told)
        .when("bob", guard(GuardCommand::ReadPromotion { id }))
        .recording([&format!("promotion.read production promotion-{id} done")]);
}

#[test]
fn a_plan_is_rejected_by_who_may_approve_and_cancelled_by_who_made_it() {
    let (world, id) = planned();
    let reject = |id| guard(GuardCommand::RejectPromotion { id, reason: "not today".into() });
    let world = world
        .when("ana", reject(id))
        .then_denies("ana may not approve app/db in production: no rule allows it")
        .when("bob", guard(GuardCommand::CancelPromotion { id }))
        .then_denies(&format!(
            "bob may not cancel promotion {id} in production: only who asked for it may take it back; others reject it"
        ))
        .when("bob", reject(id))
        .when("ana", apply(id))
        .then_refuses(&format!("promotion {id} is at rejected, not open"))
        .world;
    let world = world.when("ana", plan(&[("app/db", "app/db")])).then_is_done();
    let id = world.state.guard().promotions.plans().next_back().unwrap().id;
    world
        .when("ana", guard(GuardCommand::CancelPromotion { id }))
        .when("bob", approve(id))
        .then_refuses(&format!("promotion {id} is at cancelled, not open"));
}

#[test]
fn a_plan_counts_for_a_day() {
    let (world, id) = planned();
    world
        .when("bob", approve(id))
        .and(later_ms(limits::PROMOTION_AGE_MS_MAX))
        .when("ana", apply(id))
        .then_refuses(&format!("promotion {id} is at expired, not open"));
}

#[test]
fn what_is_the_same_already_is_left_alone() {
    let items = vec![("app/db", "app/db", DifferenceKind::Same), ("app/key", "app/new", DifferenceKind::New)];
    let world = world().when("ana", plan_kinds(items)).then_is_done();
    let id = world.state.guard().promotions.plans().next().unwrap().id;
    let asked = world.when("bob", approve(id)).when("ana", apply(id)).then_versions([0, 1]);
    assert_eq!(asked.world.secret("app/db").newest, 1);
}

#[test]
fn a_new_secret_is_described_as_its_source_is() {
    let world = world().and(done(Box::new(|world| {
        let sealed = world.seal("x");
        Command::Put {
            environment: environment("staging"),
            path: path("app/tls"),
            sealed,
            expect: None,
            about: tagged(&["tier-1"]),
            patch: false,
        }
    })));
    let world = world.when("ana", plan(&[("app/tls", "app/tls")])).then_is_done();
    let id = world.state.guard().promotions.plans().next().unwrap().id;
    let world = world.when("bob", approve(id)).when("ana", apply(id)).then_is_done();
    assert_eq!(world.secret("app/tls").about.tags, ["tier-1"]);
}

#[test]
fn a_plan_that_cannot_be_right_is_refused() {
    let into_itself: Request = Box::new(|world| {
        let items = vec![item(world, "app/db", "app/db", DifferenceKind::New)];
        let (from, to) = (environment("staging"), environment("staging"));
        Command::Guard(Box::new(GuardCommand::PlanPromotion { from, to, items }))
    });
    world()
        .when("ana", into_itself)
        .then_refuses("a promotion goes from one environment to another: copy within one")
        .when("ana", plan(&[]))
        .then_refuses("a promotion maps 1 to 64 secrets")
        .when("ana", plan(&[("app/db", "app/x"), ("app/key", "app/x")]))
        .then_refuses("app/x stands twice among the targets")
        .when("ana", plan(&[("app/none", "app/x")]))
        .then_refuses("secret app/none does not exist");
}

#[test]
fn promotions_are_bounded_and_those_that_are_over_make_room() {
    let mut world = world();
    let names = (0..limits::PROMOTIONS_MAX / limits::OWN_PROMOTIONS_MAX).map(|number| &*format!("p{number}").leak());
    for name in names {
        for place in ["staging", "production"] {
            world = world.and(granted_in(place, name, "promote", "app/*"));
        }
        for number in 0..limits::OWN_PROMOTIONS_MAX {
            world = world.when_unchecked(name, plan(vec![("app/db", &*format!("app/{number}").leak())].leak()));
        }
    }
    let full = "there are 256 open promotions already: apply, reject or cancel some";
    let world = world.when("ana", plan(&[("app/db", "app/db")])).then_refuses(full).world;
    let first = world.state.guard().promotions.plans().next().unwrap().id;
    let world = world.when("p0", guard(GuardCommand::CancelPromotion { id: first })).then_is_done();
    let world = world.when("ana", plan(&[("app/db", "app/db")])).then_is_done();
    assert!(world.state.guard().promotions.plan(first).is_none());
    assert_eq!(world.state.guard().promotions.plans().count(), limits::PROMOTIONS_MAX);
}

#[test]
fn a_plan_asked_for_twice_under_one_id_is_one_plan() {
    let asked = world().when_under((7, 7), "ana", plan(&[("app/db", "app/db")]));
    let Ok(node_domain::Answer::Versions(first)) = asked.answer.clone() else { panic!("{:?}", asked.answer) };
    let again = asked.when_under((7, 7), "ana", plan(&[("app/db", "app/db")]));
    assert_eq!(again.answer, Ok(node_domain::Answer::Versions(first)));
    assert_eq!(again.world.state.guard().promotions.plans().count(), 1);
}

#[test]
fn settings_of_an_environment_are_changed_by_who_governs_and_within_bounds() {
    world()
        .when("root", needing(9))
        .then_refuses("a promotion can need 0 to 8 approvals")
        .when("ana", needing(0))
        .then_denies("ana may not governance production in the system: no rule allows it")
        .when(
            "root",
            guard(GuardCommand::SetEnvironment { environment: environment("production"), change: EnvironmentChange::default() }),
        )
        .then_refuses("name at least one setting to change")
        .when("root", needing(0))
        // Whatever lets a promotion through without anybody else is told.
        .recording(["environment.set production - done", "alert.raise - production done"]);
}
