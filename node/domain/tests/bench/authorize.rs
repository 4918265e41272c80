//! What one authorization costs: `cargo run --release -p node-domain --example authorize`.
//!
//! 200 policies of 20 rules each; tokens that hold 1, 10 and all of them, by name and through roles. The last column asks every rule
//! in turn, as an engine without an index does. Both are timed in the same run, round after round, and the median round is told.

use node_domain::ids::{Accessor, EnvironmentName, PolicyName, PrincipalName, RoleName, Stamp};
use node_domain::policy::{Asking, Capabilities, Capability, Conditions, PathPattern, Policy, Rule};
use node_domain::token::{Login, Terms, Token};
use node_domain::{Decision, Event, State};
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

const POLICIES: usize = 200;
const RULES: usize = 20;
const ROUNDS: usize = 9;
const CALLS: usize = 100_000;

fn main() -> std::io::Result<()> {
    let state = state();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{POLICIES} policies of {RULES} rules; ns a decision, median of {ROUNDS} rounds")?;
    writeln!(out, "{:<28} {:>10} {:>10} {:>10}", "token holds", "read", "list", "one by one")?;
    for (name, count, through_roles) in [
        ("1 policy", 1, false),
        ("10 policies", 10, false),
        ("200 policies", 200, false),
        ("10 through a role", 10, true),
        ("200 through 10 roles", 200, true),
    ] {
        let token = token(count, through_roles);
        let (read, list, linear) = measure(&state, &token, count);
        writeln!(out, "{name:<28} {read:>10.0} {list:>10.0} {linear:>10.0}")?;
    }
    Ok(())
}

fn measure(state: &State, token: &Token, count: usize) -> (f64, f64, f64) {
    let production = EnvironmentName::parse("production").expect("it is a name");
    let address = Some("10.1.2.3".parse().expect("it is an address"));
    let asking = Asking { token, address, now: Stamp(1_795_000_000_000_000) };
    // Paths of all teams, half of them nobody's.
    let paths: Vec<String> = (0..1024).map(|at| format!("team-{}/service-{}/db/password", at % (2 * POLICIES), at % 7)).collect();
    let prefixes: Vec<String> = (0..1024).map(|at| format!("team-{}/service-{}/", at % (2 * POLICIES), at % 7)).collect();
    let policies: Vec<&Policy> = (0..count).filter_map(|at| state.policy(&policy_name(at))).collect();
    let circumstances = asking.circumstances();
    let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rounds[0]
            .push(timed(CALLS, |at| state.judge(&asking, Capability::Read, Some(&production), &paths[at % 1024]).is_allowed()));
        rounds[1].push(timed(CALLS, |at| state.judge_listing(&asking, &production, &prefixes[at % 1024]).is_allowed()));
        rounds[2].push(timed(CALLS / 100, |at| {
            let mut allowed = false;
            for rule in policies.iter().flat_map(|policy| &policy.rules) {
                let about = rule.is_about(Capability::Read, Some(&production), &paths[at % 1024]);
                if about && rule.conditions.unmet(rule.deny, &circumstances).is_none() {
                    if rule.deny {
                        return false;
                    }
                    allowed = true;
                }
            }
            allowed
        }));
    }
    let [read, list, linear] = rounds.map(|mut round| {
        round.sort_by(f64::total_cmp);
        round[ROUNDS / 2]
    });
    (read, list, linear)
}

/// Nanoseconds a call.
fn timed(calls: usize, mut call: impl FnMut(usize) -> bool) -> f64 {
    let start = Instant::now();
    let mut allowed = 0;
    for at in 0..calls {
        allowed += usize::from(black_box(call(at)));
    }
    black_box(allowed);
    start.elapsed().as_nanos() as f64 / calls as f64
}

fn policy_name(at: usize) -> PolicyName {
    PolicyName::parse(&format!("team-{at}")).expect("it is a name")
}

fn rule(place: Option<&str>, pattern: &str, words: &[&str], deny: bool, conditions: Conditions) -> Rule {
    Rule {
        environment: place.map(|name| EnvironmentName::parse(name).expect("it is a name")),
        path: PathPattern::parse(pattern).expect("it is a pattern"),
        capabilities: Capabilities::parse(words.iter().copied()).expect("they are capabilities"),
        deny,
        conditions,
    }
}

/// The rules of a team: its services by name, some shared paths, some under conditions, some that deny.
fn rules(team: usize) -> Vec<Rule> {
    let office = Conditions { addresses: vec!["10.0.0.0/8".parse().expect("it is a network")], ..Conditions::default() };
    let words = ["read", "list"];
    let mut rules = vec![
        rule(None, &format!("team-{team}/*"), &["list"], false, Conditions::default()),
        rule(Some("production"), &format!("team-{team}/+/db/*"), &words, false, office.clone()),
        rule(Some("staging"), &format!("team-{team}/*"), &["read", "create", "update", "list"], false, Conditions::default()),
        rule(Some("production"), &format!("team-{team}/+/root"), &["read"], true, Conditions::default()),
        rule(None, "shared/*", &words, false, Conditions::default()),
        rule(Some("production"), "shared/root/*", &["read"], true, office),
    ];
    while rules.len() < RULES {
        let path = format!("team-{team}/service-{}/{}*", rules.len(), if rules.len() % 2 == 0 { "" } else { "db/" });
        rules.push(rule(Some("production"), &path, &words, false, Conditions::default()));
    }
    rules
}

fn state() -> State {
    let mut state = State::empty([1; 16]);
    let policies = (0..POLICIES).map(|at| Event::PolicyPut { name: policy_name(at), rules: rules(at), version: 1 });
    let roles = (0..10).map(|at| Event::RolePut {
        name: role_name(at),
        description: String::new(),
        policies: (at * 20..at * 20 + 20).map(policy_name).collect(),
        version: 1,
    });
    let few = Event::RolePut {
        name: RoleName::parse("few").expect("it is a name"),
        description: String::new(),
        policies: (0..10).map(policy_name).collect(),
        version: 1,
    };
    let events = policies.chain(roles).chain([few]).collect();
    let decision = Decision {
        stamp: Stamp(1),
        actor: PrincipalName::parse("root").ok(),
        accessor: None,
        policies: state.policies_changed(),
        request: [0; 16],
        fingerprint: 0,
        source: String::new(),
        events,
    };
    state.apply(&decision).expect("policies fit an empty state");
    state
}

fn role_name(at: usize) -> RoleName {
    RoleName::parse(&format!("role-{at}")).expect("it is a name")
}

fn token(count: usize, through_roles: bool) -> Token {
    let roles = match (through_roles, count) {
        (false, _) => Vec::new(),
        (true, 10) => vec![RoleName::parse("few").expect("it is a name")],
        (true, _) => (0..10).map(role_name).collect(),
    };
    let principal = PrincipalName::parse("ana").expect("it is a name");
    Token {
        hash: [count as u8; 32],
        accessor: Accessor([count as u8 + u8::from(through_roles); 12]),
        principal: principal.clone(),
        policies: if through_roles { Vec::new() } else { (0..count).map(policy_name).collect() },
        roles,
        created: Stamp(1),
        created_by: principal,
        login: Login::Token,
        mfa: false,
        expires: None,
        terms: Terms::default(),
    }
}
