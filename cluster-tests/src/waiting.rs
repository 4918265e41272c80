//! Waiting for what comes true by itself.

use crate::processes::READY;
use std::time::{Duration, Instant};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until there is something.
///
/// # Panics
/// When there is nothing within [`READY`].
pub async fn found<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + READY;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {READY:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until `what` is so.
///
/// # Panics
/// When it is not within [`READY`].
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    found(what, async || is_so().await.then_some(())).await;
}
