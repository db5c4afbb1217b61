//! How the blocking forms of [`crate::sync`] wait on a worker's thread.

use fiber_sync::blocker::{Blocker, BlockingWait, Outcome, Registration, Waiter};

use crate::dump::WaitKind;
use crate::latch::{Awaited, Wait};
use crate::worker::Worker;

/// Installed on every worker's thread. What runs there may suspend its fiber; if it must not, it
/// blocks the thread, as waits on anything else do.
pub(crate) struct Fibers;

// SAFETY: each of the ways below registers one waiter, or has `park_thread` do so, returns what
// came of it, and does not unwind once it has registered.
unsafe impl Blocker for Fibers {
    fn block(&self, sync: &BlockingWait<'_>) -> Option<Outcome> {
        let wait = Wait { what: Awaited::Sync(WaitKind::of_sync(sync.what())), site: sync.site() };
        match Worker::current() {
            Some(worker) if worker.can_suspend() && sync.deadline().is_none() => {
                Some(worker.suspend_on(sync, &wait))
            }
            Some(worker) => worker.block_thread_on(sync, &wait),
            None => sync.park_thread(),
        }
    }

    fn yield_now(&self) {
        crate::yield_now();
    }
}

impl Worker {
    /// Suspends the running fiber, which must be able to, until the wait is over.
    fn suspend_on(&self, sync: &BlockingWait<'_>, wait: &Wait) -> Outcome {
        let record = self.current.get().expect("a fiber that suspends runs");
        record.activity.set_waiting(wait);
        let waiter = Waiter::fiber(record.handle());
        // SAFETY: the waiter stays in this frame, which cannot unwind, until its wait is over.
        match unsafe { sync.register(&waiter) } {
            Registration::Registered => self.suspend_registered(record, wait, || waiter.outcome()),
            Registration::Ready(outcome) => {
                record.activity.set_running();
                outcome
            }
        }
    }

    /// Blocks the thread until the wait is over: the wait of what must not, or cannot, suspend.
    ///
    /// # Panics
    ///
    /// Panics if the job has no fiber, and the wait has no end of its own.
    #[cold]
    fn block_thread_on(&self, sync: &BlockingWait<'_>, wait: &Wait) -> Option<Outcome> {
        if sync.deadline().is_none()
            && let Some(limit) = self.fiber_limit()
        {
            panic!("FiberLimit: {limit}");
        }
        self.block_thread(wait, || sync.park_thread())
    }
}
