//! The rules about rules, a third time: written from `ops/docs/policies.md`, by brute force, and sharing nothing with the engine.
//!
//! Everything is text here. A pattern is the set of all paths of a small universe that it stands for; a network is a list of bits; an
//! hour is a minute of the week. 500 random worlds are asked 200 random questions each; `HOLDFAST_ORACLE_WORLDS=5000` for more.

mod book;
mod dice;

use book::{Book, CAPABILITIES, PLACES, Question, universe};
use dice::Dice;
use node_domain::ids::{Accessor, EnvironmentName, PolicyName, RoleName, Stamp};
use node_domain::policy::{Asking, Capabilities, Capability, Conditions, Grants, Hours, PathPattern, Policy, Rule};
use node_domain::token::{Terms, Token};
use node_domain::{Event, State};
use std::collections::BTreeMap;
use std::sync::Arc;

const QUESTIONS: usize = 200;

fn worlds() -> usize {
    std::env::var("HOLDFAST_ORACLE_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

/// A rule of the book as the engine knows it.
fn rule(rule: &book::Rule) -> Rule {
    let when = &rule.when;
    Rule {
        environment: (rule.place != "*").then(|| EnvironmentName::parse(&rule.place).unwrap()),
        path: PathPattern::parse(&rule.pattern).unwrap(),
        capabilities: Capabilities::parse(rule.words.iter().copied()).unwrap(),
        deny: rule.deny,
        conditions: Conditions {
            addresses: when.networks.iter().map(|network| network.text().parse().unwrap()).collect(),
            hours: when.hours.as_ref().map(|hours| Hours::parse(&hours.text()).unwrap()),
            mfa: when.mfa,
            token_age_ms_max: when.age_s.map(|seconds| seconds * 1000),
        },
    }
}

/// The state that holds the policies and roles of the book, reached by events.
fn state(book: &Book) -> State {
    let mut state = State::empty([7; 16]);
    let policies = book.policies.iter().map(|(name, rules)| Event::PolicyPut {
        name: PolicyName::parse(name).unwrap(),
        rules: rules.iter().map(rule).collect(),
        version: 1,
    });
    let roles = book.roles.iter().map(|(name, policies)| Event::RolePut {
        name: RoleName::parse(name).unwrap(),
        description: String::new(),
        policies: policies.iter().map(|name| PolicyName::parse(name).unwrap()).collect(),
        version: 1,
    });
    for (at, event) in policies.chain(roles).enumerate() {
        let decision = node_domain::Decision {
            stamp: Stamp(at as u64 + 1),
            actor: Some(node_domain::ids::PrincipalName::parse("root").unwrap()),
            accessor: None,
            policies: state.policies_changed(),
            request: [at as u8; 16],
            fingerprint: 0,
            source: String::new(),
            events: vec![event],
        };
        state.apply(&decision).unwrap();
    }
    state
}

fn token(holder: &book::Holder, at: usize) -> Token {
    Token {
        hash: [at as u8; 32],
        accessor: Accessor([at as u8; 12]),
        principal: node_domain::ids::PrincipalName::parse("ana").unwrap(),
        policies: holder.policies.iter().map(|name| PolicyName::parse(name).unwrap()).collect(),
        roles: holder.roles.iter().map(|name| RoleName::parse(name).unwrap()).collect(),
        created: Stamp(0),
        created_by: node_domain::ids::PrincipalName::parse("root").unwrap(),
        login: node_domain::token::Login::Token,
        mfa: false,
        expires: None,
        terms: Terms {
            environments: holder.bound_to.iter().map(|name| EnvironmentName::parse(name).unwrap()).collect(),
            ..Terms::default()
        },
    }
}

/// What the engine says: whether it is allowed, and whether all its ways of saying so agree.
fn engine(state: &State, token: &Token, question: &Question) -> bool {
    let token = &Token { mfa: question.mfa, created: Stamp((question.now_s - question.age_s) * 1_000_000), ..token.clone() };
    let address = question.address.as_ref().map(|address| address.text().parse().unwrap());
    let asking = Asking { token, address, now: Stamp(question.now_s * 1_000_000) };
    let place = question.place.as_ref().map(|name| EnvironmentName::parse(name).unwrap());
    if question.listing {
        let place = place.expect("only an environment is listed");
        return state.authorize_listing(&asking, &place, question.subject.clone()).is_ok();
    }
    let capability = Capability::parse(question.word).unwrap();
    let allowed = state.authorize(&asking, capability, place.as_ref(), question.subject.as_str()).is_ok();
    let explained = state.explain(&asking, capability, place.as_ref(), &question.subject);
    assert_eq!(explained.verdict.is_allowed(), allowed, "an explanation says something else");
    if token.terms.environments.is_empty() {
        let counting = |deny| explained.considered.iter().any(|rule| rule.unmet.is_none() && rule.ground.rule().deny == deny);
        assert_eq!(counting(false) && !counting(true), allowed, "the rules that are listed say something else: {explained:?}");
    }
    if let (Some(place), "list") = (&place, question.word) {
        assert_eq!(state.sight(&asking, place).shows(&question.subject), allowed, "a listing shows something else");
    }
    allowed
}

#[test]
fn a_hundred_thousand_random_questions_are_answered_as_the_documentation_says() {
    let mut dice = Dice::new(0x5EED_0F04);
    let (mut asked, mut allowed, mut denied_by_rule) = (0, 0, 0);
    for world in 0..worlds() {
        let book = Book::draw(&mut dice);
        let state = state(&book);
        let tokens: Vec<Token> = book.holders.iter().enumerate().map(|(at, holder)| token(holder, at)).collect();
        for _ in 0..QUESTIONS {
            let at = dice.below(book.holders.len());
            let question = Question::draw(&mut dice);
            let expected = book.says(&book.holders[at], &question);
            let said = engine(&state, &tokens[at], &question);
            assert_eq!(said, expected.allowed, "world {world}: {:?}\n{question:?}\n{:#?}", book.holders[at], book);
            asked += 1;
            allowed += usize::from(said);
            denied_by_rule += usize::from(expected.denied_by_rule);
        }
    }
    println!("{asked} questions: {allowed} allowed, {denied_by_rule} denied by a rule, the others by none");
    assert!(asked >= 100_000 || worlds() < 500);
    // Or the questions would prove little.
    assert!(allowed * 8 > asked && denied_by_rule * 16 > asked, "{asked} asked, {allowed} allowed, {denied_by_rule} denied");
}

#[test]
fn the_order_of_policies_roles_and_rules_makes_no_difference() {
    let mut dice = Dice::new(0x5EED_0F05);
    for _ in 0..100 {
        let mut book = Book::draw(&mut dice);
        let first = state(&book);
        let mut tokens: Vec<Token> = book.holders.iter().enumerate().map(|(at, holder)| token(holder, at)).collect();
        let questions: Vec<(usize, Question)> =
            (0..100).map(|_| (dice.below(book.holders.len()), Question::draw(&mut dice))).collect();
        let before: Vec<bool> = questions.iter().map(|(at, question)| engine(&first, &tokens[*at], question)).collect();
        book.policies.values_mut().for_each(|rules| dice.shuffle(rules));
        book.roles.values_mut().for_each(|policies| dice.shuffle(policies));
        for token in &mut tokens {
            dice.shuffle(&mut token.policies);
            dice.shuffle(&mut token.roles);
        }
        let second = state(&book);
        let after: Vec<bool> = questions.iter().map(|(at, question)| engine(&second, &tokens[*at], question)).collect();
        assert_eq!(before, after, "{book:#?}");
    }
}

#[test]
fn a_policy_whose_patterns_do_not_match_never_changes_a_result() {
    let mut dice = Dice::new(0x5EED_0F06);
    for _ in 0..100 {
        let mut book = Book::draw(&mut dice);
        let questions: Vec<(usize, Question)> =
            (0..100).map(|_| (dice.below(book.holders.len()), Question::draw(&mut dice))).collect();
        let answers = |book: &Book| -> Vec<bool> {
            let state = state(book);
            let ask = |(at, question): &(usize, Question)| engine(&state, &token(&book.holders[*at], *at), question);
            questions.iter().map(ask).collect()
        };
        let before = answers(&book);
        let mut rules = book.policies.values().flatten().cloned().collect::<Vec<_>>();
        for rule in &mut rules {
            // No path of the universe starts so.
            rule.pattern = format!("nowhere/{}", rule.pattern);
        }
        book.policies.insert("elsewhere".into(), rules);
        // A listing of everything is allowed by a rule for anything: that is about what could stand there.
        let everything = |question: &Question| question.listing && "nowhere/".starts_with(&question.subject);
        book.holders.iter_mut().for_each(|holder| holder.policies.push("elsewhere".into()));
        for ((before, after), (_, question)) in before.iter().zip(answers(&book)).zip(&questions) {
            assert!(*before == after || everything(question), "{question:?}");
        }
    }
}

#[test]
fn too_many_rules_to_make_ready_are_asked_one_after_the_other_with_the_same_answers() {
    let mut dice = Dice::new(0x5EED_0F07);
    // So many rules about nothing that the trees are given up.
    let filler = Rule {
        environment: None,
        path: PathPattern::parse("nowhere").unwrap(),
        capabilities: Capabilities::parse(["cluster"]).unwrap(),
        deny: false,
        conditions: Conditions::default(),
    };
    let count = node_domain::limits::COMPILED_RULES_MAX / 100 + 1;
    let policy = |name: &str, rules: Vec<Rule>| {
        Arc::new(Policy { name: PolicyName::parse(name).unwrap(), rules, version: 1, updated: Stamp(0) })
    };
    let fillers: Vec<_> = (0..100).map(|at| policy(&format!("filler-{at}"), vec![filler.clone(); count])).collect();
    for _ in 0..10 {
        let book = Book::draw(&mut dice);
        let named: BTreeMap<_, _> = book.policies.iter().map(|(name, rules)| (name, rules.iter().map(rule).collect())).collect();
        let policies: Vec<_> = named.into_iter().map(|(name, rules)| policy(name, rules)).collect();
        let quick = Grants::of(policies.iter().cloned());
        let slow = Grants::of(policies.into_iter().chain(fillers.iter().cloned()));
        for _ in 0..20 {
            let question = Question::draw(&mut dice);
            let place = question.place.as_ref().map(|name| EnvironmentName::parse(name).unwrap());
            let circumstances = node_domain::policy::Circumstances {
                address: question.address.as_ref().map(|address| address.text().parse().unwrap()),
                now: Stamp(question.now_s * 1_000_000),
                mfa: question.mfa,
                token_created: Stamp((question.now_s - question.age_s) * 1_000_000),
            };
            let judge = |grants: &Grants| match (&place, question.listing) {
                (Some(place), true) => grants.judge_listing(place, &question.subject, &circumstances).is_allowed(),
                _ => {
                    let capability = Capability::parse(question.word).unwrap();
                    let verdict = grants.judge(capability, place.as_ref(), &question.subject, &circumstances);
                    assert!(verdict.ground().is_none_or(|ground| ground.rule().is_about(
                        capability,
                        place.as_ref(),
                        &question.subject
                    )));
                    verdict.is_allowed()
                }
            };
            assert_eq!(judge(&quick), judge(&slow), "{question:?}");
        }
    }
}

#[test]
fn the_rule_that_is_named_is_the_first_by_name_of_policy_and_place_in_it() {
    let mut dice = Dice::new(0x5EED_0F08);
    let mut named = 0;
    for _ in 0..100 {
        let book = Book::draw(&mut dice);
        let state = state(&book);
        for _ in 0..100 {
            let at = dice.below(book.holders.len());
            let question = Question { listing: false, ..Question::draw(&mut dice) };
            let token = Token { terms: Terms::default(), ..token(&book.holders[at], at) };
            let place = question.place.as_ref().map(|name| EnvironmentName::parse(name).unwrap());
            let asking = Asking { token: &token, address: None, now: Stamp(question.now_s * 1_000_000) };
            let capability = Capability::parse(question.word).unwrap();
            let explained = state.explain(&asking, capability, place.as_ref(), &question.subject);
            let first = |deny| explained.considered.iter().find(|rule| rule.unmet.is_none() && rule.ground.rule().deny == deny);
            let expected = first(true).or(first(false)).map(|rule| &rule.ground);
            assert_eq!(explained.verdict.ground(), expected);
            named += usize::from(expected.is_some());
        }
    }
    assert!(named > 1000, "only {named} questions were decided by a rule");
}

#[test]
fn the_universe_is_large_enough_for_what_is_asked_in_it() {
    assert!(universe().len() > 750);
    assert!(CAPABILITIES.len() == 3 && PLACES.len() == 3);
}
