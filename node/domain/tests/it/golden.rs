//! Bytes that outlive a release: every event, a batch, a leaf of every event, the pieces of a state.
//!
//! Each file in `tests/golden` holds lines `name: text`. A line that was ever released may not change, or journals and logs of that
//! release would no longer open. To bless new lines: `HOLDFAST_BLESS=1 cargo test -p node-domain -- golden operations`.

use node_domain::command::{Expectation, Founding, TransactChange, TransactItem};
use node_domain::event::Cause;
use node_domain::ids::{Accessor, EnvironmentName, PolicyName, PrincipalName, Revision, RoleName, SecretId, SecretPath, Stamp};
use node_domain::operation::Operation;
use node_domain::policy::{Capabilities, Capability, Conditions, PathPattern, Rule};
use node_domain::sealed::{Payload, Sealed};
use node_domain::secret::{AboutChange, SecretType};
use node_domain::state::{Left, Piece};
use node_domain::token::{Login, Terms, Token};
use node_domain::{Ask, Batch, Command, Decision, Event, Head, Rejection, State};
use proto_record::codec::{self, Kind};
use proto_record::leaf::Leaf;
use std::path::PathBuf;

const CLUSTER: [u8; 16] = [0xC1; 16];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"))
}

fn read_golden(name: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file(name)).unwrap_or_default();
    text.lines()
        .map(|line| line.split_once(": ").expect("a golden line is `name: text`"))
        .map(|(name, text)| (name.into(), text.into()))
        .collect()
}

/// Compares with the golden file, line by line; blesses instead where `HOLDFAST_BLESS` is set.
pub(crate) fn assert_golden(name: &str, lines: &[(String, String)]) {
    if std::env::var_os("HOLDFAST_BLESS").is_some_and(|set| set == "1") {
        let text: String = lines.iter().map(|(name, text)| format!("{name}: {text}\n")).collect();
        std::fs::write(file(name), text).expect("the golden file can be written");
        return;
    }
    let golden = read_golden(name);
    for (line, text) in lines {
        let Some((_, released)) = golden.iter().find(|(known, _)| known == line) else {
            panic!("{line} has no line in golden/{name}.txt: bless it with HOLDFAST_BLESS=1")
        };
        assert_eq!(released, text, "{line} has drifted from what was released (golden/{name}.txt)");
    }
    let gone = golden.iter().find(|(known, _)| !lines.iter().any(|(line, _)| line == known));
    assert_eq!(gone, None, "golden/{name}.txt has a line that nothing stands for any more");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("golden bytes are hexadecimal"))
        .collect()
}

/// Names every variant: a new one does not compile until it stands here, and has no golden until it is blessed.
macro_rules! variants {
    ($of:ident: $($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        fn name_of(value: &$of) -> &'static str {
            match value { $($of::$name { .. } => stringify!($name)),* }
        }
    };
}

mod kinds {
    use node_domain::Event;
    use node_domain::Rejection;
    use node_domain::event::Cause;
    pub(super) mod event {
        use super::Event;
        variants!(Event: ClusterFounded EnvironmentCreated SecretVersionAdded SecretMetadataChanged SecretVersionsDeleted
            SecretVersionsUndeleted SecretVersionsDestroyed SecretMoved SecretRenamed SecretRead TokenCreated TokenRevoked PolicyPut PolicyDeleted
            Observed AnsweredAgain Refused RolePut RoleDeleted Keys Identity Guard Recovery Repair Members);
        pub(in super::super) fn name(event: &Event) -> &'static str {
            name_of(event)
        }
        pub(in super::super) const ALL: &[&str] = NAMES;
    }
    pub(super) mod cause {
        use super::Cause;
        variants!(Cause: Put Patch Rollback Copy Transaction Promotion);
        pub(in super::super) fn name(cause: &Cause) -> &'static str {
            name_of(cause)
        }
        pub(in super::super) const ALL: &[&str] = NAMES;
    }
    pub(super) mod rejection {
        use super::Rejection;
        variants!(Rejection: NotAuthenticated Denied Invalid NotFound NotReadable Conflict Exists Limit RequestReused
            Violation Throttled Sealed NodeFault NotLoggedIn UnwrappedBefore AgainstRule RulesMoved);
        pub(in super::super) fn name(rejection: &Rejection) -> &'static str {
            name_of(rejection)
        }
        pub(in super::super) const ALL: &[&str] = NAMES;
    }
}

