//! How often a seal may be tried: each attempt may cost 64 MiB and half a second. Everybody together has one measure, and each address
//! less than that. Some addresses together can use up what everybody has: a part is kept for those that asked little of late.

use super::gathering::Origin;
use std::collections::BTreeMap;
use tokio::time::Instant;
use tonic::Status;

/// Attempts that may come at once, from everywhere and from one address, and how fast they come back.
const ALL: Measure = Measure { most: 16.0, per_second: 2.0 };
const ONE: Measure = Measure { most: 12.0, per_second: 1.0 };
/// Kept for addresses that asked little of late, for when everybody's is used up; and how much of it each has.
const KEPT: Measure = Measure { most: 8.0, per_second: 1.0 };
const KEPT_EACH: Measure = Measure { most: 4.0, per_second: 1.0 / 60.0 };
/// Addresses remembered: those that have their full measure again are forgotten first.
const ADDRESSES_MAX: usize = 1024;

struct Measure {
    most: f64,
    per_second: f64,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    counted: Instant,
}

impl Bucket {
    /// What is in it at `now`.
    fn refilled(self, measure: &Measure, now: Instant) -> Bucket {
        let since = now.duration_since(self.counted).as_secs_f64();
        Bucket { left: (self.left + since * measure.per_second).min(measure.most), counted: now }
    }
}

/// What is left of the measures.
pub(crate) struct Attempts {
    all: Bucket,
    kept: Bucket,
    each: BTreeMap<Origin, Own>,
}

/// What one address has left, of its own measure and of what is kept.
#[derive(Clone, Copy)]
struct Own {
    attempts: Bucket,
    kept: Bucket,
}

impl Own {
    fn at(known: Option<&Own>, now: Instant) -> Own {
        let full = |measure: &Measure| Bucket { left: measure.most, counted: now };
        let new = || Own { attempts: full(&ONE), kept: full(&KEPT_EACH) };
        known.map_or_else(new, |own| Own { attempts: own.attempts.refilled(&ONE, now), kept: own.kept.refilled(&KEPT_EACH, now) })
    }

    fn is_full(&self) -> bool {
        self.attempts.left >= ONE.most && self.kept.left >= KEPT_EACH.most
    }
}

impl Attempts {
    pub(crate) fn new(now: Instant) -> Attempts {
        let full = |measure: &Measure| Bucket { left: measure.most, counted: now };
        Attempts { all: full(&ALL), kept: full(&KEPT), each: BTreeMap::new() }
    }

    /// Takes one attempt.
    ///
    /// # Errors
    /// When this address, or everybody together, has none left for now.
    pub(crate) fn take(&mut self, origin: Origin) -> Result<(), Status> {
        self.take_at(origin, Instant::now())
    }

    fn take_at(&mut self, origin: Origin, now: Instant) -> Result<(), Status> {
        let mut own = Own::at(self.each.get(&origin), now);
        (self.all, self.kept) = (self.all.refilled(&ALL, now), self.kept.refilled(&KEPT, now));
        if own.attempts.left < 1.0 {
            return Err(Status::resource_exhausted("too many attempts to unseal from this address: try again in a second"));
        }
        if self.all.left >= 1.0 {
            self.all.left -= 1.0;
        } else if self.kept.left >= 1.0 && own.kept.left >= 1.0 {
            (self.kept.left, own.kept.left) = (self.kept.left - 1.0, own.kept.left - 1.0);
        } else {
            return Err(Status::resource_exhausted("too many attempts to unseal: try again in a second"));
        }
        own.attempts.left -= 1.0;
        if self.each.len() >= ADDRESSES_MAX {
            self.each.retain(|_, own| !Own::at(Some(own), now).is_full());
        }
        if self.each.len() < ADDRESSES_MAX || self.each.contains_key(&origin) {
            self.each.insert(origin, own);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(last: u8) -> Origin {
        Some(std::net::IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn one_address_does_not_use_up_the_attempts_of_the_others() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let taken = (0..20).filter(|_| attempts.take_at(address(1), now).is_ok()).count();
        assert_eq!(taken, 12);
        attempts.take_at(address(2), now).unwrap();
        // It comes back.
        attempts.take_at(address(1), now + Duration::from_secs(1)).unwrap();
        attempts.take_at(address(1), now + Duration::from_secs(1)).unwrap_err();
    }

    #[test]
    fn everybody_together_has_a_measure_too() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let taken = (0..200).filter(|at| attempts.take_at(address(*at), now).is_ok()).count();
        assert_eq!(taken, 16 + 8);
    }

    #[test]
    fn addresses_that_go_on_asking_leave_something_for_one_that_comes() {
        let mut now = Instant::now();
        let mut attempts = Attempts::new(now);
        for _ in 0..60 {
            for last in 1..=3 {
                while attempts.take_at(address(last), now).is_ok() {}
            }
            now += Duration::from_secs(1);
        }
        for last in 1..=3 {
            while attempts.take_at(address(last), now).is_ok() {}
        }
        for _ in 0..4 {
            attempts.take_at(address(9), now).unwrap();
        }
    }
}
