//! The future of one wait.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::waiter::Waiter;
use super::{Need, Outcome, Registration, WaitQueue};

/// A wait as a future: of [`WaitQueue::acquire`], [`WaitQueue::wait`] or
/// [`WaitQueue::wait_requeue`].
///
/// It owns its node, so waiting allocates nothing. It may be polled by one executor and then by
/// another: the waker of the last poll is the one that is woken.
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

    /// Begins to wait now, instead of at the first poll: a wake after this is not missed. Returns
    /// whether the wait is over already; the next poll reports it.
    ///
    /// # Panics
    ///
    /// As the future itself.
    pub fn enable(self: Pin<&mut Self>) -> bool {
        // SAFETY: nothing is moved out.
        let wait = unsafe { self.get_unchecked_mut() };
        wait.start(None);
        match wait.stage {
            Stage::Ready(_) => true,
            _ => wait.waiter.outcome().is_some(),
        }
    }

    /// Leaves [`Stage::New`], if that is where it is.
    fn start(&mut self, waker: Option<&Waker>) {
        if !matches!(self.stage, Stage::New) {
            return;
        }
        if let Some(waker) = waker {
            // It may be dear: not for what takes no waiting.
            if let Some(outcome) = self.queue.try_acquire(self.need.permits()) {
                self.stage = Stage::Ready(outcome);
                return;
            }
            self.waiter.set_waker(waker);
        }
        // SAFETY: `self` is pinned, its destructor takes the waiter out, and it borrows the queue.
        // It leaves this stage once.
        let registration = unsafe { self.queue.push(&self.waiter, self.need) };
        self.stage = match registration {
            Registration::Registered => Stage::Registered,
            Registration::Ready(outcome) => Stage::Ready(outcome),
        };
        if let Stage::Ready(_) = self.stage {
            self.waiter.forget_waker();
        }
    }
}

impl Future for Wait<'_> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        // SAFETY: nothing is moved out.
        let wait = unsafe { self.get_unchecked_mut() };
        let was_new = matches!(wait.stage, Stage::New);
        wait.start(Some(context.waker()));
        let outcome = match wait.stage {
            Stage::Ready(outcome) => Poll::Ready(outcome),
            // The waker was registered with the waiter.
            Stage::Registered if was_new => Poll::Pending,
            Stage::Registered => wait.waiter.poll(context.waker()),
            Stage::New | Stage::Reported => panic!("a `Wait` was polled after it had returned"),
        };
        if outcome.is_ready() {
            wait.stage = Stage::Reported;
        }
        outcome
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
