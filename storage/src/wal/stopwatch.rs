//! How long writing takes: seen from outside while it goes on, because a disk that hangs never says so.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Times one write after the other. Any thread may look.
pub(crate) struct Stopwatch {
    origin: Instant,
    /// Microseconds from the origin to the start of the write under way, plus one; 0 while there is none.
    started_us: AtomicU64,
    longest_us: AtomicU64,
}

impl Default for Stopwatch {
    fn default() -> Stopwatch {
        Stopwatch { origin: Instant::now(), started_us: AtomicU64::new(0), longest_us: AtomicU64::new(0) }
    }
}

impl Stopwatch {
    /// Runs `write`, and times it.
    pub(crate) fn time<T>(&self, write: impl FnOnce() -> T) -> T {
        self.started_us.store(self.now_us() + 1, Relaxed);
        let done = write();
        let took = self.running().unwrap_or_default();
        self.started_us.store(0, Relaxed);
        self.longest_us.fetch_max(micros(took), Relaxed);
        done
    }

    /// How long the write under way has taken so far.
    pub(crate) fn running(&self) -> Option<Duration> {
        let started = self.started_us.load(Relaxed).checked_sub(1)?;
        Some(Duration::from_micros(self.now_us().saturating_sub(started)))
    }

    /// The longest since this was asked last.
    pub(crate) fn take_longest(&self) -> Duration {
        let ended = Duration::from_micros(self.longest_us.swap(0, Relaxed));
        ended.max(self.running().unwrap_or_default())
    }

    fn now_us(&self) -> u64 {
        micros(self.origin.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_seen_while_it_goes_on_and_remembered_once() {
        let watch = Stopwatch::default();
        assert_eq!((watch.running(), watch.take_longest()), (None, Duration::ZERO));
        watch.time(|| {
            while watch.running().unwrap() < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
        });
        assert_eq!(watch.running(), None);
        assert!(watch.take_longest() >= Duration::from_millis(2));
        assert_eq!(watch.take_longest(), Duration::ZERO);
    }
}
