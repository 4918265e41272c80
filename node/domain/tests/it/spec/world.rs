//! A world to ask in, and what is said about the answer.

use super::words::{Fact, Request};
use crate::invariants::{self, CIPHERTEXT_MARK, Step, WRAPPED_KEY_MARK};
use node_domain::command::{Founding, TokenWish};
use node_domain::identity::IdentityEvent;
use node_domain::ids::{Accessor, EnvironmentName, PolicyName, PrincipalName, RoleName, SecretPath, Stamp, TokenHash};
use node_domain::policy::{Capabilities, Conditions, PathPattern, Rule};
use node_domain::sealed::{Payload, SealRef, Sealed};
use node_domain::secret::Secret;
use node_domain::{Answer, Ask, Command, Decision, Event, Head, Rejection, State};
use proto_record::leaf::{Leaf, Outcome};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// The environment that a specification speaks of where it names none.
pub(crate) const HOME: &str = "production";
/// The other one that every world has.
pub(crate) const ELSEWHERE: &str = "staging";
/// When every world begins, in microseconds.
const DAWN_US: u64 = 1_790_000_000_000_000;

/// A head and its twin that folds the same decisions, with the tokens that people hold and the values that were put.
#[derive(Clone)]
pub(crate) struct World {
    head: Head,
    pub(crate) state: State,
    pub(crate) now: Stamp,
    tokens: BTreeMap<String, TokenHash>,
    rules: BTreeMap<String, Vec<Rule>>,
    values: HashMap<[u8; 32], (String, Sealed)>,
    drawn: u64,
    /// Where requests come from, where that is known.
    pub(crate) address: Option<IpAddr>,
}

/// A founded world with `production` and `staging`, a `root`, and these facts.
pub(crate) fn given<const N: usize>(facts: [Fact; N]) -> World {
    let founding = founding_of([HOME, ELSEWHERE], [0; 32]);
    let mut world = newborn().when("root", Box::new(|_| Command::Found(Box::new(founding)))).then_is_done();
    facts.into_iter().for_each(|fact| fact(&mut world));
    world
}

/// A world before its founding.
pub(crate) fn newborn() -> World {
    let state = State::empty([7; 16]);
    let tokens = BTreeMap::from([("root".to_owned(), [0; 32])]);
    let (rules, values) = (BTreeMap::new(), HashMap::new());
    World { head: Head::new(state.clone()), state, now: Stamp(DAWN_US), tokens, rules, values, drawn: 0, address: None }
}

/// What a cluster with these environments is founded from.
pub(crate) fn founding_of<const N: usize>(environments: [&str; N], root_token: TokenHash) -> Founding {
    let environments = environments
        .into_iter()
        .enumerate()
        .map(|(at, name)| (EnvironmentName::parse(name).unwrap(), [at as u8 + 1; 16], wrapped_key(name)));
    Founding { environments: environments.collect(), root_token, keys: None }
}

/// The key of an environment, as the root key wraps it.
pub(crate) fn wrapped_key(environment: &str) -> bytes::Bytes {
    [WRAPPED_KEY_MARK, environment.as_bytes()].concat().into()
}

/// What was asked, what came of it, and the world after it.
pub(crate) struct Asked {
    pub(crate) world: World,
    pub(crate) decision: Decision,
    pub(crate) answer: Result<Answer, Rejection>,
}

impl World {
    /// `who` asks, by the token that the world knows them to hold; strangers hold none.
    pub(crate) fn when(mut self, who: &str, request: Request) -> Asked {
        let drawn = self.draw();
        self.ask(who, u128::from(drawn).to_be_bytes(), drawn, request)
    }

    /// `who` asks under a request id and with a fingerprint of the content that the specification chooses.
    pub(crate) fn when_under(self, (request_id, content): (u8, u64), who: &str, request: Request) -> Asked {
        self.ask(who, [request_id; 16], content, request)
    }

    fn ask(self, who: &str, request_id: [u8; 16], fingerprint: u64, request: Request) -> Asked {
        self.ask_at(None, who, (request_id, fingerprint), request)
    }

    /// As `when`, from this address.
    pub(crate) fn when_from(mut self, address: &str, who: &str, request: Request) -> Asked {
        let drawn = self.draw();
        self.ask_at(Some(address), who, (u128::from(drawn).to_be_bytes(), drawn), request)
    }

    /// As `when_under`, from this address.
    pub(crate) fn when_under_from(self, address: &str, (request_id, content): (u8, u64), who: &str, request: Request) -> Asked {
        self.ask_at(Some(address), who, ([request_id; 16], content), request)
    }

