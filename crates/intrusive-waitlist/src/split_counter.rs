//! A count that one thread changes without a shared word until it is closed.

use core::fmt;

use crate::completion_list::{Registration, Woken};
use crate::counter_list::CounterList;
use crate::primitive::{AtomicUsize, Ordering};
use crate::waiter::Waiter;

/// So much more than `local` ever has that `shared` does not reach zero while some are in there.
const BIAS: usize = usize::MAX / 4;

/// What `local` has at most, or lacks; then it moves to `shared`.
const LOCAL_MAX: usize = if cfg!(loom) { 2 } else { 1 << 20 };

/// Counts outstanding things, many of which begin or end on one thread, the *home*; everybody who
/// waits is woken when it is closed and reaches zero. Never allocates.
///
/// | word | counts things that began, less those that ended | changed by |
/// |---|---|---|
/// | `local` | on the home since it last moved them | the home, without a read-modify-write |
/// | `shared` | all others, and a large bias until the counter is closed | everybody |
///
/// What is outstanding is the sum. [`SplitCounter::close`] moves `local`, less the bias, to
/// `shared` by one read-modify-write; from then on this is a [`CounterList`]. `shared` cannot be
/// zero before.
/// A thing may begin on one side and end on the other: the sum is right, and neither word alone.
pub struct SplitCounter {
    shared: CounterList,
    /// Wraps below zero when more ends on the home than begins there.
    local: AtomicUsize,
}

impl SplitCounter {
    /// Creates a counter of nothing, which is open: it is not done until it is closed.
    #[must_use]
    pub fn new() -> Self {
        SplitCounter { shared: CounterList::new(BIAS), local: AtomicUsize::new(0) }
    }

    /// Counts a thing that begins on the home.
    ///
    /// # Safety
    ///
    /// The caller is the home, and has not closed the counter.
    #[inline(always)]
    pub unsafe fn add_local(&self) {
        let mut local = self.local.load(Ordering::Relaxed).wrapping_add(1);
        if local == LOCAL_MAX {
            self.shared.add(LOCAL_MAX);
            local = 0;
        }
        self.local.store(local, Ordering::Relaxed);
    }

    /// Counts a thing off that has ended on the home.
    ///
    /// # Safety
    ///
    /// The caller is the home, and has not closed the counter; the thing was counted.
    #[inline(always)]
    pub unsafe fn done_local(&self) {
        let mut local = self.local.load(Ordering::Relaxed).wrapping_sub(1);
        if local == LOCAL_MAX.wrapping_neg() {
            let nobody = self.shared.done_many(LOCAL_MAX);
            debug_assert!(nobody.is_empty(), "an open counter is not done");
            local = 0;
        }
        self.local.store(local, Ordering::Relaxed);
    }

    /// Counts a thing that begins anywhere. Only somebody who holds one, or the home while the
    /// counter is open, may add.
    ///
    /// # Panics
    ///
    /// As [`CounterList::add`].
    #[inline]
    pub fn add(&self) {
        self.shared.add(1);
    }

    /// Counts a thing off that has ended anywhere. As with [`CounterList::done`], the last one's is
    /// the last touch of the counter.
    ///
    /// # Panics
    ///
    /// As [`CounterList::done`].
    #[inline]
    pub fn done(&self) -> Woken {
        self.shared.done()
    }

    /// Lets the count reach zero: the home counts no more on its own.
    ///
    /// # Safety
    ///
    /// The caller is the home; this is called once.
    pub unsafe fn close(&self) -> Woken {
        let local = self.local.load(Ordering::Relaxed);
        self.local.store(0, Ordering::Relaxed);
        self.shared.done_many(BIAS.wrapping_sub(local))
    }

    /// Tells whether the counter is closed, has reached zero, and nobody will touch it again.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shared.is_done()
    }

    /// Returns what was outstanding, each word at some moment during the call.
    #[must_use]
    pub fn value(&self) -> usize {
        let shared = self.shared.value();
        let bias = if shared > BIAS / 2 { BIAS } else { 0 };
        shared.wrapping_sub(bias).wrapping_add(self.local.load(Ordering::Relaxed))
    }

    /// Puts `waiter` into the list, unless the counter is done.
    ///
    /// # Safety
    ///
    /// As for [`CompletionList::register`](crate::CompletionList::register).
    pub unsafe fn register(&self, waiter: &Waiter) -> Registration {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.shared.register(waiter) }
    }

    /// Waits, as an OS thread, until the counter is done.
    ///
    /// # Blocking
    ///
    /// Parks the calling thread; see [`CounterList::wait_thread`].
    #[cfg(feature = "std")]
    pub fn wait_thread(&self) {
        self.shared.wait_thread();
    }

    /// Checks that nobody else may still touch this counter, as freeing it would require.
    #[cfg(loom)]
    pub fn retire(&mut self) {
        self.shared.retire();
    }
}

impl Default for SplitCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SplitCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitCounter")
            .field("value", &self.value())
            .field("done", &self.is_done())
            .finish()
    }
}
