//! Who does the work that waits for a disk: threads of its own, or, in a simulation, the one thread that there is.
//!
//! A simulation says once for its thread that there are no others ([`simulate`]). What is opened on that thread from then on hands its
//! work over in steps, and the simulation decides when each is taken; what would wait for another thread does the work itself.

use std::cell::RefCell;
use std::rc::Rc;

/// Works off what is queued.
pub type Step = Box<dyn FnMut() + Send>;
/// Says that something is queued. Dropped when nothing will be queued any more.
pub type Wake = Box<dyn Fn() + Send + Sync>;
/// Takes a step over, to be taken some time after each wake.
pub type Drive = Rc<dyn Fn(Step) -> Wake>;

thread_local! {
    static DRIVE: RefCell<Option<Drive>> = const { RefCell::new(None) };
}

/// From now on there are no other threads for what this one opens.
pub fn simulate(drive: Drive) {
    DRIVE.with_borrow_mut(|own| *own = Some(drive));
}

/// Whether this thread is the only one there is.
#[must_use]
pub fn are_simulated() -> bool {
    DRIVE.with_borrow(Option::is_some)
}

/// Hands a step over to the simulation of this thread; none where there are other threads.
pub(crate) fn drive(step: Step) -> Option<Wake> {
    let drive = DRIVE.with_borrow(Clone::clone);
    drive.map(|drive| drive(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn only_the_thread_that_said_so_is_simulated() {
        assert!(drive(Box::new(|| ())).is_none());
        let steps = Arc::new(AtomicU32::new(0));
        let counted = steps.clone();
        let simulated = std::thread::spawn(move || {
            simulate(Rc::new(|step: Step| -> Wake {
                let step = parking_lot::Mutex::new(step);
                Box::new(move || (*step.lock())())
            }));
            let wake = drive(Box::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }));
            wake.expect("this thread is simulated")();
            are_simulated()
        });
        assert!(simulated.join().unwrap());
        assert_eq!(steps.load(Ordering::Relaxed), 1);
        assert!(!are_simulated());
    }
}
