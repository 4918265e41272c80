//! Roles: policies under one name, counting at once, and given on by their holders only.

use super::*;
use node_domain::limits;

#[test]
fn a_role_gives_what_its_policies_give() {
    given([
        done(put_policy("readers", vec![rule("read", "db/*")])),
        done(put_role("dba", &["readers"])),
        added("db/a", 1),
        added("web/a", 1),
        holds_roles("ana", &[], &["dba"]),
    ])
    .when("ana", read("db/a"))
    .then_reads(["db/a v1"])
    .when("ana", read("web/a"))
    .then_denies("ana may not read web/a in production: no rule allows it");
}

#[test]
fn a_changed_role_counts_at_once_for_the_tokens_that_hold_it() {
    given([
        done(put_policy("readers", vec![rule("read", "*")])),
        done(put_policy("listers", vec![rule("list", "*")])),
        done(put_role("dba", &["readers"])),
        added("a", 1),
        holds_roles("ana", &[], &["dba"]),
    ])
    .when("ana", read("a"))
    .then_reads(["a v1"])
    .when("root", put_role("dba", &["listers"]))
    .then_versions([2])
    .recording(["role.put - dba done"])
    .when("ana", read("a"))
    .then_denies("ana may not read a in production: no rule allows it")
    .when("ana", list(""))
    .when("root", delete_role("dba"))
    .recording(["role.delete - dba done"])
    .when("ana", list(""))
    .then_denies("ana may not list  in production: no rule allows it");
}

#[test]
fn a_policy_that_changes_counts_at_once_through_a_role() {
    given([
        done(put_policy("p", vec![rule("read", "*")])),
        done(put_role("dba", &["p"])),
        added("a", 1),
        holds_roles("ana", &[], &["dba"]),
    ])
    .when("ana", read("a"))
    .and(done(put_policy("p", vec![])))
    .when("ana", read("a"))
    .then_denies("ana may not read a in production: no rule allows it")
    .and(done(delete_policy("p")))
    .when("ana", read("a"))
    .then_denies("ana may not read a in production: no rule allows it");
}

#[test]
fn a_denying_rule_wins_whichever_way_it_came() {
    let mut denying = rule("read", "db/root");
    denying.deny = true;
    given([
        done(put_policy("readers", vec![rule("read", "*")])),
        done(put_policy("never", vec![denying])),
        done(put_role("safe", &["never"])),
        added("db/root", 1),
        holds_roles("ana", &["readers"], &["safe"]),
    ])
    .when("ana", read("db/root"))
    .then_denies("ana may not read db/root in production: policy never denies db/root");
}

#[test]
fn a_role_counts_its_changes_and_names_policies_that_are_there() {
    given([done(put_policy("p", vec![]))])
        .when("root", put_role("r", &["p"]))
        .then_versions([1])
        .when("root", put_role("r", &["p", "q"]))
        .then_refuses("policy q does not exist")
        .when("root", put_role("r", &[]))
        .then_versions([2])
        .when("root", delete_role("s"))
        .then_refuses("role s does not exist")
        .when("root", read_role("s"))
        .then_refuses("role s does not exist");
}

#[test]
fn a_role_has_at_most_256_policies() {
    let names: &'static [&'static str] = vec!["p"; limits::TOKEN_POLICIES_MAX + 1].leak();
    given([done(put_policy("p", vec![]))])
        .when("root", put_role("r", names))
        .then_refuses("a role has a description of at most 1024 bytes and at most 256 policies")
        .when("root", put_role("r", &names[1..]))
        .then_versions([1]);
}

#[test]
fn changing_roles_needs_the_capability_on_their_names() {
    given([granted("ana", "policies", "team-*"), done(put_policy("p", vec![]))])
        .when("ana", put_role("team-db", &["p"]))
        .then_versions([1])
        .when("ana", read_role("team-db"))
        .recording(["role.read - team-db done"])
        .when("ana", delete_role("team-db"))
        .when("ana", put_role("other", &[]))
        .then_denies("ana may not policies other in the system: no rule allows it")
        .recording(["role.put - other denied"])
        .when("ana", list_roles())
        .then_denies("ana may not policies  in the system: no rule allows it")
        .when("root", list_roles())
        .recording(["role.list - - done"]);
}

#[test]
fn nobody_but_root_changes_a_role_that_he_holds_or_puts_root_into_one() {
    given([
        granted("ana", "policies", "*"),
        done(put_policy("p", vec![])),
        done(put_role("mine", &["p"])),
        done(put_role("other", &["p"])),
        holds_roles("ana", &["of-ana"], &["mine"]),
    ])
    .when("ana", put_role("mine", &[]))
    .then_denies("ana may not write role mine in the system: whoever holds it does not change it, unless he holds root")
    .when("ana", delete_role("mine"))
    .then_denies("ana may not write role mine in the system: whoever holds it does not change it, unless he holds root")
    .when("ana", put_role("other", &["root"]))
    .then_denies("ana may not write role other in the system: only a holder of the policy root may put it into a role")
    .when("ana", put_role("other", &["p"]))
    .then_versions([2])
    .when("root", put_role("admins", &["root"]))
    .then_versions([1]);
}

