//! Permits.

use std::fmt;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;

use crate::error::{Closed, TimeoutError, TryError};
use crate::policy::{Fair, Policy, Unfair};
use crate::primitive::const_fn;
use crate::wait::Limit;

/// A count of permits. Who wants some that are not there waits.
///
/// [`Semaphore::new`] makes a [`Fair`] one: permits that are released go to whoever has waited
/// longest, and who comes later waits behind a waiter even if it wants less. [`Semaphore::unfair`]
/// makes an [`Unfair`] one, where whoever comes first takes them.
///
/// 40 bytes (unfair: 48), and waiting allocates nothing. A semaphore that many cores use belongs
/// into a `CachePadded` of its own.
///
/// Permits come back when they are dropped, also by a panic: there is no poisoning.
///
/// # Examples
///
/// ```
/// use fiber_sync::Semaphore;
///
/// let connections = Semaphore::new(2);
/// let (_first, second) = (connections.acquire().unwrap(), connections.acquire().unwrap());
/// assert!(connections.try_acquire().is_err());
/// drop(second);
/// assert!(connections.try_acquire().is_ok());
/// ```
pub struct Semaphore<P: Policy = Fair> {
    policy: P,
}

impl Semaphore {
    /// The most permits that a semaphore may have.
    pub const MAX_PERMITS: usize = WaitQueue::MAX_PERMITS;

    const_fn! {
        /// Creates a semaphore.
        ///
        /// # Panics
        ///
        /// Panics if `permits` exceeds [`Semaphore::MAX_PERMITS`].
        #[must_use]
        pub const fn new(permits: usize) -> Self {
            Semaphore { policy: Fair::new(permits) }
        }
    }
}

impl Semaphore<Unfair> {
    const_fn! {
        /// Creates a semaphore that prefers throughput to fairness: see [`Unfair`].
        ///
        /// # Panics
        ///
        /// As [`Semaphore::new`].
        #[must_use]
        pub const fn unfair(permits: usize) -> Self {
            Semaphore { policy: Unfair::new(permits) }
        }
    }
}