    fn ask_at(mut self, address: Option<&str>, who: &str, (request, fingerprint): ([u8; 16], u64), asked: Request) -> Asked {
        let ask = self.next_ask(address, who, request, fingerprint);
        let command = asked(&mut self);
        self.decide(ask, command)
    }

    fn next_ask(&mut self, address: Option<&str>, who: &str, request: [u8; 16], fingerprint: u64) -> Ask {
        let credential = self.tokens.get(who).copied();
        self.now = Stamp(self.now.0 + 1000);
        let address = address.map(|text| text.parse().unwrap()).or(self.address);
        Ask { credential, request, fingerprint, source: "1/127.0.0.1".into(), address }
    }

    /// As `when`, for a thousand of them: it is done, and what must always be so is not looked at.
    pub(crate) fn when_unchecked(mut self, who: &str, request: Request) -> World {
        let drawn = self.draw();
        let ask = self.next_ask(None, who, u128::from(drawn).to_be_bytes(), drawn);
        let command = request(&mut self);
        let (decision, answer) = self.head.decide(self.now, ask, command).expect("what is decided fits");
        self.state.apply(&decision).expect("what is decided fits");
        answer.expect("it should be done");
        self
    }

    /// As if these records had been made, by nobody: for worlds that would take ten thousand requests.
    pub(crate) fn recorded(mut self, events: Vec<Event>) -> World {
        let decision = Decision {
            stamp: Stamp(self.now.0 + 1000).max(Stamp(self.state.stamp().0 + 1)),
            actor: None,
            accessor: None,
            policies: self.state.policies_changed(),
            request: u128::from(self.draw()).to_be_bytes(),
            fingerprint: 0,
            source: "1/127.0.0.1".into(),
            events,
        };
        self.state.apply(&decision).expect("the records fit");
        self.head = Head::new(self.state.clone());
        self
    }

    /// Decides, follows, and checks what must always be so.
    pub(crate) fn decide(mut self, ask: Ask, command: Command) -> Asked {
        let (decision, answer) = self.head.decide(self.now, ask, command).expect("what is decided fits");
        let before = self.state.clone();
        self.state.apply(&decision).expect("what is decided fits");
        invariants::check_step(&Step { before: &before, decision: &decision, after: &self.state });
        invariants::pieces_round_trip(&self.state);
        assert_eq!(self.head.revision(), self.state.revision());
        if let Err(rejection) = &answer {
            let [Event::Refused { rejection: recorded, .. }, noticed @ ..] = decision.events.as_slice() else {
                panic!("a refusal starts with its record, not {:?}", decision.events)
            };
            assert_eq!(recorded, rejection, "the record says something else than the answer");
            // What a refusal counts: a failed login, a use of a token that has a number of them; and what it raises.
            let counts = |event: &Event| {
                matches!(event, Event::Identity(IdentityEvent::LoginFailed { .. } | IdentityEvent::TokenUsed { .. }))
            };
            // Where a rule has looked into a value, its refusal is a read.
            let is_look = |event: &Event| matches!((event, rejection), (Event::SecretRead { .. }, Rejection::AgainstRule { .. }));
            let aside = |event: &Event| event.is_aside() || counts(event) || is_look(event);
            assert!(noticed.iter().all(aside), "a refusal led to more than counts and alerts: {noticed:?}");
            let changed = before.digest() != self.state.digest();
            assert_eq!(changed, noticed.iter().any(Event::is_change), "a refusal changed the state");
        }
        Asked { world: self, decision, answer }
    }

    /// Makes something true.
    pub(crate) fn and(mut self, fact: Fact) -> World {
        fact(&mut self);
        self
    }

    /// Asks in the name of root for what must succeed, to build the world.
    pub(crate) fn establish(&mut self, command: Command) -> Answer {
        self.establish_as("root", command)
    }

    pub(crate) fn establish_as(&mut self, who: &str, command: Command) -> Answer {
        let world = std::mem::replace(self, newborn());
        let asked = world.when(who, Box::new(|_| command));
        let answer = asked.answer.expect("the facts of a world come true");
        *self = asked.world;
        answer
    }

    /// A number never drawn before.
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    /// `text`, sealed, in a way that tells it from every other sealing of the same text.
    pub(crate) fn seal(&mut self, text: &str) -> Sealed {
        let drawn = self.draw();
        let payload = Payload {
            wrapped_key: [WRAPPED_KEY_MARK, &drawn.to_be_bytes()].concat().into(),
            ciphertext: [CIPHERTEXT_MARK, &drawn.to_be_bytes(), text.as_bytes()].concat().into(),
        };
        let sealed = Sealed::new(1, u128::from(drawn).to_be_bytes(), text.len() as u32, false, payload);
        self.values.insert(sealed.seal.digest, (text.to_owned(), sealed.clone()));
        sealed
    }

