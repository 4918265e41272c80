//! Rules for values: the node that has the plaintext checks it, the leader decides whether it checked by the rules in force.

use super::*;
use node_domain::guard::{Classes, Reuse, ValueRule};
use node_domain::ids::{Revision, RuleName, Stamp};
use node_domain::limits;
use node_domain::policy::PathPattern;
use node_domain::sealed::{Checked, Held, Sealed};
use node_domain::secret::SecretType;

fn rule(name: &str) -> ValueRule {
    ValueRule {
        name: RuleName::parse(name).unwrap(),
        kind: None,
        environment: None,
        path: None,
        length_min: 0,
        length_max: 0,
        classes: Classes::default(),
        regex: None,
        json_schema: None,
        reuse: Reuse::Allow,
        ttl_ms_max: None,
        version: 0,
        updated: Stamp(0),
    }
}

pub(super) fn put_rule(rule: ValueRule) -> Request {
    guard(GuardCommand::PutRule(Box::new(rule)))
}

/// What the door of a node that knows this world's rules says of a value that breaks the rule `broken`, or none.
pub(super) fn checked(world: &World, sealed: Sealed, kind: SecretType, broken: Option<&str>) -> Sealed {
    let broken = broken.map(|name| (RuleName::parse(name).unwrap(), "it wants a digit".to_owned()));
    let rules = world.state.guard().rules.changed();
    Sealed { checked: Some(Box::new(Checked { rules, kind, broken })), ..sealed }
}

fn put_checked(place: &'static str, at: &'static str, value: u8, broken: Option<&'static str>) -> Request {
    Box::new(move |world| {
        let sealed = Sealed { reuse: Some([value; 16]), ..world.seal("value") };
        let sealed = checked(world, sealed, SecretType::Generic, broken);
        let about = node_domain::secret::AboutChange::default();
        Command::Put { environment: environment(place), path: path(at), sealed, expect: None, about, patch: false }
    })
}

#[test]
fn without_rules_nothing_has_to_be_checked() {
    given([]).when("root", put("a")).then_writes(1);
}

#[test]
fn a_value_that_breaks_a_rule_is_refused_recorded_and_reported_without_a_word_of_it() {
    let asked = given([done(put_rule(rule("strong")))])
        .when("root", put_checked("production", "db/password", 1, Some("strong")))
        .then_refuses("rule strong refuses the value of db/password in production: it wants a digit")
        .recording(["secret.put production db/password refused", "alert.raise - root: rule strong done"]);
    assert_eq!(alerts(&asked.world), ["governance warning root: rule strong ×1"]);
    asked.when("root", put_checked("production", "db/password", 1, None)).then_writes(1);
}

#[test]
fn a_value_checked_by_older_rules_or_for_another_type_is_checked_again() {
    let world = given([done(put_rule(rule("strong")))]);
    let changed = world.state.guard().rules.changed();
    let told = format!("the rules for a have changed at record {}: try again", changed.0);
    let world = world.when("root", put("a")).then_refuses(&told).world;
    let older: Request = Box::new(|world| {
        let sealed = world.seal("value");
        let mut sealed = checked(world, sealed, SecretType::Generic, None);
        sealed.checked.as_mut().unwrap().rules = Revision(1);
        let (environment, path, about) = (environment("production"), path("a"), Default::default());
        Command::Put { environment, path, sealed, expect: None, about, patch: false }
    });
    let world = world.when("root", older).then_refuses(&told).world;
    let other_type: Request = Box::new(|world| {
        let sealed = world.seal("value");
        let sealed = checked(world, sealed, SecretType::Generic, None);
        let (environment, path, about) = (environment("production"), path("a"), of_type(SecretType::Password));
        Command::Put { environment, path, sealed, expect: None, about, patch: false }
    });
    world.when("root", other_type).then_refuses(&told);
}

