//! The state: pieces of a snapshot make one, batches of the log move it on. What does not fit is refused with the state as it was.

use super::records::golden;
use crate::input::{Input, part};
use node_domain::state::Piece;
use node_domain::{Batch, State};
use proto_record::codec::{self, Kind};

/// Parts: a piece of the state, or a batch, by the envelope's kind.
pub(super) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut state = State::empty([0xC1; 16]);
    while !input.0.is_empty() {
        let bytes = input.part();
        if let Ok(piece) = codec::decode::<Piece>(Kind::StatePiece, bytes) {
            if let Piece::Head { .. } = piece {
                state = State::start(piece).expect("a head starts a state");
            } else {
                drop(state.take(piece));
            }
        } else if let Ok(batch) = codec::decode::<Batch>(Kind::Batch, bytes) {
            // What does not fit stops the node, which says why; it must not end it in the middle of a word.
            if state.apply_batch(&batch).is_err() {
                return;
            }
        }
    }
    drop(state.check_digest());
    let pieces: Vec<Piece> = state.pieces().collect();
    let mut pieces = pieces.into_iter();
    let again = State::start(pieces.next().expect("a state has a head")).map(|state| {
        pieces.fold(state, |mut state, piece| {
            state.take(piece).expect("the pieces of a state make a state");
            state
        })
    });
    let again = again.expect("the first piece of a state is its head");
    assert_eq!(again.revision(), state.revision(), "a state is another one after a snapshot");
    assert_eq!(again.recomputed_digest(), state.recomputed_digest(), "a state is another one after a snapshot");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let (mut pieces, mut batches) = (Vec::new(), Vec::new());
    for bytes in golden() {
        match bytes.first() {
            Some(kind) if *kind == Kind::StatePiece as u8 => pieces.push(part(&bytes)),
            Some(kind) if *kind == Kind::Batch as u8 => batches.push(part(&bytes)),
            _ => {}
        }
    }
    let mut seeds = vec![pieces.concat(), batches.concat(), [pieces.concat(), batches.concat()].concat()];
    seeds.extend(super::records::seeds().iter().filter(|bytes| bytes[0] == Kind::Batch as u8).map(|bytes| part(bytes)));
    let head = pieces.iter().find(|piece| piece.len() > 20).cloned().unwrap_or_default();
    seeds.extend(pieces.iter().map(|piece| [&head[..], piece].concat()));
    seeds
}