impl<P: Policy> Semaphore<P> {
    /// Takes a permit; waits for it if necessary.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the semaphore is closed, or is closed meanwhile.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn acquire(&self) -> Result<SemaphorePermit<'_, P>, Closed> {
        self.acquire_many(1)
    }

    /// As [`Semaphore::acquire`], for tasks.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line, and nothing else.
    pub async fn acquire_async(&self) -> Result<SemaphorePermit<'_, P>, Closed> {
        if self.policy.try_acquire(1).is_err() {
            pin!(self.policy.acquire_async(1)).await?;
        }
        Ok(SemaphorePermit { semaphore: self, count: 1 })
    }

    /// Takes a permit, if that takes no waiting. While somebody waits a fair semaphore has none.
    ///
    /// # Errors
    ///
    /// [`TryError`] says why there is none.
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_, P>, TryError> {
        self.try_acquire_many(1)
    }

    /// As [`Semaphore::acquire`], but gives up after `timeout`. If the grant and the timeout meet,
    /// the grant wins.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`] says why there is no permit.
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire`], for at most about `timeout`.
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_, P>, TimeoutError> {
        self.acquire_many_timeout(1, timeout)
    }

    /// As [`Semaphore::acquire_timeout`], with the moment at which to give up.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire`], at most until about `deadline`.
    #[track_caller]
    pub fn acquire_deadline(
        &self,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_, P>, TimeoutError> {
        self.acquire_many_deadline(1, deadline)
    }

    /// Takes `count` permits at once; otherwise as [`Semaphore::acquire`].
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Panics
    ///
    /// Panics if `count` exceeds [`Semaphore::MAX_PERMITS`].
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire`]; for ever if there are never that many.
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Result<SemaphorePermit<'_, P>, Closed> {
        match self.block(count, Limit::Never) {
            Ok(permits) => Ok(permits),
            // There is no limit.
            Err(TimeoutError::Closed | TimeoutError::TimedOut) => Err(Closed),
        }
    }

    /// As [`Semaphore::acquire_many`], for tasks.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Panics
    ///
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Cancel safety
    ///
    /// As [`Semaphore::acquire_async`]: permits that were granted, and not returned, go to the
    /// next.
    pub async fn acquire_many_async(&self, count: usize) -> Result<SemaphorePermit<'_, P>, Closed> {
        if self.policy.try_acquire(count).is_err() {
            pin!(self.policy.acquire_async(count)).await?;
        }
        Ok(SemaphorePermit { semaphore: self, count })
    }

    /// Takes `count` permits at once, if that takes no waiting.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::try_acquire`].
    pub fn try_acquire_many(&self, count: usize) -> Result<SemaphorePermit<'_, P>, TryError> {
        self.policy.try_acquire(count)?;
        Ok(SemaphorePermit { semaphore: self, count })
    }

    /// As [`Semaphore::acquire_many`], but gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Panics
    ///
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire_timeout`].
    #[track_caller]
    pub fn acquire_many_timeout(
        &self,
        count: usize,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_, P>, TimeoutError> {
        self.block(count, Limit::After(timeout))
    }

    /// As [`Semaphore::acquire_many_timeout`], with the moment at which to give up.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Panics
    ///
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire_deadline`].
    #[track_caller]
    pub fn acquire_many_deadline(
        &self,
        count: usize,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_, P>, TimeoutError> {
        self.block(count, Limit::At(deadline))
    }

    #[track_caller]
    fn block(&self, count: usize, limit: Limit) -> Result<SemaphorePermit<'_, P>, TimeoutError> {
        self.policy.acquire(count, limit)?;
        Ok(SemaphorePermit { semaphore: self, count })
    }

    /// As [`Semaphore::acquire`]; the permit keeps the semaphore alive.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit<P>, Closed> {
        self.acquire_many_owned(1)
    }

    /// As [`Semaphore::acquire_async`]; neither the future nor the permit borrows.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`Semaphore::acquire_async`].
    pub async fn acquire_owned_async(self: Arc<Self>) -> Result<OwnedSemaphorePermit<P>, Closed> {
        if self.policy.try_acquire(1).is_err() {
            pin!(self.policy.acquire_async(1)).await?;
        }
        Ok(OwnedSemaphorePermit { semaphore: self, count: 1 })
    }

    /// As [`Semaphore::acquire_many`]; the permits keep the semaphore alive.
    ///
    /// [`SemaphorePermit::into_owned`] gives permits of all other forms the same life.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Panics
    ///
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire_many`].
    #[track_caller]
    pub fn acquire_many_owned(
        self: Arc<Self>,
        count: usize,
    ) -> Result<OwnedSemaphorePermit<P>, Closed> {
        match self.policy.acquire(count, Limit::Never) {
            Ok(()) => (),
            // There is no limit.
            Err(TimeoutError::Closed | TimeoutError::TimedOut) => return Err(Closed),
        }
        Ok(OwnedSemaphorePermit { semaphore: self, count })
    }

    /// As [`Semaphore::acquire_many_async`]; neither the future nor the permits borrow.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire`].
    ///
    /// # Panics
    ///
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Cancel safety
    ///
    /// As [`Semaphore::acquire_many_async`].
    pub async fn acquire_many_owned_async(
        self: Arc<Self>,
        count: usize,
    ) -> Result<OwnedSemaphorePermit<P>, Closed> {
        if self.policy.try_acquire(count).is_err() {
            pin!(self.policy.acquire_async(count)).await?;
        }
        Ok(OwnedSemaphorePermit { semaphore: self, count })
    }

    /// Adds `count` permits, and wakes those for whom they may suffice, in order of arrival.
    ///
    /// # Blocking
    ///
    /// Never; of an unfair semaphore, if somebody waits, as [`Semaphore::waiter_count`].
    ///
    /// # Panics
    ///
    /// Panics if there would be more than [`Semaphore::MAX_PERMITS`]; of a fair semaphore, those
    /// above the limit are dropped instead while somebody waits. A panic of a task's waker comes
    /// out of this when everybody has been woken.
    pub fn add_permits(&self, count: usize) {
        self.policy.release(count);
    }

    /// Takes up to `count` permits away for good, of those that nobody has. Returns how many.
    pub fn forget_permits(&self, count: usize) -> usize {
        loop {
            let count = count.min(self.available_permits());
            if count == 0 {
                return 0;
            }
            match self.try_acquire_many(count) {
                Ok(permits) => {
                    permits.forget();
                    return count;
                }
                Err(TryError::Closed) => return 0,
                Err(TryError::WouldBlock) => (),
            }
        }
    }

    /// Returns the permits that [`Semaphore::try_acquire_many`] could take; of a fair semaphore,
    /// none while somebody waits.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.policy.available()
    }

    /// Counts those who wait.
    ///
    /// # Blocking
    ///
    /// Waits for others' critical sections of a few instructions. Never suspends a fiber.
    #[must_use]
    pub fn waiter_count(&self) -> usize {
        self.policy.queue().waiter_count()
    }

    /// Refuses all further permits, and ends every wait. Permits that are out may be dropped as
    /// before. Never blocks.
    ///
    /// A waiter may still be granted permits that another thread releases at the same time.
    pub fn close(&self) {
        self.policy.queue().close();
    }

    /// Tells whether the semaphore has been closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.policy.queue().is_closed()
    }
}

