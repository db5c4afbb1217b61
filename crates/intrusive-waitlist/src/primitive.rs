//! The one place that names atomics: `core` and `std`, or the doubles of the checkers of models,
//! under `--cfg loom` and `--cfg shuttle`.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};

#[cfg(all(feature = "std", loom))]
pub(crate) use loom::{
    sync::{Mutex, MutexGuard},
    thread::{self, Thread},
};
#[cfg(all(feature = "std", shuttle))]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard},
    thread::{self, Thread},
};
#[cfg(all(feature = "std", not(any(loom, shuttle))))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard},
    thread::{self, Thread},
};

pub(crate) use core::sync::atomic::Ordering;

/// A cell whose accesses loom checks for races.
#[cfg(loom)]
pub(crate) struct RacyCell<T>(loom::cell::UnsafeCell<T>);

#[cfg(loom)]
impl<T> RacyCell<T> {
    pub(crate) fn new(value: T) -> Self {
        RacyCell(loom::cell::UnsafeCell::new(value))
    }

    /// Gives `f` a pointer to the value, for an access that nobody races with.
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }

    /// Gives `f` a pointer to the value, for a read that no write races with.
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.0.with(f)
    }
}

/// A cell that its protocol, not the compiler, keeps free of races.
#[cfg(not(loom))]
pub(crate) struct RacyCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> RacyCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        RacyCell(core::cell::UnsafeCell::new(value))
    }

    /// Gives `f` a pointer to the value, for an access that nobody races with.
    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }

    /// Gives `f` a pointer to the value, for a read that no write races with.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }
}

impl<T> RacyCell<T> {
    /// Returns what is in the cell, and puts `value` there.
    ///
    /// # Safety
    ///
    /// Nobody else accesses the cell meanwhile.
    #[inline]
    pub(crate) unsafe fn replace(&self, value: T) -> T {
        self.with_mut(|place| {
            // SAFETY: the caller has the cell to itself.
            unsafe { core::ptr::replace(place, value) }
        })
    }
}

impl<T: Copy> RacyCell<T> {
    /// Returns what is in the cell.
    ///
    /// # Safety
    ///
    /// Nobody writes meanwhile.
    #[inline]
    pub(crate) unsafe fn get(&self) -> T {
        self.with(|place| {
            // SAFETY: nobody writes.
            unsafe { *place }
        })
    }
}

/// Waits a little, and longer each time, for another thread that is in a short critical section.
pub(crate) struct Backoff {
    #[cfg(not(any(loom, shuttle)))]
    round: u32,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff {
            #[cfg(not(any(loom, shuttle)))]
            round: 0,
        }
    }

    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn wait(&mut self) {
        /// Later rounds assume that the other thread was preempted.
        const SPIN_ROUNDS: u32 = 6;
        if self.round < SPIN_ROUNDS {
            (0..1 << self.round).for_each(|_| core::hint::spin_loop());
            self.round += 1;
            return;
        }
        #[cfg(feature = "std")]
        thread::yield_now();
        #[cfg(not(feature = "std"))]
        (0..1 << SPIN_ROUNDS).for_each(|_| core::hint::spin_loop());
    }

    #[cfg(any(loom, shuttle))]
    pub(crate) fn wait(&mut self) {
        thread::yield_now();
    }
}