fn environment() -> EnvironmentName {
    EnvironmentName::parse("production").unwrap()
}

fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

fn principal(name: &str) -> PrincipalName {
    PrincipalName::parse(name).unwrap()
}

fn policy(name: &str) -> PolicyName {
    PolicyName::parse(name).unwrap()
}

fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

fn sealed() -> Sealed {
    let payload = Payload { wrapped_key: vec![0xAA; 4].into(), ciphertext: vec![0xBB; 8].into() };
    Sealed::new(3, [0xCC; 16], 300, true, payload)
}

fn about() -> AboutChange {
    AboutChange {
        description: Some("the password".into()),
        owner: Some("team-db".into()),
        kind: Some(SecretType::Database),
        tags: Some(vec!["db".into(), "tier-1".into()]),
        custom: Some([("ticket".to_owned(), "OPS-1".to_owned())].into()),
        max_versions: Some(5),
        ttl_ms: Some(86_400_000),
    }
}

fn rule(words: &str, pattern: &str, deny: bool) -> Rule {
    let capabilities = Capabilities::parse(words.split(' ')).unwrap();
    Rule {
        environment: deny.then(environment),
        path: PathPattern::parse(pattern).unwrap(),
        capabilities,
        deny,
        conditions: Conditions::default(),
    }
}

fn added(cause: Cause, about: AboutChange) -> Event {
    Event::SecretVersionAdded {
        environment: environment(),
        path: path("db/password"),
        secret: SecretId(70_000),
        version: 12,
        sealed: sealed(),
        expires: Some(Stamp(1_790_000_000_000_000)),
        oldest_kept: 3,
        about,
        cause,
    }
}

fn causes() -> Vec<Cause> {
    vec![
        Cause::Put,
        Cause::Patch,
        Cause::Rollback { to: 4 },
        Cause::Copy { from: path("db/old"), version: 2 },
        Cause::Transaction,
        Cause::Promotion(Box::new(node_domain::event::PromotedFrom {
            promotion: 4711,
            environment: EnvironmentName::parse("staging").unwrap(),
            path: path("db/old"),
            version: 2,
        })),
    ]
}

fn rejections() -> Vec<Rejection> {
    vec![
        Rejection::NotAuthenticated,
        Rejection::Denied {
            principal: "ana".into(),
            capability: "read".into(),
            subject: "db/password".into(),
            environment: "production".into(),
            why: "no rule allows it".into(),
        },
        Rejection::Invalid("name at least one thing to change".into()),
        Rejection::NotFound { what: "secret".into(), name: "db/password".into() },
        Rejection::NotReadable { path: "db/password".into(), version: 2, state: "deleted".into(), hint: ": undelete it".into() },
        Rejection::Conflict { path: "db/password".into(), found: "v2".into(), expected: "v1".into() },
        Rejection::Exists { what: "environment".into(), name: "staging".into() },
        Rejection::Limit("a value is at most 1048576 bytes".into()),
        Rejection::RequestReused(Revision(300)),
        Rejection::Violation {
            principal: "ana".into(),
            subject: "db/password".into(),
            environment: "production".into(),
            hint: ": the one for development is development:db/password".into(),
        },
        Rejection::Throttled { what: "ana asks too much of production".into(), retry_ms: 250 },
        Rejection::Sealed { what: "environment production".into(), hint: String::new() },
        Rejection::NodeFault("the disk is full".into()),
        Rejection::NotLoggedIn("the password is wrong".into()),
        Rejection::UnwrappedBefore { at_ms: 1_790_000_000_000 },
        Rejection::AgainstRule {
            path: "db/password".into(),
            environment: "production".into(),
            rule: "strong".into(),
            why: "it wants a digit".into(),
        },
        Rejection::RulesMoved { path: "db/password".into(), rules: Revision(300) },
    ]
}

