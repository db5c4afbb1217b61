//! The future of one wait.

use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::waiter::{Handle, Waiter};
use super::{Need, Outcome, Registration, WaitQueue};

/// A wait as a future: of [`WaitQueue::acquire`], [`WaitQueue::wait`] or
/// [`WaitQueue::wait_requeue`].
///
/// It owns its node, so waiting allocates nothing. It may be polled by one executor and then by
/// another: the waker of the last poll is the one that is woken.
///
/// # Blocking
///
/// A poll with another waker than the last waits for a holder in its critical section, as
/// [`WaitQueue::cancel`] does. So does dropping a future that waits.
#[must_use = "futures do nothing unless they are polled"]
pub struct Wait<'a> {
    queue: &'a WaitQueue,
    need: Need,
    stage: Stage,
    waiter: Waiter,
}

#[derive(Debug)]
enum Stage {
    New,
    Registered,
    /// Over, and not reported.
    Ready(Outcome),
    Reported,
}

impl<'a> Wait<'a> {
    #[inline]
    pub(super) fn new(queue: &'a WaitQueue, need: Need) -> Self {
        Wait { queue, need, stage: Stage::New, waiter: Waiter::task() }
    }

    /// Begins to wait now, as the first poll would: a wake after this is not missed. Returns
    /// whether the wait is over already; the next poll reports it.
    ///
    /// # Panics
    ///
    /// As the future itself.
    pub fn enable(self: Pin<&mut Self>, waker: &Waker) -> bool {
        // SAFETY: nothing is moved out.
        let wait = unsafe { self.get_unchecked_mut() };
        match wait.stage {
            Stage::New => wait.start(waker).is_some_and(|outcome| {
                wait.stage = Stage::Ready(outcome);
                true
            }),
            Stage::Registered => wait.waiter.outcome().is_some(),
            Stage::Ready(_) => true,
            Stage::Reported => panic!("a `Wait` was enabled after it had returned"),
        }
    }

    /// Leaves [`Stage::New`]. Returns what came of the wait, if it is over at once.
    #[inline]
    fn start(&mut self, waker: &Waker) -> Option<Outcome> {
        // A waker may be dear: not for what takes no waiting.
        if let Some(outcome) = self.queue.try_acquire(self.need.permits()) {
            return Some(outcome);
        }
        // SAFETY: not registered.
        let none = unsafe { self.waiter.replace_handle(Some(Handle::Task(waker.clone()))) };
        debug_assert!(none.is_none());
        mem::forget(none);
        // SAFETY: `self` is pinned, its destructor takes the waiter out, and it borrows the queue.
        // The caller leaves `Stage::New`.
        match unsafe { self.queue.push(&self.waiter, self.need) } {
            Registration::Registered => {
                self.stage = Stage::Registered;
                None
            }
            Registration::Ready(outcome) => {
                self.stage = Stage::Ready(outcome);
                // Not later, where its panic would take along what the wait was granted.
                // SAFETY: not registered.
                drop(unsafe { self.waiter.replace_handle(None) });
                Some(outcome)
            }
        }
    }

    /// Has `waker` woken, instead of whoever was to be woken. Returns what came of the wait, if it
    /// is over by then.
    fn wait_on(&self, waker: &Waker) -> Option<Outcome> {
        if self.waiter.is_of(waker) {
            return None;
        }
        // SAFETY: registered with this queue, and not taken out.
        unsafe { self.queue.set_waker(&self.waiter, waker.clone()) }
    }
}

impl Future for Wait<'_> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        // SAFETY: nothing is moved out.
        let wait = unsafe { self.get_unchecked_mut() };
        let outcome = match wait.stage {
            Stage::New => wait.start(context.waker()),
            Stage::Registered => wait.waiter.outcome().or_else(|| wait.wait_on(context.waker())),
            Stage::Ready(outcome) => Some(outcome),
            Stage::Reported => panic!("a `Wait` was polled after it had returned"),
        };
        let Some(outcome) = outcome else { return Poll::Pending };
        wait.stage = Stage::Reported;
        Poll::Ready(outcome)
    }
}

impl Drop for Wait<'_> {
    #[inline]
    fn drop(&mut self) {
        match self.stage {
            // SAFETY: registered in `start`, and taken out nowhere else.
            Stage::Registered => unsafe { self.queue.abandon(&self.waiter) },
            Stage::Ready(Outcome::Granted) => self.queue.release(self.need.permits()),
            Stage::New | Stage::Ready(_) | Stage::Reported => (),
        }
        #[cfg(loom)]
        self.waiter.retire();
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("stage", &self.stage).finish_non_exhaustive()
    }
}
