//! The first decision of a cluster, made once.

use super::world::founding_of;
use super::*;
use node_domain::command::Founding;
use node_domain::{Command, limits};

fn found(founding: Founding) -> Request {
    Box::new(|_| Command::Found(Box::new(founding)))
}

#[test]
fn a_founding_makes_the_environments_the_policy_root_and_its_token() {
    let asked = newborn().when("nobody", found(founding_of(["production", "staging"], [0; 32]))).by("holdfast").recording([
        "cluster.found - - done",
        "environment.create production - done",
        "environment.create staging - done",
        "token.create - root done",
    ]);
    let state = &asked.world.state;
    assert_eq!(
        state.environments().map(|environment| environment.about.name.as_str()).collect::<Vec<_>>(),
        ["production", "staging"]
    );
    assert_eq!(state.policies().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["root"]);
    let tokens: Vec<_> = state.tokens().collect();
    assert_eq!((tokens.len(), tokens[0].principal.as_str(), tokens[0].expires), (1, "root", None));
    asked.when("root", put("a")).then_writes(1);
}

#[test]
fn a_cluster_is_founded_once() {
    given([])
        .when("root", found(founding_of(["other"], [9; 32])))
        .then_refuses("a cluster is founded once")
        .recording(["cluster.found - - refused"])
        .when("nobody", found(founding_of([], [9; 32])))
        .then_refuses("a cluster is founded once");
}

#[test]
fn before_the_founding_nobody_is_known() {
    newborn().when("root", put("a")).then_is_not_authenticated();
}

#[test]
fn a_founding_names_no_environment_twice() {
    newborn()
        .when("root", found(founding_of(["production", "staging", "production"], [0; 32])))
        .then_refuses("an environment stands twice in the founding");
}

#[test]
fn a_founding_names_at_most_256_environments() {
    let names: Vec<String> = (0..=limits::ENVIRONMENTS_MAX).map(|at| format!("e{at}")).collect();
    let environments = names.iter().map(|name| (environment(name), [1; 16], "key".into())).collect();
    newborn()
        .when("root", found(Founding { environments, root_token: [0; 32], keys: None }))
        .then_refuses("a cluster has at most 256 environments");
}
