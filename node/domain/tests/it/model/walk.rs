//! One walk: each step is asked of the domain and of the model, and everything that can be seen is compared.

use super::draft::{self, Draft, DraftAsk, DraftChange, DraftValue, PLACES, Ticket};
use super::naive::{Asking, Life, Model, No, Policy, Secret, Token, Told, Version};
use super::wish::{Allow, Change, Expect, Said, Value, Which, Wish, token_hash};
use crate::invariants::{self, CIPHERTEXT_MARK, Step, WRAPPED_KEY_MARK};
use node_domain::command::Founding;
use node_domain::ids::{EnvironmentName, SecretPath, Stamp};
use node_domain::policy::Rule;
use node_domain::sealed::{Payload, Sealed};
use node_domain::secret::VersionState;
use node_domain::{Answer, Ask, Batch, Command, Decision, Event, Head, Rejection, State};
use proto_record::codec::{self, Kind};
use std::collections::{BTreeMap, HashMap};

const DAWN_US: u64 = 1_790_000_000_000_000;
/// Requests between two leaders.
const RESTORED_EVERY: usize = 5;

/// A request that was asked, to ask it again.
#[derive(Clone)]
struct Past {
    token: u8,
    request: u64,
    content: u64,
    wish: Wish,
}

pub(super) struct Walk {
    head: Head,
    /// Folds every decision from the empty state on.
    replayed: State,
    decisions: Vec<Decision>,
    model: Model,
    now: u64,
    past: Vec<Past>,
    /// Every sealed value ever drawn.
    values: HashMap<[u8; 32], Sealed>,
    drawn: u64,
    /// Operation and outcome of every record, to know what walks come to.
    seen: BTreeMap<String, u32>,
}

impl Walk {
    /// A founded cluster with some people in it, not all of whom may the same.
    pub(super) fn begin() -> Walk {
        let state = State::empty([7; 16]);
        let mut walk = Walk {
            head: Head::new(state.clone()),
            replayed: state,
            decisions: Vec::new(),
            model: Model::founded(&PLACES, DAWN_US),
            now: DAWN_US,
            past: Vec::new(),
            values: HashMap::new(),
            drawn: 0,
            seen: BTreeMap::new(),
        };
        let name = |name: &str| EnvironmentName::parse(name).unwrap();
        let environments =
            PLACES.iter().enumerate().map(|(at, place)| (name(place), [at as u8; 16], WRAPPED_KEY_MARK.into())).collect();
        let founding = Command::Found(Box::new(Founding { environments, root_token: token_hash(0), keys: None }));
        let asking = Asking { now: walk.now, token: None, request: u64::MAX, content: 0 };
        walk.decide(&asking, founding).expect("a new cluster can be founded");
        walk.people();
        walk
    }

    /// Policies, tokens and some secrets.
    fn people(&mut self) {
        let allow = |pattern: &str, words: &[&'static str], deny: bool, environment: Option<&str>| Allow {
            environment: environment.map(str::to_owned),
            pattern: pattern.to_owned(),
            words: words.to_vec(),
            deny,
        };
        let writes = ["read", "create", "update", "list", "metadata", "delete", "destroy"];
        let policies = [
            ("team-a", vec![allow("*", &writes, false, None)]),
            (
                "team-b",
                vec![allow("db/*", &["read", "create", "list", "delete"], false, None), allow("db/b", &["read"], true, None)],
            ),
            ("team-c", vec![allow("*", &["tokens", "policies", "environments", "audit", "cluster"], false, None)]),
            ("deny", vec![allow("db/x/*", &writes, true, Some("one"))]),
        ];
        for (name, rules) in policies {
            self.root_wishes(Wish::PutPolicy { name: name.into(), rules });
        }
        let tokens: [(u8, &str, &[&str], u64); 5] = [
            (1, "ana", &["team-a"], 0),
            (2, "bob", &["team-b"], 0),
            (3, "carol", &["team-c", "team-a"], 3_600_000),
            (4, "ana", &["team-a", "deny"], 0),
            (5, "bob", &["root", "deny"], 60_000),
        ];
        for (number, principal, policies, ttl_ms) in tokens {
            let policies = policies.iter().map(|name| (*name).to_owned()).collect();
            self.root_wishes(Wish::CreateToken { number, principal: principal.into(), policies, ttl_ms });
        }
        for path in ["a", "a", "a", "db/a", "db/a", "db/x/a", "web"] {
            let (value, expect, said) = (self.seal(DraftValue::Honest), Expect::Anything, Said::default());
            self.root_wishes(Wish::Put { place: "one".into(), path: path.into(), value, expect, said, patch: false });
        }
    }

