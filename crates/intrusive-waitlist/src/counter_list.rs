//! A count that reaches zero once, over a completion list.

use core::fmt;

use crate::completion_list::{CompletionList, Registration, Woken};
use crate::primitive::{AtomicUsize, Ordering};
use crate::waiter::Waiter;

/// Counts lie in `0..=COUNT_MAX`; the upper half of the word is what an underflow leaves behind, so
/// misuse is recognised for ever after instead of once.
const COUNT_MAX: usize = isize::MAX as usize;

/// A count of outstanding things; everybody who waits is woken when it reaches zero.
///
/// Zero is final: a counter that has been done stays done. Two words, no allocation.
pub struct CounterList {
    value: AtomicUsize,
    waiters: CompletionList,
}

impl CounterList {
    /// Creates a counter of `count` outstanding things; with 0 it is done from the start.
    ///
    /// # Panics
    ///
    /// Panics if `count` exceeds `isize::MAX`.
    #[must_use]
    pub fn new(count: usize) -> Self {
        assert!(count <= COUNT_MAX, "CounterList::new: the count {count} exceeds isize::MAX");
        let waiters = if count == 0 { CompletionList::completed() } else { CompletionList::new() };
        CounterList { value: AtomicUsize::new(count), waiters }
    }

    /// Adds `count` outstanding things. Only somebody who holds an outstanding count may add.
    ///
    /// # Panics
    ///
    /// Panics if the counter is zero already: its waiters have gone, and would miss the addition.
    /// Panics if the count would exceed `isize::MAX`.
    #[inline]
    pub fn add(&self, count: usize) {
        assert!(count <= COUNT_MAX, "counter contract: the count {count} exceeds isize::MAX");
        // ORDERING: Relaxed; whoever adds holds a count, and passes on what it did with that one.
        let before = self.value.fetch_add(count, Ordering::Relaxed);
        if before == 0 || before > COUNT_MAX - count {
            self.refuse(before, count);
        }
    }

    /// Undoes an addition that was none of the caller's to make, and panics.
    #[cold]
    #[track_caller]
    fn refuse(&self, before: usize, count: usize) -> ! {
        self.value.fetch_sub(count, Ordering::Relaxed);
        match before {
            1..=COUNT_MAX => panic!("counter contract: the count exceeds isize::MAX"),
            _ => panic!("counter contract: `add` after the counter reached zero"),
        }
    }

    /// Takes one count off; at zero, claims everybody who waits.
    ///
    /// When this took the last count, its swap of the list's head is the last touch of the counter:
    /// a woken waiter may free it at once.
    ///
    /// # Panics
    ///
    /// Panics if the counter is zero already.
    #[inline(always)]
    pub fn done(&self) -> Woken {
        self.done_many(1)
    }

    /// Takes `count` counts off, as so many calls of [`CounterList::done`].
    ///
    /// # Panics
    ///
    /// Panics if the counter is lower.
    #[inline(always)]
    pub fn done_many(&self, count: usize) -> Woken {
        // ORDERING: Release passes on what this caller did; Acquire lets the last caller, and
        // through it the waiters, see what all the others did.
        let before = self.value.fetch_sub(count, Ordering::AcqRel);
        assert!(
            before >= count && before <= COUNT_MAX,
            "counter contract: `done` below zero: more `done`s than counts"
        );
        if before == count { self.waiters.complete() } else { Woken::none() }
    }

    /// Tells whether the counter has reached zero and nobody will touch it again.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.waiters.is_done()
    }

    /// Returns the outstanding count at some moment during the call. Zero does not mean that the
    /// counter may be freed; [`CounterList::is_done`] does.
    #[must_use]
    pub fn value(&self) -> usize {
        let value = self.value.load(Ordering::Relaxed);
        if value <= COUNT_MAX { value } else { 0 }
    }

    /// Puts `waiter` into the list, unless the counter is done.
    ///
    /// # Safety
    ///
    /// As for [`CompletionList::register`].
    pub unsafe fn register(&self, waiter: &Waiter) -> Registration {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.waiters.register(waiter) }
    }

    /// Waits, as an OS thread, until the counter is done.
    ///
    /// # Blocking
    ///
    /// Parks the calling thread; see [`CompletionList::wait_thread`].
    #[cfg(feature = "std")]
    pub fn wait_thread(&self) {
        self.waiters.wait_thread();
    }

    /// Checks that nobody else may still touch this counter, as freeing it would require.
    #[cfg(loom)]
    pub fn retire(&mut self) {
        self.value.with_mut(|value| *value = usize::MAX);
        self.waiters.retire();
    }
}

impl fmt::Debug for CounterList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CounterList")
            .field("value", &self.value())
            .field("done", &self.is_done())
            .finish()
    }
}
