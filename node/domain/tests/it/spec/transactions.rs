//! Several changes in one environment, all or nothing.

use super::*;
use node_domain::command::Expectation::{Absent, Version};
use node_domain::limits;
use node_domain::sealed::{Payload, Sealed};

#[test]
fn a_transaction_does_all_its_changes_and_answers_item_by_item() {
    let asked = given([added("a", 1), added("b", 1), added("c", 1), added("c", 2)])
        .when(
            "root",
            transact(vec![
                putting("a", Some(Version(1))),
                checking("c", Some(Version(2))),
                deleting("b"),
                putting("new", Some(Absent)),
            ]),
        )
        .then_versions([2, 2, 1, 1])
        .recording([
            "secret.transact production a v2 done",
            "secret.transact production c done",
            "secret.delete production b v1 done",
            "secret.transact production new v1 done",
        ]);
    let new = asked.world.secret("new");
    assert_eq!(new.id.0, new.versions[0].index.0, "a secret is named by its own record, also inside a transaction");
    asked.when("root", read("a")).then_reads(["transacted value"]);
}

#[test]
fn a_transaction_does_nothing_when_one_item_is_refused() {
    let world = given([added("a", 1), added("b", 1)])
        .when("root", transact(vec![putting("a", None), putting("b", Some(Version(7)))]))
        .then_refuses("b is at v1, not v7")
        .recording(["secret.transact production a refused"])
        .when("root", transact(vec![putting("a", None), checking("b", Some(Absent))]))
        .then_refuses("b is at v1, not absent")
        .when("root", transact(vec![putting("a", None), deleting("none")]))
        .then_refuses("secret none does not exist")
        .and(done(delete("b")))
        .when("root", transact(vec![putting("a", None), deleting("b")]))
        .then_refuses("b v1 is deleted: undelete it, or name another version")
        .world;
    assert_eq!(world.secret("a").newest, 1);
}

#[test]
fn a_transaction_does_nothing_when_one_item_is_denied() {
    let facts = [granted("ana", "create update", "db/*"), granted("ana", "list", "web"), added("web", 1)];
    let asked = given(facts)
        .when("ana", transact(vec![putting("db/a", None), putting("other", None)]))
        .then_denies("ana may not write other in production: no rule allows it")
        .when("ana", transact(vec![putting("db/a", None), deleting("web")]))
        .then_denies("ana may not delete web in production: no rule allows it")
        .when("ana", transact(vec![putting("db/a", None), checking("other", None)]))
        .then_denies("ana may not list other in production: no rule allows it")
        .recording(["secret.transact production db/a denied"]);
    assert!(asked.world.secret_in("production", "db/a").is_none());
    asked.when("ana", transact(vec![checking("web", None), putting("db/a", None)])).then_versions([1, 1]);
}

#[test]
fn a_transaction_of_checks_alone_is_a_look() {
    given([added("a", 3 - 2)])
        .when("root", transact(vec![checking("a", Some(Version(1))), checking("none", Some(Absent))]))
        .then_versions([1, 0])
        .recording(["secret.transact production a done", "secret.transact production none done"]);
}

#[test]
fn a_transaction_has_1_to_128_items_and_names_no_path_twice() {
    let paths: Vec<&'static str> = (0..=limits::TRANSACTION_ITEMS_MAX).map(|at| &*format!("p{at}").leak()).collect();
    let puts = |count: usize| transact(paths[..count].iter().map(|at| putting(at, None)).collect());
    given([])
        .when("root", transact(vec![]))
        .then_refuses("a transaction has 1 to 128 items")
        .recording(["secret.transact production - refused"])
        .when("root", puts(limits::TRANSACTION_ITEMS_MAX + 1))
        .then_refuses("a transaction has 1 to 128 items")
        .when("root", transact(vec![putting("a", None), checking("b", None), deleting("a")]))
        .then_refuses("a stands twice in the transaction")
        .when("root", puts(limits::TRANSACTION_ITEMS_MAX))
        .then_is_done();
}

#[test]
fn a_transaction_carries_a_bounded_weight_of_values() {
    let heavy = |at: &'static str| -> Item {
        Box::new(move |_| {
            let payload = Payload { wrapped_key: vec![1; 60].into(), ciphertext: vec![2; limits::VALUE_BYTES_MAX].into() };
            let sealed = Sealed::new(1, [1; 16], 1, false, payload);
            let change = node_domain::command::TransactChange::Put { sealed: Box::new(sealed), about: Box::default() };
            node_domain::command::TransactItem { path: path(at), expect: None, change }
        })
    };
    let too_many = limits::TRANSACTION_BYTES_MAX / limits::VALUE_BYTES_MAX;
    let heavies = |count: usize| transact((0..count).map(|at| heavy(format!("a{at}").leak())).collect());
    given([])
        .when("root", heavies(too_many))
        .then_refuses(&format!("a transaction carries at most {} bytes", limits::TRANSACTION_BYTES_MAX))
        .when("root", heavies(too_many - 1))
        .then_is_done();
}

#[test]
fn a_transaction_in_an_environment_that_is_not_there_says_so() {
    given([])
        .when(
            "root",
            Box::new(|world| {
                let items = vec![putting("a", None)(world)];
                node_domain::Command::Transact { environment: environment("nowhere"), items }
            }),
        )
        .then_refuses("environment nowhere does not exist")
        .recording(["secret.transact nowhere a refused"]);
}