    fn root_wishes(&mut self, wish: Wish) {
        self.now += 1000;
        let (request, content) = (self.draw(), self.draw());
        self.ask(Past { token: 0, request, content, wish });
    }

    pub(super) fn step(&mut self, draft: &Draft) {
        self.now = self.now.saturating_add_signed(draft.tick_us);
        let (request, content) = (self.draw(), self.draw());
        let fresh = |walk: &mut Walk, request| Past { token: draft.token, request, content, wish: walk.wish(&draft.ask) };
        let asked = match draft.ticket {
            Ticket::Fresh => fresh(self, request),
            Ticket::Repeat(back) => self.before(back),
            Ticket::Steal(back) => Past { token: draft.token, ..self.before(back) },
            Ticket::Reuse(back) => {
                let used = self.before(back).request;
                fresh(self, used)
            }
        };
        self.ask(asked);
    }

    /// Operations with how they ended, and how often, in this walk.
    pub(super) fn seen(&self) -> &BTreeMap<String, u32> {
        &self.seen
    }

    /// What holds of a whole walk.
    pub(super) fn end(&self) {
        let mut fold = State::empty([7; 16]);
        for decision in &self.decisions {
            let batch = Batch { based_on: fold.revision(), decisions: vec![decision.clone()] };
            let travelled: Batch = codec::decode(Kind::Batch, &codec::encode(Kind::Batch, &batch)).expect("a batch decodes");
            assert_eq!(travelled, batch);
            assert_eq!(fold.apply_batch(&travelled), Ok(true));
        }
        invariants::head_equals_replay(&self.replayed, &fold);
        invariants::encoded_pieces_round_trip(&self.replayed);
        let whole = Batch { based_on: State::empty([7; 16]).revision(), decisions: self.decisions.clone() };
        assert_eq!(whole.record_count(), self.replayed.revision().0);
        let mut at_once = State::empty([7; 16]);
        assert_eq!(at_once.apply_batch(&whole), Ok(true));
        invariants::head_equals_replay(&self.replayed, &at_once);
    }

    fn before(&self, back: usize) -> Past {
        self.past[self.past.len().saturating_sub(back)].clone()
    }

    fn ask(&mut self, asked: Past) {
        // Now and then another leader takes over, who had the state handed to him in pieces: nobody may notice.
        if self.decisions.len().is_multiple_of(RESTORED_EVERY) {
            self.head = Head::new(invariants::restored(&self.replayed));
        }
        let asking = Asking { now: self.now, token: Some(asked.token), request: asked.request, content: asked.content };
        let expected = self.model.ask(&asking, &asked.wish);
        let answer = self.decide(&asking, asked.wish.command());
        assert_eq!(told(&answer), expected, "{:?} by token {} was answered {answer:?}", asked.wish, asked.token);
        self.compare();
        self.past.push(asked);
    }

