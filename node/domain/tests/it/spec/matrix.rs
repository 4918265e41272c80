//! Every operation × every kind of holder: what the real `decide` says in a world where everything is there.
//!
//! `tests/golden/matrix.txt` is the table. An operation without a sample does not compile: `samples` has no wildcard arm. `yes` and
//! `-` are for who asks with a token; `open` needs none, `self` is what the cluster asks of itself or records beside a request of
//! somebody, `never` is what nobody may any more, and `offline` is written before anybody leads: no request leads to it.

mod samples;

use super::*;
use crate::golden::assert_golden;
use node_domain::Rejection;
use node_domain::command::{Founding, TokenWish, Upkeep};
use node_domain::operation::Operation;
use node_domain::policy::Whom;
use samples::{Sample, sample};
use world::Asked;

/// Where, and what: every environment and the system where it names none.
type Allowed = (Option<&'static str>, &'static str);

/// Who asks, and the rules of his policy `of-<who>`.
const HOLDERS: &[(&str, &[Allowed])] = &[
    ("nobody", &[]),
    ("no-policy", &[]),
    ("reader", &[(Some("production"), "read list")]),
    ("writer", &[(Some("production"), "read create update list metadata")]),
    ("owner", &[(Some("production"), "read create update list metadata delete destroy")]),
    ("developer", &[(Some("staging"), "read create update list metadata delete destroy")]),
    ("operator", &[(None, "cluster environments alerts governance")]),
    ("auditor", &[(None, "audit")]),
    ("policy-admin", &[(None, "policies tokens")]),
    ("key-holder", &[(None, "keys")]),
    ("identity-admin", &[(None, "identities")]),
    ("approver", &[(Some("production"), "approve promote"), (Some("staging"), "promote")]),
    ("root", &[]),
];

/// The longest word of an operation, about.
const WORD_CHARS_MAX: usize = 28;

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
        added_in("staging", "app", 1),
        // Those who ask for promotions and approve them before anybody else does something with them.
        granted_in("staging", "rita", "promote", "*"),
        granted_in("production", "rita", "promote", "*"),
        granted_in("production", "bob", "approve", "*"),
    ]);
    let mut world = world;
    // Whoever makes a token approves nothing that it asks for: hers is made by nobody, so that root approves, too.
    samples::has_logged_in(&mut world, "rita");
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

/// What comes of a request of `who`, in a word.
fn verdict(asked: &Asked, operation: Operation) -> &'static str {
    match &asked.answer {
        Ok(_) => "yes",
        Err(rejection) if rejection.is_denial() => "-",
        // Founding again: nobody may, and no policy says so.
        Err(_) if operation == Operation::Found => "never",
        // Whom a plan does not concern is told that there is none.
        Err(Rejection::NotFound { what, .. }) if what == "promotion" => "-",
        Err(rejection) => panic!("{}: {rejection}", operation.word()),
    }
}

/// A record of this operation comes of it, the first where it is refused.
fn assert_recorded(asked: &Asked, operation: Operation) {
    let recorded: Vec<Operation> = asked.decision.events.iter().map(node_domain::Event::operation).collect();
    let first = recorded.first() == Some(&operation);
    assert!(first || (asked.answer.is_ok() && recorded.contains(&operation)), "{}: {recorded:?}", operation.word());
}

fn cell(world: &World, who: &str, operation: Operation) -> &'static str {
    match sample(operation) {
        Sample::Asked(request) => {
            let asked = world.clone().when(who, request);
            assert_recorded(&asked, operation);
            verdict(&asked, operation)
        }
        Sample::Open(request) => {
            let asked = world.clone().when(who, request);
            assert_recorded(&asked, operation);
            assert_eq!(verdict(&asked, operation), "yes", "{}", operation.word());
            "open"
        }
        Sample::Itself(request) => {
            // Whatever token came along: the journal names the cluster.
            let asked = world.clone().when(who, request).by("holdfast");
            assert_recorded(&asked, operation);
            assert_eq!(verdict(&asked, operation), "yes", "{}", operation.word());
            "self"
        }
        Sample::Offline => "offline",
        Sample::Beside(world, request) => {
            let asked = world.when("root", request);
            let position = asked.decision.events.iter().position(|event| event.operation() == operation);
            assert!(position.is_some(), "{} does not go along with its sample", operation.word());
            "self"
        }
    }
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
        let cells = HOLDERS.iter().map(|(who, _)| {
            let width = who.len();
            format!("{:<width$}", cell(&world, who, *operation))
        });
        lines.push(row(operation.word(), &cells.collect::<Vec<_>>()));
    }
    assert_golden("matrix", &lines);
}

#[test]
fn whoever_may_do_something_holds_the_capability_that_the_operation_is_mapped_to() {
    let world = full_world();
    for operation in Operation::ALL {
        let Sample::Asked(_) = sample(*operation) else {
            assert_eq!(operation.capability(), None, "{} is asked by nobody with a token", operation.word());
            continue;
        };
        let allowed: Vec<_> =
            HOLDERS.iter().filter(|(who, _)| *who != "root" && cell(&world, who, *operation) == "yes").collect();
        let Some(capability) = operation.capability() else {
            let needed = allowed.len() < HOLDERS.len() - 2 && !UNMAPPED.contains(operation);
            assert!(!needed, "{} needs something, and the map names nothing", operation.word());
            continue;
        };
        for (who, rules) in allowed {
            let holds = |word: &str| rules.iter().any(|(_, words)| words.split(' ').any(|held| held == word));
            let fresh = *operation == Operation::SecretPut && holds("create");
            assert!(fresh || holds(capability.word()), "{who} {}", operation.word());
        }
    }
}

/// What is not for everybody with a token though no one capability decides: founding again, and plans, which are for whom they concern.
const UNMAPPED: &[Operation] = &[Operation::Found, Operation::PromotionRead, Operation::PromotionCancel];

#[test]
fn every_capability_that_the_map_names_is_held_by_somebody_in_the_table_who_may_do_it() {
    let world = full_world();
    for operation in Operation::ALL.iter().filter(|operation| operation.capability().is_some()) {
        let others = HOLDERS.iter().filter(|(who, _)| *who != "root");
        let may = others.filter(|(who, _)| cell(&world, who, *operation) == "yes").count();
        let for_root_alone = ROOTS.contains(operation);
        assert_eq!(may == 0, for_root_alone, "{}: {may} besides root", operation.word());
    }
}

/// What needs two rights that nobody in the table has together.
const ROOTS: &[Operation] = &[Operation::PolicySimulate];
