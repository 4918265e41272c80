//! Roles: policies under a name.

use crate::ids::{PolicyName, RoleName, Stamp};
use serde::{Deserialize, Serialize};

/// Some policies under a name, for tokens and identities to carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// What it is for.
    pub description: String,
    /// What it gives.
    pub policies: Vec<PolicyName>,
    /// Counts changes, from 1.
    pub version: u64,
    /// When it last changed.
    pub updated: Stamp,
}
