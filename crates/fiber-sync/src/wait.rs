//! What the primitives have in common: how long to wait, and waiting on a queue in both forms.

use std::any::Any;
use std::future::poll_fn;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::{Outcome, Wait};

use crate::blocker::{BlockingWait, Need, Primitive};
use crate::error::{Closed, TimeoutError};

/// How long a blocking form waits.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Never,
    After(Duration),
    At(Instant),
}

impl Limit {
    /// Asks the clock only where a wait begins. A time past the end of time is no limit.
    #[inline]
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Limit::Never => None,
            Limit::After(timeout) => Instant::now().checked_add(timeout),
            Limit::At(deadline) => Some(deadline),
        }
    }

    /// The same limit for several waits in a row.
    pub(crate) fn fixed(self) -> Limit {
        self.deadline().map_or(Limit::Never, Limit::At)
    }
}

/// Takes permits; waits for them within the limit.
#[inline]
#[track_caller]
pub(crate) fn acquire(
    queue: &WaitQueue,
    permits: usize,
    what: Primitive,
    limit: Limit,
) -> Result<(), TimeoutError> {
    let outcome = match queue.try_acquire(permits) {
        None => BlockingWait::new(queue, Need::Permits(permits), what, limit.deadline()).block(),
        ready => ready,
    };
    match outcome {
        Some(Outcome::Granted | Outcome::Woken) => Ok(()),
        Some(Outcome::Closed) => Err(TimeoutError::Closed),
        None => Err(TimeoutError::TimedOut),
    }
}

/// As [`acquire`], for tasks.
#[inline]
pub(crate) fn acquire_async(queue: &WaitQueue, permits: usize) -> PermitWait<'_> {
    PermitWait(queue.acquire(permits))
}

/// The future of [`acquire_async`]. It is large: pin it where it is made, as an `await` of itself
/// copies it, and try to do without it before.
pub(crate) struct PermitWait<'a>(Wait<'a>);

impl Future for PermitWait<'_> {
    type Output = Result<(), Closed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        // SAFETY: it is pinned with what it is in.
        let wait = unsafe { self.map_unchecked_mut(|outer| &mut outer.0) };
        wait.poll(context).map(|outcome| match outcome {
            Outcome::Granted | Outcome::Woken => Ok(()),
            Outcome::Closed => Err(Closed),
        })
    }
}

/// Has a task's wait begin, without waiting. What comes after it is not missed.
pub(crate) async fn enable(mut wait: Pin<&mut Wait<'_>>) {
    poll_fn(|context| {
        wait.as_mut().enable(context.waker());
        Poll::Ready(())
    })
    .await;
}

/// Waits within the limit until `queue` is closed. Returns whether it is.
#[track_caller]
pub(crate) fn until_closed(queue: &WaitQueue, what: Primitive, limit: Limit) -> bool {
    queue.is_closed()
        || BlockingWait::new(queue, Need::Wake, what, limit.deadline()).block().is_some()
}

/// Closes two queues; a panic of a waker comes out when both are closed.
pub(crate) fn close_both(one: &WaitQueue, other: &WaitQueue) {
    struct Close<'a>(&'a WaitQueue);
    impl Drop for Close<'_> {
        fn drop(&mut self) {
            self.0.close();
        }
    }
    let _other = Close(other);
    one.close();
}

/// Drops the panic of a waker that nobody is to hear; its message has been printed. Its destructor
/// may panic too; what comes of that is leaked.
pub(crate) fn suppress(payload: Box<dyn Any + Send>) {
    panic::catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(mem::forget);
}

/// Waits within the limit until `is_over`. Returns whether it is. Whoever makes it so calls
/// [`WaitQueue::wake_all`] then. What is over stays over.
#[track_caller]
pub(crate) fn until(
    queue: &WaitQueue,
    what: Primitive,
    limit: Limit,
    is_over: impl Fn() -> bool,
) -> bool {
    if is_over() {
        return true;
    }
    let deadline = limit.deadline();
    // PROGRESS: a `wake_all` that came before the registration is made up for. Others who are woken
    // by this look again.
    let look_again = || {
        if is_over() {
            queue.wake_all();
        }
    };
    loop {
        let wait = BlockingWait::new(queue, Need::Wake, what, deadline);
        let is_woken = wait.after_registration(&look_again).block().is_some();
        if is_over() {
            return true;
        }
        if !is_woken {
            return false;
        }
    }
}

/// As [`until`], for tasks.
pub(crate) async fn until_async(queue: &WaitQueue, is_over: impl Fn() -> bool) {
    while !is_over() {
        let mut wait = pin!(queue.wait());
        enable(wait.as_mut()).await;
        // PROGRESS: as in `until`.
        if is_over() {
            return;
        }
        let _woken = wait.await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn a_task_looks_again_when_it_has_registered() {
        let queue = WaitQueue::new(0);
        let looks = Cell::new(0);
        // What is waited for comes between the first look and the registration.
        let is_over = || looks.replace(looks.get() + 1) > 0;
        let wait = pin!(until_async(&queue, is_over));
        assert_eq!(wait.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
        assert_eq!(queue.waiter_count(), 0);
    }
}
