//! How much one principal, and one environment, may ask of this node: token buckets at the door, before anything costs a record.
//!
//! Whoever shows no token that counts shares a bucket with everybody else at that address, so that making tokens up buys nothing.
//! The first refusal in each minute is a record and an alert; the others are only counted, or the journal would be the victim.

use crate::api::door::Caller;
use crate::config::LimitsConfig;
use crate::engine::View;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use node_domain::Rejection;
use node_domain::ids::PrincipalName;
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
pub(crate) struct Throttled {
    pub(crate) rejection: Rejection,
    /// Whether it is the one of this minute that stands in the journal.
    pub(crate) is_recorded: bool,
}

/// The buckets of one node. Without limits it has none, and costs nothing.
#[derive(Default)]
pub(crate) struct Throttle {
    principals: Option<DefaultKeyedRateLimiter<Whose>>,
    environments: Option<DefaultKeyedRateLimiter<String>>,
    recorded: Option<DefaultKeyedRateLimiter<Whose>>,
    clock: DefaultClock,
}

impl Throttle {
    pub(crate) fn new(limits: &LimitsConfig) -> Throttle {
        let per_second = |rate: u32, burst: u32| {
            let rate = NonZeroU32::new(rate)?;
            Some(Quota::per_second(rate).allow_burst(NonZeroU32::new(burst).unwrap_or(rate)))
        };
        let principals = per_second(limits.requests_per_second, limits.burst);
        let environments = per_second(limits.environment_requests_per_second, 0);
        let recorded = (principals.is_some() || environments.is_some()).then(|| Quota::with_period(RECORDED_EVERY)).flatten();
        Throttle {
            principals: principals.map(RateLimiter::keyed),
            environments: environments.map(RateLimiter::keyed),
            recorded: recorded.map(RateLimiter::keyed),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one request out of the buckets of its caller and its environment, or says when there will be one.
    pub(crate) fn check(&self, view: &View, caller: &Caller, environment: &str) -> Result<(), Box<Throttled>> {
        if self.recorded.is_none() {
            return Ok(());
        }
        let whose = Whose::of(view, caller);
        let wait = self.principals.as_ref().and_then(|buckets| self.take(buckets, &whose));
        if let Some(wait) = wait {
            return Err(self.throttled(&whose, format!("{} asks too much", whose.name()), wait));
        }
        // A name that no environment has has no bucket: names are made up for nothing. Nor does who shows no token that counts take
        // from those who do: he has his address's bucket.
        let is_somebody = matches!(whose, Whose::Principal(_));
        let known = is_somebody && view.state.environments().any(|home| home.about.name.as_str() == environment);
        let buckets = self.environments.as_ref().filter(|_| known);
        match buckets.and_then(|buckets| self.take(buckets, &environment.to_owned())) {
            Some(wait) => Err(self.throttled(&whose, format!("too much is asked of {environment}"), wait)),
            None => Ok(()),
        }
    }

    /// How long until the bucket has a request again; `None` when it had one.
    fn take<K: Hash + Eq + Clone>(&self, buckets: &DefaultKeyedRateLimiter<K>, key: &K) -> Option<Duration> {
        if buckets.len() > BUCKETS_MAX {
            buckets.retain_recent();
        }
        buckets.check_key(key).err().map(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    fn throttled(&self, whose: &Whose, what: String, wait: Duration) -> Box<Throttled> {
        metrics::counter!("holdfast_throttled_total").increment(1);
        let is_recorded = self.recorded.as_ref().is_some_and(|recorded| self.take(recorded, whose).is_none());
        let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        Box::new(Throttled { rejection: Rejection::Throttled { what, retry_ms }, is_recorded })
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
