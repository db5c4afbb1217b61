//! The asymmetric barrier: one side pays nothing, the other makes every thread of the process
//! fence.
//!
//! A thread that stores, then calls `light`, then loads, and another that stores, then calls
//! `heavy`, then loads: one of the two sees the other's store, as if both had called
//! `fence(SeqCst)`. Where the system refuses, `light` does nothing, and its callers fence by
//! themselves (fenced mode).

use crate::primitive::{Ordering, fence};

/// How the threads of this process order their stores before their loads; chosen at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    is_asymmetric: bool,
}

impl Barrier {
    /// Chooses the asymmetric barrier if the system grants it, else fenced mode.
    ///
    /// On Linux this registers the process for `membarrier`. Call it before the threads start: it
    /// takes microseconds then, and milliseconds beside threads that run. A process made by `fork`
    /// calls it again.
    #[must_use]
    pub fn of_this_process() -> Self {
        Barrier { is_asymmetric: system::register() }
    }

    /// Chooses fenced mode, which works everywhere: each push and each pop has a fence.
    #[must_use]
    pub const fn fenced() -> Self {
        Barrier { is_asymmetric: false }
    }

    /// Tells whether one side pays nothing.
    #[must_use]
    pub const fn is_asymmetric(self) -> bool {
        self.is_asymmetric
    }

    /// The cheap side: keeps the compiler from moving a load above a store. In fenced mode the
    /// caller fences by itself before it trusts what it loads.
    #[inline(always)]
    pub(crate) fn light(self) {
        // ORDERING: SeqCst for the compiler; the processor's order comes from `heavy`.
        #[cfg(not(any(loom, miri)))]
        crate::primitive::compiler_fence(Ordering::SeqCst);
        // ORDERING: SeqCst fence, pairs with the one in `heavy`: checkers know no barrier that acts
        // on other threads, so there both sides fence.
        #[cfg(any(loom, miri))]
        if self.is_asymmetric {
            fence(Ordering::SeqCst);
        }
    }

    /// The cheap side in either mode, for callers without a slow path of their own.
    #[inline]
    pub(crate) fn light_or_fence(self) {
        if self.is_asymmetric {
            self.light();
        } else {
            // ORDERING: SeqCst fence, pairs with the one in `heavy`.
            fence(Ordering::SeqCst);
        }
    }

    /// The dear side: microseconds, and an interrupt for each running thread of the process.
    #[cold]
    pub(crate) fn heavy(self) {
        if self.is_asymmetric && !cfg!(any(loom, miri)) {
            system::fence_all_threads();
        } else {
            // ORDERING: SeqCst fence, pairs with the one that each owner passes in its slow path.
            fence(Ordering::SeqCst);
        }
    }
}

/// Checkers have no system to ask; there fences stand in for its barrier.
#[cfg(any(loom, miri))]
mod system {
    pub(super) fn register() -> bool {
        true
    }

    pub(super) fn fence_all_threads() {}
}

#[cfg(all(target_os = "linux", not(any(loom, miri))))]
mod system {
    use std::io;

    use libc::{MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED};

    pub(super) fn register() -> bool {
        membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    pub(super) fn fence_all_threads() {
        let done = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        // To go on without would let two threads have the same job.
        assert!(done, "`membarrier` was granted before: {}", io::Error::last_os_error());
    }

    fn membarrier(command: libc::c_int) -> bool {
        const NO_FLAGS: libc::c_uint = 0;
        const ANY_CPU: libc::c_int = 0;
        // SAFETY: the call takes three integers, and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, NO_FLAGS, ANY_CPU) == 0 }
    }
}

#[cfg(all(windows, not(any(loom, miri))))]
mod system {
    use windows_sys::Win32::System::Threading::FlushProcessWriteBuffers;

    /// Every Windows that Rust supports has the call.
    pub(super) fn register() -> bool {
        true
    }

    pub(super) fn fence_all_threads() {
        // SAFETY: the call has no precondition, and touches no memory of ours.
        unsafe { FlushProcessWriteBuffers() }
    }
}

#[cfg(not(any(target_os = "linux", windows, loom, miri)))]
mod system {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn fence_all_threads() {
        unreachable!("nobody was granted an asymmetric barrier");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_that_was_granted_works_again_and_again() {
        let barrier = Barrier::of_this_process();
        assert_eq!(barrier, Barrier::of_this_process());
        (0..3).for_each(|_| barrier.heavy());
        Barrier::fenced().heavy();
        assert!(!Barrier::fenced().is_asymmetric());
    }
}
