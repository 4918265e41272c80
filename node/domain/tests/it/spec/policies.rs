//! Policies: changed by name, counting at once, and root for ever the same.

use super::*;
use node_domain::limits;
use node_domain::policy::{Question, Recorded, Replay, Verdict, Whom};

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

#[test]
fn nobody_but_root_changes_a_policy_that_he_holds_himself() {
    given([granted("ana", "policies read", "*"), done(put_policy("other", vec![]))])
        .when("ana", put_policy("of-ana", vec![rule("read create update", "*")]))
        .then_denies("ana may not write policy of-ana in the system: whoever holds it does not change it, unless he holds root")
        .recording(["policy.put - of-ana denied"])
        .when("ana", delete_policy("of-ana"))
        .then_denies("ana may not write policy of-ana in the system: whoever holds it does not change it, unless he holds root")
        .when("ana", put_policy("other", vec![rule("read", "*")]))
        .then_versions([2])
        .and(holds_token("ana", &["of-ana", "other", "root"], 0))
        .when("ana", put_policy("of-ana", vec![]))
        .then_versions([2]);
}

#[test]
fn a_policy_held_through_a_role_is_held() {
    given([
        granted("ana", "policies", "*"),
        done(put_policy("db", vec![])),
        done(put_role("dba", &["db"])),
        holds_roles("ana", &["of-ana"], &["dba"]),
    ])
    .when("ana", put_policy("db", vec![rule("destroy", "*")]))
    .then_denies("ana may not write policy db in the system: whoever holds it does not change it, unless he holds root")
    .when("ana", read_policy("db"))
    .then_is_done();
}

#[test]
fn anybody_may_ask_what_he_may_himself_and_the_record_says_what_was_asked() {
    given([granted("ana", "read", "db/*")])
        .when("ana", test_policy(question(Whom::Oneself, "db/password")))
        .recording(["policy.test production read db/password as oneself done"])
        .by("ana");
}

#[test]
fn asking_what_others_may_needs_the_capability_on_all_policies() {
    given([granted("ana", "policies", "team-*"), granted("bob", "policies", "*")])
        .when("ana", test_policy(question(Whom::Principal(principal("bob")), "a")))
        .then_denies("ana may not policies  in the system: no rule allows it")
        .recording(["policy.test production read a denied"])
        .when("bob", test_policy(question(Whom::Principal(principal("ana")), "a")))
        .recording(["policy.test production read a as ana done"]);
}

#[test]
fn a_question_is_answered_by_the_rule_that_decides_and_every_rule_that_is_about_it() {
    let world = given([
        granted("ana", "read", "*"),
        denied_when("ana", "read", "db/*", within(&["10.0.0.0/8"])),
        denied("ana", "list", "db/*"),
    ]);
    let own = world.state.token_by_accessor(&world.accessor("ana")).unwrap();
    let ask = |address: Option<&str>| {
        let question = Question { address: address.map(|text| text.parse().unwrap()), ..question(Whom::Oneself, "db/a") };
        question.answer(&world.state, own).unwrap().remove(0).1
    };
    let inside = ask(Some("10.1.1.1"));
    assert!(matches!(&inside.verdict, Verdict::Denied(ground) if ground.at == 1));
    assert_eq!(inside.considered.iter().map(|rule| rule.unmet).collect::<Vec<_>>(), [None, None]);
    let outside = ask(Some("192.168.1.1"));
    assert!(matches!(&outside.verdict, Verdict::Allowed(ground) if ground.at == 0));
    let why = outside.considered[1].unmet.unwrap().to_string();
    assert_eq!(why, "the address 192.168.1.1 is in none of its networks");
    assert!(matches!(ask(None).verdict, Verdict::Denied(_)), "a denying rule counts in doubt");
}

