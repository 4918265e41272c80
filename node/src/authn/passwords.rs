//! Checking passwords: so costly that it must be bounded, or whoever asks often enough has the memory of the node.

use crate::config::LoginConfig;
use node_domain::Rejection;
use node_domain::identity::PasswordHash;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use storage_crypto::entropy::{Entropy, random};
use storage_crypto::password::{self, PasswordCosts};
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

/// Checks that may wait for their turn; more are sent away.
const WAITING_MAX: usize = 64;
/// Checks of one address, under way or waiting: whoever asks from one place never takes the turns of all others.
const OWN_MAX: usize = 8;
/// When it makes sense to come again.
const RETRY_MS: u64 = 1000;
/// Fewest characters of a password.
const CHARACTERS_MIN: usize = 12;
/// Most bytes of one.
const BYTES_MAX: usize = 1024;
/// Fewest characters that differ.
const DIFFERENT_MIN: usize = 5;

/// Checks passwords, a few at once.
pub(crate) struct Passwords {
    costs: PasswordCosts,
    turns: Arc<Semaphore>,
    room: Semaphore,
    /// How many are asked for from where. Invariant: none is 0.
    from: Mutex<HashMap<Option<IpAddr>, usize>>,
}

/// A place among those who wait, for as long as it lives.
struct Place<'a> {
    passwords: &'a Passwords,
    from: Option<IpAddr>,
    _room: SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut from = self.passwords.from.lock();
        match from.get_mut(&self.from) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(from.remove(&self.from)),
        }
    }
}

impl Passwords {
    pub(crate) fn new(config: &LoginConfig) -> Passwords {
        let turns = config.passwords_at_once;
        let (room, from) = (Semaphore::new(turns + WAITING_MAX), Mutex::default());
        Passwords { costs: config.costs(), turns: Arc::new(Semaphore::new(turns)), room, from }
    }

    /// The hash of a new password that keeps the rules.
    pub(crate) async fn hash(
        &self,
        name: &str,
        text: &str,
        entropy: &dyn Entropy,
        from: Option<IpAddr>,
    ) -> Result<PasswordHash, Rejection> {
        check(name, text)?;
        let salt = random(entropy);
        let PasswordCosts { memory_kib, passes, lanes } = self.costs;
        let hash = self.stretch(text, salt, self.costs, from).await?;
        Ok(PasswordHash { salt, hash, memory_kib, passes, lanes })
    }

    /// Whether `text` is the password. Where there is none to compare with it takes as long, and is not.
    pub(crate) async fn fits(&self, text: &str, known: Option<&PasswordHash>, from: Option<IpAddr>) -> Result<bool, Rejection> {
        // Longer texts are no passwords; so long a wait would tell nobody anything either.
        let text = &text[..text.floor_char_boundary(BYTES_MAX + 1)];
        let Some(known) = known else {
            self.stretch(text, [0; 16], self.costs, from).await?;
            return Ok(false);
        };
        let costs = PasswordCosts { memory_kib: known.memory_kib, passes: known.passes, lanes: known.lanes };
        let hash = self.stretch(text, known.salt, costs, from).await?;
        Ok(password::same(&hash, &known.hash))
    }

    fn place(&self, from: Option<IpAddr>) -> Result<Place<'_>, Rejection> {
        let from = from.map(network);
        let mut counts = self.from.lock();
        let own = counts.get(&from).copied().unwrap_or(0);
        if own >= OWN_MAX {
            let what = format!("{own} passwords are being checked for your address already");
            return Err(Rejection::Throttled { what, retry_ms: RETRY_MS });
        }
        let _room = self.room.try_acquire().map_err(|_| busy())?;
        counts.insert(from, own + 1);
        drop(counts);
        Ok(Place { passwords: self, from, _room })
    }

    async fn stretch(
        &self,
        text: &str,
        salt: [u8; 16],
        costs: PasswordCosts,
        from: Option<IpAddr>,
    ) -> Result<[u8; 32], Rejection> {
        let _place = self.place(from)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| busy())?;
        let text = Zeroizing::new(text.as_bytes().to_vec());
        let stretched = tokio::task::spawn_blocking(move || {
            // Whoever asked may go away: the turn lasts as long as the memory is taken.
            let _turn = turn;
            password::hash(&text, &salt, costs)
        });
        let stretched = stretched.await;
        let fault = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "check a password");
            Rejection::NodeFault("a password could not be checked".into())
        };
        stretched.map_err(|error| fault(&error))?.map_err(|error| fault(&error))
    }
}

