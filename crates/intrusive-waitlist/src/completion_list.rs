//! A list that completes once and wakes everybody: the `head` word of the README's table.

use core::fmt;
use core::ptr;

use crate::primitive::{AtomicPtr, Ordering};
use crate::waiter::{Waiter, WakeHandle};

/// The `head` of a completed list. Nodes are aligned to 8, so none has this address.
pub(crate) const DONE: *mut Waiter = ptr::without_provenance_mut(1);

/// A list of waiters on something that completes once.
///
/// One word. It cannot be reset: a fresh completion needs a fresh list.
pub struct CompletionList {
    pub(crate) head: AtomicPtr<Waiter>,
}

/// What became of an attempt to wait.
#[must_use = "a registered waiter must wait until it is notified"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The waiter is in the list and will be notified exactly once.
    Registered,
    /// The list had completed; the waiter was not touched.
    AlreadyDone,
}

impl CompletionList {
    /// Creates a pending list.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        CompletionList { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Creates a pending list.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        CompletionList { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Creates a list that has completed already.
    #[must_use]
    pub fn completed() -> Self {
        CompletionList { head: AtomicPtr::new(DONE) }
    }

    /// Tells whether the list has completed. If so, everything that happened before
    /// [`CompletionList::complete`] is visible, and nobody else will touch the list again.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        // ORDERING: Acquire, pairs with the swap in `complete`; receives what the completer did.
        ptr::eq(self.head.load(Ordering::Acquire), DONE)
    }

    /// Puts `waiter` into the list, unless the list has completed.
    ///
    /// # Safety
    ///
    /// If this returns [`Registration::Registered`], `waiter` must neither move nor be dropped
    /// until
    /// [`Waiter::is_notified`] is true. The waiter must be fresh: a waiter serves one registration.
    pub unsafe fn register(&self, waiter: &Waiter) -> Registration {
        // ORDERING: Acquire, as in `is_done`: the caller goes on at once if this sees DONE.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if ptr::eq(head, DONE) {
                return Registration::AlreadyDone;
            }
            waiter.next.with_mut(|next| {
                // SAFETY: not in the list yet, so the node is still the caller's alone.
                unsafe { *next = head }
            });
            // ORDERING: Release publishes `next` and `handle` to the claimant's swap. Acquire on
            // failure, because the value seen may be DONE.
            match self.head.compare_exchange_weak(
                head,
                ptr::from_ref(waiter).cast_mut(),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return Registration::Registered,
                Err(seen) => head = seen,
            }
        }
    }

    /// Completes the list and claims everybody who waits.
    ///
    /// The swap inside is the last touch of the list: a waiter, or anybody who sees
    /// [`CompletionList::is_done`], may free it before this returns. Completing twice is harmless
    /// and claims nobody.
    #[inline]
    pub fn complete(&self) -> Woken {
        Woken::of(self.close())
    }

    /// Completes the list, and returns what its `head` was.
    #[inline]
    pub(crate) fn close(&self) -> *mut Waiter {
        // ORDERING: Release passes what the completer did to whoever sees DONE; Acquire receives
        // the claimed nodes from their registrations.
        self.head.swap(DONE, Ordering::AcqRel)
    }

    /// Waits, as an OS thread, until the list completes.
    ///
    /// # Blocking
    ///
    /// Parks the calling thread. On a fiber this blocks the fiber's worker: register a
    /// [`Waiter::fiber`] and suspend instead.
    #[cfg(feature = "std")]
    pub fn wait_thread(&self) {
        if self.is_done() {
            return;
        }
        let waiter = Waiter::current_thread();
        // SAFETY: `waiter` stays in this frame until it is notified: `park_until_notified` returns
        // only then, and does not unwind.
        if unsafe { self.register(&waiter) } == Registration::Registered {
            waiter.park_until_notified();
        }
        #[cfg(loom)]
        waiter.retire();
    }

    /// Checks that nobody else may still touch this list, as freeing it would require.
    #[cfg(loom)]
    pub fn retire(&mut self) {
        self.head.with_mut(|head| *head = ptr::null_mut());
    }
}

/// Turns a claimed chain around, newest first to oldest first.
fn reverse(newest: *const Waiter) -> *const Waiter {
    let (mut rest, mut reversed) = (newest, ptr::null());
    while !rest.is_null() {
        // SAFETY: a claimed node lives until its claimant notifies it.
        let node = unsafe { &*rest };
        rest = node.next.with_mut(|next| {
            // SAFETY: the claimant has `next` to itself.
            unsafe { ptr::replace(next, reversed) }
        });
        reversed = node;
    }
    reversed
}

impl Default for CompletionList {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CompletionList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionList").field("done", &self.is_done()).finish()
    }
}

/// The waiters claimed by a completion, oldest first. Dropping it wakes those not yet taken.
#[must_use = "the claimed waiters sleep until this is iterated or dropped"]
#[derive(Debug)]
pub struct Woken {
    next: *const Waiter,
}

impl Woken {
    /// Nobody.
    pub(crate) fn none() -> Self {
        Woken { next: ptr::null() }
    }

    /// Everybody in the list that was claimed with this `head`.
    #[inline]
    pub(crate) fn of(head: *mut Waiter) -> Self {
        if head.is_null() || ptr::eq(head, DONE) {
            return Woken::none();
        }
        Woken { next: reverse(head) }
    }

    /// Wakes everybody, one by one.
    #[inline]
    pub fn wake_all(self) {
        drop(self);
    }

    /// Tells whether nobody was waiting, or all have been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next.is_null()
    }
}

impl Iterator for Woken {
    type Item = WakeHandle;

    fn next(&mut self) -> Option<WakeHandle> {
        if self.next.is_null() {
            return None;
        }
        let node = self.next;
        // SAFETY: a claimed node lives until it is notified, below.
        let links = unsafe { &(*node).next };
        self.next = links.with_mut(|next| {
            // SAFETY: the claimant has `next` to itself.
            unsafe { *next }
        });
        // SAFETY: the node was claimed by `complete`, and `self.next` has moved past it.
        Some(unsafe { Waiter::notify(node) })
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        for handle in self {
            handle.wake();
        }
    }
}