/// One of every variant, and of every variant inside them.
fn events() -> Vec<(String, Event)> {
    let mut examples: Vec<(String, Event)> = Vec::new();
    let mut add = |detail: &str, event: Event| {
        let name = kinds::event::name(&event);
        examples.push((if detail.is_empty() { name.to_owned() } else { format!("{name}/{detail}") }, event));
    };
    let (secret, versions) = (SecretId(70_000), vec![1, 2, 300]);
    add("", Event::ClusterFounded { cluster: CLUSTER });
    let (name, description) = (environment(), "where it counts".to_owned());
    add("", Event::environment_created(name, [0xE1; 16], description, vec![0xDD; 6].into()));
    for cause in causes() {
        add(kinds::cause::name(&cause), added(cause, AboutChange::default()));
    }
    add("about", added(Cause::Put, about()));
    for kind in SecretType::ALL {
        let about = AboutChange { kind: Some(kind), ..AboutChange::default() };
        add(kind.word(), Event::SecretMetadataChanged { environment: environment(), path: path("db/password"), secret, about });
    }
    let place = || (environment(), path("db/password"), versions.clone());
    let (environment, path, versions) = place();
    add("", Event::SecretVersionsDeleted { environment, path, secret, versions });
    let (environment, path, versions) = place();
    add("", Event::SecretVersionsUndeleted { environment, path, secret, versions });
    let (environment, path, versions) = place();
    add("", Event::SecretVersionsDestroyed { environment, path, secret, versions });
    let (environment, from, _) = place();
    add("", Event::SecretMoved { environment, from, to: self::path("db/new"), secret });
    let (environment, from, _) = place();
    add("", Event::SecretRenamed { environment, from, to: self::path("db/new"), secret });
    let (environment, path, _) = place();
    add("", Event::SecretRead { environment, path, secret, version: 12 });
    examples.extend(events_of_access());
    examples.extend(events_of_looking());
    examples.extend(crate::spec::keys::examples::examples());
    examples
}

fn events_of_access() -> Vec<(String, Event)> {
    let hash = [0x77; 32];
    let created = |expires| {
        let token = Token {
            hash,
            accessor: Accessor::of(&hash),
            principal: principal("ana"),
            policies: vec![policy("readers"), policy("team/db")],
            roles: vec![role("operator")],
            created: Stamp(1_780_000_000_000_000),
            created_by: principal("root"),
            login: Login::Password,
            mfa: true,
            expires,
            terms: Terms {
                renewal_ms: 3_600_000,
                expires_latest: expires,
                uses_left: Some(3),
                networks: vec!["10.0.0.0/8".parse().unwrap()],
                environments: vec![environment()],
                parent: Some(Accessor([3; 12])),
            },
        };
        Event::TokenCreated { token: Box::new(token) }
    };
    let all_words: Vec<&str> = Capability::ALL.iter().map(|(_, word)| *word).collect();
    let rules =
        vec![rule("read list", "db/*", false), rule(&all_words.join(" "), "db/+/password", true), rule("tokens", "*", false)];
    vec![
        ("TokenCreated".into(), created(None)),
        ("TokenCreated/expires".into(), created(Some(Stamp(1_790_000_000_000_000)))),
        ("TokenRevoked".into(), Event::TokenRevoked { accessor: Accessor::of(&hash), principal: principal("ana") }),
        ("PolicyPut".into(), Event::PolicyPut { name: policy("readers"), rules, version: 7 }),
        (
            "RolePut".into(),
            Event::RolePut {
                name: role("operator"),
                description: "on call".into(),
                policies: vec![policy("readers")],
                version: 2,
            },
        ),
        ("RoleDeleted".into(), Event::RoleDeleted { name: role("operator") }),
        ("PolicyDeleted".into(), Event::PolicyDeleted { name: policy("readers") }),
    ]
}