#[test]
fn what_a_door_found_is_told_to_those_alone_who_may_write() {
    given([done(put_rule(rule("strong"))), granted("ana", "read", "*")])
        .when("ana", put_checked("production", "a", 1, Some("strong")))
        .then_denies("ana may not write a in production: no rule allows it");
}

#[test]
fn what_the_door_found_does_not_travel_beyond_the_decision() {
    let asked = given([done(put_rule(rule("strong")))]).when("root", put_checked("production", "a", 1, None));
    let added = asked.decision.events.iter().find_map(|event| match event {
        node_domain::Event::SecretVersionAdded { sealed, .. } => Some(sealed.clone()),
        _ => None,
    });
    assert_eq!(added.unwrap().checked, None);
}

#[test]
fn a_longest_validity_is_held_against_what_the_type_or_the_caller_says() {
    let short = ValueRule { ttl_ms_max: Some(DAY_MS), ..rule("short") };
    let put_for = |ttl_ms: u64| -> Request {
        Box::new(move |world| {
            let sealed = world.seal("value");
            let sealed = checked(world, sealed, SecretType::Generic, None);
            let (environment, path, about) = (environment("production"), path("a"), valid_for_ms(ttl_ms));
            Command::Put { environment, path, sealed, expect: None, about, patch: false }
        })
    };
    let told = "rule short refuses the value of a in production: a version may be valid for 86400000 ms at most";
    given([done(put_rule(short))])
        .when("root", put_checked("production", "a", 1, None))
        .then_refuses(told)
        .when("root", put_for(DAY_MS + 1))
        .then_refuses(told)
        .when("root", put_for(DAY_MS))
        .then_writes(1);
}

#[test]
fn a_value_of_another_environment_is_refused_reported_or_allowed_as_the_rule_says() {
    let with = |reuse| ValueRule { reuse, environment: Some(environment("production")), ..rule("own") };
    let world = given([done(put_rule(with(Reuse::Refuse)))]);
    let world = world.when("root", put_checked("staging", "a", 7, None)).then_is_done();
    let told = "rule own refuses the value of b in production: the value is used in another environment too";
    let asked = world.when("root", put_checked("production", "b", 7, None)).then_refuses(told);
    // The same value twice in one environment is nobody's concern, nor is another value.
    let asked = asked.when("root", put_checked("staging", "c", 7, None)).then_writes(1);
    let asked = asked.when("root", put_checked("production", "b", 8, None)).then_writes(1);
    let world = asked.world.and(done(put_rule(with(Reuse::Alert))));
    let asked = world.when("root", put_checked("production", "b", 7, None)).then_writes(2);
    assert_eq!(alerts(&asked.world), ["governance warning root: rule own ×1", "governance warning production:b ×1"]);
    let found = asked.world.secret("b");
    let elsewhere = asked.world.state.reused_elsewhere(&environment("production"), found.versions.last().unwrap());
    assert_eq!(elsewhere, Some(&environment("staging")));
}

#[test]
fn a_value_that_was_replaced_destroyed_or_restored_is_found_where_it_is() {
    let refuse = ValueRule { reuse: Reuse::Refuse, environment: Some(environment("production")), ..rule("own") };
    let world = given([done(put_rule(refuse))]).when("root", put_checked("staging", "a", 7, None)).then_is_done();
    // A node that is handed the state in pieces knows it too.
    let restored = crate::invariants::restored(&world.state);
    let secret = restored.environment(&environment("staging")).unwrap().secret(&path("a")).unwrap().clone();
    let newest = secret.versions.last().unwrap();
    assert_eq!(restored.reused_elsewhere(&environment("production"), newest), Some(&environment("staging")));
    let asked = world.when("root", put_checked("staging", "a", 8, None)).when("root", put_checked("production", "b", 7, None));
    let asked = asked.then_writes(1);
    let asked = asked.when("root", put_checked("production", "c", 8, None));
    assert!(asked.rejection().to_string().contains("another environment"), "{}", asked.rejection());
    let destroy: Request = Box::new(|_| Command::Destroy {
        environment: environment("staging"),
        path: path("a"),
        versions: node_domain::command::Selection::All,
    });
    asked.when("root", destroy).when("root", put_checked("production", "c", 8, None)).then_writes(1);
}

