//! Put, patch, rollback, metadata: what makes a version, when, and how long it is valid.

use super::*;
use node_domain::command::Expectation;
use node_domain::limits;
use node_domain::secret::{AboutChange, SecretType};
use std::collections::BTreeMap;

#[test]
fn the_first_put_makes_version_one_and_the_next_makes_two() {
    given([])
        .when("root", put("db/password"))
        .then_writes(1)
        .recording(["secret.put production db/password v1 done"])
        .by("root")
        .when("root", put("db/password"))
        .then_writes(2);
}

#[test]
fn a_conditional_write_loses_to_whoever_wrote_first() {
    given([granted("ana", "create update", "db/*"), added("db/password", 1), added("db/password", 2)])
        .when("ana", put_if("db/password", 1))
        .then_refuses("db/password is at v2, not v1")
        .recording(["secret.put production db/password refused"])
        .when("ana", put_if("db/password", 2))
        .then_writes(3);
}

#[test]
fn a_conditional_write_of_nothing_yet_says_that_nothing_is_there() {
    given([]).when("root", put_if("db/password", 3)).then_refuses("db/password is at absent, not v3");
    given([]).when("root", put_if("db/password", 0)).then_writes(1);
    given([added("db/password", 1)]).when("root", put_if("db/password", 0)).then_refuses("db/password is at v1, not absent");
}

#[test]
fn a_write_expecting_nothing_live_loses_to_a_live_secret_and_wins_over_a_deleted_one() {
    given([added("db/password", 1)])
        .when("root", put_if_absent("db/password"))
        .then_refuses("db/password is at v1, not absent")
        .and(done(delete("db/password")))
        .when("root", put_if_absent("db/password"))
        .then_writes(2);
    given([]).when("root", put_if_absent("db/password")).then_writes(1);
}

#[test]
fn a_new_version_over_a_deleted_one_is_read_and_the_old_one_stays_deleted() {
    given([added("a", 1), done(delete("a")), added("a", 2)])
        .when("root", read("a"))
        .then_reads(["a v2"])
        .when("root", read_version("a", 1))
        .then_refuses("a v1 is deleted: undelete it, or name another version");
}

#[test]
fn a_patch_adds_a_version_only_where_there_is_a_secret() {
    given([added("db/config", 1)])
        .when("root", patch("db/config"))
        .then_writes(2)
        .recording(["secret.patch production db/config v2 done"])
        .when("root", patch_if("db/config", 1))
        .then_refuses("db/config is at v2, not v1")
        .when("root", patch("db/other"))
        .then_refuses("secret db/other does not exist")
        .recording(["secret.patch production db/other refused"]);
}

#[test]
fn a_patch_names_the_version_that_it_was_merged_from() {
    const WORDS: &str = "a patch expects the version that it was merged from";
    given([added("a", 1)])
        .when("root", patch_expecting("a", None))
        .then_refuses(WORDS)
        .recording(["secret.patch production a refused"])
        .when("root", patch_expecting("a", Some(Expectation::Absent)))
        .then_refuses(WORDS)
        .when("root", patch_expecting("none", Some(Expectation::Absent)))
        .then_refuses(WORDS)
        .when("root", patch_if("none", 0))
        .then_refuses("secret none does not exist")
        .and(granted("ana", "read", "*"))
        .when("ana", patch_expecting("a", None))
        .then_denies("ana may not update a in production: no rule allows it");
}

#[test]
fn what_is_hidden_or_gone_is_not_patched() {
    given([added("a", 1), done(delete("a"))])
        .when("root", patch("a"))
        .then_refuses("a v1 is deleted: undelete it, or name another version")
        .and(done(destroy("a")))
        .when("root", patch("a"))
        .then_refuses("a v1 is destroyed: its value is gone for good")
        .and(added("a", 2))
        .when("root", patch("a"))
        .then_writes(3);
}

#[test]
fn a_put_keeps_what_was_said_about_a_secret_unless_it_says_otherwise() {
    let about = AboutChange { owner: Some("team-db".into()), ..described("the password") };
    let world = given([]).when("root", put_about("a", about)).when("root", put_about("a", described("rotated"))).then_is_done();
    let about = world.secret("a").about;
    assert_eq!((about.description.as_str(), about.owner.as_str()), ("rotated", "team-db"));
}

#[test]
fn tags_are_kept_sorted_and_once() {
    let world = given([]).when("root", put_about("a", tagged(&["web", "db", "web"]))).then_is_done();
    assert_eq!(world.secret("a").about.tags, ["db", "web"]);
}

#[test]
fn the_type_of_a_secret_decides_how_long_a_new_version_is_valid() {
    for (kind, days) in [
        (SecretType::Generic, None),
        (SecretType::Token, Some(30)),
        (SecretType::Password, Some(90)),
        (SecretType::ApiKey, Some(90)),
        (SecretType::Database, Some(90)),
        (SecretType::SshKey, Some(365)),
        (SecretType::Tls, Some(365)),
    ] {
        given([]).when("root", put_about("a", of_type(kind))).then_writes(1).that_expires_in(days.map(|days: u64| days * DAY_MS));
    }
}

