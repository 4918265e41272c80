//! What all records so far amount to, as far as identities go.

use super::IdentityEvent;
use crate::state::{At, Digest};
use serde::{Deserialize, Serialize};

/// The part of the state that is about identities. A persistent structure: a clone costs nothing.
#[derive(Clone, Debug, Default)]
pub struct IdentityState {}

/// One piece of it in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum IdentityPiece {}

impl IdentityState {
    /// Folds an event.
    pub(crate) fn fold(&mut self, event: &IdentityEvent, _at: &At<'_>, _digest: &mut Digest) -> Result<(), &'static str> {
        match *event {}
    }

    /// All pieces, lazily.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = IdentityPiece> + '_ {
        std::iter::empty()
    }

    /// Takes in one piece of a snapshot.
    pub(crate) fn take(&mut self, piece: IdentityPiece) {
        match piece {}
    }

    /// Adds all rows to a digest that is computed anew.
    pub(crate) fn add_rows(&self, _digest: &mut Digest) {}
}