    /// Decides on the head, folds into the replay, and checks every invariant.
    fn decide(&mut self, asking: &Asking, command: Command) -> Result<Answer, Rejection> {
        let ask = Ask {
            credential: asking.token.map(token_hash),
            request: u128::from(asking.request).to_be_bytes(),
            fingerprint: asking.content,
            source: "1/127.0.0.1".into(),
            address: None,
        };
        let (decision, answer) = self.head.decide(Stamp(asking.now), ask, command).expect("what is decided fits");
        let before = self.replayed.clone();
        self.replayed.apply(&decision).expect("what is decided fits");
        invariants::check_step(&Step { before: &before, decision: &decision, after: &self.replayed });
        invariants::pieces_round_trip(&self.replayed);
        assert_eq!(self.head.revision(), self.replayed.revision());
        if let Err(rejection) = &answer {
            assert!(matches!(&decision.events[..], [Event::Refused { rejection: recorded, .. }, noticed @ ..]
                if recorded == rejection && noticed.iter().all(Event::is_aside)));
        }
        // Alerts stand beside what was asked: the model knows nothing of them but their records.
        let noticed = decision.events.iter().filter(|event| event.is_aside()).count() as u64;
        (self.model.records, self.model.stamp) = (self.model.records + noticed, self.model.stamp + noticed);
        for event in &decision.events {
            *self.seen.entry(sight(event)).or_default() += 1;
        }
        self.decisions.push(decision);
        answer
    }

