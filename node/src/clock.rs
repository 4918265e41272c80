//! The clock as an input: the leader stamps records with it, and nothing else reads the time of day.

use node_domain::ids::Stamp;

/// A source of the time of day.
pub trait Clock: Send + Sync + 'static {
    /// Now, in microseconds since 1970.
    fn now(&self) -> Stamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Stamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Stamp(since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX)))
    }
}