#[test]
fn a_validity_of_its_own_counts_more_than_the_type_and_zero_is_for_ever() {
    let both = |ttl_ms| AboutChange { ttl_ms: Some(ttl_ms), ..of_type(SecretType::Password) };
    given([]).when("root", put_about("a", both(5_000))).then_writes(1).that_expires_in(Some(5_000));
    given([])
        .when("root", put_about("a", both(0)))
        .then_writes(1)
        .that_expires_in(None)
        .when("root", put("a"))
        .then_writes(2)
        .that_expires_in(None);
}

#[test]
fn a_changed_validity_counts_for_new_versions_only() {
    let world = given([added("a", 1), done(set_metadata("a", valid_for_ms(1_000)))]);
    assert_eq!(world.secret("a").versions[0].expires, None);
    world.when("root", put("a")).then_writes(2).that_expires_in(Some(1_000));
}

#[test]
fn a_version_is_read_until_the_stamp_at_which_it_ends() {
    let world = given([done(put_about("a", valid_for_ms(60_000)))]);
    let end = world.secret("a").versions[0].expires.unwrap();
    let mut world = world.and(later_ms(30_000)).when("root", read("a")).then_reads(["new value"]).world;
    // The clock moves by a millisecond before each request; place the request exactly one microsecond before the end.
    world.now.0 = end.0 - 1_001;
    let mut world = world.when("root", read("a")).then_reads(["new value"]).world;
    world.now.0 = end.0 - 1_000;
    world
        .when("root", read("a"))
        .then_refuses(&format!("a v1 is expired since {} ms: put a new version", end.as_ms()))
        .recording(["secret.read production a refused"])
        .when("root", put("a"))
        .then_writes(2)
        .when("root", read("a"))
        .then_reads(["new value"]);
}

#[test]
fn ten_versions_are_kept_where_nothing_else_is_said() {
    let mut world = given([]);
    for number in 1..=12 {
        world = world.and(added("a", number));
    }
    let kept: Vec<u64> = world.secret("a").versions.iter().map(|version| version.number).collect();
    assert_eq!(kept, (3..=12).collect::<Vec<_>>());
    world
        .when("root", read_version("a", 2))
        .then_refuses("version a v2 does not exist")
        .when("root", read_version("a", 3))
        .then_reads(["a v3"]);
}

#[test]
fn fewer_versions_are_kept_from_the_next_write_on() {
    let world = given([added("a", 1), added("a", 2), added("a", 3), done(set_metadata("a", keeping(1)))]);
    assert_eq!(world.secret("a").versions.len(), 3);
    let world = world.and(added("a", 4));
    assert_eq!(world.secret("a").versions.iter().map(|version| version.number).collect::<Vec<_>>(), [4]);
}

#[test]
fn at_most_a_hundred_versions_are_kept() {
    given([])
        .when("root", put_about("a", keeping(limits::VERSIONS_MAX + 1)))
        .then_refuses("at most 100 versions can be kept")
        .when("root", put_about("a", keeping(limits::VERSIONS_MAX)))
        .then_writes(1);
}

#[test]
fn a_secret_keeps_its_id_over_its_versions() {
    let world = given([added("a", 1)]);
    let first = world.secret("a");
    let second = world.and(added("a", 2)).secret("a");
    assert_eq!(first.id, second.id);
    assert_eq!(first.id.0, first.versions[0].index.0, "the id is the record that created the secret");
    assert!(second.updated > first.updated && second.created == first.created);
}

#[test]
fn a_rollback_adds_a_version_with_an_older_value() {
    let world = given([added("a", 1), added("a", 2)])
        .when("root", rollback("a", 1))
        .then_writes(3)
        .recording(["secret.rollback production a v3 done"])
        .when("root", read("a"))
        .then_reads(["a v1"])
        .world;
    let versions = world.secret("a").versions;
    assert_eq!(versions[2].seal, versions[0].seal);
}

#[test]
fn a_rollback_needs_a_readable_version_and_the_expected_newest() {
    given([added("a", 1), added("a", 2)])
        .when("root", rollback("b", 1))
        .then_refuses("secret b does not exist")
        .when("root", rollback("a", 3))
        .then_refuses("version a v3 does not exist")
        .when("root", rollback_if("a", 1, 1))
        .then_refuses("a is at v2, not v1")
        .and(done(delete_those("a", these(&[1]))))
        .when("root", rollback("a", 1))
        .then_refuses("a v1 is deleted: undelete it, or name another version")
        .and(done(destroy_those("a", these(&[1]))))
        .when("root", rollback("a", 1))
        .then_refuses("a v1 is destroyed: its value is gone for good")
        .recording(["secret.rollback production a refused"]);
}

