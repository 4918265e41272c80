//! How much one principal, and one environment, may ask of this node: token buckets at the door, before anything costs a record.
//!
//! Whoever shows no token that counts shares a bucket with everybody else at that address, so that making tokens up buys nothing.
//! It is asked once for each call, before anything of it is parsed, looked up or checked.
//! The first refusal in each minute is a record and an alert; the others are only counted, or the journal would be the victim.

use crate::api::door::{Asked, Caller};
use crate::config::LimitsConfig;
use crate::engine::View;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use node_domain::Rejection;
use node_domain::ids::{EnvironmentName, PrincipalName};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Buckets kept; beyond that those that are full again are forgotten.
const BUCKETS_MAX: usize = 100_000;
/// One refusal in this time is recorded of each caller.
const RECORDED_EVERY: Duration = Duration::from_secs(60);

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    Principal(PrincipalName),
    /// Without a token that counts.
    Address(Option<IpAddr>),
}

/// A refusal for asking too much.
#[derive(Clone, Debug)]
pub(crate) struct Throttled {
    pub(crate) rejection: Rejection,
    /// Whether it is the one of this minute that stands in the journal.
    pub(crate) is_recorded: bool,
}

/// The buckets of one node. Without limits it has none, and costs nothing.
#[derive(Default)]
pub(crate) struct Throttle {
    principals: Option<Buckets<Whose>>,
    environments: Option<Buckets<String>>,
    /// What one caller may take of an environment's: half, so that nobody is alone there.
    shares: Option<Buckets<(Whose, String)>>,
    recorded: Option<Buckets<Whose>>,
}

impl Throttle {
    pub(crate) fn new(limits: &LimitsConfig) -> Throttle {
        let per_second = |rate: u32, burst: u32| {
            let rate = NonZeroU32::new(rate)?;
            Some(Quota::per_second(rate).allow_burst(NonZeroU32::new(burst).unwrap_or(rate)))
        };
        let principals = per_second(limits.requests_per_second, limits.burst);
        let environments = per_second(limits.environment_requests_per_second, 0);
        let shares = per_second(limits.environment_requests_per_second.div_ceil(2), 0);
        let recorded = (principals.is_some() || environments.is_some()).then(|| Quota::with_period(RECORDED_EVERY)).flatten();
        Throttle {
            principals: principals.map(Buckets::new),
            environments: environments.map(Buckets::new),
            shares: shares.map(Buckets::new),
            recorded: recorded.map(Buckets::new),
        }
    }

    /// Takes one call, of as many requests as it holds, out of the buckets of its caller and its environment, or says when there will
    /// be room for it.
    pub(crate) fn check(&self, view: &View, caller: &Caller, asked: &impl Asked) -> Result<(), Box<Throttled>> {
        if self.recorded.is_none() {
            return Ok(());
        }
        let weight = u32::try_from(asked.weight()).unwrap_or(u32::MAX);
        let whose = Whose::of(view, caller);
        if let Some(wait) = self.principals.as_ref().and_then(|buckets| buckets.take(&whose, weight)) {
            return Err(self.throttled(&whose, format!("{} asks too much", whose.name()), wait));
        }
        // A name that no environment has has no bucket: names are made up for nothing. Nor does who may do nothing there take from
        // those who may.
        let name = asked.environment();
        let Some(environments) = self.environments.as_ref().filter(|_| has_business(view, caller, name)) else { return Ok(()) };
        let name = name.to_owned();
        let share = self.shares.as_ref().and_then(|shares| shares.take(&(whose.clone(), name.clone()), weight));
        if let Some(wait) = share {
            return Err(self.throttled(&whose, format!("{} asks too much of {name}", whose.name()), wait));
        }
        match environments.take(&name, weight) {
            Some(wait) => Err(self.throttled(&whose, format!("too much is asked of {name}"), wait)),
            None => Ok(()),
        }
    }

    fn throttled(&self, whose: &Whose, what: String, wait: Duration) -> Box<Throttled> {
        metrics::counter!("holdfast_throttled_total").increment(1);
        let is_recorded = self.recorded.as_ref().is_some_and(|recorded| recorded.take(whose, 1).is_none());
        let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        Box::new(Throttled { rejection: Rejection::Throttled { what, retry_ms }, is_recorded })
    }
}

/// Whether the caller may do anything in the environment of this name.
fn has_business(view: &View, caller: &Caller, environment: &str) -> bool {
    let Ok(environment) = EnvironmentName::parse(environment) else { return false };
    let token = caller.token(view).ok().filter(|_| view.state.environment(&environment).is_ok());
    token.is_some_and(|token| view.state.has_business(token, &environment))
}

/// Buckets of one size, one for each key.
struct Buckets<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    size: NonZeroU32,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(quota: Quota) -> Buckets<K> {
        Buckets { limiter: RateLimiter::keyed(quota), size: quota.burst_size(), clock: DefaultClock::default() }
    }

    /// How long until the bucket has so many requests again, a full bucket at most; `None` when it had them.
    fn take(&self, key: &K, weight: u32) -> Option<Duration> {
        if self.limiter.len() > BUCKETS_MAX {
            self.limiter.retain_recent();
        }
        let weight = NonZeroU32::new(weight).map_or(NonZeroU32::MIN, |weight| weight.min(self.size));
        let taken = self.limiter.check_key_n(key, weight).unwrap_or(Ok(()));
        taken.err().map(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

impl Whose {
    /// By the caller's token, as `view` knows it.
    pub(crate) fn of(view: &View, caller: &Caller) -> Whose {
        match caller.token(view) {
            Ok(token) => Whose::Principal(token.principal.clone()),
            Err(_) => Whose::Address(caller.ask.address),
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Whose::Principal(principal) => principal.to_string(),
            Whose::Address(Some(address)) => format!("address {address}"),
            Whose::Address(None) => "somebody without a valid token".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_as_much_as_it_holds_and_never_more_than_a_bucket() {
        let buckets = Buckets::new(Quota::per_second(NonZeroU32::new(1).unwrap()).allow_burst(NonZeroU32::new(10).unwrap()));
        assert_eq!(buckets.take(&"ana", 8), None);
        assert!(buckets.take(&"ana", 3).is_some(), "two are left");
        assert_eq!(buckets.take(&"ana", 2), None);
        assert_eq!(buckets.take(&"bob", 256), None, "who has asked nothing is not refused for ever");
        assert!(buckets.take(&"bob", 1).is_some());
    }
}
