//! How often a seal may be tried: each attempt may cost 64 MiB and half a second. Everybody together has one measure, and each address
//! less than that, so that nobody uses it up for the others.

use super::gathering::Origin;
use std::collections::BTreeMap;
use tokio::time::Instant;
use tonic::Status;

/// Attempts that may come at once, from everywhere and from one address, and how fast they come back.
const ALL: Measure = Measure { most: 16.0, per_second: 2.0 };
const ONE: Measure = Measure { most: 12.0, per_second: 1.0 };
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
    each: BTreeMap<Origin, Bucket>,
}

impl Attempts {
    pub(crate) fn new(now: Instant) -> Attempts {
        Attempts { all: Bucket { left: ALL.most, counted: now }, each: BTreeMap::new() }
    }

    /// Takes one attempt.
    ///
    /// # Errors
    /// When this address, or everybody together, has none left for now.
    pub(crate) fn take(&mut self, origin: Origin) -> Result<(), Status> {
        self.take_at(origin, Instant::now())
    }

    fn take_at(&mut self, origin: Origin, now: Instant) -> Result<(), Status> {
        let full = Bucket { left: ONE.most, counted: now };
        let own = self.each.get(&origin).map_or(full, |bucket| bucket.refilled(&ONE, now));
        self.all = self.all.refilled(&ALL, now);
        if own.left < 1.0 {
            return Err(Status::resource_exhausted("too many attempts to unseal from this address: try again in a second"));
        }
        if self.all.left < 1.0 {
            return Err(Status::resource_exhausted("too many attempts to unseal: try again in a second"));
        }
        if self.each.len() >= ADDRESSES_MAX {
            self.each.retain(|_, bucket| bucket.refilled(&ONE, now).left < ONE.most);
        }
        if self.each.len() < ADDRESSES_MAX || self.each.contains_key(&origin) {
            self.each.insert(origin, Bucket { left: own.left - 1.0, ..own });
        }
        self.all.left -= 1.0;
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
        assert_eq!(taken, 16);
    }
}
