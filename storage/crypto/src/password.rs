//! Passwords of people: Argon2id, so that whoever has the hashes pays for each guess.

use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq as _;

/// What one guess costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCosts {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes that could be filled at once.
    pub lanes: u32,
}

/// Costs that Argon2 cannot take.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("costs of a password ({} KiB, {} passes, {} lanes): {cause}", .costs.memory_kib, .costs.passes, .costs.lanes)]
pub struct BadCosts {
    /// Which.
    pub costs: PasswordCosts,
    /// What is wrong with them.
    pub cause: String,
}

impl PasswordCosts {
    /// Whether Argon2 takes them.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(self) -> Result<(), BadCosts> {
        self.params().map(drop)
    }

    fn params(self) -> Result<Params, BadCosts> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|error| BadCosts { costs: self, cause: error.to_string() })
    }
}

/// The hash of `password`. It takes the memory and the time that the costs say.
///
/// # Errors
/// When the costs are none that Argon2 takes.
pub fn hash(password: &[u8], salt: &[u8; 16], costs: PasswordCosts) -> Result<[u8; 32], BadCosts> {
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, costs.params()?)
        .hash_password_into(password, salt, &mut hash)
        .map_err(|error| BadCosts { costs, cause: error.to_string() })?;
    Ok(hash)
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCosts = PasswordCosts { memory_kib: 64, passes: 1, lanes: 1 };

    #[test]
    fn a_hash_depends_on_the_password_the_salt_and_the_costs() {
        let one = hash(b"correct horse", &[1; 16], CHEAP).unwrap();
        assert!(same(&one, &hash(b"correct horse", &[1; 16], CHEAP).unwrap()));
        assert!(!same(&one, &hash(b"correct horsf", &[1; 16], CHEAP).unwrap()));
        assert!(!same(&one, &hash(b"correct horse", &[2; 16], CHEAP).unwrap()));
        assert!(!same(&one, &hash(b"correct horse", &[1; 16], PasswordCosts { passes: 2, ..CHEAP }).unwrap()));
    }

    #[test]
    fn costs_that_cannot_be_are_named() {
        let bad = PasswordCosts { memory_kib: 1, passes: 0, lanes: 0 };
        assert!(bad.check().unwrap_err().to_string().starts_with("costs of a password (1 KiB, 0 passes, 0 lanes)"));
        assert_eq!(PasswordCosts { memory_kib: 64 << 10, passes: 3, lanes: 4 }.check(), Ok(()));
    }
}