    /// Compares all that can be seen of the state with the model.
    fn compare(&self) {
        let (state, model) = (&self.replayed, &self.model);
        assert_eq!((state.revision().0, state.stamp().0), (model.records, model.stamp));
        let places: Vec<_> = state.environments().map(|environment| environment.about.name.to_string()).collect();
        assert_eq!(places, model.places);
        let mut secrets: Vec<Secret> = state
            .environments()
            .flat_map(|environment| {
                environment.secrets.values().map(|secret| seen_secret(environment.about.name.as_str(), secret))
            })
            .collect();
        secrets.sort_by_key(|secret| secret.id);
        let mut expected: Vec<&Secret> = model.secrets.iter().collect();
        expected.sort_by_key(|secret| secret.id);
        assert_eq!(secrets.iter().collect::<Vec<_>>(), expected);
        let mut tokens: Vec<Token> = state.tokens().map(seen_token).collect();
        tokens.sort_by_key(|token| token.number);
        let mut expected: Vec<&Token> = model.tokens.iter().collect();
        expected.sort_by_key(|token| token.number);
        assert_eq!(tokens.iter().collect::<Vec<_>>(), expected);
        let policies: Vec<Policy> = state.policies().map(seen_policy).collect();
        assert_eq!(policies, model.policies);
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn seal(&mut self, quality: DraftValue) -> Value {
        let drawn = self.draw();
        let payload = Payload {
            wrapped_key: [WRAPPED_KEY_MARK, &drawn.to_be_bytes()].concat().into(),
            ciphertext: [CIPHERTEXT_MARK, &drawn.to_be_bytes()].concat().into(),
        };
        let sealed = Sealed::new(1, u128::from(drawn).to_be_bytes(), 8, false, payload);
        self.values.insert(sealed.seal.digest, sealed.clone());
        whole_or_not(sealed, quality)
    }

    /// What a door fetches for a change that starts from a stored version.
    fn fetch(&mut self, place: &str, path: &str, version: Option<u64>, quality: DraftValue) -> Value {
        let secret = self.model.find(place, path);
        let number = version.or(secret.map(|secret| secret.newest));
        let stored = secret.and_then(|secret| secret.versions.iter().find(|version| Some(version.number) == number));
        let known = stored.and_then(|version| self.values.get(&version.digest)).cloned();
        match known {
            Some(sealed) if quality != DraftValue::Other => whole_or_not(sealed, quality),
            _ => self.seal(quality),
        }
    }

    fn newest(&self, place: &str, path: &str) -> u64 {
        self.model.find(place, path).map_or(0, |secret| secret.newest)
    }

    fn version(&self, place: &str, path: &str, back: u64) -> u64 {
        (self.newest(place, path) + 1).saturating_sub(back)
    }

    fn which(&self, place: &str, path: &str, which: &Which) -> Which {
        match which {
            Which::These(back) => Which::These(back.iter().map(|back| self.version(place, path, *back)).collect()),
            which => which.clone(),
        }
    }

    /// The wish that a draft comes to, as things stand.
    fn wish(&mut self, ask: &DraftAsk) -> Wish {
        let text = |text: &&'static str| (*text).to_owned();
        match ask {
            DraftAsk::Put(place, path, value, expect, said, patch) => {
                let expect = if *patch { draft::door_expects(*expect) } else { *expect };
                let (expect, value) = (draft::expectation(expect, self.newest(place, path)), self.seal(*value));
                Wish::Put { place: text(place), path: text(path), value, expect, said: said.clone(), patch: *patch }
            }
            DraftAsk::Read(place, path, version) => {
                let version = version.map(|back| self.version(place, path, back));
                Wish::Read { place: text(place), path: text(path), version }
            }
            DraftAsk::ReadMany(place, items) => {
                let item =
                    |(path, back): &(&'static str, Option<u64>)| (text(path), back.map(|back| self.version(place, path, back)));
                Wish::ReadMany { place: text(place), items: items.iter().map(item).collect() }
            }
            DraftAsk::SetMetadata(place, path, said) => {
                Wish::SetMetadata { place: text(place), path: text(path), said: said.clone() }
            }
            DraftAsk::Look(place, prefix, operation) => {
                Wish::Look { place: text(place), prefix: text(prefix), operation: *operation }
            }
            DraftAsk::History(place, path) => Wish::History { place: text(place), path: text(path) },
            DraftAsk::Rollback(place, path, back, value, expect) => {
                let to = self.version(place, path, *back);
                let (expect, value) =
                    (draft::expectation(*expect, self.newest(place, path)), self.fetch(place, path, Some(to), *value));
                Wish::Rollback { place: text(place), path: text(path), to, value, expect }
            }
            DraftAsk::Delete(place, path, which) => {
                Wish::Delete { place: text(place), path: text(path), which: self.which(place, path, which) }
            }
            DraftAsk::Undelete(place, path, which) => {
                Wish::Undelete { place: text(place), path: text(path), which: self.which(place, path, which) }
            }
            DraftAsk::Destroy(place, path, which) => {
                Wish::Destroy { place: text(place), path: text(path), which: self.which(place, path, which) }
            }
            DraftAsk::Copy(place, from, to, value, expect) => {
                let (expect, value) =
                    (draft::expectation(*expect, self.newest(place, to)), self.fetch(place, from, None, *value));
                Wish::Copy { place: text(place), from: text(from), to: text(to), value, expect }
            }
            DraftAsk::Move(place, from, to) => Wish::Move { place: text(place), from: text(from), to: text(to) },
            DraftAsk::Transact(place, items) => {
                let item = |(path, expect, change): &(&'static str, _, DraftChange)| {
                    let expect = draft::expectation(*expect, self.newest(place, path));
                    let change = match change {
                        DraftChange::Put(value, said) => Change::Put(Box::new(self.seal(*value)), Said::clone(said)),
                        DraftChange::Delete => Change::Delete,
                        DraftChange::Check => Change::Check,
                    };
                    (text(path), expect, change)
                };
                Wish::Transact { place: text(place), items: items.iter().map(item).collect() }
            }
            DraftAsk::CreateEnvironment(name) => Wish::CreateEnvironment { name: text(name) },
            DraftAsk::CreateToken(number, principal, policies, ttl_ms) => Wish::CreateToken {
                number: *number,
                principal: text(principal),
                policies: policies.iter().map(text).collect(),
                ttl_ms: *ttl_ms,
            },
            DraftAsk::Revoke(number) => Wish::Revoke { number: *number },
            DraftAsk::PutPolicy(name, rules) => Wish::PutPolicy { name: text(name), rules: rules.clone() },
            DraftAsk::ReadPolicy(name) => Wish::ReadPolicy { name: text(name) },
            DraftAsk::DeletePolicy(name) => Wish::DeletePolicy { name: text(name) },
            DraftAsk::Cluster(node) => Wish::Cluster { node: *node },
            DraftAsk::Plain(which) => plain(*which),
        }
    }
}

/// What a record shows of itself: `secret.put done`, `secret.put again`, `secret.put Conflict`.
fn sight(event: &Event) -> String {
    let how = match event {
        Event::Refused { rejection: Rejection::RequestReused(_), .. } => "Reused".to_owned(),
        Event::Refused { rejection, .. } => format!("{:?}", no(rejection)),
        Event::AnsweredAgain { .. } => "again".to_owned(),
        _ => "done".to_owned(),
    };
    format!("{} {how}", event.operation().word())
}

fn plain(which: u8) -> Wish {
    match which {
        0 => Wish::ListEnvironments,
        1 => Wish::LookupSelf,
        2 => Wish::ListTokens,
        3 => Wish::ListPolicies,
        4 => Wish::Audit,
        5 => Wish::Malformed,
        6 => Wish::Stray,
        _ => Wish::FoundAgain,
    }
}

fn whole_or_not(sealed: Sealed, quality: DraftValue) -> Value {
    let whole = quality != DraftValue::NotWhole;
    Value { sealed: if whole { sealed } else { Sealed { payload: None, ..sealed } }, whole }
}

/// The domain's answer in the model's words.
fn told(answer: &Result<Answer, Rejection>) -> Result<Told, No> {
    match answer {
        Ok(Answer::Done) => Ok(Told::Done),
        Ok(Answer::Written { version, expires }) => Ok(Told::Wrote(*version, expires.map(|end| end.0))),
        Ok(Answer::Versions(versions)) => Ok(Told::Versions(versions.clone())),
        Ok(Answer::Readable(items)) => {
            let item = |item: &Result<node_domain::decide::Readable, Rejection>| match item {
                Ok(found) => Ok((found.secret.0, found.version.number, found.version.seal.digest, found.index.0)),
                Err(rejection) => Err(no(rejection)),
            };
            Ok(Told::Readable(items.iter().map(item).collect()))
        }
        Ok(other) => panic!("no walk is answered so: {other:?}"),
        Err(rejection) => Err(no(rejection)),
    }
}

fn no(rejection: &Rejection) -> No {
    match rejection {
        Rejection::NotAuthenticated => No::Unauthenticated,
        // Which denials are violations has specifications of its own.
        Rejection::Denied { .. } | Rejection::Violation { .. } => No::Denied,
        Rejection::Invalid(_) => No::Invalid,
        Rejection::NotFound { .. } => No::NotFound,
        Rejection::NotReadable { .. } => No::NotReadable,
        Rejection::Conflict { .. } => No::Conflict,
        Rejection::Exists { .. } => No::Exists,
        Rejection::RequestReused(at) => No::Reused(at.0),
        other => panic!("no walk comes to this: {other}"),
    }
}

fn seen_secret(place: &str, secret: &node_domain::secret::Secret) -> Secret {
    let version = |version: &node_domain::secret::Version| Version {
        number: version.number,
        life: match version.state {
            VersionState::Live => Life::Live,
            VersionState::Deleted => Life::Deleted,
            VersionState::Destroyed => Life::Destroyed,
        },
        created: version.created.0,
        by: version.created_by.to_string(),
        expires: version.expires.map(|end| end.0),
        digest: version.seal.digest,
        record: version.index.0,
    };
    Secret {
        place: place.to_owned(),
        path: SecretPath::as_str(&secret.path).to_owned(),
        id: secret.id.0,
        created: secret.created.0,
        updated: secret.updated.0,
        newest: secret.newest,
        owner: secret.about.owner.clone(),
        kind: secret.about.kind,
        tags: secret.about.tags.clone(),
        max_versions: secret.about.max_versions,
        ttl_ms: secret.about.ttl_ms,
        versions: secret.versions.iter().map(version).collect(),
    }
}

fn seen_token(token: &node_domain::token::Token) -> Token {
    Token {
        number: token.hash[0],
        principal: token.principal.to_string(),
        policies: token.policies.iter().map(ToString::to_string).collect(),
        created: token.created.0,
        by: token.created_by.to_string(),
        expires: token.expires.map(|end| end.0),
    }
}

fn seen_policy(policy: &node_domain::policy::Policy) -> Policy {
    let rule = |rule: &Rule| Allow {
        environment: rule.environment.as_ref().map(ToString::to_string),
        pattern: rule.path.to_string(),
        words: rule.capabilities.words().collect(),
        deny: rule.deny,
    };
    Policy { name: policy.name.to_string(), version: policy.version, rules: policy.rules.iter().map(rule).collect() }
}
