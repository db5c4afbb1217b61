//! Whose turn it is when permits are released: the two kinds of semaphore.

use std::fmt;
use std::pin::pin;

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::Outcome;

use crate::blocker::{BlockingWait, Need, Primitive};
use crate::error::{Closed, TimeoutError, TryError};
use crate::primitive::{AtomicUsize, Ordering, const_fn};
use crate::wait::{self, Limit};

/// Whose turn it is when permits of a [`Semaphore`](crate::Semaphore) are released: [`Fair`] or
/// [`Unfair`].
#[allow(private_bounds, reason = "nobody else implements a policy")]
pub trait Policy: Permits {}

/// Permits go to whoever has waited longest, and nobody overtakes.
pub struct Fair {
    queue: WaitQueue,
}

/// Permits go to whoever comes first: who has waited longest is woken, but another may be faster.
///
/// A permit that is released and wanted again at once costs no change of fibers or threads; but a
/// waiter may starve.
pub struct Unfair {
    /// The permits, times two, and [`MANY`].
    state: AtomicUsize,
    /// Whoever waits for a wake; closed with the semaphore.
    queue: WaitQueue,
}

impl Policy for Fair {}
impl Policy for Unfair {}

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

/// Somebody has waited for more than one permit: so many waiters as permits may not be able to use
/// them, but others behind them. In the word of the permits, so that of a release and an
/// announcement the second sees the first.
const MANY: usize = 1;
const ONE_PERMIT: usize = 2;

impl Unfair {
    const_fn! {
        pub(crate) const fn new(permits: usize) -> Self {
            assert!(
                permits <= WaitQueue::MAX_PERMITS,
                "Semaphore: more permits than `MAX_PERMITS`"
            );
            Unfair { state: AtomicUsize::new(permits * ONE_PERMIT), queue: WaitQueue::new(0) }
        }
    }

    /// Prepares a wait: a release after this, or the caller's next look, sees the other.
    fn announce(&self, count: usize) {
        assert!(
            count <= WaitQueue::MAX_PERMITS,
            "semaphore contract: {count} permits exceed `MAX_PERMITS`"
        );
        if count > 1 {
            // ORDERING: Relaxed; a read-modify-write of the word that the other side changes.
            self.state.fetch_or(MANY, Ordering::Relaxed);
        }
    }

    /// Wakes a waiter that has registered too late for a release. Others who are woken look again.
    fn look_again(&self, count: usize) {
        if self.available() >= count {
            self.queue.wake_all();
        }
    }
}

impl Permits for Unfair {
    #[inline]
    fn try_acquire(&self, count: usize) -> Result<(), TryError> {
        if self.queue.is_closed() {
            return Err(TryError::Closed);
        }
        let take = |state| (state / ONE_PERMIT >= count).then(|| state - count * ONE_PERMIT);
        // ORDERING: Acquire, pairs with the Release in `release`.
        let taken = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        taken.map_or(Err(TryError::WouldBlock), |_| Ok(()))
    }

    #[track_caller]
    fn acquire(&self, count: usize, limit: Limit) -> Result<(), TimeoutError> {
        let mut deadline = None;
        loop {
            match self.try_acquire(count) {
                Ok(()) => return Ok(()),
                Err(TryError::Closed) => return Err(TimeoutError::Closed),
                Err(TryError::WouldBlock) => self.announce(count),
            }
            let deadline = *deadline.get_or_insert_with(|| limit.deadline());
            let look_again = || self.look_again(count);
            let wait = BlockingWait::new(&self.queue, Need::Wake, WHAT, deadline);
            match wait.after_registration(&look_again).block() {
                Some(Outcome::Granted | Outcome::Woken) => (),
                Some(Outcome::Closed) => return Err(TimeoutError::Closed),
                None => return self.try_acquire(count).or(Err(TimeoutError::TimedOut)),
            }
        }
    }

    async fn acquire_async(&self, count: usize) -> Result<(), Closed> {
        loop {
            match self.try_acquire(count) {
                Ok(()) => return Ok(()),
                Err(TryError::Closed) => return Err(Closed),
                Err(TryError::WouldBlock) => self.announce(count),
            }
            let mut wait = pin!(self.queue.wait());
            wait.as_mut().enable();
            // PROGRESS: as in `look_again`; a wake that `wait` has got by now goes on when it is
            // dropped.
            if self.available() < count && wait.await == Outcome::Closed {
                return Err(Closed);
            }
        }
    }

    fn release(&self, count: usize) {
        if count == 0 {
            return;
        }
        let add = |state: usize| {
            let permits = (state / ONE_PERMIT).checked_add(count)?;
            (permits <= WaitQueue::MAX_PERMITS).then(|| state + count * ONE_PERMIT)
        };
        // ORDERING: Release, pairs with the Acquire in `try_acquire`.
        let added = self.state.fetch_update(Ordering::Release, Ordering::Relaxed, add);
        let Ok(before) = added else { panic!("semaphore contract: permits exceed `MAX_PERMITS`") };
        // PROGRESS: who fails to take a permit for which it was woken was overtaken by one who will
        // release it.
        self.queue.wake(if before & MANY != 0 { usize::MAX } else { count });
    }

    fn available(&self) -> usize {
        self.state.load(Ordering::Relaxed) / ONE_PERMIT
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

impl fmt::Debug for Unfair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfair").finish_non_exhaustive()
    }
}
