//! Read, read many, list, search, watch, history: each look leaves a record of its own.

use super::*;
use node_domain::limits;
use node_domain::policy::{Asking, Capability};

#[test]
fn a_read_gives_the_newest_version_and_leaves_a_record() {
    given([granted("ana", "read", "db/*"), added("db/password", 1), added("db/password", 2)])
        .when("ana", read("db/password"))
        .then_reads(["db/password v2"])
        .recording(["secret.read production db/password v2 done"])
        .by("ana");
}

#[test]
fn a_read_by_number_gives_that_version() {
    given([added("a", 1), added("a", 2)])
        .when("root", read_version("a", 1))
        .then_reads(["a v1"])
        .recording(["secret.read production a v1 done"])
        .when("root", read_version("a", 3))
        .then_refuses("version a v3 does not exist")
        .when("root", read_version("a", 0))
        .then_refuses("version a v0 does not exist");
}

#[test]
fn a_read_of_nothing_says_so() {
    given([])
        .when("root", read("db/password"))
        .then_refuses("secret db/password does not exist")
        .recording(["secret.read production db/password refused"])
        .when("root", read_in("nowhere", "db/password"))
        .then_refuses("environment nowhere does not exist")
        .recording(["secret.read nowhere db/password refused"]);
}

#[test]
fn a_read_without_a_number_never_falls_back_to_an_older_version() {
    given([added("a", 1), added("a", 2), done(delete("a"))])
        .when("root", read("a"))
        .then_refuses("a v2 is deleted: undelete it, or name another version")
        .when("root", read_version("a", 1))
        .then_reads(["a v1"]);
}

#[test]
fn each_of_many_reads_is_answered_and_recorded_by_itself() {
    given([granted("ana", "read", "db/*"), added("db/a", 1), added("db/b", 1), added("web/a", 1)])
        .when("ana", read_many(vec![("db/b", None), ("web/a", None), ("db/none", None), ("db/a", Some(1)), ("db/a", Some(2))]))
        .then_reads([
            "db/b v1",
            "ana may not read web/a in production: no rule allows it",
            "secret db/none does not exist",
            "db/a v1",
            "version db/a v2 does not exist",
        ])
        .recording([
            "secret.read production db/b v1 done",
            "secret.read production web/a denied",
            "secret.read production db/none refused",
            "secret.read production db/a v1 done",
            "secret.read production db/a refused",
        ]);
}

#[test]
fn the_same_secret_may_be_read_twice_in_one_call() {
    given([added("a", 1)]).when("root", read_many(vec![("a", None), ("a", None)])).then_reads(["a v1", "a v1"]);
}

#[test]
fn one_call_reads_1_to_256_secrets() {
    given([added("a", 1)])
        .when("root", read_many(vec![]))
        .then_refuses("read 1 to 256 secrets at once")
        .recording(["secret.read production - refused"])
        .when("root", read_many(vec![("a", None); limits::READ_MANY_MAX + 1]))
        .then_refuses("read 1 to 256 secrets at once")
        .recording(["secret.read production a refused"])
        .when("root", read_many(vec![("a", None); limits::READ_MANY_MAX]))
        .then_is_done();
}

#[test]
fn reading_changes_nothing_but_the_count_of_records() {
    let world = given([added("a", 1)]);
    let (digest, revision) = (world.state.digest(), world.state.revision().0);
    let world = world.when("root", read("a")).when("root", list("")).when("root", history("a")).then_is_done();
    assert_eq!(world.state.digest(), digest);
    assert_eq!(world.state.revision().0, revision + 3);
}

#[test]
fn a_listing_a_search_and_a_watch_leave_one_record_with_their_prefix() {
    given([granted("ana", "list", "db/*"), added("db/a", 1)])
        .when("ana", list("db/"))
        .recording(["secret.list production db/ done"])
        .when("ana", search("db/x"))
        .recording(["secret.search production db/x done"])
        .when("ana", watch("db/"))
        .recording(["secret.watch production db/ done"]);
}

#[test]
fn a_listing_is_allowed_where_a_rule_could_show_something_under_its_prefix() {
    let could = [
        ("db/password", ["", "d", "db/", "db/password"].as_slice()),
        ("db/*", &["", "d", "db/", "db/x", "db/x/y"]),
        ("db/p*", &["", "db/", "db/p", "db/pass", "db/p/q"]),
        ("db/+/key", &["", "d", "db/", "db/one", "db/one/", "db/one/k", "db/one/key"]),
        ("db/+*", &["db/", "db/one/two"]),
        ("+/x/*", &["", "a", "a/", "a/x", "a/x/", "a/x/y/z"]),
        ("*", &["", "anything/at/all"]),
    ];
    for (pattern, prefixes) in could {
        for prefix in prefixes {
            given([granted("ana", "list", pattern)]).when("ana", list(prefix)).then_is_done();
        }
    }
    let could_not = [
        ("db/password", ["db/password2", "db/password/", "db/q", "web/", "b"].as_slice()),
        ("db/*", &["dbx", "web/", "e"]),
        ("db/p*", &["db/q", "db/xp"]),
        ("db/+/key", &["db/one/x", "db/one/keys", "db/one/key/", "db/one/two/key", "web/"]),
        ("db/+*", &["web/"]),
        ("+/x/*", &["a/y", "a/xx"]),
    ];
    for (pattern, prefixes) in could_not {
        for prefix in prefixes {
            let asked = given([granted("ana", "list", pattern)]).when("ana", list(prefix));
            asked.then_denies(&format!("ana may not list {prefix} in production: no rule allows it"));
        }
    }
}

