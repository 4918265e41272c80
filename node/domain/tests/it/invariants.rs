//! What holds after every decision, whoever asked for whatever. Checked after each step of every specification and random walk.

mod identities;

use node_domain::ids::{EnvironmentName, Revision, Stamp};
use node_domain::keys::KeysEvent;
use node_domain::limits;
use node_domain::secret::VersionState;
use node_domain::state::Piece;
use node_domain::{Batch, Decision, Event, State};
use proto_record::codec::{self, Kind};
use proto_record::leaf::{Leaf, Outcome};

/// Stands in every ciphertext that tests make up.
pub(crate) const CIPHERTEXT_MARK: &[u8] = b"<<ciphertext>>";
/// Stands in every wrapped key that tests make up, of a value and of an environment.
pub(crate) const WRAPPED_KEY_MARK: &[u8] = b"<<wrapped key>>";

/// One decision and the states on both sides of it.
pub(crate) struct Step<'a> {
    pub(crate) before: &'a State,
    pub(crate) decision: &'a Decision,
    pub(crate) after: &'a State,
}

/// All that one step must keep true.
pub(crate) fn check_step(step: &Step<'_>) {
    stamps_strictly_increase(step);
    revision_counts_records(step);
    versions_ascend_and_never_exceed_newest(step.after);
    carried_digest_equals_recomputed(step.after);
    no_payload_in_any_leaf(step);
    leaves_say_what_was_decided(step);
    what_changes_nothing_leaves_the_digest(step);
    environments_do_not_touch_each_other(step);
    a_batch_on_moved_ground_changes_nothing(step);
    receipts_are_bounded(step.after);
    tokens_end_in_order(step.after);
    identities::check(step);
    uses_of_keys_are_counted(step.after);
    secrets_are_found_by_their_ids(step.after);
    the_outbox_is_bounded_and_owes_only_to_sinks(step.after);
}

/// Wherever a secret was moved to.
fn secrets_are_found_by_their_ids(state: &State) {
    for secret in state.environments().flat_map(|home| home.secrets.values().map(move |secret| (home, secret))) {
        let (home, secret) = secret;
        assert_eq!(home.secret_by_id(secret.id).map(|found| &found.path), Some(&secret.path));
    }
}

/// What is carried along is what counting says, and no value is sealed by a key that is not there.
pub(crate) fn uses_of_keys_are_counted(state: &State) {
    for home in state.environments() {
        let mut counted = std::collections::BTreeMap::<u32, u64>::new();
        let versions = home.secrets.values().flat_map(|secret| &secret.versions);
        for version in versions.filter(|version| version.state != VersionState::Destroyed) {
            *counted.entry(version.seal.key_version).or_default() += 1;
        }
        for (version, count) in &counted {
            assert_eq!(state.keys().uses(&home.about.name, *version), *count, "{} k{version}", home.about.name);
            assert!(home.about.keys.iter().any(|(known, _)| known == version), "{} has lost k{version}", home.about.name);
        }
        for (version, _) in home.about.keys.iter().filter(|(version, _)| !counted.contains_key(version)) {
            assert_eq!(state.keys().uses(&home.about.name, *version), 0, "{} k{version}", home.about.name);
        }
    }
}

pub(crate) fn stamps_strictly_increase(step: &Step<'_>) {
    assert!(step.decision.stamp > step.before.stamp(), "a stamp went back");
    let last = step.decision.stamp.0 + step.decision.events.len() as u64 - 1;
    assert_eq!(step.after.stamp(), Stamp(last), "the i-th record's stamp is the decision's plus i");
}

pub(crate) fn revision_counts_records(step: &Step<'_>) {
    assert!(!step.decision.events.is_empty(), "every request leaves a record");
    assert_eq!(step.after.revision().0, step.before.revision().0 + step.decision.events.len() as u64);
}

pub(crate) fn versions_ascend_and_never_exceed_newest(state: &State) {
    for secret in state.environments().flat_map(|environment| environment.secrets.values()) {
        let numbers: Vec<u64> = secret.versions.iter().map(|version| version.number).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{} holds {numbers:?}", secret.path);
        assert_eq!(numbers.last(), Some(&secret.newest), "{} holds {numbers:?}", secret.path);
        assert!(numbers.len() <= limits::VERSIONS_MAX as usize, "{} holds {} versions", secret.path, numbers.len());
    }
}

pub(crate) fn carried_digest_equals_recomputed(state: &State) {
    assert_eq!(state.check_digest(), Ok(()));
}

/// `replayed` is what all decisions so far fold to from the empty state.
pub(crate) fn head_equals_replay(head: &State, replayed: &State) {
    assert_same_state(head, replayed);
}

pub(crate) fn pieces_round_trip(state: &State) {
    let restored = restored(state);
    assert_same_state(state, &restored);
    tokens_end_in_order(&restored);
}

/// The state as a node has it that was handed its pieces.
pub(crate) fn restored(state: &State) -> State {
    rebuilt(state.pieces())
}

