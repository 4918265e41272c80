//! Every request leaves a record: what was asked, where, about what, by whom, and how it ended.

use super::*;
use node_domain::ids::Revision;
use node_domain::policy::Rule;
use node_domain::{Ask, Command, limits};

/// A request, and its line in the journal without the outcome.
type Refused = (fn() -> Request, &'static str);

/// Every command, about a secret `a`, a principal `bob`, a policy `p`; and how its refusal stands in the journal.
pub(super) const EVERY_COMMAND: &[Refused] = &[
    (|| put("a"), "secret.put production a"),
    (|| put_if("a", 1), "secret.put production a"),
    (|| put_if_absent("a"), "secret.put production a"),
    (|| patch("a"), "secret.patch production a"),
    (|| read("a"), "secret.read production a"),
    (|| read_version("a", 1), "secret.read production a"),
    (|| set_metadata("a", described("x")), "secret.set-metadata production a"),
    (|| list("a"), "secret.list production a"),
    (|| search("a"), "secret.search production a"),
    (|| watch("a"), "secret.watch production a"),
    (|| history("a"), "secret.history production a"),
    (|| rollback("a", 1), "secret.rollback production a"),
    (|| delete("a"), "secret.delete production a"),
    (|| undelete("a"), "secret.undelete production a"),
    (|| destroy("a"), "secret.destroy production a"),
    (|| copy("a", "b"), "secret.copy production a"),
    (|| copy("b", "a"), "secret.copy production b"),
    (|| rename("a", "b"), "secret.move production a"),
    (|| rename("b", "a"), "secret.move production b"),
    (|| transact(vec![putting("a", None)]), "secret.transact production a"),
    (|| transact(vec![deleting("a")]), "secret.transact production a"),
    (|| transact(vec![checking("a", None)]), "secret.transact production a"),
    (|| create_environment("qa"), "environment.create qa -"),
    (|| create_token("bob", &["p"]), "token.create - bob"),
    (list_tokens, "token.list - -"),
    (|| Box::new(|_| Command::RevokeToken { accessor: BOBS }), "token.revoke - 020202020202020202020202"),
    (|| put_policy("p", vec![]), "policy.put - p"),
    (|| read_policy("p"), "policy.read - p"),
    (list_policies, "policy.list - -"),
    (|| delete_policy("p"), "policy.delete - p"),
    (|| query_audit("x"), "audit.query - x"),
    (|| promote(3), "cluster.promote - node-3"),
];

const BOBS: node_domain::ids::Accessor = node_domain::ids::Accessor([2; 12]);

#[test]
fn whoever_is_not_known_leaves_one_record_of_what_he_asked() {
    for (request, line) in EVERY_COMMAND {
        let asked = given([added("a", 1)]).when("nobody", request()).then_is_not_authenticated();
        assert_eq!(asked.lines(), [format!("{line} denied")]);
    }
}

#[test]
fn whoever_may_not_leaves_one_record_of_what_he_asked() {
    for (request, line) in EVERY_COMMAND {
        let asked = given([granted("ana", "read", "zzz"), added("a", 1)]).when("ana", request());
        assert!(asked.rejection().is_denial(), "{line}");
        assert_eq!(asked.lines(), [format!("{line} denied")]);
        asked.by("ana");
    }
}

#[test]
fn many_reads_by_somebody_unknown_leave_one_record() {
    given([added("a", 1)])
        .when("nobody", read_many(vec![("a", None), ("b", None)]))
        .then_is_not_authenticated()
        .recording(["secret.read production a denied"]);
}

#[test]
fn a_look_at_the_journal_or_the_cluster_leaves_a_record() {
    given([granted("ana", "audit", "*"), granted("bob", "cluster", "node-*")])
        .when("ana", query_audit("actor=bob"))
        .recording(["audit.query - actor=bob done"])
        .when("bob", promote(3))
        .recording(["cluster.promote - node-3 done"])
        .when("ana", promote(3))
        .then_denies("ana may not cluster node-3 in the system: no rule allows it")
        .when("bob", query_audit("x"))
        .then_denies("bob may not audit x in the system: no rule allows it");
}

#[test]
fn a_look_at_the_journal_or_the_cluster_is_of_its_own_family() {
    use node_domain::operation::Operation;
    const NO_LOOK: &str = "is not a question to the journal";
    const NO_MEMBER: &str = "is not an operation of the cluster";
    for operation in Operation::ALL {
        let word = operation.word();
        let looks = given([]).when("root", audit_as(*operation));
        match word.starts_with("audit.") {
            true => drop(looks.recording([&format!("{word} - x done")])),
            false => drop(looks.then_refuses(&format!("{word} {NO_LOOK}")).recording([&format!("{word} - x refused")])),
        }
        let asks = given([]).when("root", cluster_as(*operation));
        // Nobody asks for the first record of a timeline.
        let first = [Operation::Found, Operation::ClusterRestored, Operation::ClusterRecovered].contains(operation);
        match word.starts_with("cluster.") && !first {
            true => drop(asks.recording([&format!("{word} - node-3 done")])),
            false => drop(asks.then_refuses(&format!("{word} {NO_MEMBER}")).recording([&format!("{word} - node-3 refused")])),
        }
    }
}

#[test]
fn a_malformed_request_leaves_a_record_that_quotes_it() {
    given([granted("ana", "read", "zzz")])
        .when("ana", malformed("db//password", "path \"db//password\": no segment may be empty"))
        .then_refuses("path \"db//password\": no segment may be empty")
        .recording(["secret.put production db//password refused"])
        .by("ana")
        .when("nobody", malformed("db//password", "whatever"))
        .then_is_not_authenticated()
        .recording(["secret.put production db//password denied"]);
}

#[test]
fn what_a_stranger_sends_takes_a_bounded_place_in_the_journal() {
    use node_domain::operation::Operation;
    let long = |text: &str| text.repeat(100_000);
    let commands = [
        Command::Malformed {
            operation: Operation::SecretPut,
            environment: long("é"),
            subject: long("ü"),
            rejection: node_domain::Rejection::invalid("the path does not parse"),
        },
        Command::List { environment: environment("production"), prefix: long("ß") },
        Command::Audit { operation: Operation::AuditQuery, subject: long("x") },
        Command::ReadMany { environment: environment("production"), items: vec![(path("a"), None); 1000] },
    ];
    for who in ["nobody", "root"] {
        for command in commands.clone() {
            let asked = given([]).when(who, Box::new(|_| command));
            asked.rejection();
            let leaf = asked.decision.leaf(0, Revision(1), &[0; 16], 1);
            assert!(
                leaf.len() < 8 * limits::TEXT_BYTES_MAX,
                "{} bytes for {:?}",
                leaf.len(),
                asked.decision.events[0].operation()
            );
        }
    }
}

#[test]
fn the_place_a_request_came_from_is_cut_between_characters() {
    let mut world = given([]);
    let source = format!("12/{}", "é".repeat(limits::SOURCE_BYTES_MAX));
    let ask = Ask { credential: None, request: [1; 16], fingerprint: 1, source, address: None };
    world.now = world.now.plus_ms(1);
    let asked = world.decide(ask, Command::ListEnvironments).then_is_not_authenticated();
    assert!(asked.decision.source.len() <= limits::SOURCE_BYTES_MAX);
    assert!(asked.decision.source.ends_with('é'));
}

#[test]
fn stamps_increase_even_where_the_leaders_clock_goes_back() {
    let asked = given([]).when("root", transact(vec![putting("a", None), putting("b", None), putting("c", None)]));
    let before = asked.world.state.stamp();
    let asked = asked.and(earlier_ms(3_600_000)).when("root", put("a"));
    assert_eq!(asked.decision.stamp.0, before.0 + 1);
    assert_eq!(asked.world.state.stamp(), asked.decision.stamp);
}

#[test]
fn a_rule_may_grant_everything_but_says_so() {
    let everything: Vec<Rule> =
        vec![rule("read create update list metadata delete destroy tokens policies environments audit cluster", "*")];
    given([
        done(put_policy("p", vec![])),
        done(put_policy("all", everything)),
        added("a", 1),
        holds_token("ana", &["all", "p"], 0),
    ])
    .when("ana", read("a"))
    .then_reads(["a v1"]);
}
