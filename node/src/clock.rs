//! The clock as an input: the leader stamps records with it, and nothing else reads the time of day.

use node_domain::ids::Stamp;

/// A source of the time of day.
pub trait Clock: Send + Sync + 'static {
    /// Now, in microseconds since 1970.
    fn now(&self) -> Stamp;
}

/// The machine's clock. In a debug build `HOLDFAST_CLOCK_OFFSET_MS` puts it ahead or behind, so that a test can have a node whose
/// clock is wrong without setting the machine's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Stamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        Stamp(now.saturating_add_signed(offset_us()))
    }
}

/// How far off a test wants the clock; never in a release build.
fn offset_us() -> i64 {
    static OFFSET_US: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    if !cfg!(debug_assertions) {
        return 0;
    }
    *OFFSET_US.get_or_init(|| {
        let wanted = std::env::var("HOLDFAST_CLOCK_OFFSET_MS").ok().and_then(|text| text.parse::<i64>().ok());
        let offset_ms = wanted.unwrap_or(0);
        if offset_ms != 0 {
            tracing::warn!(offset_ms, "the clock of this node is off: a test wants it so");
        }
        offset_ms.saturating_mul(1000)
    })
}