#[test]
fn a_listing_is_denied_where_no_rule_could_show_anything() {
    given([granted("ana", "list", "db/*"), granted_in("staging", "ana", "list", "web/*"), added("web/a", 1)])
        .when("ana", list("web/"))
        .then_denies("ana may not list web/ in production: no rule allows it")
        .recording(["secret.list production web/ denied"])
        .when("ana", search("web/"))
        .then_denies("ana may not list web/ in production: no rule allows it")
        .recording(["secret.search production web/ denied"])
        .when("ana", watch("web/"))
        .then_denies("ana may not list web/ in production: no rule allows it")
        .recording(["secret.watch production web/ denied"])
        .and(granted("ana", "list", "*"))
        .and(denied("ana", "list", "web/*"))
        .when("ana", list("web/a"))
        .then_denies("ana may not list web/a in production: policy of-ana denies web/*")
        .when("ana", list("web"))
        .then_is_done();
}

#[test]
fn what_is_shown_of_a_listing_is_what_may_be_listed_by_itself() {
    let world = given([
        granted("ana", "list", "db/*"),
        granted("ana", "list", "app/+/key"),
        granted("ana", "read", "web/*"),
        granted_in("staging", "ana", "list", "*"),
        denied("ana", "list", "db/root"),
        denied("ana", "read", "db/app"),
    ]);
    let credential = world.credential("ana");
    let token = world.state.authenticate(Some(&credential), None, world.state.stamp()).unwrap();
    let asking = Asking { token, address: None, now: world.state.stamp() };
    for place in ["production", "staging"] {
        let place = environment(place);
        let sight = world.state.sight(&asking, &place);
        for at in ["db/app", "db/root", "db/root/x", "app/one/key", "app/one", "app/one/two/key", "web/a", "a"] {
            let alone = world.state.authorize(&asking, Capability::List, Some(&place), at);
            assert_eq!(sight.shows(at), alone.is_ok(), "{at} in {place}");
        }
    }
    let production = environment("production");
    let sight = world.state.sight(&asking, &production);
    assert!(sight.shows("db/app") && sight.shows("app/one/key") && !sight.shows("db/root") && !sight.shows("web/a"));
}

#[test]
fn a_prefix_is_bounded() {
    let prefix: &'static str = "x".repeat(limits::PATH_BYTES_MAX + 1).leak();
    let asked = given([]).when("root", list(prefix)).then_refuses("a prefix is at most 512 bytes");
    let recorded = asked.lines().remove(0);
    assert_eq!(recorded, format!("secret.list production {} refused", &prefix[..limits::PATH_BYTES_MAX]), "the record is cut");
}

#[test]
fn a_prefix_that_is_cut_in_a_record_is_cut_between_characters() {
    let prefix: &'static str = "é".repeat(limits::PATH_BYTES_MAX).leak();
    let asked = given([]).when("root", list(prefix)).then_refuses("a prefix is at most 512 bytes");
    assert!(asked.lines()[0].contains(&"é".repeat(limits::PATH_BYTES_MAX / 2)));
}

#[test]
fn a_history_is_of_a_secret_that_is_there_deleted_or_not() {
    given([added("a", 1), done(delete("a"))])
        .when("root", history("a"))
        .recording(["secret.history production a done"])
        .when("root", history("b"))
        .then_refuses("secret b does not exist")
        .recording(["secret.history production b refused"]);
}

#[test]
fn the_entries_under_a_prefix_come_in_order_after_the_cursor() {
    let world = given([added("db/b", 1), added("db/a", 1), added("db-x", 1), added("web", 1)]);
    let home = world.state.environment(&environment("production")).unwrap();
    let under = |prefix, cursor| home.under(prefix, cursor).map(|secret| secret.path.to_string()).collect::<Vec<_>>();
    assert_eq!(under("", ""), ["db-x", "db/a", "db/b", "web"]);
    assert_eq!(under("db/", ""), ["db/a", "db/b"]);
    assert_eq!(under("db/", "db/a"), ["db/b"]);
    assert_eq!(under("db/", "a"), ["db/a", "db/b"]);
    assert!(under("db/", "db/b").is_empty());
    assert!(under("db/", "zz").is_empty());
}