/// As `pieces_round_trip`, through the bytes that a snapshot holds.
pub(crate) fn encoded_pieces_round_trip(state: &State) {
    let bytes: Vec<Vec<u8>> = state.pieces().map(|piece| codec::encode(Kind::StatePiece, &piece)).collect();
    let pieces =
        bytes.iter().map(|bytes| codec::decode::<Piece>(Kind::StatePiece, bytes).expect("a piece that was encoded decodes"));
    assert_same_state(state, &rebuilt(pieces));
}

/// As `encoded_pieces_round_trip`, of a state that was not reached by records: its digest is not looked at.
pub(crate) fn encoded_pieces_round_trip_of(state: &State) {
    let bytes: Vec<Vec<u8>> = state.pieces().map(|piece| codec::encode(Kind::StatePiece, &piece)).collect();
    let mut pieces = bytes.iter().map(|bytes| codec::decode::<Piece>(Kind::StatePiece, bytes).expect("a piece decodes"));
    let mut again = State::start(pieces.next().expect("pieces start with a head")).expect("the first piece is the head");
    pieces.for_each(|piece| again.take(piece).expect("every other piece finds its place"));
    assert_same_state(state, &again);
    assert_eq!(state.identity().counts(), again.identity().counts());
}

fn rebuilt(mut pieces: impl Iterator<Item = Piece>) -> State {
    let head = pieces.next().expect("pieces start with a head");
    let mut state = State::start(head).expect("the first piece is the head");
    for piece in pieces {
        state.take(piece).expect("every other piece finds its place");
    }
    assert_eq!(state.check_digest(), Ok(()));
    state
}

pub(crate) fn no_payload_in_any_leaf(step: &Step<'_>) {
    for leaf in leaves(step) {
        for mark in [CIPHERTEXT_MARK, WRAPPED_KEY_MARK] {
            assert!(!holds(&leaf, mark), "a leaf holds {}", String::from_utf8_lossy(mark));
        }
    }
}

/// Whether `bytes` holds `mark`.
pub(crate) fn holds(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, first)| *first == mark[0] && bytes[at..].starts_with(mark))
}

pub(crate) fn leaves_say_what_was_decided(step: &Step<'_>) {
    for (at, (bytes, event)) in leaves(step).zip(&step.decision.events).enumerate() {
        let leaf = Leaf::decode(&bytes).expect("a leaf reads back");
        assert_eq!(leaf.seq, step.before.revision().0 + 1 + at as u64);
        assert_eq!(leaf.stamp_us, step.decision.stamp.0 + at as u64);
        assert_eq!(leaf.operation, event.operation() as u16);
        assert_eq!(leaf.actor, step.decision.actor.as_ref().map_or("-", |actor| actor.as_str()));
        let (outcome, reason) = match event {
            Event::Refused { rejection, .. } if rejection.is_violation() => (Outcome::Violation, rejection.to_string()),
            Event::Refused { rejection, .. } if rejection.is_denial() => (Outcome::Denied, rejection.to_string()),
            Event::Refused { rejection, .. } => (Outcome::Refused, rejection.to_string()),
            _ => (Outcome::Done, String::new()),
        };
        assert_eq!((leaf.outcome, leaf.reason), (outcome, reason.as_str()));
        let detail: Event = codec::decode(Kind::Event, leaf.detail).expect("the detail of a leaf is an event");
        assert_eq!(detail, *event.without_payload());
    }
}

fn leaves<'a>(step: &Step<'a>) -> impl Iterator<Item = Vec<u8>> + use<'a> {
    let (decision, cluster, first) = (step.decision, *step.after.cluster(), step.before.revision().0 + 1);
    (0..decision.events.len()).map(move |at| decision.leaf(at, Revision(first + at as u64), &cluster, 1))
}

pub(crate) fn what_changes_nothing_leaves_the_digest(step: &Step<'_>) {
    if !step.decision.events.iter().any(Event::is_change) {
        assert_eq!(step.before.digest(), step.after.digest(), "{:?} changed the state", step.decision.events);
    }
}

/// A decision concerns one environment at most, apart from the founding.
pub(crate) fn environments_do_not_touch_each_other(step: &Step<'_>) {
    let touched: Vec<&EnvironmentName> = step.decision.events.iter().filter_map(environment_of).collect();
    for environment in step.before.environments() {
        let name = &environment.about.name;
        let after = step.after.environment(name).expect("an environment never goes");
        if !step.decision.events.iter().any(|event| matches!(event, Event::Keys(_))) {
            assert_eq!(environment.about, after.about, "{name} itself was changed");
        }
        if !touched.contains(&name) {
            assert!(environment.secrets == after.secrets, "{name} was changed by {:?}", step.decision.events);
        }
    }
    if step.before.revision() > Revision(0) {
        assert!(touched.windows(2).all(|pair| pair[0] == pair[1]), "one request changed several environments");
    }
}

