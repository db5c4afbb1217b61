//! Mutual exclusion.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;

use crate::blocker::{BlockingWait, Need, Primitive};
use crate::owner::Owner;
use crate::primitive::const_fn;
use crate::wait::Limit;

/// A value that one at a time has access to. Who waits longest is next.
///
/// Fair: an unlock hands the mutex over to the longest waiter. 48 bytes and the value; waiting
/// allocates nothing. A mutex that many cores use belongs into a `CachePadded` of its own.
///
/// There is no poisoning: a holder that panics unlocks, and leaves the value as it is; so a mutex
/// is not `UnwindSafe`. Locking it twice in a row without unlocking waits for ever.
///
/// Guards belong to no thread: a task may hold one across an `.await`, a fiber across whatever
/// suspends it.
///
/// # Examples
///
/// ```
/// use fiber_sync::Mutex;
///
/// let sum = Mutex::new(0);
/// std::thread::scope(|s| {
///     s.spawn(|| *sum.lock() += 1);
///     s.spawn(|| *sum.lock() += 2);
/// });
/// assert_eq!(sum.into_inner(), 3);
/// ```
pub struct Mutex<T: ?Sized> {
    /// One permit, which is the right to `value`.
    queue: WaitQueue,
    pub(crate) owner: Owner,
    value: UnsafeCell<T>,
}

// SAFETY: `value` goes along.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: the permit gives access to one thread at a time, which passes what it did to the next;
// so `T` changes threads but is never shared.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

const WHAT: Primitive = Primitive::Mutex;

impl<T> Mutex<T> {
    const_fn! {
        /// Creates a mutex that nobody has locked.
        pub const fn new(value: T) -> Self {
            Mutex { queue: WaitQueue::new(1), owner: Owner::none(), value: UnsafeCell::new(value) }
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks the mutex; waits for it if necessary.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let locked = self.acquire(Limit::Never);
        assert!(locked, "without a limit, and never closed");
        MutexGuard { mutex: self }
    }

    /// As [`Mutex::lock`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line, and nothing else.
    pub async fn lock_async(&self) -> MutexGuard<'_, T> {
        self.acquire_async().await;
        MutexGuard { mutex: self }
    }

    /// Locks the mutex, if that takes no waiting.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.try_acquire().then(|| MutexGuard { mutex: self })
    }

    /// As [`Mutex::lock`], but gives up after `timeout`: `None`. If the hand-over and the timeout
    /// meet, the hand-over wins.
    ///
    /// # Blocking
    ///
    /// As [`Mutex::lock`], for at most about `timeout`.
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let locked = self.acquire(Limit::After(timeout));
        locked.then(|| MutexGuard { mutex: self })
    }

    /// As [`Mutex::lock_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`Mutex::lock`], at most until about `deadline`.
    #[track_caller]
    pub fn lock_deadline(&self, deadline: Instant) -> Option<MutexGuard<'_, T>> {
        let locked = self.acquire(Limit::At(deadline));
        locked.then(|| MutexGuard { mutex: self })
    }

    /// As [`Mutex::lock`]; the guard keeps the mutex alive.
    ///
    /// # Blocking
    ///
    /// As [`Mutex::lock`].
    #[track_caller]
    pub fn lock_owned(self: Arc<Self>) -> OwnedMutexGuard<T> {
        let locked = self.acquire(Limit::Never);
        assert!(locked, "without a limit, and never closed");
        OwnedMutexGuard { mutex: self }
    }

    /// As [`Mutex::lock_async`]; neither the future nor the guard borrows.
    ///
    /// # Cancel safety
    ///
    /// As [`Mutex::lock_async`].
    pub async fn lock_owned_async(self: Arc<Self>) -> OwnedMutexGuard<T> {
        self.acquire_async().await;
        OwnedMutexGuard { mutex: self }
    }

    /// As [`Mutex::try_lock`]; the guard keeps the mutex alive.
    pub fn try_lock_owned(self: Arc<Self>) -> Option<OwnedMutexGuard<T>> {
        self.try_acquire().then(|| OwnedMutexGuard { mutex: self })
    }

    #[inline]
    #[track_caller]
    fn acquire(&self, limit: Limit) -> bool {
        self.try_acquire() || self.wait(limit)
    }

    #[inline(always)]
    fn try_acquire(&self) -> bool {
        let locked = self.queue.try_lock();
        if locked {
            self.owner.set();
        }
        locked
    }

    #[cold]
    #[track_caller]
    fn wait(&self, limit: Limit) -> bool {
        let need = Need::Permits(1);
        let wait = BlockingWait::new(&self.queue, need, WHAT, limit.deadline());
        let locked = wait.behind(&self.owner).block().is_some();
        if locked {
            self.owner.set();
        }
        locked
    }

    /// The queue whose permit is the lock, for those who wait for it in their own way.
    pub(crate) fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Returns the guard of a lock that has been granted.
    ///
    /// # Safety
    ///
    /// The caller was granted the permit of [`Mutex::queue`], and makes one guard of it.
    pub(crate) unsafe fn granted(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self }
    }

    async fn acquire_async(&self) {
        // Never closed, and nobody is woken without the permit.
        if !self.queue.try_lock() {
            let _granted = pin!(self.queue.acquire(1)).await;
        }
    }

    /// Tells whether somebody has locked the mutex, or is about to be handed it.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.queue.available_permits() == 0
    }

    /// Returns the value: whoever has the mutex to itself need not lock it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => debug.field("value", &&*guard),
            None => debug.field("value", &format_args!("<locked>")),
        };
        debug.finish()
    }
}

/// Access to the value of a [`Mutex`], which is unlocked when this is dropped.
#[must_use = "the mutex is unlocked at once if this is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

/// Access to the value of a [`Mutex`] that it keeps alive, and which is unlocked when this is
/// dropped.
#[must_use = "the mutex is unlocked at once if this is not kept"]
pub struct OwnedMutexGuard<T: ?Sized> {
    mutex: Arc<Mutex<T>>,
}

// SAFETY: who shares a guard shares the value, which `Sync` allows, and the mutex, which `Send`
// allows. (By its field alone a guard would be `Sync` for a `T` that is not.)
unsafe impl<T: ?Sized + Send + Sync> Sync for MutexGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for OwnedMutexGuard<T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Returns the mutex that is locked.
    #[must_use]
    pub fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// Returns the mutex that is locked.
    #[must_use]
    pub fn mutex(guard: &Self) -> &Arc<Mutex<T>> {
        &guard.mutex
    }
}

macro_rules! guard {
    ([$($generics:tt)*] $guard:ty) => {
        impl<$($generics)*> Deref for $guard {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the guard has the permit.
                unsafe { &*self.mutex.value.get() }
            }
        }

        impl<$($generics)*> DerefMut for $guard {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: the guard has the permit, and is borrowed for as long.
                unsafe { &mut *self.mutex.value.get() }
            }
        }

        impl<$($generics)*> Drop for $guard {
            #[inline]
            fn drop(&mut self) {
                self.mutex.owner.clear();
                self.mutex.queue.unlock();
            }
        }
    };
}

guard!(['a, T: ?Sized] MutexGuard<'a, T>);
guard!([T: ?Sized] OwnedMutexGuard<T>);

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
