//! The one place that names atomics and locks: the real ones, or loom's under `--cfg loom`.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence,
};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence,
};

pub(crate) use std::sync::atomic::Ordering;

use std::time::Duration;

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::compiler_fence;

#[cfg(not(loom))]
pub(crate) use crossbeam_utils::Backoff;

#[cfg(not(loom))]
pub(crate) use parking_lot::Mutex;

#[cfg(not(loom))]
pub(crate) use std::hint::spin_loop;

/// A pause in a search: to loom the others go first.
#[cfg(loom)]
pub(crate) use loom::thread::yield_now as spin_loop;

/// Stands in for parking_lot's, whose guards are not results.
#[cfg(loom)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

/// Stands in for crossbeam's: a thread that spins lets the others go first.
#[cfg(loom)]
pub(crate) struct Backoff;

#[cfg(loom)]
impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff
    }

    pub(crate) fn snooze(&self) {
        loom::thread::yield_now();
    }
}

// ThreadSanitizer knows no fences, so it would report what only a fence publishes. None here does:
// all are `SeqCst` fences between a store and a later load, for progress or to settle who has a
// job, and what the memory holds is published by the orderings of accesses alone. The sanitizer's
// silence shows that.

/// A cell whose accesses loom checks for races.
#[cfg(loom)]
pub(crate) struct RacyCell<T>(loom::cell::UnsafeCell<T>);

#[cfg(loom)]
impl<T> RacyCell<T> {
    pub(crate) fn new(value: T) -> Self {
        RacyCell(loom::cell::UnsafeCell::new(value))
    }

    /// Gives `f` a pointer to the value, for an access that nobody writes beside.
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }

    /// Gives `f` a pointer to the value, for an access that nobody races with.
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }
}

/// A cell that its protocol, not the compiler, keeps free of races.
#[cfg(not(loom))]
pub(crate) struct RacyCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> RacyCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        RacyCell(std::cell::UnsafeCell::new(value))
    }

    /// Gives `f` a pointer to the value, for an access that nobody writes beside.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Gives `f` a pointer to the value, for an access that nobody races with.
    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A flag that a thread sleeps on until it is raised: the generic parker's mutex and condition.
#[cfg(loom)]
#[derive(Default)]
pub(crate) struct Signal {
    raised: loom::sync::Mutex<bool>,
    changed: loom::sync::Condvar,
}

#[cfg(loom)]
impl Signal {
    pub(crate) fn raise(&self) {
        *self.raised.lock().unwrap() = true;
        self.changed.notify_one();
    }

    pub(crate) fn wait_and_lower(&self) {
        let mut raised = self.raised.lock().unwrap();
        while !*raised {
            raised = self.changed.wait(raised).unwrap();
        }
        *raised = false;
    }

    /// There is no time in a model: this returns at once, as if it were up.
    pub(crate) fn wait_and_lower_for(&self, _timeout: Duration) {
        *self.raised.lock().unwrap() = false;
    }
}

/// A flag that a thread sleeps on until it is raised: the generic parker's mutex and condition.
#[cfg(not(loom))]
#[derive(Default)]
pub(crate) struct Signal {
    raised: parking_lot::Mutex<bool>,
    changed: parking_lot::Condvar,
}

#[cfg(not(loom))]
impl Signal {
    pub(crate) fn raise(&self) {
        *self.raised.lock() = true;
        self.changed.notify_one();
    }

    pub(crate) fn wait_and_lower(&self) {
        let mut raised = self.raised.lock();
        // PROGRESS: `raise` sets the flag under the lock before it notifies.
        while !*raised {
            self.changed.wait(&mut raised);
        }
        *raised = false;
    }

    pub(crate) fn wait_and_lower_for(&self, timeout: Duration) {
        let mut raised = self.raised.lock();
        // PROGRESS: as above, and ends in time.
        self.changed.wait_while_for(&mut raised, |raised| !*raised, timeout);
        *raised = false;
    }
}
