//! Handing a value over: who has one gives it to a waiter that has a place for it, with the permit.

use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::ptr::NonNull;

use crate::primitive::RacyCell;

use super::WaitQueue;
use super::batch::Panics;
use super::holder::Holder;
use super::waiter::{Handle, Verdict, Waiter};

/// A place for a value that a waiter may be given with its permit: see
/// [`WaitQueue::register_with_slot`].
#[repr(align(4))] // leaves a `Need` two bits
pub struct Slot<T>(RacyCell<Option<T>>);

// SAFETY: the value is written by the one who has claimed the waiter, and then the owner's alone.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// Creates an empty slot.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Slot(RacyCell::new(None))
    }

    /// Returns the slot as [`WaitQueue::register_with_slot`] takes it.
    #[must_use]
    #[inline]
    pub fn erase(&self) -> NonNull<()> {
        NonNull::from(self).cast()
    }

    /// Takes the value, if there is one. The wait is over.
    #[must_use]
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        // SAFETY: `&mut self`.
        unsafe { self.0.replace(None) }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot::new()
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// A waiter that waited alone, and was taken out of its queue: see [`WaitQueue::claim`].
///
/// A claim that is dropped grants the permit.
#[must_use = "the waiter is granted its permit at once if this is not kept"]
pub struct Claim<'a> {
    node: *const Waiter,
    queue: PhantomData<&'a WaitQueue>,
}

impl Claim<'_> {
    /// # Safety
    ///
    /// The node was in a queue, and nobody else knows it any more but its owner, who waits for the
    /// notification.
    #[inline]
    pub(super) unsafe fn new(node: *const Waiter) -> Self {
        Claim { node, queue: PhantomData }
    }

    /// Tells whether the waiter has a slot.
    #[must_use]
    #[inline]
    pub fn has_slot(&self) -> bool {
        self.slot().is_some()
    }

    #[inline]
    fn slot(&self) -> Option<NonNull<()>> {
        // SAFETY: it lives until it is notified.
        let waiter = unsafe { &*self.node };
        // SAFETY: nobody writes it after the registration.
        unsafe { waiter.need.get() }.slot()
    }

    /// Gives the waiter the value, and grants it its permit.
    ///
    /// # Panics
    ///
    /// Panics if the waiter has no slot; and as [`Claim::grant`].
    ///
    /// # Safety
    ///
    /// The slot is a [`Slot<T>`], and `T` is `Send` or the waiter of the calling thread.
    #[inline]
    pub unsafe fn give<T>(self, value: T) {
        let slot = self.slot().expect("wait queue contract: a value is given to who has a slot");
        // SAFETY: the owner keeps it until it is notified; the caller vouches for the type.
        let slot = unsafe { slot.cast::<Slot<T>>().as_ref() };
        // SAFETY: the claim gives the slot to the caller. It was empty: nothing is dropped.
        drop(unsafe { slot.0.replace(Some(value)) });
        self.grant();
    }

    /// Grants the waiter its permit.
    ///
    /// # Panics
    ///
    /// A panic of its waker comes out of this when all is done.
    #[inline]
    pub fn grant(self) {
        self.end(Verdict::Granted);
    }

    /// Closes `queue`, from which the waiter was claimed, and tells the waiter so before anybody
    /// else learns of it: the wakers of others may be what waits for that, as who would cancel
    /// does.
    ///
    /// # Panics
    ///
    /// As [`Claim::grant`].
    pub fn close(self, queue: &WaitQueue) {
        let (_, holder) = queue.set_closed();
        let handle = self.notify(Verdict::Closed);
        let mut panics = holder.map_or(Panics::new(), Holder::deliver);
        if let Some(handle) = handle {
            panics.catch(|| handle.wake());
        }
        panics.resume();
    }

    #[inline]
    pub(super) fn end(self, verdict: Verdict) {
        if let Some(handle) = self.notify(verdict) {
            super::wake_one(handle);
        }
    }

    #[inline]
    fn notify(self, verdict: Verdict) -> Option<Handle> {
        let (node, mut handle) = (self.node, MaybeUninit::uninit());
        mem::forget(self);
        // SAFETY: `new` requires what this does.
        unsafe { Waiter::notify(node, verdict, &mut handle) };
        // SAFETY: just written.
        unsafe { handle.assume_init() }
    }
}

/// A claim that is not used grants the permit: who waits, and who would cancel, must not wait for
/// ever.
impl Drop for Claim<'_> {
    fn drop(&mut self) {
        Claim { node: self.node, queue: PhantomData }.grant();
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("has_slot", &self.has_slot()).finish_non_exhaustive()
    }
}
