//! What a waiter asks for, in one word.

use core::ptr::{self, NonNull};

use super::WaitQueue;
use super::slot::Slot;
use super::word::COUNT_MAX;

/// So many permits; or, where there can be no so many, one permit and a slot, or a wake, and then
/// perhaps a permit of another queue.
#[derive(Clone, Copy)]
pub(super) struct Need(usize);

/// An address of a queue or of a slot is a multiple of four at least.
const ADDRESS_SHIFT: u32 = 2;
const _: () = assert!(align_of::<WaitQueue>() >= 1 << ADDRESS_SHIFT);
const _: () = assert!(align_of::<Slot<u8>>() >= 1 << ADDRESS_SHIFT);
/// The upper bits of a shifted address are zero, so they are set in its complement.
const _: () = assert!(!(usize::MAX >> ADDRESS_SHIFT) > COUNT_MAX);
/// The upper two bits: of a slot, the first is set; of a queue, both.
const SLOT: usize = 1 << (usize::BITS - 1);
const QUEUE: usize = !(usize::MAX >> ADDRESS_SHIFT);
const _: () = assert!(SLOT > COUNT_MAX);

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

    /// One permit, and perhaps a value for the slot.
    #[inline]
    pub(super) fn permit_with(slot: NonNull<()>) -> Need {
        Need(slot.as_ptr().expose_provenance() >> ADDRESS_SHIFT | SLOT)
    }

    /// Returns the permits; more than there can be if only a wake will do.
    #[inline]
    pub(super) fn permits(self) -> usize {
        if self.has_slot() { 1 } else { self.0 }
    }

    #[inline]
    fn has_slot(self) -> bool {
        self.0 & QUEUE == SLOT
    }

    /// Returns the slot for what may be given with the permit.
    #[inline]
    pub(super) fn slot(self) -> Option<NonNull<()>> {
        let address = self.0 << ADDRESS_SHIFT;
        let slot = NonNull::new(ptr::with_exposed_provenance_mut(address));
        slot.filter(|_| self.has_slot())
    }

    /// Returns the queue of which a permit is needed after the wake.
    pub(super) fn target(self) -> Option<*const WaitQueue> {
        let is_wake_alone = self.0 == Need::WAKE.0;
        (self.0 & QUEUE == QUEUE && !is_wake_alone)
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
        let slot = Slot::<u8>::new();
        let need = Need::permit_with(slot.erase());
        assert_eq!((need.slot(), need.permits()), (Some(slot.erase()), 1));
        assert!(need.target().is_none());
        assert!(Need::wake_then_permit_of(&target).slot().is_none() && Need::WAKE.slot().is_none());
        for count in [0, 1, COUNT_MAX] {
            let need = Need::of_permits(count);
            assert!(need.target().is_none() && need.slot().is_none() && need.permits() == count);
        }
    }
}
