//! Where chance comes from. The composition root names the real source; tests and simulations hand in a seeded one.

use std::sync::{Mutex, PoisonError};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A source of random bytes for keys and nonces.
pub trait Entropy: Send + Sync {
    /// Overwrites `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// Random bytes as an array, for ids, salts and nonces.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // There is no safe way on without chance: a guessed nonce or key would be worse than a stop.
        getrandom::fill(bytes).expect("the operating system gives random bytes once it has booted");
    }
}

/// A twin for tests and simulations: the same seed gives the same bytes in the same order.
pub struct SeededEntropy(Mutex<ChaCha20Rng>);

impl SeededEntropy {
    /// A generator that always starts in the same place for one `seed`.
    #[must_use]
    pub fn new(seed: u64) -> SeededEntropy {
        SeededEntropy(Mutex::new(ChaCha20Rng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_the_same_bytes_twice_and_another_seed_others() {
        let first: [u8; 32] = random(&SeededEntropy::new(9));
        assert_eq!(first, random(&SeededEntropy::new(9)));
        assert_ne!(first, random(&SeededEntropy::new(10)));
    }

    #[test]
    fn the_operating_system_gives_other_bytes_each_time() {
        assert_ne!(random::<32>(&OsEntropy), random::<32>(&OsEntropy));
    }
}
