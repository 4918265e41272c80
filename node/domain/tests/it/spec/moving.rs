//! Copy and move, within one environment.

use super::*;
use node_domain::secret::{AboutChange, SecretType};

#[test]
fn a_copy_takes_the_newest_value_and_what_is_said_about_it() {
    let about = AboutChange { tags: Some(vec!["db".into()]), max_versions: Some(3), ..of_type(SecretType::Token) };
    let asked = given([added("a", 1), done(put_about("a", about))])
        .when("root", copy("a", "b"))
        .then_writes(1)
        .that_expires_in(Some(30 * DAY_MS))
        .recording(["secret.read production a v2 done", "secret.copy production b v1 done"]);
    let (source, copied) = (asked.world.secret("a"), asked.world.secret("b"));
    assert_eq!(copied.versions[0].seal, source.versions[1].seal);
    assert_eq!((&copied.about.tags, copied.about.kind), (&source.about.tags, SecretType::Token));
    assert_eq!(copied.about.max_versions, 0, "how many versions are kept is not copied");
    assert_ne!(copied.id, source.id);
    assert_eq!(copied.id.0, asked.world.state.revision().0, "the copy is named by its own record, not by that of the read");
    asked.when("root", read("b")).then_reads(["new value"]).when("root", read("a")).then_reads(["new value"]);
}

#[test]
fn a_copy_lands_where_nothing_live_stands_unless_it_expects_what_stands_there() {
    given([added("a", 1), added("b", 1), added("b", 2)])
        .when("root", copy("a", "b"))
        .then_refuses("b is at v2, not absent")
        .recording(["secret.copy production a refused"])
        .when("root", copy_if("a", "b", 1))
        .then_refuses("b is at v2, not v1")
        .when("root", copy_if("a", "b", 2))
        .then_writes(3)
        .when("root", read("b"))
        .then_reads(["a v1"])
        .and(done(delete("b")))
        .when("root", copy("a", "b"))
        .then_writes(4);
}

#[test]
fn only_what_can_be_read_is_copied() {
    given([added("a", 1)])
        .when("root", copy("none", "b"))
        .then_refuses("secret none does not exist")
        .and(done(delete("a")))
        .when("root", copy("a", "b"))
        .then_refuses("a v1 is deleted: undelete it, or name another version");
}

#[test]
fn a_value_that_is_valid_no_more_is_not_copied() {
    let world = given([done(put_about("a", valid_for_ms(60_000)))]);
    let end = world.secret("a").versions[0].expires.unwrap();
    world
        .and(later_ms(60_000))
        .when("root", copy("a", "b"))
        .then_refuses(&format!("a v1 is expired since {} ms: put a new version", end.as_ms()))
        .recording(["secret.copy production a refused"]);
}

#[test]
fn a_copy_of_bytes_that_are_the_newest_no_more_is_refused() {
    given([added("a", 1), added("a", 2)])
        .when(
            "root",
            Box::new(|world| {
                let sealed = world.fetch("production", "a", Some(1));
                let (from, to) = (path("a"), path("b"));
                node_domain::Command::Copy { environment: environment("production"), from, to, sealed, expect: None }
            }),
        )
        .then_refuses("a is at v2, not another version");
}

#[test]
fn a_copy_needs_read_there_and_create_or_update_here() {
    given([
        granted("ana", "read", "a"),
        granted("ana", "create", "new/*"),
        granted("ana", "update", "old"),
        added("a", 1),
        added("old", 1),
    ])
    .when("ana", copy("a", "new/b"))
    .then_writes(1)
    .when("ana", copy_if("a", "old", 1))
    .then_writes(2)
    .when("ana", copy("new/b", "new/c"))
    .then_denies("ana may not read new/b in production: no rule allows it");
}

#[test]
fn a_move_takes_all_versions_and_leaves_nothing_to_read_behind() {
    let world = given([added("a", 1), added("a", 2), done(delete("a"))]);
    let before = world.secret("a");
    let asked = world.when("root", rename("a", "b")).then_versions([2]).recording(["secret.move production a done"]);
    let after = asked.world.secret("b");
    assert_eq!((after.id, &after.versions, &after.about), (before.id, &before.versions, &before.about));
    assert!(after.updated > before.updated);
    asked.when("root", history("a")).then_refuses("secret a does not exist").when("root", put("a")).then_writes(3);
}

#[test]
fn nothing_is_moved_onto_something_deleted_or_not() {
    given([added("a", 1), added("b", 1)])
        .when("root", rename("a", "b"))
        .then_refuses("secret b exists already")
        .recording(["secret.move production a refused"])
        .and(done(delete("b")))
        .when("root", rename("a", "b"))
        .then_refuses("secret b exists already")
        .when("root", rename("a", "a"))
        .then_refuses("secret a exists already")
        .when("root", rename("none", "c"))
        .then_refuses("secret none does not exist");
}

#[test]
fn a_move_needs_delete_and_read_there_and_create_here() {
    given([granted("ana", "delete", "a"), granted("bob", "create", "b"), added("a", 1)])
        .when("ana", rename("a", "b"))
        .then_denies("ana may not read a in production: no rule allows it")
        .and(granted("ana", "read", "a"))
        .when("ana", rename("a", "b"))
        .then_denies("ana may not create b in production: no rule allows it")
        .recording(["secret.move production a denied"])
        .when("bob", rename("a", "b"))
        .then_denies("bob may not delete a in production: no rule allows it")
        .and(granted("ana", "create", "b"))
        .when("ana", rename("a", "b"))
        .then_versions([1]);
}

#[test]
fn who_expects_a_version_never_meets_another_secret_that_took_its_place() {
    given([added("a", 1), added("a", 2), done(rename("a", "b"))])
        .when("root", put("a"))
        .then_writes(3)
        .when("root", put_if("a", 2))
        .then_refuses("a is at v3, not v2")
        .when("root", patch_if("a", 2))
        .then_refuses("a is at v3, not v2")
        .and(done(rename("a", "c")))
        .when("root", copy("c", "a"))
        .then_writes(4);
}

#[test]
fn a_secret_with_lower_numbers_is_not_moved_where_higher_ones_stood() {
    given([added("a", 1), added("a", 2), added("b", 1), added("c", 1), added("c", 2), added("c", 3), done(rename("a", "old"))])
        .when("root", rename("b", "a"))
        .then_refuses("b is at v1, not above v2, where a had come to before: copy it there instead")
        .recording(["secret.move production b refused"])
        .when("root", rename("c", "a"))
        .then_versions([3]);
}

#[test]
fn a_secret_comes_back_to_where_it_was() {
    given([added("a", 1), done(rename("a", "b"))])
        .when("root", rename("b", "a"))
        .then_versions([1])
        .when("root", put_if("a", 1))
        .then_writes(2)
        .when("root", put("b"))
        .then_writes(2);
}
