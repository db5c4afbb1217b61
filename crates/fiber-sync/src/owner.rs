//! Who has locked a mutex, as far as a report of a deadlock needs to know.

use std::fmt;
use std::ptr;

use crate::primitive::{Ordering, ReportedUsize};

/// Where a mutex was locked: an address in the frame of whoever did, by which a runtime that knows
/// its fibers' stacks finds the fiber. One plain store to lock, and one to unlock.
///
/// ORDERING: all Relaxed. Nothing follows from what is read but a line in a report.
pub struct Owner(ReportedUsize);

impl Owner {
    pub(crate) const fn none() -> Self {
        Owner(ReportedUsize::new(0))
    }

    /// The caller's frame has the lock.
    #[inline(always)]
    pub(crate) fn set(&self) {
        let here = 0_u8;
        self.0.store(ptr::from_ref(&here).addr(), Ordering::Relaxed);
    }

    /// Before the unlock: whoever is next has not been seen yet.
    #[inline(always)]
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Returns an address on the stack that locked the mutex by a blocking form, or by trying. None
    /// if nobody has it, a task has, or whoever was granted it has not run since.
    #[must_use]
    pub fn address(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|address| *address != 0)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.address()).finish()
    }
}
