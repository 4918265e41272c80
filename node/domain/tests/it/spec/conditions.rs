//! Rules that count under conditions only.

use super::*;
use node_domain::limits;
use node_domain::policy::{Conditions, Hours, Rule};
use node_domain::token::{Terms, Token};

/// Every minute of the week.
const ALL_WEEK: &str = "00:00-24:00";

#[test]
fn an_allowing_rule_counts_within_its_networks_alone() {
    given([granted_when("ana", "read", "*", within(&["10.0.0.0/8", "fd00::/8"])), added("a", 1), calling_from(Some("10.1.2.3"))])
        .when("ana", read("a"))
        .then_reads(["a v1"])
        .and(calling_from(Some("fd00::1")))
        .when("ana", read("a"))
        .then_reads(["a v1"])
        .and(calling_from(Some("192.168.1.1")))
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it")
        .and(calling_from(None))
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it");
}

#[test]
fn a_denying_rule_counts_within_its_networks_and_in_doubt() {
    given([
        granted("ana", "read", "*"),
        denied_when("ana", "read", "db/*", within(&["10.0.0.0/8"])),
        added("db/a", 1),
        calling_from(Some("192.168.1.1")),
    ])
    .when("ana", read("db/a"))
    .then_reads(["db/a v1"])
    .and(calling_from(Some("10.9.9.9")))
    .when("ana", read("db/a"))
    .then_denies("ana may not read db/a in production: policy of-ana denies db/*")
    .and(calling_from(None))
    .when("ana", read("db/a"))
    .then_denies("ana may not read db/a in production: policy of-ana denies db/*");
}

#[test]
fn a_rule_counts_during_its_hours_by_the_stamps_of_the_log() {
    let world = given([added("a", 1)]);
    // Hours that end one hour after the world began, on whatever day that was.
    let minute = u16::try_from(world.now.0 / 60_000_000 % (24 * 60)).unwrap();
    let hours = Hours { from_minute: minute, to_minute: (minute + 60) % (24 * 60), ..Hours::parse(ALL_WEEK).unwrap() };
    world
        .and(granted_when("ana", "read", "*", Conditions { hours: Some(hours), ..Conditions::default() }))
        .when("ana", read("a"))
        .then_reads(["a v1"])
        .and(later_ms(3_600_000))
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it");
}

#[test]
fn a_rule_counts_for_young_tokens_alone() {
    let young = Conditions { token_age_ms_max: Some(60_000), ..Conditions::default() };
    given([granted_when("ana", "read", "*", young), added("a", 1)])
        .when("ana", read("a"))
        .then_reads(["a v1"])
        .and(later_ms(60_000))
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it");
}

#[test]
fn a_rule_that_asks_for_a_second_factor_does_not_count_without_one() {
    let mfa = Conditions { mfa: true, ..Conditions::default() };
    given([granted_when("ana", "read", "*", mfa.clone()), added("a", 1)])
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it")
        .and(granted("bob", "read", "*"))
        .and(denied_when("bob", "read", "*", mfa))
        .when("bob", read("a"))
        .then_reads(["a v1"]);
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let both = Conditions { token_age_ms_max: Some(60_000), ..within(&["10.0.0.0/8"]) };
    given([granted_when("ana", "read", "*", both), added("a", 1), calling_from(Some("10.0.0.1"))])
        .when("ana", read("a"))
        .then_reads(["a v1"])
        .and(calling_from(Some("11.0.0.1")))
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it")
        .and(calling_from(Some("10.0.0.1")))
        .and(later_ms(60_000))
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it");
}

#[test]
fn a_listing_goes_by_the_conditions_too() {
    let inside = || within(&["10.0.0.0/8"]);
    given([
        granted_when("ana", "list", "db/*", inside()),
        granted("bob", "list", "*"),
        denied_when("bob", "list", "db/*", inside()),
    ])
    .and(calling_from(Some("10.0.0.1")))
    .when("ana", list(""))
    .when("bob", list("db/"))
    .then_denies("bob may not list db/ in production: policy of-bob denies db/*")
    .and(calling_from(Some("11.0.0.1")))
    .when("bob", list("db/"))
    .when("ana", list(""))
    .then_denies("ana may not list  in production: no rule allows it");
}

#[test]
fn conditions_that_no_door_makes_are_refused() {
    let put = |conditions: Conditions| put_policy("p", vec![Rule { conditions, ..rule("read", "*") }]);
    let network = "10.0.0.0/8".parse().unwrap();
    given([])
        .when("root", put(Conditions { addresses: vec![network; limits::RULE_NETWORKS_MAX + 1], ..Conditions::default() }))
        .then_refuses("a rule names at most 32 networks, not 33")
        .when("root", put(Conditions { token_age_ms_max: Some(0), ..Conditions::default() }))
        .then_refuses("no token is 0 ms old: leave the age out, or name one")
        .when("root", put(Conditions { hours: Some(Hours { days: 0, from_minute: 0, to_minute: 1 }), ..Conditions::default() }))
        .then_refuses("hours name at least one day, and times from 00:00 to 24:00")
        .when("root", put(during("mon-fri/08:00-18:00")))
        .then_versions([1]);
}

#[test]
fn a_token_bound_to_environments_reaches_no_other_one_nor_the_system() {
    let world = given([holds_token("ana", &["root"], 0), added("a", 1), added_in("staging", "a", 1)]);
    let token = world.state.token_by_accessor(&world.accessor("ana")).unwrap().clone();
    let bound = Token { terms: Terms { environments: vec![environment("staging")], ..Terms::default() }, ..token };
    let asking = node_domain::policy::Asking { token: &bound, address: None, now: world.now };
    let ask = |place: Option<&str>| {
        let place = place.map(environment);
        let permit = world.state.authorize(&asking, node_domain::policy::Capability::List, place.as_ref(), "a".to_owned());
        permit.map(|permit| permit.subject).map_err(|rejection| rejection.to_string())
    };
    assert_eq!(ask(Some("staging")), Ok("a".into()));
    assert_eq!(ask(Some("production")).unwrap_err(), "ana may not list a in production: the token counts in staging only");
    assert_eq!(ask(None).unwrap_err(), "ana may not list a in the system: the token counts in staging only");
    let listing = |place: &str| world.state.authorize_listing(&asking, &environment(place), String::new()).is_ok();
    assert!(listing("staging") && !listing("production"));
    let shows = |place: &str| world.state.sight(&asking, &environment(place)).shows("a");
    assert!(shows("staging") && !shows("production"));
}