#[test]
fn the_holder_of_a_role_may_read_it_and_give_it_on() {
    given([
        granted("ana", "tokens", "*"),
        done(put_policy("p", vec![rule("read", "*")])),
        done(put_policy("q", vec![])),
        done(put_role("r", &["p"])),
        done(put_role("s", &["q"])),
        holds_roles("ana", &["of-ana"], &["r"]),
    ])
    .when("ana", read_role("r"))
    .recording(["role.read - r done"])
    .when("ana", create_token_with("bob", &[], &["r"]))
    .recording(["token.create - bob done"])
    .when("ana", create_token_with("bob", &["p"], &[]))
    .recording(["token.create - bob done"])
    .when("ana", create_token_with("bob", &[], &["s"]))
    .then_denies("ana may not grant role s in the system: only the holder of a role may grant it")
    .when("ana", create_token_with("bob", &[], &["none"]))
    .then_denies("ana may not grant role none in the system: only the holder of a role may grant it")
    .when("root", create_token_with("bob", &[], &["none"]))
    .then_refuses("role none does not exist")
    .when("root", create_token_with("bob", &[], &[]))
    .then_refuses("a token has 1 to 256 policies, or a role");
}

#[test]
fn a_role_is_given_on_by_whoever_names_it_however_little_it_gives() {
    given([
        granted("ana", "tokens policies", "*"),
        done(put_policy("p", vec![])),
        done(put_role("one", &["p"])),
        done(put_role("none", &[])),
        holds_token("ana", &["of-ana", "p"], 0),
    ])
    .when("ana", create_token_with("bob", &[], &["one"]))
    .then_denies("ana may not grant role one in the system: only the holder of a role may grant it")
    .when("ana", create_token_with("bob", &[], &["none"]))
    .then_denies("ana may not grant role none in the system: only the holder of a role may grant it")
    .and(holds_roles("ana", &["of-ana"], &["none"]))
    .when("ana", create_token_with("bob", &[], &["none"]))
    .then_is_done();
}

/// Root gave her the role `clerk` and what it takes to write policies and make tokens.
fn clerk() -> World {
    given([
        granted("ana", "tokens policies", "*"),
        done(put_policy("filing", vec![])),
        done(put_role("clerk", &["filing"])),
        holds_roles("ana", &["of-ana"], &["clerk"]),
    ])
}

#[test]
fn policies_and_tokens_together_are_not_everything() {
    let mut world = clerk().when("ana", put_policy("everything", vec![rule("read", "*")])).then_is_done();
    let first = world.credential("ana");
    let told = "ana may not grant role mine in the system: only the holder of a role may grant it";
    world = world.when("ana", put_role("mine", &["filing"])).then_is_done();
    world = world.when("ana", create_token_with("eve", &[], &["mine"])).then_denies(told).world;
    // What her own tokens hold she does not change by another of them, made in whatever name.
    world.token_with_roles("ana", "eve", vec![policy("of-ana")], vec![role("clerk")], 0);
    let why = "a token of the same name, or one that made this one or was made by it, holds it: somebody else changes it";
    world.token_with_roles("ana", "eve2", vec![policy("of-ana")], vec![], 0);
    world = world
        .when("eve2", put_role("clerk", &["everything"]))
        .then_denies(&format!("eve2 may not write role clerk in the system: {why}"))
        .when("eve2", put_policy("filing", vec![rule("read", "*")]))
        .then_denies(&format!("eve2 may not write policy filing in the system: {why}"))
        .when("eve2", delete_role("clerk"))
        .then_denies(&format!("eve2 may not write role clerk in the system: {why}"))
        .world;
    // Nor by one that root made in her name.
    world = world.and(holds_token("ana", &["of-ana"], 0));
    assert_ne!(world.credential("ana"), first);
    world = world
        .when("ana", put_role("clerk", &["everything"]))
        .then_denies(&format!("ana may not write role clerk in the system: {why}"))
        .world;
    // Nor does a token change what those hold that it has made.
    world.hold("ana", first);
    world = world.and(done(put_role("aside", &[]))).and(holds_roles("ana", &["of-ana"], &["aside"]));
    world.token_with_roles("ana", "carol", vec![policy("of-ana")], vec![role("aside")], 0);
    world
        .when("carol", put_role("aside", &["everything"]))
        .then_denies("carol may not write role aside in the system: whoever holds it does not change it, unless he holds root")
        .when("root", put_role("aside", &["everything"]))
        .then_is_done();
}

#[test]
fn what_somebody_else_holds_may_be_changed() {
    clerk()
        .and(granted("bob", "policies", "*"))
        .when("bob", put_policy("filing", vec![rule("list", "*")]))
        .then_versions([2])
        .when("bob", put_role("clerk", &["filing"]))
        .then_versions([2]);
}

#[test]
fn a_role_that_gives_root_is_root() {
    given([done(put_role("admins", &["root"])), holds_roles("ana", &[], &["admins"]), granted("bob", "read", "*")])
        .when("ana", create_token("carol", &["of-bob", "root"]))
        .then_is_done();
}
