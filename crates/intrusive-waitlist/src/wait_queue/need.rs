//! What a waiter asks for, in one word.

use core::ptr;

use super::WaitQueue;
use super::word::COUNT_MAX;

/// So many permits; or, where there can be no so many, a wake, and then perhaps a permit of another
/// queue.
#[derive(Clone, Copy)]
pub(super) struct Need(usize);

/// A queue's address is a multiple of four at least.
const ADDRESS_SHIFT: u32 = 2;
const _: () = assert!(align_of::<WaitQueue>() >= 1 << ADDRESS_SHIFT);
/// The upper bits of a shifted address are zero, so they are set in its complement.
const _: () = assert!(!(usize::MAX >> ADDRESS_SHIFT) > COUNT_MAX);

impl Need {
    /// A wake.
    pub(super) const WAKE: Need = Need(usize::MAX);

    /// `count` permits, of which there can be so many.
    pub(super) fn of_permits(count: usize) -> Need {
        debug_assert!(count <= COUNT_MAX);
        Need(count)
    }

    /// A wake, and then a permit of `target`.
    pub(super) fn wake_then_permit_of(target: &WaitQueue) -> Need {
        Need(!(ptr::from_ref(target).expose_provenance() >> ADDRESS_SHIFT))
    }

    /// Returns the permits; more than there can be if only a wake will do.
    pub(super) fn permits(self) -> usize {
        self.0
    }

    /// Returns the queue of which a permit is needed after the wake.
    pub(super) fn target(self) -> Option<*const WaitQueue> {
        let is_wake_alone = self.0 == Need::WAKE.0;
        (self.0 > COUNT_MAX && !is_wake_alone)
            .then(|| ptr::with_exposed_provenance(!self.0 << ADDRESS_SHIFT))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn needs_are_told_apart() {
        let target = WaitQueue::new(0);
        let need = Need::wake_then_permit_of(&target);
        assert_eq!(need.target(), Some(&raw const target));
        assert!(need.permits() > COUNT_MAX);
        assert!(Need::WAKE.target().is_none() && Need::WAKE.permits() > COUNT_MAX);
        for count in [0, 1, COUNT_MAX] {
            let need = Need::of_permits(count);
            assert!(need.target().is_none() && need.permits() == count);
        }
    }
}
