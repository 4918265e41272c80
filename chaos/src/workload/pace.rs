//! So many calls in a second, of all clients together.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use tokio::time::Instant;

/// What was not used for so long is not made up for.
const ARREARS_MAX: Duration = Duration::from_millis(100);

/// Gives turns.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(calls_per_second: u32) -> Pace {
        Pace { every: Duration::from_secs(1) / calls_per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Waits for the caller's turn.
    pub(crate) async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let earliest = Instant::now().checked_sub(ARREARS_MAX).unwrap_or_else(Instant::now);
            let turn = (*next).max(earliest);
            *next = turn + self.every;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}
