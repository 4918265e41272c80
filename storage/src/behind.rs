//! Work that is done on a thread of its own, a little behind whoever brings it.

use crate::workers;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Somebody who works off what he is given. Dropped, he has done what he was given so far.
pub(crate) struct Behind<W, D, E>(State<W, D, E>);

enum State<W, D, E> {
    /// In a simulation: whoever brings it does it.
    Own {
        doer: D,
        step: fn(&mut D, W) -> Result<(), E>,
    },
    Thread {
        queue: SyncSender<W>,
        thread: JoinHandle<Result<D, E>>,
    },
    Ended,
}

impl<W: Send + 'static, D: Send + 'static, E: Send + 'static> Behind<W, D, E> {
    /// Starts a thread, where there are threads. So much work may wait as `ahead` says.
    pub(crate) fn start(name: &str, ahead: usize, mut doer: D, step: fn(&mut D, W) -> Result<(), E>) -> io::Result<Self> {
        if workers::are_simulated() {
            return Ok(Behind(State::Own { doer, step }));
        }
        let (queue, work) = sync_channel(ahead);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            work.into_iter().try_for_each(|work| step(&mut doer, work))?;
            Ok(doer)
        })?;
        Ok(Behind(State::Thread { queue, thread }))
    }

    /// Hands work over; waits where too much of it waits already. Fails with why he has ended, the first time.
    pub(crate) fn give(&mut self, work: W) -> Result<(), Option<E>> {
        match &mut self.0 {
            State::Own { doer, step } => {
                let done = step(doer, work);
                if done.is_err() {
                    self.0 = State::Ended;
                }
                done.map_err(Some)
            }
            State::Thread { queue, .. } if queue.send(work).is_ok() => Ok(()),
            _ => Err(self.end().err().flatten()),
        }
    }

    /// Waits until all is done, and gives back who did it.
    pub(crate) fn end(&mut self) -> Result<D, Option<E>> {
        match std::mem::replace(&mut self.0, State::Ended) {
            State::Own { doer, .. } => Ok(doer),
            State::Thread { queue, thread } => {
                drop(queue);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(Some)
            }
            State::Ended => Err(None),
        }
    }
}

/// What he holds is let go of before whoever holds him goes on.
impl<W, D, E> Drop for Behind<W, D, E> {
    fn drop(&mut self) {
        if let State::Thread { queue, thread } = std::mem::replace(&mut self.0, State::Ended) {
            drop(queue);
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adding(ahead: usize) -> Behind<u64, u64, String> {
        let step = |sum: &mut u64, more: u64| {
            *sum += more;
            if *sum > 100 { Err(format!("{sum} is too much")) } else { Ok(()) }
        };
        Behind::start("adding", ahead, 0, step).unwrap()
    }

    #[test]
    fn all_that_was_given_is_done_before_it_ends() {
        let mut behind = adding(2);
        (1..=10).for_each(|more| behind.give(more).unwrap());
        assert_eq!(behind.end(), Ok(55));
        assert_eq!((behind.end(), behind.give(1)), (Err(None), Err(None)));
    }

    #[test]
    fn why_it_failed_is_said_once_and_nothing_is_taken_after_it() {
        let mut behind = adding(0);
        let failed = (0..50).find_map(|_| behind.give(60).err());
        assert_eq!(failed, Some(Some("120 is too much".to_owned())));
        assert_eq!(behind.give(1), Err(None));
        assert_eq!(behind.end(), Err(None));
    }
}
