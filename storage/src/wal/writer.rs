//! Who drains the queue: a thread, or a simulation step by step.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::{WalOptions, core::WalCore, shared::Shared};
use crate::workers;

/// After this long without a request, a frame that only carries the watermark is written.
const IDLE: Duration = Duration::from_millis(50);

/// Drives a log that was opened without threads.
pub struct WalDriver {
    pub(crate) core: WalCore,
    pub(crate) shared: Arc<Shared>,
}

impl WalDriver {
    /// Writes everything that is queued as one batch, and calls its callbacks. Says whether there was anything.
    pub fn step(&mut self) -> bool {
        let batch = self.shared.take_queue();
        let any = !batch.is_empty();
        self.core.write(&self.shared, batch);
        any
    }

    /// What the writer's thread does when the log has been idle for a while.
    pub fn idle(&mut self) {
        self.core.mark(&self.shared);
    }

    fn finish(&mut self) {
        self.core.finish(&self.shared);
    }

    fn run(&mut self) {
        let mut mark_due = false;
        loop {
            let mut state = self.shared.state.lock();
            while state.queue.is_empty() && !state.closing {
                if !mark_due {
                    self.shared.work.wait(&mut state);
                } else if self.shared.work.wait_for(&mut state, IDLE).timed_out() && state.queue.is_empty() {
                    mark_due = false;
                    drop(state);
                    self.core.mark(&self.shared);
                    state = self.shared.state.lock();
                }
            }
            let batch = std::mem::take(&mut state.queue);
            drop(state);
            if batch.is_empty() {
                return self.core.finish(&self.shared);
            }
            self.core.write(&self.shared, batch);
            mark_due = true;
        }
    }
}

/// The queue outlives the writer: whatever ends the thread, a panic included, no caller is left waiting.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.latch(&io::Error::other("its writer panicked"));
        }
        self.0.state.lock().closing = true;
        drop(self.0.take_queue());
        self.0.room.notify_all();
    }
}

/// Who writes.
enum Writer {
    Thread(JoinHandle<()>),
    /// The simulation of this thread, step by step.
    Driven(Arc<Mutex<WalDriver>>),
    /// Whoever holds the driver; or nobody any more.
    Nobody,
}

/// One log: dropped with its last handle, which ends the writer.
pub(crate) struct Inner {
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    queue_bytes_max: usize,
    threaded: bool,
}

impl Inner {
    pub(crate) fn start(mut driver: WalDriver, options: &WalOptions) -> io::Result<Inner> {
        let shared = Arc::clone(&driver.shared);
        let ending = Ending(Arc::clone(&shared));
        let writer = thread::Builder::new().name("wal".to_owned()).spawn(move || {
            let _ending = ending;
            driver.run();
        })?;
        let writer = Mutex::new(Writer::Thread(writer));
        Ok(Inner { shared, writer, queue_bytes_max: options.queue_bytes_max, threaded: true })
    }

    /// For the simulation of this thread to drive.
    pub(crate) fn driven(driver: WalDriver, options: &WalOptions) -> Inner {
        let shared = Arc::clone(&driver.shared);
        let driver = Arc::new(Mutex::new(driver));
        let own = Arc::downgrade(&driver);
        let step = move || {
            if let Some(driver) = own.upgrade() {
                driver.lock().step();
            }
        };
        if let Some(wake) = workers::drive(Box::new(step)) {
            // The log was made just now: nobody else has set it.
            let _ = shared.wake.set(wake);
        }
        let writer = Mutex::new(Writer::Driven(driver));
        Inner { shared, writer, queue_bytes_max: options.queue_bytes_max, threaded: false }
    }

    pub(crate) fn manual(driver: &WalDriver, options: &WalOptions) -> Inner {
        let shared = Arc::clone(&driver.shared);
        Inner { shared, writer: Mutex::new(Writer::Nobody), queue_bytes_max: options.queue_bytes_max, threaded: false }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Without a thread nobody would ever make room.
    pub(crate) fn wait_for_room(&self) {
        let mut state = self.shared.state.lock();
        while self.threaded && state.queued_bytes > self.queue_bytes_max && state.failed.is_none() && !state.closing {
            self.shared.room.wait(&mut state);
        }
    }

    pub(crate) fn close(&self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        let writer = std::mem::replace(&mut *self.writer.lock(), Writer::Nobody);
        match writer {
            Writer::Thread(writer) if writer.thread().id() != thread::current().id() => {
                // A panic of the writer has been printed and latched.
                let _ = writer.join();
            }
            Writer::Driven(driver) => {
                let mut driver = driver.lock();
                driver.step();
                driver.finish();
            }
            Writer::Thread(_) | Writer::Nobody => {}
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
