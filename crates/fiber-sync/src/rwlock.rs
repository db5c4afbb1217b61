//! Shared access for many, or exclusive access for one.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::Outcome;

use crate::blocker::Primitive;
use crate::primitive::const_fn;
use crate::wait::{self, Limit};

/// A value that many may read, or one may write.
///
/// Fair: readers and writers wait in one line, and whoever has waited longest is next. A writer is
/// not starved: readers that come after it wait behind it. So a holder must not read again, as a
/// writer may have come in between, which waits for the first read to end.
///
/// 40 bytes and the value; waiting allocates nothing. Each read writes to the lock: one that many
/// cores use belongs into a `CachePadded` of its own, and short reads are no faster than with a
/// [`Mutex`](crate::Mutex).
///
/// There is no poisoning: a writer that panics unlocks, and leaves the value as it is. Guards
/// belong to no thread, as those of a mutex.
///
/// # Examples
///
/// ```
/// use fiber_sync::RwLock;
///
/// let lock = RwLock::new(1);
/// {
///     let (one, other) = (lock.read(), lock.read());
///     assert_eq!(*one + *other, 2);
///     assert!(lock.try_write().is_none());
/// }
/// *lock.write() += 1;
/// assert_eq!(lock.into_inner(), 2);
/// ```
pub struct RwLock<T: ?Sized> {
    /// [`MAX_READERS`] permits: each is a read, all of them are a write.
    queue: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: `value` goes along.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers share the value, and a writer has it to itself, on any thread.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

/// Readers beyond these wait.
const MAX_READERS: usize = WaitQueue::MAX_PERMITS;
const READ: usize = 1;
const WRITE: usize = MAX_READERS;
const WHAT: Primitive = Primitive::RwLock;

impl<T> RwLock<T> {
    const_fn! {
        /// Creates a lock that nobody has locked.
        pub const fn new(value: T) -> Self {
            RwLock { queue: WaitQueue::new(MAX_READERS), value: UnsafeCell::new(value) }
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading; waits for it if necessary.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        let locked = self.acquire(READ, Limit::Never);
        assert!(locked, "without a limit, and never closed");
        RwLockReadGuard { lock: self }
    }

    /// As [`RwLock::read`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line, and nothing else.
    pub async fn read_async(&self) -> RwLockReadGuard<'_, T> {
        self.acquire_async(READ).await;
        RwLockReadGuard { lock: self }
    }

    /// Locks for reading, if that takes no waiting. While somebody waits, it does.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.try_acquire(READ).then(|| RwLockReadGuard { lock: self })
    }

    /// As [`RwLock::read`], but gives up after `timeout`: `None`. If the grant and the timeout
    /// meet, the grant wins.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::read`], for at most about `timeout`.
    #[track_caller]
    pub fn read_timeout(&self, timeout: Duration) -> Option<RwLockReadGuard<'_, T>> {
        let locked = self.acquire(READ, Limit::After(timeout));
        locked.then(|| RwLockReadGuard { lock: self })
    }

    /// As [`RwLock::read_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::read`], at most until about `deadline`.
    #[track_caller]
    pub fn read_deadline(&self, deadline: Instant) -> Option<RwLockReadGuard<'_, T>> {
        let locked = self.acquire(READ, Limit::At(deadline));
        locked.then(|| RwLockReadGuard { lock: self })
    }

    /// As [`RwLock::read`]; the guard keeps the lock alive.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::read`].
    #[track_caller]
    pub fn read_owned(self: Arc<Self>) -> OwnedRwLockReadGuard<T> {
        let locked = self.acquire(READ, Limit::Never);
        assert!(locked, "without a limit, and never closed");
        OwnedRwLockReadGuard { lock: self }
    }

    /// As [`RwLock::read_async`]; neither the future nor the guard borrows.
    ///
    /// # Cancel safety
    ///
    /// As [`RwLock::read_async`].
    pub async fn read_owned_async(self: Arc<Self>) -> OwnedRwLockReadGuard<T> {
        self.acquire_async(READ).await;
        OwnedRwLockReadGuard { lock: self }
    }

    /// Locks for writing; waits for it if necessary.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let locked = self.acquire(WRITE, Limit::Never);
        assert!(locked, "without a limit, and never closed");
        RwLockWriteGuard { lock: self }
    }

    /// As [`RwLock::write`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line, and lets the readers behind it go.
    pub async fn write_async(&self) -> RwLockWriteGuard<'_, T> {
        self.acquire_async(WRITE).await;
        RwLockWriteGuard { lock: self }
    }

    /// Locks for writing, if that takes no waiting.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.try_acquire(WRITE).then(|| RwLockWriteGuard { lock: self })
    }

    /// As [`RwLock::write`], but gives up after `timeout`: `None`. If the grant and the timeout
    /// meet, the grant wins.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::write`], for at most about `timeout`.
    #[track_caller]
    pub fn write_timeout(&self, timeout: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        let locked = self.acquire(WRITE, Limit::After(timeout));
        locked.then(|| RwLockWriteGuard { lock: self })
    }

    /// As [`RwLock::write_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::write`], at most until about `deadline`.
    #[track_caller]
    pub fn write_deadline(&self, deadline: Instant) -> Option<RwLockWriteGuard<'_, T>> {
        let locked = self.acquire(WRITE, Limit::At(deadline));
        locked.then(|| RwLockWriteGuard { lock: self })
    }

    /// As [`RwLock::write`]; the guard keeps the lock alive.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::write`].
    #[track_caller]
    pub fn write_owned(self: Arc<Self>) -> OwnedRwLockWriteGuard<T> {
        let locked = self.acquire(WRITE, Limit::Never);
        assert!(locked, "without a limit, and never closed");
        OwnedRwLockWriteGuard { lock: self }
    }

    /// As [`RwLock::write_async`]; neither the future nor the guard borrows.
    ///
    /// # Cancel safety
    ///
    /// As [`RwLock::write_async`].
    pub async fn write_owned_async(self: Arc<Self>) -> OwnedRwLockWriteGuard<T> {
        self.acquire_async(WRITE).await;
        OwnedRwLockWriteGuard { lock: self }
    }

    #[inline]
    #[track_caller]
    fn acquire(&self, permits: usize, limit: Limit) -> bool {
        wait::acquire(&self.queue, permits, WHAT, limit).is_ok()
    }

    async fn acquire_async(&self, permits: usize) {
        // Never closed, and nobody is woken without the permits.
        let _granted = self.queue.acquire(permits).await;
    }

    #[inline]
    fn try_acquire(&self, permits: usize) -> bool {
        self.queue.try_acquire(permits) == Some(Outcome::Granted)
    }

    /// Returns the value: whoever has the lock to itself need not lock it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RwLock");
        match self.try_read() {
            Some(guard) => debug.field("value", &&*guard),
            None => debug.field("value", &format_args!("<locked>")),
        };
        debug.finish()
    }
}