fn events_of_looking() -> Vec<(String, Event)> {
    let mut examples: Vec<(String, Event)> = Vec::new();
    for operation in Operation::ALL {
        let event = Event::Observed { operation: *operation, environment: None, subject: "x".into() };
        examples.push((format!("Observed/{}", operation.word()), event));
    }
    let event = Event::Observed { operation: Operation::SecretList, environment: Some(environment()), subject: "db/".into() };
    examples.push(("Observed/in-an-environment".into(), event));
    let (place, subject) = ("production".to_owned(), "db/password".to_owned());
    let again = Event::AnsweredAgain { operation: Operation::SecretPut, first: Revision(300), environment: place, subject };
    examples.push(("AnsweredAgain".into(), again));
    for rejection in rejections() {
        let name = format!("Refused/{}", kinds::rejection::name(&rejection));
        let (environment, subject) = ("production".into(), "db/password".into());
        examples.push((name, Event::Refused { operation: Operation::SecretPut, environment, subject, rejection }));
    }
    examples
}

fn decision(events: Vec<Event>) -> Decision {
    Decision {
        stamp: Stamp(1_790_000_000_000_000),
        actor: Some(principal("ana")),
        accessor: Some(Accessor([7; 12])),
        policies: Revision(12),
        request: [0x55; 16],
        fingerprint: 0x0123_4567_89AB_CDEF,
        source: "2/127.0.0.1".into(),
        events,
    }
}

fn batch() -> Batch {
    let (_, read) = events().swap_remove(events().iter().position(|(name, _)| name == "SecretRead").unwrap());
    let denied = Event::Refused {
        operation: Operation::SecretRead,
        environment: "production".into(),
        subject: "db/password".into(),
        rejection: Rejection::NotAuthenticated,
    };
    let decisions = vec![
        decision(vec![added(Cause::Put, about()), read]),
        Decision { actor: None, stamp: Stamp(1_790_000_000_000_002), ..decision(vec![denied]) },
    ];
    Batch { based_on: Revision(41), decisions }
}

/// A state with one of every row, reached by real commands.
fn small_state() -> State {
    let mut head = Head::new(State::empty(CLUSTER));
    let mut state = State::empty(CLUSTER);
    let environments = vec![(environment(), [0xE1; 16], vec![0xDD; 6].into())];
    let put = TransactChange::Put {
        sealed: Box::new(Sealed::new(1, [0xCC; 16], 3, false, sealed().payload.unwrap())),
        about: Box::new(about()),
    };
    let items = vec![TransactItem { path: path("db/password"), expect: Some(Expectation::Absent), change: put }];
    let commands = [
        Command::Found(Box::new(Founding { environments, root_token: [1; 32], keys: None })),
        Command::PutPolicy { name: policy("readers"), rules: vec![rule("read", "db/+/x*", true)] },
        Command::Transact { environment: environment(), items },
    ];
    for (at, command) in commands.into_iter().enumerate() {
        let ask = Ask {
            credential: Some([1; 32]),
            request: [at as u8; 16],
            fingerprint: at as u64,
            source: "1/::1".into(),
            address: None,
        };
        let (decision, answer) = head.decide(Stamp(1_790_000_000_000_000), ask, command).unwrap();
        answer.unwrap();
        state.apply(&decision).unwrap();
    }
    state
}

#[test]
fn every_variant_has_an_example() {
    let examples = events();
    for name in kinds::event::ALL {
        // These hold kinds of their own, each with examples beside its specification.
        let nested = ["Keys", "Identity", "Guard", "Recovery", "Repair", "Members"].contains(name);
        assert!(nested || examples.iter().any(|(_, event)| kinds::event::name(event) == *name), "{name} has no example");
    }
    for name in kinds::cause::ALL {
        assert!(causes().iter().any(|cause| kinds::cause::name(cause) == *name), "{name} has no example");
    }
    for name in kinds::rejection::ALL {
        assert!(rejections().iter().any(|rejection| kinds::rejection::name(rejection) == *name), "{name} has no example");
    }
}

