//! Who may do what, where: default deny, a denying rule wins, environments are walls.

use super::*;

#[test]
fn what_no_rule_allows_is_denied() {
    given([granted("ana", "read", "db/*"), added("web/key", 1)])
        .when("ana", read("web/key"))
        .then_denies("ana may not read web/key in production: no rule allows it")
        .recording(["secret.read production web/key denied"])
        .by("ana");
}

#[test]
fn a_rule_that_denies_wins_over_every_rule_that_allows() {
    for facts in [
        [granted("ana", "read", "*"), denied("ana", "read", "db/root")],
        [denied("ana", "read", "db/root"), granted("ana", "read", "*")],
    ] {
        given(facts)
            .and(added("db/root", 1))
            .and(added("db/app", 1))
            .when("ana", read("db/root"))
            .then_denies("ana may not read db/root in production: policy of-ana denies db/root")
            .when("ana", read("db/app"))
            .then_reads(["db/app v1"]);
    }
}

#[test]
fn a_denying_rule_of_one_policy_wins_over_another_policy_that_allows() {
    given([
        done(put_policy("readers", vec![rule("read", "*")])),
        granted("nobody", "list", "x"),
        denied("deny", "read", "db/root"),
    ])
    .and(added("db/root", 1))
    .and(holds_token("ana", &["readers", "of-deny", "root"], 0))
    .when("ana", read("db/root"))
    .then_denies("ana may not read db/root in production: policy of-deny denies db/root");
}

#[test]
fn a_rule_of_one_environment_is_about_no_other() {
    given([granted_in("staging", "ana", "read create", "*"), added_in("staging", "a", 1), added("a", 1)])
        .when("ana", read_in("staging", "a"))
        .then_reads(["a v1"])
        .when("ana", read("a"))
        .then_denies(
            "ana has no business in production (a): this attempt is recorded as a violation: the one for staging is staging:a",
        )
        .when("ana", put_in("production", "b"))
        .then_denies("ana has no business in production (b): this attempt is recorded as a violation");
}

#[test]
fn a_rule_of_one_environment_is_not_about_the_system() {
    given([granted_in("production", "ana", "tokens policies environments audit cluster", "*")])
        .when("ana", list_tokens())
        .then_denies("ana may not tokens  in the system: no rule allows it")
        .when("ana", create_environment("test"))
        .then_denies("ana may not environments test in the system: no rule allows it")
        .when("ana", query_audit(""))
        .then_denies("ana may not audit  in the system: no rule allows it");
}

#[test]
fn the_same_path_in_two_environments_is_two_secrets() {
    let world = given([added("a", 1), added("a", 2), added_in("staging", "a", 1)]);
    let staging = world.secret_in("staging", "a").unwrap();
    let asked = world.when("root", put("a")).then_writes(3).when("root", destroy("a")).then_versions([3]);
    assert_eq!(asked.world.secret_in("staging", "a").unwrap(), staging);
    assert_ne!(asked.world.secret("a").id, staging.id);
}

#[test]
fn a_plus_stands_for_any_one_segment() {
    given([
        granted("ana", "read", "db/+/password"),
        added("db/one/password", 1),
        added("db/one/two/password", 1),
        added("db/one/key", 1),
    ])
    .when("ana", read("db/one/password"))
    .then_reads(["db/one/password v1"])
    .when("ana", read("db/one/two/password"))
    .then_denies("ana may not read db/one/two/password in production: no rule allows it")
    .when("ana", read("db/one/key"))
    .then_denies("ana may not read db/one/key in production: no rule allows it")
    .and(granted("ana", "read", "web/+"))
    .when("ana", read("web/one/two"))
    .then_denies("ana may not read web/one/two in production: no rule allows it");
}

#[test]
fn writing_over_a_secret_needs_update_and_a_new_one_needs_create() {
    given([granted("ana", "create", "*"), granted("bob", "update", "*"), added("old", 1)])
        .when("ana", put("new"))
        .then_writes(1)
        .when("bob", put("old"))
        .then_writes(2)
        .when("ana", put("old"))
        .then_denies("ana may not update old in production: no rule allows it")
        .when("bob", put("other"))
        .then_denies("bob may not create other in production: no rule allows it")
        .when("ana", patch("old"))
        .then_denies("ana may not update old in production: no rule allows it")
        .when("ana", rollback("old", 1))
        .then_denies("ana may not update old in production: no rule allows it");
}

#[test]
fn each_look_and_each_change_needs_its_own_capability() {
    type Case = (&'static str, fn() -> Request);
    let cases: [Case; 15] = [
        ("read", || read("a")),
        ("create", || put("new")),
        ("update", || put("a")),
        ("update", || patch("a")),
        ("update", || rollback("a", 1)),
        ("list", || list("a")),
        ("list", || search("a")),
        ("list", || watch("a")),
        ("list", || history("a")),
        ("metadata", || set_metadata("a", described("x"))),
        ("delete", || delete("a")),
        ("destroy", || destroy("a")),
        ("tokens", list_tokens),
        ("policies", list_policies),
        ("cluster", || promote(2)),
    ];
    let every = "read create update list metadata delete destroy tokens policies environments audit cluster";
    for (capability, request) in cases {
        let others: &'static str = every.split(' ').filter(|word| *word != capability).collect::<Vec<_>>().join(" ").leak();
        given([granted("ana", capability, "*"), granted("bob", others, "*"), added("a", 1)])
            .when("ana", request())
            .then_is_done();
        let asked = given([granted("ana", capability, "*"), granted("bob", others, "*"), added("a", 1)]).when("bob", request());
        let rejection = asked.rejection();
        assert!(rejection.is_denial() && rejection.to_string().starts_with(&format!("bob may not {capability} ")), "{rejection}");
    }
}

#[test]
fn whoever_shows_no_token_or_an_unknown_one_is_not_authenticated() {
    let world = given([added("a", 1)]).and(Box::new(|world| world.hold("mallory", [66; 32])));
    world
        .when("nobody", read("a"))
        .then_is_not_authenticated()
        .recording(["secret.read production a denied"])
        .when("mallory", read("a"))
        .then_is_not_authenticated()
        .by("-");
}

#[test]
fn a_token_whose_policies_are_gone_may_nothing() {
    given([granted("ana", "read", "*"), added("a", 1), done(delete_policy("of-ana"))])
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it")
        .when("ana", lookup_self())
        .then_is_done();
}
