//! Every operation × every kind of holder: what the real `decide` says in a world where everything is there.
//!
//! `tests/golden/matrix.txt` is the table. An operation without a sample does not compile: `sample` has no wildcard arm.

use super::*;
use crate::golden::assert_golden;
use node_domain::operation::Operation;
use node_domain::policy::Whom;

/// Where, and what: every environment and the system where it names none.
type Allowed = (Option<&'static str>, &'static str);

/// Who asks, and the rules of his policy `of-<who>`.
const HOLDERS: &[(&str, &[Allowed])] = &[
    ("nobody", &[]),
    ("no-policy", &[]),
    ("reader", &[(Some("production"), "read list")]),
    ("writer", &[(Some("production"), "read create update list metadata")]),
    ("developer", &[(Some("staging"), "read create update list metadata delete destroy")]),
    ("operator", &[(None, "cluster environments alerts governance")]),
    ("auditor", &[(None, "audit")]),
    ("policy-admin", &[(None, "policies tokens")]),
    ("key-holder", &[(None, "keys")]),
    ("identity-admin", &[(None, "identities")]),
    ("approver", &[(Some("production"), "approve promote")]),
    ("root", &[]),
];

/// The longest word of an operation, about.
const WORD_CHARS_MAX: usize = 28;

/// A request of each operation that nothing but a policy could stand in the way of.
fn sample(operation: Operation) -> Request {
    use Operation as O;
    match operation {
        O::Found => Box::new(|_| node_domain::Command::Found(Box::new(world::founding_of(["production"], [8; 32])))),
        O::SecretPut => put("new"),
        O::SecretPatch => patch("live"),
        O::SecretRead => read("live"),
        O::SecretSetMetadata => set_metadata("live", described("x")),
        O::SecretList => list(""),
        O::SecretSearch => search(""),
        O::SecretHistory => history("live"),
        O::SecretRollback => rollback("live", 1),
        O::SecretDelete => delete("live"),
        O::SecretUndelete => undelete("hidden"),
        O::SecretDestroy => destroy("live"),
        O::SecretCopy => copy("live", "copied"),
        O::SecretMove => rename("live", "moved"),
        O::SecretTransact => transact(vec![putting("live", None), putting("other", None)]),
        O::SecretWatch => watch(""),
        O::EnvironmentList => list_environments(),
        O::EnvironmentCreate => create_environment("new"),
        O::TokenCreate => create_token("zoe", &["shared"]),
        O::TokenLookupSelf => lookup_self(),
        O::TokenList => list_tokens(),
        O::TokenRevoke => revoke("somebody"),
        O::PolicyPut => put_policy("team", vec![rule("read", "*")]),
        O::PolicyRead => read_policy("team"),
        O::PolicyList => list_policies(),
        O::PolicyDelete => delete_policy("team"),
        O::RolePut => put_role("team", &["team"]),
        O::RoleRead => read_role("team"),
        O::RoleList => list_roles(),
        O::RoleDelete => delete_role("team"),
        O::PolicyTest => test_policy(question(Whom::Principal(principal("somebody")), "live")),
        O::PolicySimulate => simulate_policy("team", vec![]),
        O::AuditQuery | O::AuditTail | O::AuditExport | O::AuditHead => audit_as(operation),
        O::ClusterStatus
        | O::ClusterAddLearner
        | O::ClusterPromote
        | O::ClusterRemove
        | O::ClusterTransferLeader
        | O::ClusterSnapshot => cluster_as(operation),
    }
}

/// A world in which all is there that a sample names, and everybody holds what he is called after.
fn full_world() -> World {
    let world = given([
        added("live", 1),
        added("live", 2),
        added("hidden", 1),
        done(delete("hidden")),
        done(put_policy("shared", vec![])),
        done(put_policy("team", vec![])),
        done(put_role("team", &["team"])),
        holds_token("somebody", &["team"], 0),
    ]);
    let holders = HOLDERS.iter().filter(|(who, _)| !["nobody", "root"].contains(who));
    holders.fold(world, |mut world, (who, rules)| {
        for (place, words) in *rules {
            world.rule(who, *place, words, "*", false);
        }
        let own = format!("of-{who}");
        let policies = [Some("shared"), (!rules.is_empty()).then_some(own.as_str())];
        world.token_for("root", who, policies.into_iter().flatten().map(policy).collect(), 0);
        world
    })
}

#[test]
fn every_operation_is_for_those_alone_whom_the_table_names() {
    let world = full_world();
    let columns = HOLDERS.iter().map(|(who, _)| *who);
    // Columns stand below their titles, whatever the operation is called.
    let row = |word: &str, cells: &[String]| {
        let indent = WORD_CHARS_MAX.saturating_sub(word.len());
        (word.to_owned(), format!("{:indent$}{}", "", cells.join(" ").trim_end()))
    };
    let mut lines = vec![row("#", &columns.map(str::to_owned).collect::<Vec<_>>())];
    for operation in Operation::ALL {
        let verdicts = HOLDERS.iter().map(|(who, _)| {
            let asked = world.clone().when(who, sample(*operation));
            assert_eq!(asked.decision.events.last().unwrap().operation(), *operation, "the sample is of another operation");
            let verdict = match &asked.answer {
                Ok(_) => "yes",
                Err(rejection) if rejection.is_denial() => "-",
                // Founding again: nobody may, and no policy says so.
                Err(_) if *operation == Operation::Found => "never",
                Err(rejection) => panic!("{who} {}: {rejection}", operation.word()),
            };
            let width = who.len();
            format!("{verdict:<width$}")
        });
        lines.push(row(operation.word(), &verdicts.collect::<Vec<_>>()));
    }
    assert_golden("matrix", &lines);
}

#[test]
fn whoever_may_do_something_holds_the_capability_that_the_operation_is_mapped_to() {
    let world = full_world();
    for operation in Operation::ALL {
        let Some(capability) = operation.capability() else { continue };
        for (who, rules) in HOLDERS.iter().filter(|(who, _)| *who != "root") {
            let asked = world.clone().when(who, sample(*operation));
            let holds = |word: &str| rules.iter().any(|(_, words)| words.split(' ').any(|held| held == word));
            let fresh = *operation == Operation::SecretPut && holds("create");
            assert!(asked.answer.is_err() || fresh || holds(capability.word()), "{who} {}", operation.word());
        }
    }
}
