//! Sealing one environment: nobody reads or writes there, on any node, from that record on.

use super::super::world::{ELSEWHERE, HOME};
use super::super::*;
use super::{rewrap, rotate, seal, unseal};

const WORDS: &str = "environment production is sealed: holdfast env unseal production";

#[test]
fn in_a_sealed_environment_nothing_is_read_written_or_listed_not_even_by_root() {
    let world = given([added("a", 1), added("a", 2)])
        .when("root", seal(HOME))
        .recording(["environment.seal production - done", "alert.raise - production sealed done"])
        .then_is_done();
    let asked = world
        .when("root", read("a"))
        .then_refuses(WORDS)
        .recording(["secret.read production a refused"])
        .when("root", put("a"))
        .then_refuses(WORDS)
        .when("root", put("new"))
        .then_refuses(WORDS)
        .when("root", list(""))
        .then_refuses(WORDS)
        .when("root", search(""))
        .then_refuses(WORDS)
        .when("root", watch(""))
        .then_refuses(WORDS)
        .when("root", history("a"))
        .then_refuses(WORDS)
        .when("root", set_metadata("a", described("x")))
        .then_refuses(WORDS)
        .when("root", delete("a"))
        .then_refuses(WORDS)
        .when("root", destroy("a"))
        .then_refuses(WORDS)
        .when("root", rollback("a", 1))
        .then_refuses(WORDS)
        .when("root", copy("a", "b"))
        .then_refuses(WORDS)
        .when("root", rename("a", "b"))
        .then_refuses(WORDS)
        .when("root", transact(vec![putting("a", None)]))
        .then_refuses(WORDS)
        .when("root", rotate(HOME, 2))
        .then_refuses(WORDS)
        .when("holdfast", rewrap(1, &[("a", 1)]))
        .then_refuses(WORDS);
    asked.when("root", put_in(ELSEWHERE, "a")).then_writes(1);
}

#[test]
fn many_reads_at_once_are_refused_one_by_one() {
    let asked = given([added("a", 1)]).when("root", seal(HOME)).when("root", read_many(vec![("a", None)]));
    asked.then_reads([WORDS]);
}

#[test]
fn unsealing_brings_everything_back() {
    given([added("a", 1)])
        .when("root", seal(HOME))
        .when("root", unseal(HOME))
        .recording(["environment.unseal production - done", "alert.raise - production unsealed done"])
        .when("root", put("a"))
        .then_writes(2);
}

#[test]
fn sealing_and_unsealing_need_the_capability_keys() {
    given([granted("ana", "read list create update", "*"), granted("eve", "keys", "production")])
        .when("ana", seal(HOME))
        .then_denies("ana may not keys production in the system: no rule allows it")
        .when("eve", seal(HOME))
        .by("eve")
        .when("ana", unseal(HOME))
        .then_denies("ana may not keys production in the system: no rule allows it")
        .when("eve", unseal(HOME))
        .by("eve");
}

#[test]
fn whoever_may_nothing_there_is_not_told_that_it_is_sealed() {
    given([granted("ana", "read", "web/*"), granted("eve", "create", "db/*")])
        .when("root", seal(HOME))
        .when("ana", read("db/a"))
        .then_denies("ana may not read db/a in production: no rule allows it")
        .when("ana", put("db/a"))
        .then_denies("ana may not write db/a in production: no rule allows it")
        .when("eve", put("db/a"))
        .then_refuses(WORDS);
}

#[test]
fn an_environment_is_sealed_once_and_unsealed_once() {
    given([])
        .when("root", unseal(HOME))
        .then_refuses("the seal of environment production does not exist")
        .when("root", seal(HOME))
        .when("root", seal(HOME))
        .then_refuses("the seal of environment production exists already")
        .when("root", seal("nowhere"))
        .then_refuses("environment nowhere does not exist");
}
