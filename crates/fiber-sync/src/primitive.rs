//! The one place that names atomics and locks: std's, or the doubles of the checkers of models,
//! under `--cfg loom` and `--cfg shuttle`.

pub(crate) use std::sync::atomic::Ordering;

/// A word that only reports read: nothing that a model could check follows from it.
pub(crate) use std::sync::atomic::AtomicUsize as ReportedUsize;

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize},
    },
    thread::yield_now,
};
#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize},
    },
    thread::{park_timeout, yield_now},
};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU64, AtomicUsize},
    },
    thread::{park_timeout, yield_now},
};

#[cfg(loom)]
pub(crate) fn park_timeout(_: std::time::Duration) {
    yield_now();
}

/// How often a thread looks again before it parks. A checker of models gains nothing by it.
pub(crate) const SPIN_ROUNDS: u32 = if cfg!(any(loom, shuttle)) { 0 } else { 10 };

/// Waits between two looks: in later rounds, for others who may need the processor.
pub(crate) fn spin(round: u32) {
    const PAUSING: u32 = 6;
    if round < PAUSING {
        (0..1 << round).for_each(|_| std::hint::spin_loop());
    } else {
        yield_now();
    }
}

#[cfg(any(loom, shuttle))]
pub(crate) use once_lock::OnceLock;

/// Defines a constructor for statics; under loom, which numbers atomics as they are made, for
/// others.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $visibility const fn $($rest)*
        #[cfg(loom)]
        $(#[$attribute])*
        $visibility fn $($rest)*
    };
}
pub(crate) use const_fn;

/// What [`OnceLock`](std::sync::OnceLock) is to one who sets it once.
#[cfg(any(loom, shuttle))]
mod once_lock {
    use super::{AtomicUsize, Ordering};

    pub(crate) struct OnceLock<T> {
        is_set: AtomicUsize,
        value: std::cell::UnsafeCell<Option<T>>,
    }

    // SAFETY: as for std's: written once, before it is shared.
    unsafe impl<T: Send> Send for OnceLock<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

    impl<T> OnceLock<T> {
        const_fn! {
            pub(crate) const fn new() -> Self {
                OnceLock { is_set: AtomicUsize::new(0), value: std::cell::UnsafeCell::new(None) }
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            // ORDERING: Acquire, pairs with the Release in `get_or_init`.
            let is_set = self.is_set.load(Ordering::Acquire) == 1;
            // SAFETY: not written again.
            is_set.then(|| unsafe { &*self.value.get() }.as_ref())?
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            assert_eq!(self.is_set.load(Ordering::Relaxed), 0, "it is set once");
            // SAFETY: nobody reads before it is set; who sets has the turn to do so.
            unsafe { *self.value.get() = Some(make()) };
            // ORDERING: Release, pairs with the Acquire in `get`.
            self.is_set.store(1, Ordering::Release);
            self.get().expect("it was set")
        }

        pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
            self.value.get_mut().as_mut()
        }

        pub(crate) fn into_inner(self) -> Option<T> {
            self.value.into_inner()
        }
    }

    impl<T> From<T> for OnceLock<T> {
        fn from(value: T) -> Self {
            let cell = OnceLock::new();
            cell.get_or_init(|| value);
            cell
        }
    }
}
