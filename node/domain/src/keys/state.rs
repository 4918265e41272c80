//! What all records so far amount to, as far as keys go.

use super::KeysEvent;
use crate::state::{At, Digest};
use serde::{Deserialize, Serialize};

/// The part of the state that is about keys. A persistent structure: a clone costs nothing.
#[derive(Clone, Debug, Default)]
pub struct KeysState {}

/// One piece of it in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum KeysPiece {}

impl KeysState {
    /// Folds an event.
    pub(crate) fn fold(&mut self, event: &KeysEvent, _at: &At<'_>, _digest: &mut Digest) -> Result<(), &'static str> {
        match *event {}
    }

    /// All pieces, lazily.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = KeysPiece> + '_ {
        std::iter::empty()
    }

    /// Takes in one piece of a snapshot.
    pub(crate) fn take(&mut self, piece: KeysPiece) {
        match piece {}
    }

    /// Adds all rows to a digest that is computed anew.
    pub(crate) fn add_rows(&self, _digest: &mut Digest) {}
}
