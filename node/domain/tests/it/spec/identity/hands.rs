//! What takes two people takes two: not one with tokens, users, machines or certificates of several names.

use super::logins::{ROLE_ID, certificate, issue, machine_logs_in};
use super::*;
use node_domain::identity::NameGlob;

const TOLD: &str = "a token of the same name, or one that made this one or was made by it, holds it: somebody else changes it";

const VOUCHED: &str =
    "somebody who may say who logs in as machine, by certificate or issuer, and so as you, holds it: a user changes it";

/// Dora may write policies and say who logs in, and holds `ops` besides; bob may write policies.
fn world() -> World {
    given([
        done(put_policy("vouching", vec![rule("policies identities tokens", "*")])),
        done(put_policy("ops", vec![rule("read", "app/*")])),
        holds_token("bob", &["vouching"], 0),
        holds_token("dora", &["vouching", "ops"], 0),
    ])
}

fn widen() -> Request {
    put_policy("ops", vec![rule("read", "*")])
}

fn denied(who: &str, world: World, named: &str) {
    denied_as(who, world, named, TOLD);
}

fn denied_as(who: &str, world: World, named: &str, why: &str) {
    let told = format!("{named} may not write policy ops in the system: {why}");
    world.when(who.to_owned().leak(), widen()).then_denies(&told);
}

/// The machine `ci`, which may write policies.
fn machine() -> Request {
    asks(IdentityCommand::CreateMachine {
        name: called("ci"),
        role_id: ROLE_ID,
        grants: gives(&["vouching"]),
        secret_ttl_ms: 0,
        secret_uses: 0,
    })
}

#[test]
fn a_token_of_a_new_name_does_not_write_what_its_maker_holds_by_another() {
    let mut world = world();
    // Dora's second token, from root, holds no `ops`; what she makes with it does not, either.
    world = world.and(holds_token("dora", &["vouching"], 0));
    world.token_for("dora", "carla", vec![policy("vouching")], 0);
    denied("carla", world, "carla");
}

#[test]
fn a_user_does_not_write_what_its_maker_holds() {
    let world = world().when("dora", create_user("zed", gives(&["vouching"]))).then_is_done();
    let world = world.when("nobody", with_password("zed")).then_is_done();
    denied("zed", world.clone(), "zed");
    // Nor does one that this one makes, and so on.
    let world = world.when("zed", create_user("yan", gives(&["vouching"]))).then_is_done();
    let world = world.when("nobody", with_password("yan")).then_is_done();
    denied("yan", world, "yan");
}

#[test]
fn a_user_does_not_write_what_a_login_of_its_maker_gives() {
    let world = given([
        done(put_policy("vouching", vec![rule("policies identities", "*")])),
        done(put_policy("ops", vec![rule("read", "app/*")])),
        done(create_user("dora", gives(&["ops"]))),
        holds_token("dora", &["vouching"], 0),
    ]);
    let world = world.when("dora", create_user("zed", gives(&["vouching"]))).then_is_done();
    let world = world.when("nobody", with_password("zed")).then_is_done();
    world.when("zed", widen()).then_denies(
        "zed may not write policy ops in the system: a login of the same name, or of whoever made this one or was made by it, \
         gives it: somebody else changes it",
    );
}

#[test]
fn a_machine_does_not_write_what_whoever_has_its_secret_id_holds() {
    let world = world().when("bob", machine()).then_is_done();
    let world = world.when("dora", issue([5; 32], 0, 0)).then_is_done();
    let world = world.when("nobody", machine_logs_in(ROLE_ID, [5; 32])).then_is_done();
    denied("ci", world, "machine/ci");
}

#[test]
fn a_machine_does_not_write_what_anybody_holds_who_may_have_had_a_secret_id_that_is_used_up() {
    let world = world().when("bob", machine()).then_is_done();
    let world = world.when("dora", issue([5; 32], 0, 1)).then_is_done();
    let world = world.when("nobody", machine_logs_in(ROLE_ID, [5; 32])).then_is_done();
    assert_eq!(world.state.identity().secret_ids_of(&called("ci")).count(), 0, "nobody knows any more who issued it");
    denied_as("ci", world, "machine/ci", VOUCHED);
}

#[test]
fn what_a_machine_made_that_is_gone_does_not_write_what_its_maker_holds() {
    let world = world().when("dora", machine()).then_is_done();
    let world = world.when("dora", issue([5; 32], 0, 0)).then_is_done();
    let world = world.when("nobody", machine_logs_in(ROLE_ID, [5; 32])).then_is_done();
    let world = world.when("ci", create_user("zed", gives(&["vouching"]))).then_is_done();
    let world = world.when("nobody", with_password("zed")).then_is_done();
    denied("zed", world.clone(), "zed");
    let world = world.when("dora", asks(IdentityCommand::DeleteMachine { name: called("ci") })).then_is_done();
    denied_as("zed", world, "zed", VOUCHED);
}

#[test]
fn a_login_that_a_certificate_vouches_for_does_not_write_what_anybody_holds_who_may_vouch() {
    let names = vec![NameGlob::parse("*.ci.example.org").unwrap()];
    let role = IdentityCommand::PutCertRole { name: called("ci"), names, common_names: Vec::new(), grants: gives(&["vouching"]) };
    let world = world().when("dora", asks(role)).then_is_done();
    let world = world.when("nobody", certificate("a.ci.example.org", "", 30_000)).then_is_done();
    denied_as("cert", world.clone(), "cert/ci/a.ci.example.org", VOUCHED);
    // What nobody holds who may vouch, it writes.
    world.and(done(put_policy("other", vec![]))).when("cert", put_policy("other", vec![])).then_versions([2]);
}

#[test]
fn a_colleague_whom_somebody_else_made_writes_it() {
    world().when("bob", widen()).then_versions([2]);
    let world = world().and(done(create_user("zed", gives(&["vouching"]))));
    let world = world.when("nobody", with_password("zed")).then_is_done();
    world.when("zed", widen()).then_versions([2]);
}
