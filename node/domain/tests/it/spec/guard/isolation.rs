//! Walls: who has business in one environment only and asks for something of another is told no, recorded and reported.

use super::*;

const AT_STAGING: &str = "ana in production";

fn violated(words: &'static str, request: Request) -> Asked {
    let asked = given([granted_in("staging", "ana", words, "*"), added_in("staging", "db/password", 1), added("db/secret", 1)])
        .when("ana", request);
    assert!(asked.rejection().is_violation(), "{}", asked.rejection());
    asked
}

#[test]
fn asking_for_a_secret_of_an_environment_one_has_nothing_to_do_with_is_a_violation_and_an_alert() {
    let asked = violated("read list", read("db/other"))
        .then_denies("ana has no business in production (db/other): this attempt is recorded as a violation")
        .recording(["secret.read production db/other violation", "alert.raise - ana in production done"])
        .by("ana");
    assert_eq!(alerts(&asked.world), [format!("violation critical {AT_STAGING} ×1")]);
}

#[test]
fn a_violation_points_to_the_secret_of_the_callers_own_environment_and_never_tells_whether_the_other_exists() {
    let told = "ana has no business in production (db/password): this attempt is recorded as a violation: the one for staging is \
                staging:db/password";
    let asked = violated("read", read("db/password")).then_denies(told);
    // The same words when it does exist there.
    asked.and(added("db/password", 1)).when("ana", read("db/password")).then_denies(told);
    // No pointer for who may not read it there either, and none where nothing stands.
    violated("list", read("db/password"))
        .then_denies("ana has no business in production (db/password): this attempt is recorded as a violation");
    violated("read", read("db/secret"))
        .then_denies("ana has no business in production (db/secret): this attempt is recorded as a violation");
}

#[test]
fn every_way_of_asking_is_a_violation() {
    type Case = fn() -> Request;
    let cases: [Case; 16] = [
        || read("db/password"),
        || put("db/password"),
        || patch("db/password"),
        || set_metadata("db/password", described("x")),
        || list("db/"),
        || search(""),
        || watch("db/"),
        || history("db/password"),
        || rollback("db/password", 1),
        || delete("db/password"),
        || undelete("db/password"),
        || destroy("db/password"),
        || copy("db/password", "db/mine"),
        || rename("db/password", "db/mine"),
        || transact(vec![putting("db/password", None)]),
        || transact(vec![checking("db/password", None)]),
    ];
    for request in cases {
        let asked = violated("read list create update delete destroy metadata", request());
        assert_eq!(alerts(&asked.world), [format!("violation critical {AT_STAGING} ×1")]);
    }
}

#[test]
fn reads_of_many_secrets_raise_one_alert() {
    let asked =
        given([granted_in("staging", "ana", "read", "*")]).when("ana", read_many(vec![("a", None), ("b", None)])).recording([
            "secret.read production a violation",
            "secret.read production b violation",
            "alert.raise - ana in production done",
        ]);
    assert_eq!(alerts(&asked.world), [format!("violation critical {AT_STAGING} ×1")]);
}

#[test]
fn whoever_has_some_business_there_is_only_denied() {
    for facts in [
        [granted_in("staging", "ana", "read", "*"), granted_in("production", "ana", "list", "web/*")],
        [granted_in("staging", "ana", "read", "*"), granted("ana", "read", "web/*")],
    ] {
        let asked = given(facts)
            .when("ana", read("db/password"))
            .then_denies("ana may not read db/password in production: no rule allows it");
        assert!(alerts(&asked.world).is_empty());
    }
}

#[test]
fn whoever_has_business_nowhere_or_in_the_system_alone_is_only_denied() {
    given([granted("ana", "tokens audit", "*")])
        .when("ana", read("db/password"))
        .then_denies("ana may not read db/password in production: no rule allows it");
}

#[test]
fn a_name_that_no_environment_has_is_no_violation() {
    given([granted_in("staging", "ana", "read", "*")])
        .when("ana", read_in("nowhere", "db/password"))
        .then_denies("ana may not read db/password in nowhere: no rule allows it");
}

#[test]
fn what_a_door_found_to_be_denied_is_a_violation_too() {
    let refused_at_the_door: Request = Box::new(|_| Command::Malformed {
        operation: node_domain::operation::Operation::SecretPatch,
        environment: "production".into(),
        subject: "db/password".into(),
        rejection: node_domain::Rejection::Denied {
            principal: "ana".into(),
            capability: "update".into(),
            subject: "db/password".into(),
            environment: "production".into(),
            why: "no rule allows it".into(),
        },
    });
    violated("read", refused_at_the_door)
        .recording(["secret.patch production db/password violation", "alert.raise - ana in production done"]);
}

#[test]
fn a_violation_asked_again_under_the_same_id_is_a_violation_again() {
    given([granted_in("staging", "ana", "create", "*")])
        .when_under((9, 1), "ana", put("db/password"))
        .when_under((9, 1), "ana", put("db/password"))
        .then_denies("ana has no business in production (db/password): this attempt is recorded as a violation");
}

use super::super::world::Asked;