fn busy() -> Rejection {
    Rejection::Throttled { what: "this node checks as many passwords as it can".into(), retry_ms: RETRY_MS }
}

/// Whoever has one address of version 6 has all those that begin as it does.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// The rules for a new password. The error never quotes it.
fn check(name: &str, text: &str) -> Result<(), Rejection> {
    let lower = text.to_lowercase();
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    let why = if text.chars().count() < CHARACTERS_MIN || text.len() > BYTES_MAX {
        format!("a password has at least {CHARACTERS_MIN} characters and at most {BYTES_MAX} bytes")
    } else if different.len() < DIFFERENT_MIN {
        format!("a password has at least {DIFFERENT_MIN} different characters")
    } else if lower.contains(&name.to_lowercase()) {
        "a password does not hold the user's name".to_owned()
    } else {
        return Ok(());
    };
    Err(Rejection::invalid(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_crypto::SeededEntropy;

    fn passwords(at_once: usize) -> Passwords {
        let config = LoginConfig { password_memory_kib: 64, password_passes: 1, password_lanes: 1, passwords_at_once: at_once };
        Passwords::new(&config)
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_alone() {
        let passwords = passwords(2);
        let known = passwords.hash("ana", "correct horse battery", &SeededEntropy::new(1), None).await.unwrap();
        assert!(passwords.fits("correct horse battery", Some(&known), None).await.unwrap());
        for other in ["correct horse batterz", "", "correct horse battery "] {
            assert!(!passwords.fits(other, Some(&known), None).await.unwrap());
        }
        assert!(!passwords.fits("correct horse battery", None, None).await.unwrap());
    }

    #[test]
    fn the_rules_are_named_and_the_password_is_not() {
        for bad in ["hunter2", "aaaaaaaaaaaaaaaa", "xxANAxxbcdefgh", &"long".repeat(300)] {
            let error = check("ana", bad).unwrap_err().to_string();
            assert!(!error.contains(bad), "{error}");
        }
        assert!(check("ana", "zwölf Zeichen").is_ok());
    }

    #[tokio::test]
    async fn who_comes_when_the_room_is_full_is_sent_away() {
        let passwords = passwords(1);
        let _all = passwords.room.try_acquire_many(1 + WAITING_MAX as u32).unwrap();
        let refused = passwords.fits("whatever it is", None, None).await.unwrap_err();
        assert!(matches!(refused, Rejection::Throttled { .. }));
    }

    #[tokio::test]
    async fn one_address_leaves_room_for_the_others() {
        let passwords = passwords(1);
        let at = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let mut own: Vec<_> = (0..OWN_MAX).map(|_| passwords.place(at("192.0.2.1")).ok().unwrap()).collect();
        assert!(matches!(passwords.fits("whatever it is", None, at("192.0.2.1")).await, Err(Rejection::Throttled { .. })));
        assert!(passwords.fits("whatever it is", None, at("192.0.2.2")).await.is_ok());
        own.pop();
        assert!(passwords.fits("whatever it is", None, at("192.0.2.1")).await.is_ok(), "one was ready");
        let _own: Vec<_> = (0..OWN_MAX).map(|_| passwords.place(at("2001:db8::1")).ok().unwrap()).collect();
        assert!(passwords.place(at("2001:db8::ffff:2")).is_err(), "one network");
        assert!(passwords.place(at("2001:db8:0:1::1")).is_ok(), "another");
        drop((own, _own));
        assert!(passwords.from.lock().is_empty());
    }
}
