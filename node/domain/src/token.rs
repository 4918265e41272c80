//! Tokens: who is calling. Only a keyed hash of the text is kept.

use crate::ids::{Accessor, PolicyName, PrincipalName, Stamp, TokenHash};
use serde::{Deserialize, Serialize};

/// A live token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Keyed hash of the text.
    pub hash: TokenHash,
    /// Public id.
    pub accessor: Accessor,
    /// Who stands in the journal.
    pub principal: PrincipalName,
    /// What it may, by name: a changed policy counts at once.
    pub policies: Vec<PolicyName>,
    /// When it was made.
    pub created: Stamp,
    /// Who made it.
    pub created_by: PrincipalName,
    /// When it ends, by the stamps of the log alone.
    pub expires: Option<Stamp>,
}

impl Token {
    /// Whether it still counts at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: Stamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}
