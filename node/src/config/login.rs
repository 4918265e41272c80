//! What logging in may cost.

use super::ConfigError;
use serde::{Deserialize, Serialize};
use storage_crypto::password::PasswordCosts;

/// What logging in costs. The costs of a password are kept with its hash: a change counts for passwords that are set from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginConfig {
    /// Memory that the check of one password takes, in KiB.
    pub password_memory_kib: u32,
    /// Passes over it.
    pub password_passes: u32,
    /// Lanes of it.
    pub password_lanes: u32,
    /// Passwords checked at once; more wait, and far more are sent away.
    pub passwords_at_once: usize,
}

impl Default for LoginConfig {
    fn default() -> LoginConfig {
        LoginConfig { password_memory_kib: 64 << 10, password_passes: 3, password_lanes: 4, passwords_at_once: 2 }
    }
}

impl LoginConfig {
    pub(crate) fn costs(&self) -> PasswordCosts {
        let LoginConfig { password_memory_kib, password_passes, password_lanes, .. } = *self;
        PasswordCosts { memory_kib: password_memory_kib, passes: password_passes, lanes: password_lanes }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, cause: String| Err(ConfigError::Value { key, cause });
        if let Err(bad) = self.costs().check() {
            return wrong("login.password_memory_kib", bad.to_string());
        }
        if self.password_memory_kib > 1 << 20 || self.password_passes > 16 || self.password_lanes > 16 {
            return wrong("login.password_memory_kib", "use at most 1 GiB, 16 passes and 16 lanes".to_owned());
        }
        if !(1..=64).contains(&self.passwords_at_once) {
            return wrong("login.passwords_at_once", "use 1 to 64".to_owned());
        }
        Ok(())
    }
}