/// Shared access to the value of an [`RwLock`], until this is dropped.
#[must_use = "the lock is unlocked at once if this is not kept"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// Exclusive access to the value of an [`RwLock`], until this is dropped.
#[must_use = "the lock is unlocked at once if this is not kept"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// Shared access to the value of an [`RwLock`] that it keeps alive, until this is dropped.
#[must_use = "the lock is unlocked at once if this is not kept"]
pub struct OwnedRwLockReadGuard<T: ?Sized> {
    lock: Arc<RwLock<T>>,
}

/// Exclusive access to the value of an [`RwLock`] that it keeps alive, until this is dropped.
#[must_use = "the lock is unlocked at once if this is not kept"]
pub struct OwnedRwLockWriteGuard<T: ?Sized> {
    lock: Arc<RwLock<T>>,
}

// By their fields, guards are `Send` and `Sync` where the lock may be shared: if `T` is both.

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on with shared access; no writer comes in between.
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let lock = ManuallyDrop::new(guard).lock;
        let guard = RwLockReadGuard { lock };
        lock.queue.release(WRITE - READ);
        guard
    }
}

impl<T: ?Sized> OwnedRwLockWriteGuard<T> {
    /// Goes on with shared access; no writer comes in between.
    pub fn downgrade(guard: Self) -> OwnedRwLockReadGuard<T> {
        let guard = ManuallyDrop::new(guard);
        // SAFETY: `guard` is neither used again nor dropped.
        let lock = unsafe { ptr::read(&raw const guard.lock) };
        let guard = OwnedRwLockReadGuard { lock };
        guard.lock.queue.release(WRITE - READ);
        guard
    }
}

macro_rules! guard {
    ([$($generics:tt)*] $guard:ty, $permits:expr) => {
        impl<$($generics)*> Deref for $guard {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: nobody writes while the guard has its permits.
                unsafe { &*self.lock.value.get() }
            }
        }

        impl<$($generics)*> Drop for $guard {
            #[inline]
            fn drop(&mut self) {
                self.lock.queue.release($permits);
            }
        }

        impl<$($generics)* + fmt::Debug> fmt::Debug for $guard {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl<$($generics)* + fmt::Display> fmt::Display for $guard {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&**self, f)
            }
        }
    };
}

guard!(['a, T: ?Sized] RwLockReadGuard<'a, T>, READ);
guard!(['a, T: ?Sized] RwLockWriteGuard<'a, T>, WRITE);
guard!([T: ?Sized] OwnedRwLockReadGuard<T>, READ);
guard!([T: ?Sized] OwnedRwLockWriteGuard<T>, WRITE);

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has all permits, and is borrowed for as long.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for OwnedRwLockWriteGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}