fn environment_of(event: &Event) -> Option<&EnvironmentName> {
    match event {
        Event::EnvironmentCreated { name, .. } => Some(name),
        Event::SecretVersionAdded { environment, .. }
        | Event::SecretMetadataChanged { environment, .. }
        | Event::SecretVersionsDeleted { environment, .. }
        | Event::SecretVersionsUndeleted { environment, .. }
        | Event::SecretVersionsDestroyed { environment, .. }
        | Event::SecretMoved { environment, .. }
        | Event::SecretRenamed { environment, .. }
        | Event::Keys(KeysEvent::Rewrapped { environment, .. }) => Some(environment),
        _ => None,
    }
}

pub(crate) fn a_batch_on_moved_ground_changes_nothing(step: &Step<'_>) {
    let batch = Batch { based_on: step.before.revision(), decisions: vec![step.decision.clone()] };
    let mut applied = step.before.clone();
    assert_eq!(applied.apply_batch(&batch), Ok(true));
    assert_same_state(&applied, step.after);
    let mut moved = step.after.clone();
    assert_eq!(moved.apply_batch(&batch), Ok(false));
    assert_same_state(&moved, step.after);
}

pub(crate) fn receipts_are_bounded(state: &State) {
    let receipts: Vec<_> =
        state.pieces().filter_map(|piece| if let Piece::Receipt(receipt) = piece { Some(receipt) } else { None }).collect();
    assert!(receipts.len() <= limits::RECEIPTS_MAX);
    let newest = receipts.last().map_or(0, |receipt| receipt.stamp.0);
    for receipt in &receipts {
        assert!(newest - receipt.stamp.0 <= limits::RECEIPT_AGE_US_MAX, "a receipt is older than receipts may be");
    }
    assert!(receipts.windows(2).all(|pair| pair[0].stamp < pair[1].stamp), "receipts are out of order");
}

/// The tokens that end are found in the order in which they do, and none is forgotten.
pub(crate) fn tokens_end_in_order(state: &State) {
    let found: Vec<_> = state.tokens_ended_by(Stamp(u64::MAX)).map(|token| (token.expires, token.accessor)).collect();
    let mut expected: Vec<_> =
        state.tokens().filter(|token| token.expires.is_some()).map(|token| (token.expires, token.accessor)).collect();
    expected.sort();
    assert_eq!(found, expected);
}

/// Compares every piece, and the digest that is carried along.
pub(crate) fn assert_same_state(one: &State, other: &State) {
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.pieces().count(), other.pieces().count());
    for pair in one.pieces().zip(other.pieces()) {
        let same = match &pair {
            (
                Piece::Head { cluster, epoch, revision, stamp, digest, policies_changed: _ },
                Piece::Head {
                    cluster: cluster2,
                    epoch: epoch2,
                    revision: revision2,
                    stamp: stamp2,
                    digest: digest2,
                    policies_changed: _,
                },
            ) => (cluster, epoch, revision, stamp, digest) == (cluster2, epoch2, revision2, stamp2, digest2),
            (Piece::Environment(one), Piece::Environment(other)) => one == other,
            (Piece::Secret(name, one), Piece::Secret(name2, other)) => name == name2 && one == other,
            (Piece::Token(one), Piece::Token(other)) => one == other,
            (Piece::Policy(one), Piece::Policy(other)) => one == other,
            (Piece::Receipt(one), Piece::Receipt(other)) => one == other,
            (Piece::Role(one), Piece::Role(other)) => one == other,
            (Piece::Identity(one), Piece::Identity(other)) => one == other,
            (Piece::Keys(one), Piece::Keys(other)) => one == other,
            (Piece::Guard(one), Piece::Guard(other)) => one == other,
            (Piece::Left(name, path, one), Piece::Left(name2, path2, other)) => (name, path, one) == (name2, path2, other),
            (Piece::Recovery(one), Piece::Recovery(other)) => one == other,
            (Piece::Members(one), Piece::Members(other)) => one == other,
            _ => false,
        };
        assert!(same, "pieces differ: {pair:?}");
    }
}

/// Alerts are bounded, what was recorded of each adds up, and nothing is owed to a sink that does not exist.
pub(crate) fn the_outbox_is_bounded_and_owes_only_to_sinks(state: &State) {
    let outbox = &state.guard().outbox;
    let alerts: Vec<_> = outbox.alerts().collect();
    assert!(alerts.len() <= limits::ALERTS_MAX, "{} alerts are kept", alerts.len());
    assert!(alerts.windows(2).all(|pair| pair[0].id < pair[1].id), "alerts are out of order");
    for alert in alerts {
        assert!(alert.count >= 1 && alert.first <= alert.last && alert.id <= state.revision().0, "{alert:?}");
        assert!(alert.owed.iter().all(|owed| outbox.sink(owed).is_some()), "{alert:?} is owed to nobody");
        assert!(alert.owed.windows(2).all(|pair| pair[0] < pair[1]), "{alert:?} is owed twice");
    }
}
