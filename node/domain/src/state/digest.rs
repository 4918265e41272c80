//! A digest of the state that follows every change at the cost of the rows that changed.
//!
//! It is the sum, modulo 2^64 in each of four lanes, of the BLAKE3 hashes of all rows: a row is taken out by subtraction and put in
//! by addition, in any order. It finds replicas that have diverged by fault or bug. It is not a commitment against an attacker
//! who chooses rows (sums of hashes can be collided with effort); the journal's chain is.

use serde::{Deserialize, Serialize};

/// The sum over all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest([u64; 4]);

impl Digest {
    pub(crate) fn add(&mut self, kind: u8, row: &impl Serialize) {
        for (lane, part) in self.0.iter_mut().zip(lanes(kind, row)) {
            *lane = lane.wrapping_add(part);
        }
    }

    pub(crate) fn subtract(&mut self, kind: u8, row: &impl Serialize) {
        for (lane, part) in self.0.iter_mut().zip(lanes(kind, row)) {
            *lane = lane.wrapping_sub(part);
        }
    }

    pub(crate) fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&lane.to_be_bytes());
        }
        bytes
    }
}

fn lanes(kind: u8, row: &impl Serialize) -> [u64; 4] {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast/v1/state-row");
    hasher.update(&[kind]);
    hasher.update(&proto_record::codec::encode(proto_record::codec::Kind::Row, row));
    let hash = hasher.finalize();
    let mut lanes = [0; 4];
    for (lane, chunk) in lanes.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
        *lane = chunk.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
    lanes
}
