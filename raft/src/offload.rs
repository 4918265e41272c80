//! Work that waits for a disk, off the threads that serve.

use futures::future::{Either, Ready, ready};
use storage::workers;
use tokio::task::{self, JoinError, JoinHandle};

/// Runs `work` where it may block; in a simulation, whose one thread has nobody to wait for, at once.
pub fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Either<Ready<Result<T, JoinError>>, JoinHandle<T>> {
    if workers::are_simulated() { Either::Left(ready(Ok(work()))) } else { Either::Right(task::spawn_blocking(work)) }
}
