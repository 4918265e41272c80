//! The world that the tests are told in.

pub(crate) mod certificates;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod proxy;
pub(crate) mod world;

use std::{future::Future, time::Duration};

/// Far longer than anything here takes, short enough to be told what hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `event`, and fails with `what` when it does not come.
pub(crate) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s for: {what}", PATIENCE.as_secs()),
    }
}