#[test]
fn a_rule_is_about_a_type_a_path_and_an_environment() {
    let rule = ValueRule {
        kind: Some(SecretType::Password),
        path: Some(PathPattern::parse("db/*").unwrap()),
        environment: Some(environment("production")),
        ..rule("narrow")
    };
    let about = |place: &str, at: &str, kind| rule.is_about(&environment(place), &path(at), kind);
    assert!(about("production", "db/a", SecretType::Password));
    assert!(!about("staging", "db/a", SecretType::Password));
    assert!(!about("production", "web/a", SecretType::Password));
    assert!(!about("production", "db/a", SecretType::Token));
}

#[test]
fn rules_are_written_by_who_governs_counted_and_bounded() {
    let world = given([granted("ana", "governance", "*"), granted("bob", "read", "*")]);
    let mut world = world
        .when("ana", put_rule(rule("strong")))
        .then_versions([1])
        .recording(["rule.put - strong done"])
        .when("ana", put_rule(rule("strong")))
        .then_versions([2])
        .when("bob", put_rule(rule("weak")))
        .then_denies("bob may not governance weak in the system: no rule allows it")
        .when("bob", guard(GuardCommand::ListRules))
        .then_denies("bob may not governance  in the system: no rule allows it")
        .when("ana", guard(GuardCommand::CheckRules { environment: Some(environment("production")) }))
        .recording(["rule.check production - done"])
        .when("ana", guard(GuardCommand::DeleteRule { name: RuleName::parse("strong").unwrap() }))
        .recording(["rule.delete - strong done"])
        .when("ana", guard(GuardCommand::DeleteRule { name: RuleName::parse("strong").unwrap() }))
        .then_refuses("rule for values strong does not exist")
        .when("ana", put_rule(ValueRule { environment: Some(environment("nowhere")), ..rule("x") }))
        .then_refuses("environment nowhere does not exist")
        .when("ana", put_rule(ValueRule { length_min: 3, length_max: 2, ..rule("x") }))
        .then_refuses("the rule wants at least 3 and at most 2 characters")
        .world;
    for number in 0..limits::VALUE_RULES_MAX {
        world = world.when_unchecked("ana", put_rule(rule(&format!("rule-{number}"))));
    }
    world.when("ana", put_rule(rule("one-more"))).then_refuses("there are 256 rules for values already");
}

/// What the door finds of the newest value at `app/db` in production, for the type that is to count.
fn held(world: &World, kind: SecretType, broken: Option<&str>) -> Option<Box<Held>> {
    let value_id = world.secret("app/db").versions.last().unwrap().seal.value_id;
    let sealed = checked(world, world.clone().seal("x"), kind, broken);
    Some(Box::new(Held { value_id, checked: *sealed.checked? }))
}

fn move_held(to: &'static str, broken: Option<&'static str>) -> Request {
    Box::new(move |world| {
        let held = held(world, SecretType::Generic, broken);
        Command::Move { environment: environment("production"), from: path("app/db"), to: path(to), held }
    })
}

fn retype_held(broken: Option<&'static str>) -> Request {
    Box::new(move |world| {
        let held = held(world, SecretType::Password, broken);
        let about = of_type(SecretType::Password);
        Command::SetMetadata { environment: environment("production"), path: path("app/db"), about, held }
    })
}

#[test]
fn what_is_moved_under_a_rule_is_held_against_it() {
    let world = given([added("app/db", 1), done(put_rule(rule("strong")))]);
    let asked = world.when("root", rename("app/db", "db/main"));
    assert!(matches!(asked.rejection(), node_domain::Rejection::RulesMoved { .. }), "nobody has looked at it");
    asked
        .when("root", move_held("db/main", Some("strong")))
        .then_refuses("rule strong refuses the value of db/main in production: it wants a digit")
        .when("root", move_held("db/main", None))
        .then_versions([1]);
}