    /// The sealed bytes of a version, as the door fetches them; of anything where there is none.
    pub(crate) fn fetch(&mut self, environment: &str, path: &str, version: Option<u64>) -> Sealed {
        let seal = self.secret_in(environment, path).and_then(|secret| {
            let number = version.unwrap_or(secret.newest);
            secret.version(number).map(|version| version.seal.clone())
        });
        let known = seal.and_then(|seal| self.values.get(&seal.digest)).map(|(_, sealed)| sealed.clone());
        known.unwrap_or_else(|| self.seal("whatever"))
    }

    /// The same value in another wrapping, as a door would fetch it from now on.
    pub(crate) fn know(&mut self, sealed: &Sealed) {
        let text = self.values.values().find(|(_, known)| known.seal.value_id == sealed.seal.value_id);
        if let Some((text, _)) = text {
            self.values.insert(sealed.seal.digest, (text.clone(), sealed.clone()));
        }
    }

    /// What the sealed value says.
    fn opened(&self, seal: &SealRef) -> &str {
        self.values.get(&seal.digest).map_or("a value that nobody put", |(text, _)| text)
    }

    pub(crate) fn secret_in(&self, environment: &str, path: &str) -> Option<Secret> {
        let home = self.state.environment(&EnvironmentName::parse(environment).unwrap()).ok()?;
        home.secret(&SecretPath::parse(path).unwrap()).ok().map(|secret| Secret::clone(secret))
    }

    pub(crate) fn secret(&self, path: &str) -> Secret {
        self.secret_in(HOME, path).unwrap_or_else(|| panic!("{path} should be there"))
    }

    /// Adds a rule to the policy `of-<who>`, and gives `who` a token with it where they have none.
    pub(crate) fn rule(&mut self, who: &str, environment: Option<&str>, words: &str, path: &str, deny: bool) {
        self.rule_of(
            who,
            Rule {
                environment: environment.map(|name| EnvironmentName::parse(name).unwrap()),
                path: PathPattern::parse(path).unwrap(),
                capabilities: Capabilities::parse(words.split_whitespace()).unwrap(),
                deny,
                conditions: Conditions::default(),
            },
        );
    }

    /// As `rule`, whole.
    pub(crate) fn rule_of(&mut self, who: &str, rule: Rule) {
        let rules = self.rules.entry(who.to_owned()).or_default();
        rules.push(rule);
        let rules = rules.clone();
        let name = PolicyName::parse(&format!("of-{who}")).unwrap();
        self.establish(Command::PutPolicy { name: name.clone(), rules });
        if !self.tokens.contains_key(who) {
            self.token_for("root", who, vec![name], 0);
        }
    }

    /// `maker` makes a token for `who`, who shows it from now on.
    pub(crate) fn token_for(&mut self, maker: &str, who: &str, policies: Vec<PolicyName>, ttl_ms: u64) {
        self.token_with_roles(maker, who, policies, Vec::new(), ttl_ms);
    }

    pub(crate) fn token_with_roles(
        &mut self,
        maker: &str,
        who: &str,
        policies: Vec<PolicyName>,
        roles: Vec<RoleName>,
        ttl_ms: u64,
    ) {
        let hash = self.draw_hash();
        let principal = PrincipalName::parse(who).unwrap();
        let wish = TokenWish { roles, ..TokenWish::plain(hash, principal, policies, ttl_ms) };
        self.establish_as(maker, Command::CreateToken(Box::new(wish)));
        self.hold(who, hash);
    }

    pub(crate) fn draw_hash(&mut self) -> TokenHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.draw().to_be_bytes());
        hash
    }

    /// `who` shows this token from now on.
    pub(crate) fn hold(&mut self, who: &str, hash: TokenHash) {
        self.tokens.insert(who.to_owned(), hash);
    }

    pub(crate) fn credential(&self, who: &str) -> TokenHash {
        self.tokens[who]
    }

    pub(crate) fn accessor(&self, who: &str) -> Accessor {
        Accessor::of(&self.tokens[who])
    }

    /// When the token that `who` shows ends.
    pub(crate) fn end_of_token(&self, who: &str) -> Option<Stamp> {
        self.state.token_by_accessor(&self.accessor(who)).unwrap().expires
    }
}

impl Asked {
    /// It is refused because the state does not allow it, in these words.
    #[track_caller]
    pub(crate) fn then_refuses(self, words: &str) -> Asked {
        let rejection = self.rejection();
        assert!(!rejection.is_denial(), "denied instead: {rejection}");
        assert_eq!(rejection.to_string(), words);
        self
    }

