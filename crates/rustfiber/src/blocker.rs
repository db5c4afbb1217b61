//! How the blocking forms of [`crate::sync`] wait on a worker's thread.

use fiber_sync::blocker::{Blocker, BlockingWait, Outcome, Registration, Waiter};

use crate::dump::WaitKind;
use crate::latch::{Awaited, Wait};
use crate::timers::Timer;
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
            Some(worker) if worker.can_suspend() => worker.suspend_on(sync, &wait),
            Some(worker) => worker.block_thread_on(sync, &wait),
            None => sync.park_thread(),
        }
    }

    /// What a registration lets go may be a task, whose waker is anybody's code.
    fn without_suspending(&self, f: &dyn Fn()) {
        crate::without_suspending(f);
    }

    fn yield_now(&self) {
        crate::yield_now();
    }
}

impl Worker {
    /// Suspends the running fiber, which must be able to, until the wait is over.
    #[inline(always)] // one frame less to return from after a switch; see `worker::suspend`
    fn suspend_on(&self, sync: &BlockingWait<'_>, wait: &Wait) -> Option<Outcome> {
        let record = self.current.get().expect("a fiber that suspends runs");
        record.activity.set_waiting(wait);
        let waiter = Waiter::fiber(record.handle());
        // SAFETY: the waiter stays in this frame, which cannot unwind, until its wait is over or it
        // was taken out.
        if let Registration::Ready(outcome) = unsafe { sync.register(&waiter) } {
            record.activity.set_running();
            return Some(outcome);
        }
        sync.owner().inspect(|owner| record.set_awaited(Some(owner)));
        let outcome = match sync.deadline() {
            None => Some(self.suspend_registered(record, wait, || waiter.outcome())),
            Some(deadline) => {
                let timer = Timer::new(deadline, record, sync, &waiter);
                self.suspend_with(&timer, wait)
            }
        };
        sync.owner().inspect(|_| record.set_awaited(None));
        outcome
    }

    /// Suspends the running fiber, whose waiter is registered, until it is notified or the timer
    /// has given up.
    fn suspend_with(&self, timer: &Timer<'_>, wait: &Wait) -> Option<Outcome> {
        let record = timer.record();
        if timer.is_due() && self.give_up(timer) {
            record.activity.set_running();
            return None; // nobody resumes the fiber, which has not been suspended
        }
        record.activity.set_deadline(Some(timer.deadline()));
        // SAFETY: the timer stays in this frame, which cannot unwind, until it is out.
        unsafe { self.insert_timer(timer) };
        let outcome = self.suspend_registered(record, wait, || timer.outcome());
        self.timers.remove(timer);
        record.activity.set_deadline(None);
        outcome
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
