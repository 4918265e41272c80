//! Delete, undelete, destroy: hidden versions come back, destroyed ones never.

use super::*;
use node_domain::command::Selection;
use node_domain::secret::VersionState;

fn three_versions() -> World {
    given([added("a", 1), added("a", 2), added("a", 3)])
}

fn states(world: &World) -> Vec<VersionState> {
    world.secret("a").versions.iter().map(|version| version.state).collect()
}

use VersionState::{Deleted, Destroyed, Live};

#[test]
fn a_delete_hides_the_newest_version_until_it_is_undeleted() {
    let asked = three_versions().when("root", delete("a")).then_versions([3]).recording(["secret.delete production a v3 done"]);
    assert_eq!(states(&asked.world), [Live, Live, Deleted]);
    asked
        .when("root", read("a"))
        .then_refuses("a v3 is deleted: undelete it, or name another version")
        .when("root", undelete("a"))
        .then_versions([3])
        .recording(["secret.undelete production a v3 done"])
        .when("root", read("a"))
        .then_reads(["a v3"]);
}

#[test]
fn named_versions_are_hidden_in_order_and_each_once() {
    let asked = three_versions().when("root", delete_those("a", these(&[2, 1, 2]))).then_versions([1, 2]);
    assert_eq!(states(&asked.world), [Deleted, Deleted, Live]);
}

#[test]
fn all_means_all_to_which_it_applies() {
    let world = three_versions().and(done(delete_those("a", these(&[2]))));
    let asked = world.when("root", delete_those("a", Selection::All)).then_versions([1, 3]);
    let asked =
        asked.and(done(destroy_those("a", these(&[1])))).when("root", undelete_those("a", Selection::All)).then_versions([2, 3]);
    assert_eq!(states(&asked.world), [Destroyed, Live, Live]);
    asked.when("root", destroy_those("a", Selection::All)).then_versions([2, 3]);
}

#[test]
fn what_is_hidden_already_is_not_hidden_again() {
    given([added("a", 1), added("a", 2), done(delete("a"))])
        .when("root", delete("a"))
        .then_refuses("a is at v2 (deleted), not live")
        .when("root", delete_those("a", these(&[1, 2])))
        .then_refuses("a is at v2 (deleted), not live")
        .recording(["secret.delete production a refused"]);
}

#[test]
fn what_is_live_is_not_brought_back() {
    given([added("a", 1)])
        .when("root", undelete("a"))
        .then_refuses("a is at v1 (live), not deleted")
        .recording(["secret.undelete production a refused"])
        .when("root", undelete_those("a", Selection::All))
        .then_refuses("a is at v1 (live), not deleted");
}

#[test]
fn a_destroyed_version_is_gone_for_good() {
    given([added("a", 1)])
        .when("root", destroy("a"))
        .then_versions([1])
        .recording(["secret.destroy production a v1 done"])
        .when("root", read("a"))
        .then_refuses("a v1 is destroyed: its value is gone for good")
        .when("root", undelete("a"))
        .then_refuses("a is at v1 (destroyed), not deleted")
        .when("root", delete("a"))
        .then_refuses("a is at v1 (destroyed), not live")
        .when("root", destroy("a"))
        .then_refuses("a is at destroyed, not a version with a value")
        .recording(["secret.destroy production a refused"]);
}

#[test]
fn a_deleted_version_can_be_destroyed() {
    given([added("a", 1), done(delete("a"))]).when("root", destroy("a")).then_versions([1]);
}

#[test]
fn destroying_some_that_are_gone_already_destroys_the_rest() {
    three_versions()
        .and(done(destroy_those("a", these(&[1]))))
        .when("root", destroy_those("a", these(&[1, 2])))
        .then_versions([2]);
}

#[test]
fn a_version_that_is_not_there_is_neither_hidden_nor_destroyed() {
    for request in [delete_those as fn(_, _) -> _, undelete_those, destroy_those] {
        given([added("a", 1)])
            .when("root", request("a", these(&[1, 9])))
            .then_refuses("version a v9 does not exist")
            .when("root", request("b", Selection::Newest))
            .then_refuses("secret b does not exist");
    }
}

#[test]
fn a_selection_names_at_least_one_version() {
    for request in [delete_those as fn(_, _) -> _, undelete_those, destroy_those] {
        given([added("a", 1)]).when("root", request("a", these(&[]))).then_refuses("name at least one version");
    }
}

#[test]
fn hiding_needs_delete_and_destroying_needs_destroy() {
    given([granted("ana", "delete", "*"), granted("bob", "destroy", "*"), added("a", 1)])
        .when("ana", destroy("a"))
        .then_denies("ana may not destroy a in production: no rule allows it")
        .when("bob", delete("a"))
        .then_denies("bob may not delete a in production: no rule allows it")
        .when("bob", undelete("a"))
        .then_denies("bob may not delete a in production: no rule allows it")
        .when("ana", delete("a"))
        .then_versions([1])
        .when("ana", undelete("a"))
        .then_versions([1])
        .when("bob", destroy("a"))
        .then_versions([1]);
}