    /// It is refused because the caller may not, in these words.
    #[track_caller]
    pub(crate) fn then_denies(self, words: &str) -> Asked {
        let rejection = self.rejection();
        assert!(rejection.is_denial(), "refused instead: {rejection}");
        assert_eq!(rejection.to_string(), words);
        self
    }

    /// It is refused because no valid token was shown.
    #[track_caller]
    pub(crate) fn then_is_not_authenticated(self) -> Asked {
        assert_eq!(self.decision.actor, None, "a caller without a valid token has no name");
        self.then_denies("the token is missing, unknown, expired or revoked")
    }

    #[track_caller]
    pub(crate) fn rejection(&self) -> Rejection {
        self.answer.clone().expect_err("it should be refused")
    }

    /// It is done, whatever the answer says.
    #[track_caller]
    pub(crate) fn then_is_done(self) -> World {
        self.answer.expect("it should be done");
        self.world
    }

    #[track_caller]
    pub(crate) fn then_answers(self, answer: Answer) -> Asked {
        assert_eq!(self.answer.as_ref().expect("it should be answered"), &answer);
        self
    }

    /// A version of this number was added.
    #[track_caller]
    pub(crate) fn then_writes(self, number: u64) -> Asked {
        let answer = self.answer.as_ref().expect("it should be written");
        assert!(matches!(answer, Answer::Written { version, .. } if *version == number), "{answer:?}");
        self
    }

    /// The version that was added ends so many milliseconds after the record that made it, or never.
    #[track_caller]
    pub(crate) fn that_expires_in(self, ms: Option<u64>) -> Asked {
        let expected = ms.map(|ms| self.decision.stamp.plus_ms(ms));
        let Ok(Answer::Written { expires, .. }) = &self.answer else { panic!("nothing was written: {:?}", self.answer) };
        assert_eq!(*expires, expected);
        self
    }

    #[track_caller]
    pub(crate) fn then_versions<const N: usize>(self, versions: [u64; N]) -> Asked {
        self.then_answers(Answer::Versions(versions.to_vec()))
    }

    /// These values may be opened, item by item; a refused item is its refusal's words.
    #[track_caller]
    pub(crate) fn then_reads<const N: usize>(self, expected: [&str; N]) -> Asked {
        let Ok(Answer::Readable(items)) = &self.answer else { panic!("nothing can be read: {:?}", self.answer) };
        let seen = items.iter().map(|item| match item {
            Ok(readable) => self.world.opened(&readable.version.seal).to_owned(),
            Err(rejection) => rejection.to_string(),
        });
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        let first = self.world.state.revision().0 + 1 - self.decision.events.len() as u64;
        for (at, item) in items.iter().enumerate() {
            assert!(
                item.as_ref().is_ok_and(|readable| readable.index.0 == first + at as u64) || item.is_err(),
                "a read names its record"
            );
        }
        self
    }

    /// The journal's lines: `operation environment subject v<version> outcome`, `-` for an empty environment or subject.
    #[track_caller]
    pub(crate) fn recording<const N: usize>(self, lines: [&str; N]) -> Asked {
        assert_eq!(self.lines(), lines);
        self
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let first = self.world.state.revision().0 + 1 - self.decision.events.len() as u64;
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let line = |at: usize| {
            let bytes = self.decision.leaf(at, node_domain::ids::Revision(first + at as u64), self.world.state.cluster(), 1);
            let leaf = Leaf::decode(&bytes).unwrap();
            let operation = node_domain::operation::Operation::from_number(leaf.operation).unwrap();
            let version = if leaf.version == 0 { String::new() } else { format!(" v{}", leaf.version) };
            let outcome = Outcome::word(leaf.outcome);
            format!("{} {} {}{version} {outcome}", operation.word(), dash(leaf.environment), dash(leaf.subject))
        };
        (0..self.decision.events.len()).map(line).collect()
    }

    /// The journal names this actor.
    #[track_caller]
    pub(crate) fn by(self, who: &str) -> Asked {
        assert_eq!(self.decision.actor.as_ref().map_or("-", PrincipalName::as_str), who);
        self
    }

    pub(crate) fn when(self, who: &str, request: Request) -> Asked {
        self.world.when(who, request)
    }

    pub(crate) fn when_under(self, ticket: (u8, u64), who: &str, request: Request) -> Asked {
        self.world.when_under(ticket, who, request)
    }

    pub(crate) fn and(self, fact: Fact) -> World {
        self.world.and(fact)
    }
}
