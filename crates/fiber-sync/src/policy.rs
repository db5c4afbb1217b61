//! Whose turn it is when permits are released: the two kinds of semaphore.

mod unfair;

use std::fmt;

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::Outcome;

use crate::blocker::Primitive;
use crate::error::{Closed, TimeoutError, TryError};
use crate::primitive::const_fn;
use crate::wait::{self, Limit};

pub use unfair::Unfair;

/// Whose turn it is when permits of a [`Semaphore`](crate::Semaphore) are released: [`Fair`] or
/// [`Unfair`].
#[allow(private_bounds, reason = "nobody else implements a policy")]
pub trait Policy: Permits {}

/// Permits go to whoever has waited longest, and nobody overtakes.
pub struct Fair {
    queue: WaitQueue,
}

impl Policy for Fair {}

/// What a semaphore does, by its policy.
pub(crate) trait Permits: Send + Sync {
    fn try_acquire(&self, count: usize) -> Result<(), TryError>;

    #[track_caller]
    fn acquire(&self, count: usize, limit: Limit) -> Result<(), TimeoutError>;

    fn acquire_async(&self, count: usize) -> impl Future<Output = Result<(), Closed>> + Send;

    fn release(&self, count: usize);

    fn available(&self) -> usize;

    fn queue(&self) -> &WaitQueue;
}

/// How waits on semaphores are named.
const WHAT: Primitive = Primitive::Semaphore;

impl Fair {
    const_fn! {
        pub(crate) const fn new(permits: usize) -> Self {
            Fair { queue: WaitQueue::new(permits) }
        }
    }
}

impl Permits for Fair {
    #[inline]
    fn try_acquire(&self, count: usize) -> Result<(), TryError> {
        match self.queue.try_acquire(count) {
            Some(Outcome::Granted | Outcome::Woken) => Ok(()),
            Some(Outcome::Closed) => Err(TryError::Closed),
            None => Err(TryError::WouldBlock),
        }
    }

    #[inline]
    #[track_caller]
    fn acquire(&self, count: usize, limit: Limit) -> Result<(), TimeoutError> {
        wait::acquire(&self.queue, count, WHAT, limit)
    }

    #[inline]
    fn acquire_async(&self, count: usize) -> impl Future<Output = Result<(), Closed>> + Send {
        wait::acquire_async(&self.queue, count)
    }

    #[inline]
    fn release(&self, count: usize) {
        self.queue.release(count);
    }

    fn available(&self) -> usize {
        self.queue.available_permits()
    }

    fn queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl fmt::Debug for Fair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fair").finish_non_exhaustive()
    }
}
