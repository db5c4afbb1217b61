//! The one place that names atomics: `std`, or loom's doubles under `--cfg loom`.

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicPtr, AtomicU32, AtomicUsize},
    },
    thread::{self, Thread},
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicPtr, AtomicU32, AtomicUsize},
    },
    thread::{self, Thread},
};

pub(crate) use std::sync::atomic::Ordering;

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
}

/// A cell that its protocol, not the compiler, keeps free of races.
#[cfg(not(loom))]
pub(crate) struct RacyCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> RacyCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        RacyCell(std::cell::UnsafeCell::new(value))
    }

    /// Gives `f` a pointer to the value, for an access that nobody races with.
    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
