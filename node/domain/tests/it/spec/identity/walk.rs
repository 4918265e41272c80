//! Random walks through tokens, uses, families, failures and locks, beside a model that is too simple to be wrong in the same way.

use super::*;
use node_domain::Event;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Clone, Debug)]
enum Step {
    Make { maker: usize, whose: usize, ttl_s: u64, uses: u32, renewal_s: u64 },
    Use { whose: usize },
    Renew { whose: usize },
    Revoke { whose: usize },
    LogIn { fits: bool },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..NAMES.len();
    prop_oneof![
        3 => (0..=NAMES.len(), who(), 0..120_u64, 0..4_u32, 0..60_u64).prop_map(|(maker, whose, ttl_s, uses, renewal_s)| {
            Step::Make { maker, whose, ttl_s, uses, renewal_s }
        }),
        4 => who().prop_map(|whose| Step::Use { whose }),
        1 => who().prop_map(|whose| Step::Renew { whose }),
        1 => who().prop_map(|whose| Step::Revoke { whose }),
        4 => prop::bool::weighted(0.2).prop_map(|fits| Step::LogIn { fits }),
        2 => (1..400_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A token as the model knows it; times are microseconds.
#[derive(Clone, Debug)]
struct Known {
    parent: Option<usize>,
    end: Option<u64>,
    uses: Option<u32>,
    renewal: u64,
    gone: bool,
}

#[derive(Default)]
struct Model {
    tokens: Vec<Known>,
    shows: BTreeMap<usize, usize>,
    failures: Vec<u64>,
    locked_until: u64,
}

impl Model {
    fn counts(&self, at: usize, now: u64) -> bool {
        let token = &self.tokens[at];
        let own = !token.gone && token.end.is_none_or(|end| now < end) && token.uses != Some(0);
        own && token.parent.is_none_or(|parent| self.counts(parent, now))
    }

    fn counts_of(&self, whose: usize, now: u64) -> Option<usize> {
        self.shows.get(&whose).copied().filter(|at| self.counts(*at, now))
    }

    /// Takes one use away.
    fn used(&mut self, at: usize) {
        if let Some(uses) = &mut self.tokens[at].uses {
            *uses -= 1;
        }
    }

    fn log_in(&mut self, fits: bool, now: u64) -> bool {
        if now < self.locked_until {
            return false;
        }
        if fits {
            self.failures.clear();
            return true;
        }
        self.failures.retain(|then| now - then <= 15 * 60 * 1_000_000);
        self.failures.push(now);
        if self.failures.len() == 5 {
            (self.failures, self.locked_until) = (Vec::new(), now + 15 * 60 * 1_000_000);
        }
        false
    }
}

struct Walk {
    world: World,
    model: Model,
}

impl Walk {
    fn step(self, step: &Step) -> Walk {
        let Walk { world, mut model } = self;
        let world = match step.clone() {
            Step::Wait { seconds } => world.and(later_ms(seconds * 1000)),
            Step::LogIn { fits } => {
                let asked = world.when("nobody", logs_in("ana", fits, |_| SecondFactor::None));
                // A failure is stamped by its own record, which is the second of its decision.
                let now = asked.decision.stamp.0;
                let at = if fits { now } else { now + 1 };
                let locked = now < model.locked_until;
                assert_eq!(asked.answer.is_ok(), model.log_in(fits, if locked { now } else { at }), "a login");
                asked.world
            }
            Step::Use { whose } => Self::ask(world, &mut model, whose, lookup_self()),
            Step::Renew { whose } => Self::renew(world, &mut model, whose),
            Step::Revoke { whose } => {
                let Some(at) = model.shows.get(&whose).copied() else { return Walk { world, model } };
                let asked = world.when("root", revoke(NAMES[whose]));
                model.tokens[at].gone |= asked.answer.is_ok();
                asked.world
            }
            Step::Make { maker, whose, ttl_s, uses, renewal_s } => {
                Self::make(world, &mut model, (maker, whose), (ttl_s, uses, renewal_s))
            }
        };
        Walk { world, model }
    }

    fn ask(world: World, model: &mut Model, whose: usize, request: Request) -> World {
        let asked = world.when(NAMES[whose], request);
        let counts = model.counts_of(whose, asked.decision.stamp.0);
        assert_eq!(asked.decision.actor.is_some(), counts.is_some(), "{} at {:?}", NAMES[whose], asked.decision.stamp);
        if let Some(at) = counts {
            model.used(at);
        }
        asked.world
    }

    fn renew(world: World, model: &mut Model, whose: usize) -> World {
        let asked = world.when(NAMES[whose], asks(IdentityCommand::RenewToken { accessor: None, increment_ms: 0 }));
        let now = asked.decision.stamp.0;
        let Some(at) = model.counts_of(whose, now) else {
            assert!(asked.answer.is_err());
            return asked.world;
        };
        let token = model.tokens[at].clone();
        assert_eq!(asked.answer.is_ok(), token.renewal > 0, "a renewal");
        if token.renewal > 0 {
            let parents = token.parent.and_then(|parent| model.tokens[parent].end);
            model.tokens[at].end = [Some(now + token.renewal), parents].into_iter().flatten().min().max(token.end);
        }
        model.used(at);
        asked.world
    }

    fn make(mut world: World, model: &mut Model, (maker, whose): (usize, usize), terms: (u64, u32, u64)) -> World {
        let (ttl_s, uses, renewal_s) = terms;
        let hash = world.draw_hash();
        let plain = TokenWish::plain(hash, principal(NAMES[whose]), vec![policy("root")], ttl_s * 1000);
        let wish = TokenWish { uses_max: uses, renewal_ms: renewal_s * 1000, ..plain };
        let who = NAMES.get(maker).copied().unwrap_or("root");
        let asked = world.when(who, Box::new(move |_| Command::CreateToken(Box::new(wish))));
        let now = asked.decision.stamp.0;
        let parent = model.counts_of(maker, now);
        let is_root = maker == NAMES.len();
        let depth = std::iter::successors(parent, |at| model.tokens[*at].parent).count() + 1;
        let may = is_root || parent.is_some_and(|at| model.tokens[at].uses.is_none() && depth < limits::TOKEN_DEPTH_MAX);
        assert_eq!(asked.answer.is_ok(), may, "{who} makes one: {:?}", asked.answer);
        let mut world = asked.world;
        if may {
            let seconds = if ttl_s > 0 { ttl_s } else { renewal_s };
            let asked_end = (seconds > 0).then(|| now + seconds * 1_000_000);
            let parents = parent.and_then(|at| model.tokens[at].end);
            let end = [asked_end, parents].into_iter().flatten().min();
            let uses = (uses > 0).then_some(uses);
            model.tokens.push(Known { parent, end, uses, renewal: renewal_s * 1_000_000, gone: false });
            model.shows.insert(whose, model.tokens.len() - 1);
            world.hold(NAMES[whose], hash);
        } else if let Some(at) = parent {
            model.used(at);
        }
        world
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 1000, ..ProptestConfig::default() })]

    #[test]
    fn tokens_uses_families_and_locks_are_those_of_the_naive_model(steps in prop::collection::vec(step(), 1..80)) {
        let walk = Walk { world: given(a_user()), model: Model::default() };
        let Walk { world, model } = steps.iter().fold(walk, Walk::step);
        let now = world.now.0 + 1000;
        let living = (0..model.tokens.len()).filter(|at| model.counts(*at, now)).count();
        let seen = world.state.tokens().filter(|token| token.is_valid_at(Stamp(now)) && NAMES.contains(&token.principal.as_str()));
        prop_assert_eq!(seen.count(), living);
    }
}

#[test]
fn a_walk_can_fail() {
    let mut model = Model::default();
    assert!((0..5).all(|at| !model.log_in(false, at)) && !model.log_in(true, 10) && model.log_in(true, 15 * 60 * 1_000_000 + 4));
    let event = Event::Identity(node_domain::identity::IdentityEvent::UserDisabled { name: called("ana") });
    assert!(event.is_change());
}