impl<P: Policy> fmt::Debug for Semaphore<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], which go back when this is dropped.
#[must_use = "the permits go back at once if this is not kept"]
pub struct SemaphorePermit<'a, P: Policy = Fair> {
    semaphore: &'a Semaphore<P>,
    count: usize,
}

/// Permits of a [`Semaphore`] that they keep alive, which go back when this is dropped.
#[must_use = "the permits go back at once if this is not kept"]
pub struct OwnedSemaphorePermit<P: Policy = Fair> {
    semaphore: Arc<Semaphore<P>>,
    count: usize,
}

impl<P: Policy> SemaphorePermit<'_, P> {
    /// Has the permits keep the semaphore alive instead of borrowing it.
    ///
    /// # Panics
    ///
    /// Panics if `semaphore` is another than that of the permits.
    pub fn into_owned(self, semaphore: Arc<Semaphore<P>>) -> OwnedSemaphorePermit<P> {
        assert!(
            std::ptr::eq(self.semaphore, &raw const *semaphore),
            "semaphore contract: `into_owned` with another semaphore"
        );
        let count = self.count;
        self.forget();
        OwnedSemaphorePermit { semaphore, count }
    }
}

macro_rules! permit {
    ($permit:ty, $name:literal) => {
        impl<P: Policy> $permit {
            /// Returns how many permits these are.
            #[must_use]
            pub fn count(&self) -> usize {
                self.count
            }

            /// Keeps the permits from going back: the semaphore has so many less from now on.
            pub fn forget(mut self) {
                self.count = 0;
            }

            /// Takes `count` of the permits out; `None` if there are fewer.
            pub fn split(&mut self, count: usize) -> Option<Self> {
                self.count = self.count.checked_sub(count)?;
                Some(Self { semaphore: self.semaphore.clone(), count })
            }

            /// Puts permits together.
            ///
            /// # Panics
            ///
            /// Panics if they are of different semaphores.
            pub fn merge(&mut self, mut other: Self) {
                assert!(
                    std::ptr::eq(&raw const *self.semaphore, &raw const *other.semaphore),
                    "semaphore contract: `merge` of permits of two semaphores"
                );
                self.count += mem::take(&mut other.count);
            }
        }

        impl<P: Policy> Drop for $permit {
            #[inline]
            fn drop(&mut self) {
                self.semaphore.add_permits(self.count);
            }
        }

        impl<P: Policy> fmt::Debug for $permit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).field("count", &self.count).finish()
            }
        }
    };
}

permit!(SemaphorePermit<'_, P>, "SemaphorePermit");
permit!(OwnedSemaphorePermit<P>, "OwnedSemaphorePermit");
