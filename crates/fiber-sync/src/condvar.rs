//! Waiting for a change of what a mutex guards.
//!
//! A notification does not wake: it moves a waiter from the condition's line into that of the
//! mutex, whose unlock wakes it, and it runs with the mutex locked.
//!
//! | a waiter is | in | until | which makes it |
//! |---|---|---|---|
//! | waiting | the condition's queue | a notification | notified; locked, if the mutex is free |
//! | | | its end of time | gone |
//! | notified | the mutex's queue | an unlock | locked |
//! | | | its end of time, or drop | gone; the next is notified |
//! | locked | neither; it has the permit | its return | gone, with the mutex locked |
//! | | | the drop of its future | gone; unlocks, and the next is notified |
//!
//! The two queues' protocol is in [`wait_queue`](intrusive_waitlist::wait_queue), *Move*.

use std::cell::Cell;
use std::fmt;
use std::pin::pin;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::Outcome;

use crate::blocker::{BlockingWait, Need, Primitive};
use crate::mutex::MutexGuard;
use crate::primitive::const_fn;
use crate::wait::{self, Limit};

/// A condition variable: wait, with a [`Mutex`](crate::Mutex) unlocked meanwhile, until somebody
/// notifies.
///
/// Who waits longest is notified first. A notification that nobody waits for is not stored. As with
/// every condition variable, a wait may end without a notification: use the `_while` forms, or a
/// loop. One condition variable may serve several mutexes.
///
/// 40 bytes; waiting allocates nothing. Whoever is notified goes to the end of the mutex's line,
/// and is woken when it has the mutex: [`Condvar::notify_all`] wakes nobody who cannot go on.
///
/// # Examples
///
/// ```
/// use fiber_sync::{Condvar, Mutex};
///
/// let (ready, changed) = (Mutex::new(false), Condvar::new());
/// std::thread::scope(|s| {
///     s.spawn(|| {
///         *ready.lock() = true;
///         changed.notify_one();
///     });
///     let guard = changed.wait_while(ready.lock(), |ready| !*ready);
///     assert!(*guard);
/// });
/// ```
pub struct Condvar {
    queue: WaitQueue,
}

/// Whether a wait with a limit ended for want of time.
#[must_use = "what was waited for may not have come"]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitTimeoutResult {
    timed_out: bool,
}

impl WaitTimeoutResult {
    const IN_TIME: Self = WaitTimeoutResult { timed_out: false };

    /// Tells whether the time was up.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }
}

const WHAT: Primitive = Primitive::Condvar;

impl Condvar {
    const_fn! {
        /// Creates a condition variable for which nobody waits.
        #[must_use]
        pub const fn new() -> Self {
            Condvar { queue: WaitQueue::new(0) }
        }
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again. A notification after
    /// the mutex was unlocked is not missed.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_within(guard, Limit::Never).0
    }

    /// As [`Condvar::wait`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the mutex unlocked, as far as the caller goes. A notification
    /// by [`Condvar::notify_one`] that the future has not returned for goes to the next waiter.
    pub async fn wait_async<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex = MutexGuard::mutex(&guard);
        let mut wait = pin!(self.queue.wait_requeue(mutex.queue()));
        wait::enable(wait.as_mut()).await;
        drop(guard);
        let outcome = wait.await;
        assert_eq!(outcome, Outcome::Granted, "neither queue is ever closed");
        // SAFETY: granted by the queue of the mutex.
        unsafe { mutex.granted() }
    }

    /// As [`Condvar::wait`], but gives up after `timeout`. If the lock after a notification and the
    /// timeout meet, the lock wins. Who was notified and runs out of time while somebody else has
    /// the mutex has timed out; a notification by [`Condvar::notify_one`] goes to the next.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait`], for at most about `timeout`; and then, without limit, for the mutex.
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.wait_within(guard, Limit::After(timeout))
    }

    /// As [`Condvar::wait_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait_timeout`].
    #[track_caller]
    pub fn wait_deadline<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.wait_within(guard, Limit::At(deadline))
    }

    #[track_caller]
    fn wait_within<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Limit,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let mutex = MutexGuard::mutex(&guard);
        match self.block(guard, limit) {
            Some(Outcome::Granted) => {
                mutex.owner.set();
                // SAFETY: granted by the queue of the mutex.
                (unsafe { mutex.granted() }, WaitTimeoutResult::IN_TIME)
            }
            Some(Outcome::Woken | Outcome::Closed) => unreachable!("neither queue is ever closed"),
            None => (mutex.lock(), WaitTimeoutResult { timed_out: true }),
        }
    }

    /// Waits as long as `condition` holds; it is called with the mutex locked.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait`].
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut *guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// As [`Condvar::wait_while`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// As [`Condvar::wait_async`].
    pub async fn wait_while_async<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut *guard) {
            guard = self.wait_async(guard).await;
        }
        guard
    }

    /// As [`Condvar::wait_while`], but gives up after `timeout`: timed out, the condition still
    /// held when the mutex was locked again.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait_timeout`].
    #[track_caller]
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.wait_while_within(guard, Limit::After(timeout), condition)
    }

    /// As [`Condvar::wait_timeout_while`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait_timeout`].
    #[track_caller]
    pub fn wait_deadline_while<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
        condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.wait_while_within(guard, Limit::At(deadline), condition)
    }

    #[track_caller]
    fn wait_while_within<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Limit,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let limit = limit.fixed();
        let mut timed_out = false;
        while condition(&mut *guard) {
            if timed_out {
                return (guard, WaitTimeoutResult { timed_out });
            }
            let result;
            (guard, result) = self.wait_within(guard, limit);
            timed_out = result.timed_out();
        }
        (guard, WaitTimeoutResult::IN_TIME)
    }

    /// Waits with the mutex of `guard` unlocked; and then, within the limit, to be granted it.
    #[track_caller]
    fn block<T: ?Sized>(&self, guard: MutexGuard<'_, T>, limit: Limit) -> Option<Outcome> {
        let need = Need::WakeThenPermitOf(MutexGuard::mutex(&guard).queue());
        let guard = Cell::new(Some(guard));
        let unlock = || drop(guard.take());
        BlockingWait::new(&self.queue, need, WHAT, limit.deadline())
            .after_registration(&unlock)
            .block()
    }

    /// Notifies the one that has waited longest. Returns whether there was one.
    ///
    /// Who waits with the mutex that the caller has locked is notified before anybody who comes
    /// later; the mutex need not be locked.
    pub fn notify_one(&self) -> bool {
        self.queue.wake(1) == 1
    }

    /// Notifies all who wait, in their order. Returns how many there were.
    pub fn notify_all(&self) -> usize {
        self.queue.wake_all()
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