#[test]
fn a_question_about_somebody_who_is_not_there_has_no_answer() {
    let world = given([]);
    let own = world.state.token_by_accessor(&world.accessor("root")).unwrap();
    let ask = |whom| question(whom, "a").answer(&world.state, own).unwrap_err().to_string();
    assert_eq!(ask(Whom::Principal(principal("zoe"))), "live token of zoe does not exist");
    assert_eq!(ask(Whom::Holder { policies: vec![policy("p")], roles: vec![] }), "policy p does not exist");
    assert_eq!(ask(Whom::Holder { policies: vec![], roles: vec![role("r")] }), "role r does not exist");
}

#[test]
fn what_was_remembered_of_one_holder_is_never_told_of_another() {
    let world =
        given([done(put_policy("p", vec![rule("read", "*")])), done(put_policy("q", vec![])), done(put_role("r", &["p"]))]);
    let own = world.state.token_by_accessor(&world.accessor("root")).unwrap();
    // Tokens that nobody holds all have the same accessor.
    let may = |policies: &[&str], roles: &[&str]| {
        let policies = policies.iter().map(|name| policy(name)).collect();
        let whom = Whom::Holder { policies, roles: roles.iter().map(|name| role(name)).collect() };
        question(whom, "a").answer(&world.state, own).unwrap().remove(0).1.verdict.is_allowed()
    };
    assert_eq!((may(&["p"], &[]), may(&["q"], &[]), may(&["q"], &["r"]), may(&["q"], &[])), (true, false, true, false));
}

#[test]
fn simulating_needs_policies_and_the_journal() {
    given([granted("ana", "policies", "*"), granted("bob", "policies audit", "*")])
        .when("ana", simulate_policy("p", vec![]))
        .then_denies("ana may not audit  in the system: no rule allows it")
        .recording(["policy.simulate - p denied"])
        .when("bob", simulate_policy("p", vec![rule("read", "*"); limits::POLICY_RULES_MAX + 1]))
        .then_refuses("a policy has at most 256 rules")
        .when("bob", simulate_policy("p", vec![]))
        .recording(["policy.simulate - p done"]);
}

#[test]
fn a_replay_says_what_a_policy_would_change_and_what_it_cannot_know() {
    let mut world =
        given([granted("ana", "read create", "*"), granted("bob", "read", "web/*"), added("db/a", 1), added("web/a", 1)]);
    let mut decisions = Vec::new();
    for (who, request) in [
        ("ana", read("db/a")),
        ("ana", read("db/a")),
        ("ana", read("web/a")),
        ("ana", put("new")),
        ("ana", lookup_self()),
        ("bob", read("db/a")),
        ("nobody", read("db/a")),
        ("ana", copy("db/a", "db/b")),
    ] {
        let asked = world.when(who, request);
        decisions.push((asked.world.state.revision().0, asked.decision.clone()));
        world = asked.world;
    }
    let gone = world.when("bob", read("web/a"));
    decisions.push((gone.world.state.revision().0, gone.decision.clone()));
    let world = gone.when("root", revoke("bob")).then_is_done();
    let mut replay = Replay::new(&world.state, policy("of-ana"), vec![rule("read", "web/*"), rule("create", "*")]);
    for (last, decision) in &decisions {
        let first = last + 1 - decision.events.len() as u64;
        for (seq, event) in (first..).zip(&decision.events) {
            let (actor, stamp) = (decision.actor.as_ref().map_or("-", |actor| actor.as_str()), decision.stamp);
            replay.replay(&Recorded { seq, stamp, actor, accessor: decision.accessor, address: None, event });
        }
    }
    let changes: Vec<_> = replay
        .changes()
        .map(|(allowed, actor, operation, environment, subject, change)| {
            format!("{actor} {operation} {environment} {subject} {} {}", if allowed { "allowed" } else { "denied" }, change.count)
        })
        .collect();
    assert_eq!(changes, ["ana secret.read production db/a denied 3"]);
    let counts = replay.counts();
    assert_eq!((counts.same, counts.denied, counts.allowed), (3, 3, 0));
    assert_eq!((counts.token_gone, counts.without_token, counts.need_nothing, counts.unknown), (2, 1, 1, 0));
    assert_eq!(world.state.policy(&policy("of-ana")).unwrap().version, 1, "nothing was changed by it");
}