#[test]
fn the_bytes_of_every_event_never_drift() {
    let lines: Vec<_> = events().iter().map(|(name, event)| (name.clone(), hex(&codec::encode(Kind::Event, event)))).collect();
    assert_golden("events", &lines);
}

#[test]
fn every_golden_event_still_decodes_to_what_it_was() {
    let golden = read_golden("events");
    assert!(!golden.is_empty());
    for (name, text) in golden {
        let event: Event = codec::decode(Kind::Event, &unhex(&text)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let example = events().into_iter().find(|(known, _)| *known == name);
        assert_eq!(Some(event), example.map(|(_, event)| event), "{name}");
    }
}

#[test]
fn the_bytes_of_a_batch_never_drift() {
    assert_golden("batch", &[("Batch".into(), hex(&codec::encode(Kind::Batch, &batch())))]);
}

#[test]
fn the_golden_batch_still_decodes_to_what_it_was() {
    for (name, text) in read_golden("batch") {
        assert_eq!(codec::decode::<Batch>(Kind::Batch, &unhex(&text)).unwrap(), batch(), "{name}");
    }
}

#[test]
fn the_leaf_of_every_event_never_drifts() {
    let leaf = |event: &Event| decision(vec![event.clone()]).leaf(0, Revision(42), &CLUSTER, 1);
    let lines: Vec<_> = events().iter().map(|(name, event)| (name.clone(), hex(&leaf(event)))).collect();
    assert_golden("leaves", &lines);
}

#[test]
fn every_golden_leaf_still_decodes_to_what_it_was() {
    let golden = read_golden("leaves");
    assert!(!golden.is_empty());
    for (name, text) in golden {
        let bytes = unhex(&text);
        let leaf = Leaf::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let detail: Event = codec::decode(Kind::Event, leaf.detail).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (_, event) = events().into_iter().find(|(known, _)| *known == name).unwrap();
        assert_eq!(detail, *event.without_payload(), "{name}");
        assert_eq!((leaf.seq, leaf.operation, leaf.actor), (42, event.operation() as u16, "ana"), "{name}");
    }
}

#[test]
fn the_pieces_of_a_state_never_drift() {
    let state = small_state();
    let lines: Vec<_> = state
        .pieces()
        .enumerate()
        .map(|(at, piece)| (format!("{at} {}", piece_name(&piece)), hex(&codec::encode(Kind::StatePiece, &piece))))
        .collect();
    assert_golden("pieces", &lines);
}

#[test]
fn the_piece_of_a_path_that_was_left_never_drifts() {
    let piece = Piece::Left(environment(), path("db/old"), Left { secret: SecretId(70_000), newest: 300 });
    assert_golden("left_pieces", &[(piece_name(&piece).to_owned(), hex(&codec::encode(Kind::StatePiece, &piece)))]);
}

#[test]
fn the_golden_pieces_still_make_a_state() {
    let mut pieces =
        read_golden("pieces").into_iter().map(|(_, text)| codec::decode::<Piece>(Kind::StatePiece, &unhex(&text)).unwrap());
    let mut state = State::start(pieces.next().unwrap()).unwrap();
    pieces.for_each(|piece| state.take(piece).unwrap());
    assert_eq!(state.check_digest(), Ok(()));
    crate::invariants::assert_same_state(&state, &small_state());
}

fn piece_name(piece: &Piece) -> &'static str {
    match piece {
        Piece::Head { .. } => "Head",
        Piece::Environment(_) => "Environment",
        Piece::Secret(..) => "Secret",
        Piece::Token(_) => "Token",
        Piece::Policy(_) => "Policy",
        Piece::Receipt(_) => "Receipt",
        Piece::Role(_) => "Role",
        Piece::Keys(_) => "Keys",
        Piece::Identity(_) => "Identity",
        Piece::Guard(_) => "Guard",
        Piece::Left(..) => "Left",
        Piece::Recovery(_) => "Recovery",
        Piece::Members(_) => "Members",
    }
}
