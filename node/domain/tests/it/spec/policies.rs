//! Policies: changed by name, counting at once, and root for ever the same.

use super::*;
use node_domain::limits;

#[test]
fn a_policy_counts_its_changes() {
    given([])
        .when("root", put_policy("p", vec![rule("read", "*")]))
        .then_versions([1])
        .recording(["policy.put - p done"])
        .when("root", put_policy("p", vec![]))
        .then_versions([2]);
}

#[test]
fn a_changed_policy_counts_at_once_for_the_tokens_that_hold_it() {
    given([granted("ana", "read", "*"), added("a", 1), done(put_policy("of-ana", vec![rule("list", "*")]))])
        .when("ana", read("a"))
        .then_denies("ana may not read a in production: no rule allows it")
        .when("ana", list(""))
        .then_is_done();
}

#[test]
fn the_policy_root_is_there_from_the_start_and_is_neither_changed_nor_deleted() {
    given([granted("ana", "policies", "*")])
        .when("root", put_policy("root", vec![]))
        .then_refuses("the policy root cannot be changed")
        .recording(["policy.put - root refused"])
        .when("ana", put_policy("root", vec![]))
        .then_refuses("the policy root cannot be changed")
        .when("root", delete_policy("root"))
        .then_refuses("the policy root cannot be changed")
        .recording(["policy.delete - root refused"])
        .when("root", read_policy("root"))
        .recording(["policy.read - root done"]);
}

#[test]
fn a_policy_that_is_not_there_is_neither_read_nor_deleted() {
    given([])
        .when("root", read_policy("p"))
        .then_refuses("policy p does not exist")
        .recording(["policy.read - p refused"])
        .when("root", delete_policy("p"))
        .then_refuses("policy p does not exist")
        .recording(["policy.delete - p refused"]);
}

#[test]
fn changing_policies_needs_the_capability_on_their_names() {
    given([granted("ana", "policies", "team-*"), done(put_policy("other", vec![]))])
        .when("ana", put_policy("team-db", vec![rule("read", "db/*")]))
        .then_versions([1])
        .when("ana", delete_policy("team-db"))
        .recording(["policy.delete - team-db done"])
        .when("ana", put_policy("other", vec![]))
        .then_denies("ana may not policies other in the system: no rule allows it")
        .recording(["policy.put - other denied"])
        .when("ana", delete_policy("other"))
        .then_denies("ana may not policies other in the system: no rule allows it")
        .when("ana", list_policies())
        .then_denies("ana may not policies  in the system: no rule allows it");
}

#[test]
fn the_holder_of_a_policy_may_read_it() {
    given([granted("ana", "read", "db/*"), granted("bob", "read", "db/*")])
        .when("ana", read_policy("of-ana"))
        .recording(["policy.read - of-ana done"])
        .when("ana", read_policy("of-bob"))
        .then_denies("ana may not policies of-bob in the system: no rule allows it")
        .recording(["policy.read - of-bob denied"]);
}

#[test]
fn a_policy_has_at_most_256_rules() {
    given([])
        .when("root", put_policy("p", vec![rule("read", "*"); limits::POLICY_RULES_MAX + 1]))
        .then_refuses("a policy has at most 256 rules")
        .when("root", put_policy("p", vec![rule("read", "*"); limits::POLICY_RULES_MAX]))
        .then_versions([1]);
}

#[test]
fn whoever_may_list_policies_leaves_a_record() {
    given([granted("ana", "policies", "*")]).when("ana", list_policies()).recording(["policy.list - - done"]).by("ana");
}
