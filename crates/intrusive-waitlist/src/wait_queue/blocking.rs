//! Waiting as an OS thread.

#[cfg(not(loom))]
use std::time::{Duration, Instant};

#[cfg(not(loom))]
use crate::primitive::thread;

use super::waiter::Waiter;
use super::{Outcome, Registration, WaitQueue};

impl WaitQueue {
    /// Takes `permits`; waits for them if necessary.
    ///
    /// # Panics
    ///
    /// Panics if `permits` exceeds [`WaitQueue::MAX_PERMITS`].
    ///
    /// # Blocking
    ///
    /// Parks the calling thread. On a fiber this blocks the fiber's worker: register a
    /// [`Waiter::fiber`] and suspend instead.
    pub fn acquire_thread(&self, permits: usize) -> Outcome {
        self.try_acquire(permits).unwrap_or_else(|| {
            // SAFETY: `wait_on` keeps the waiter until its wait is over.
            wait_on(|waiter| unsafe { self.register(waiter, permits) })
        })
    }

    /// Waits for a wake; permits do not matter.
    ///
    /// # Blocking
    ///
    /// As [`WaitQueue::acquire_thread`].
    pub fn wait_thread(&self) -> Outcome {
        // SAFETY: `wait_on` keeps the waiter until its wait is over.
        wait_on(|waiter| unsafe { self.register_wait(waiter) })
    }

    /// Takes `permits`; waits for them at most for `timeout`. `None`: in vain. If the grant and the
    /// timeout meet, the grant wins.
    ///
    /// # Panics
    ///
    /// Panics if `permits` exceeds [`WaitQueue::MAX_PERMITS`].
    ///
    /// # Blocking
    ///
    /// As [`WaitQueue::acquire_thread`].
    #[cfg(not(loom))]
    pub fn acquire_thread_timeout(&self, permits: usize, timeout: Duration) -> Option<Outcome> {
        self.try_acquire(permits).or_else(|| {
            // SAFETY: `wait_on_for` keeps the waiter until its wait is over or it was taken out.
            self.wait_on_for(timeout, |waiter| unsafe { self.register(waiter, permits) })
        })
    }

    /// Waits for a wake, at most for `timeout`. `None`: in vain. If the wake and the timeout meet,
    /// the wake wins.
    ///
    /// # Blocking
    ///
    /// As [`WaitQueue::acquire_thread`].
    #[cfg(not(loom))]
    pub fn wait_thread_timeout(&self, timeout: Duration) -> Option<Outcome> {
        // SAFETY: as in `acquire_thread_timeout`.
        self.wait_on_for(timeout, |waiter| unsafe { self.register_wait(waiter) })
    }

    #[cfg(not(loom))]
    fn wait_on_for(
        &self,
        timeout: Duration,
        register: impl FnOnce(&Waiter) -> Registration,
    ) -> Option<Outcome> {
        // A timeout past the end of time is none.
        let deadline = Instant::now().checked_add(timeout);
        let waiter = Waiter::current_thread();
        if let Registration::Ready(outcome) = register(&waiter) {
            return Some(outcome);
        }
        let Some(deadline) = deadline else { return Some(waiter.park()) };
        loop {
            let outcome = waiter.outcome();
            if outcome.is_some() {
                return outcome;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // SAFETY: registered with this queue, and not taken out.
                return unsafe { self.cancel(&waiter) };
            }
            // PROGRESS: as in `Waiter::park`, and ends in time.
            thread::park_timeout(left);
        }
    }
}

/// Registers a waiter of the calling thread, and parks until its wait is over.
fn wait_on(register: impl FnOnce(&Waiter) -> Registration) -> Outcome {
    let waiter = Waiter::current_thread();
    let outcome = match register(&waiter) {
        Registration::Registered => waiter.park(),
        Registration::Ready(outcome) => outcome,
    };
    #[cfg(loom)]
    {
        let mut waiter = waiter;
        waiter.retire();
    }
    outcome
}