#[test]
fn what_is_hidden_is_held_against_the_rules_where_it_goes_and_what_was_destroyed_is_not() {
    let world = given([added("app/db", 1), done(put_rule(rule("strong"))), done(delete("app/db"))]);
    world
        .when("root", move_held("db/main", Some("strong")))
        .then_refuses("rule strong refuses the value of db/main in production: it wants a digit")
        .and(done(destroy("app/db")))
        .when("root", rename("app/db", "db/main"))
        .then_versions([1]);
}

#[test]
fn a_value_of_another_type_is_held_against_the_rules_for_it() {
    given([added("app/db", 1), done(put_rule(rule("strong")))])
        .when("root", retype_held(Some("strong")))
        .then_refuses("rule strong refuses the value of app/db in production: it wants a digit")
        .when("root", set_metadata("app/db", described("as before")))
        .when("root", retype_held(None))
        .recording(["secret.set-metadata production app/db done"]);
}

pub(super) fn looking(name: &str) -> ValueRule {
    ValueRule { regex: Some("[a-m].*".into()), ..rule(name) }
}

fn patch_checked(broken: Option<&'static str>) -> Request {
    Box::new(move |world| {
        let sealed = world.seal("merged");
        let sealed = checked(world, sealed, SecretType::Generic, broken);
        let expect = Some(node_domain::command::Expectation::Version(world.secret("app/db").newest));
        let (environment, path) = (environment("production"), path("app/db"));
        Command::Put { environment, path, sealed, expect, about: Default::default(), patch: true }
    })
}

fn rollback_checked(broken: Option<&'static str>) -> Request {
    Box::new(move |world| {
        let sealed = world.fetch("production", "app/db", Some(1));
        let sealed = checked(world, sealed, SecretType::Generic, broken);
        Command::Rollback { environment: environment("production"), path: path("app/db"), to: 1, sealed, expect: None }
    })
}

#[test]
fn whoever_has_a_rule_look_into_a_value_may_read_it_and_it_stands_in_the_journal() {
    let world = || {
        given([
            added("app/db", 1),
            done(put_rule(looking("strong"))),
            granted("eve", "governance metadata update create delete", "*"),
            granted("ana", "metadata update create delete read", "*"),
        ])
    };
    let told =
        "eve may not read app/db in production: no rule allows it, and rule strong for values looks into what stands there";
    for broken in [None, Some("strong")] {
        world()
            .when("eve", retype_held(broken))
            .then_denies(told)
            .when("eve", patch_checked(broken))
            .then_denies(told)
            .when("eve", rollback_checked(broken))
            .then_denies(told);
    }
    let read = "secret.read production app/db v1 done";
    world().when("ana", retype_held(None)).recording([read, "secret.set-metadata production app/db done"]);
    world().when("ana", patch_checked(None)).recording([read, "secret.patch production app/db v2 done"]);
    world().when("ana", rollback_checked(None)).recording([read, "secret.rollback production app/db v2 done"]);
    world().when("ana", move_held("db/main", None)).recording([read, "secret.move production app/db done"]);
    // A refusal tells something of the value too.
    let alert = "alert.raise - ana: rule strong done";
    let refused = |request, word: &str| {
        world().when("ana", request).recording([&format!("secret.{word} production app/db refused"), read, alert]);
    };
    refused(retype_held(Some("strong")), "set-metadata");
    refused(patch_checked(Some("strong")), "patch");
    refused(rollback_checked(Some("strong")), "rollback");
    refused(move_held("db/main", Some("strong")), "move");
}

#[test]
fn a_rule_that_looks_into_no_value_asks_for_no_right_to_read() {
    let short = ValueRule { reuse: Reuse::Alert, ..rule("short") };
    given([added("app/db", 1), done(put_rule(short)), granted("eve", "metadata update", "*")])
        .when("eve", retype_held(None))
        .recording(["secret.set-metadata production app/db done"]);
}