#[test]
fn a_rollback_takes_only_the_bytes_of_the_version_it_names() {
    given([added("a", 1), added("a", 2)])
        .when(
            "root",
            Box::new(|world| {
                let sealed = world.fetch("production", "a", Some(2));
                node_domain::Command::Rollback {
                    environment: environment("production"),
                    path: path("a"),
                    to: 1,
                    sealed,
                    expect: None,
                }
            }),
        )
        .then_refuses("a is at v1, not another version");
}

#[test]
fn metadata_changes_without_a_new_version() {
    let world = given([added("a", 1)])
        .when("root", set_metadata("a", described("what it is for")))
        .recording(["secret.set-metadata production a done"])
        .then_is_done();
    let secret = world.secret("a");
    assert_eq!((secret.about.description.as_str(), secret.newest), ("what it is for", 1));
    assert!(secret.updated > secret.created);
}

#[test]
fn metadata_is_set_where_a_secret_stands_and_something_changes() {
    given([added("a", 1)])
        .when("root", set_metadata("b", described("x")))
        .then_refuses("secret b does not exist")
        .when("root", set_metadata("a", AboutChange::default()))
        .then_refuses("name at least one thing to change");
}

#[test]
fn what_is_said_about_a_secret_is_bounded() {
    let text = |bytes: usize| Some("x".repeat(bytes));
    let custom = |key: usize, value: usize, entries: usize| {
        let entry = |at: usize| (format!("{at:0>key$}"), "x".repeat(value));
        Some((0..entries).map(entry).collect::<BTreeMap<_, _>>())
    };
    let tags = |bytes: usize, count: usize| Some((0..count).map(|at| format!("{at:0>bytes$}")).collect::<Vec<_>>());
    let about = AboutChange::default;
    let fits = [
        AboutChange { description: text(1024), owner: text(1024), ..about() },
        AboutChange { tags: tags(128, 64), ..about() },
        AboutChange { custom: custom(128, 512, 64), ..about() },
    ];
    let exceeds = [
        (AboutChange { description: text(1025), ..about() }, "description is longer than 1024 bytes"),
        (AboutChange { owner: text(1025), ..about() }, "owner is longer than 1024 bytes"),
        (AboutChange { tags: tags(129, 1), ..about() }, "at most 64 tags of 1 to 128 bytes"),
        (AboutChange { tags: tags(3, 65), ..about() }, "at most 64 tags of 1 to 128 bytes"),
        (tagged(&[""]), "at most 64 tags of 1 to 128 bytes"),
        (AboutChange { custom: custom(129, 1, 1), ..about() }, CUSTOM),
        (AboutChange { custom: custom(1, 513, 1), ..about() }, CUSTOM),
        (AboutChange { custom: custom(2, 1, 65), ..about() }, CUSTOM),
        (AboutChange { custom: Some(BTreeMap::from([(String::new(), String::new())])), ..about() }, CUSTOM),
    ];
    for about in fits {
        given([added("a", 1)]).when("root", set_metadata("a", about)).then_is_done();
    }
    for (about, words) in exceeds {
        given([added("a", 1)])
            .when("root", set_metadata("a", about.clone()))
            .then_refuses(words)
            .when("root", put_about("a", about))
            .then_refuses(words);
    }
}

const CUSTOM: &str = "at most 64 custom entries, keys of 1 to 128 bytes, values up to 512";

#[test]
fn a_value_is_at_most_a_mebibyte() {
    fn sized(plain: usize, sealed: usize) -> node_domain::sealed::Sealed {
        let payload = node_domain::sealed::Payload { wrapped_key: vec![1; 60].into(), ciphertext: vec![2; sealed - 60].into() };
        node_domain::sealed::Sealed::new(1, [9; 16], plain as u32, false, payload)
    }
    given([])
        .when("root", put_sealed("a", |_| sized(limits::VALUE_BYTES_MAX, limits::SEALED_BYTES_MAX)))
        .then_writes(1)
        .when("root", put_sealed("a", |_| sized(limits::VALUE_BYTES_MAX + 1, 100)))
        .then_refuses("a value is at most 1048576 bytes")
        .when("root", put_sealed("a", |_| sized(1, limits::SEALED_BYTES_MAX + 1)))
        .then_refuses("a value is at most 1048576 bytes");
}

#[test]
fn a_value_comes_whole_and_sealed_by_a_key_that_the_environment_has() {
    given([])
        .when("root", put_sealed("a", |world| node_domain::sealed::Sealed { payload: None, ..world.seal("x") }))
        .then_refuses("the sealed value is not whole")
        .when(
            "root",
            put_sealed("a", |world| {
                let other = world.seal("y").payload;
                node_domain::sealed::Sealed { payload: other, ..world.seal("x") }
            }),
        )
        .then_refuses("the sealed value is not whole")
        .when(
            "root",
            put_sealed("a", |world| {
                let payload = world.seal("x").payload.unwrap();
                node_domain::sealed::Sealed::new(2, [1; 16], 1, false, payload)
            }),
        )
        .then_refuses("the value is sealed by a key that the environment does not have");
}
