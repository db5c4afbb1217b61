//! The node of a wait queue, and the words in which its owner and the holder of the list agree.

use core::fmt;
use core::marker::PhantomPinned;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;
use core::task::Waker;

use crate::FiberHandle;
use crate::primitive::{AtomicU32, Ordering, RacyCell};
#[cfg(feature = "std")]
use crate::primitive::{Thread, thread};

use super::need::Need;
use super::{Outcome, WaitQueue};

/// Fresh, or registered.
const WAITING: u32 = 0;
/// Nobody but the owner touches the node any more; the bits from `VERDICT_SHIFT` say what came of
/// the wait.
const NOTIFIED: u32 = 1;
const VERDICT_SHIFT: u32 = 1;

/// A node of a [`WaitQueue`](super::WaitQueue), owned by whoever waits. 64 bytes.
///
/// A waiter serves one registration. While it is registered it must neither move nor be dropped;
/// [`WaitQueue::register`](super::WaitQueue::register) is `unsafe` for that.
#[repr(align(16))] // leaves the address four bits for flags
pub struct Waiter {
    /// In the inbox: the next older node, an address without provenance. In the list: the next
    /// younger node.
    pub(super) next: RacyCell<*const Waiter>,
    /// In the list: the next older node; of the oldest, the youngest.
    pub(super) prev: RacyCell<*const Waiter>,
    pub(super) need: RacyCell<Need>,
    /// The permits that were there, too few, when it began the queue.
    pub(super) carry: RacyCell<usize>,
    /// Whoever notifies copies it out, and leaves the bits: the owner may compare them meanwhile.
    handle: RacyCell<ManuallyDrop<Option<Handle>>>,
    state: AtomicU32,
    /// What a wake has decided of it, until it is notified or moved.
    pub(super) mark: RacyCell<Option<Verdict>>,
    /// The wake by which it was moved to the queue that it needs a permit of. Not touched again.
    pub(super) moved_by: RacyCell<Option<Verdict>>,
    /// Others point to a registered node, so a `&mut` to it says nothing about them.
    _pinned: PhantomPinned,
}

// SAFETY: the cells change hands as the README's table says; `state` is atomic. All kinds of handle
// may be used from any thread.
unsafe impl Send for Waiter {}
// SAFETY: as above.
unsafe impl Sync for Waiter {}

impl Waiter {
    /// Creates a waiter for the calling OS thread.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn current_thread() -> Self {
        Self::with_handle(Some(Handle::Thread(thread::current())))
    }

    /// Creates a waiter for a fiber.
    #[must_use]
    #[inline]
    pub fn fiber(fiber: FiberHandle) -> Self {
        Self::with_handle(Some(Handle::Fiber(fiber)))
    }

    /// Creates a waiter for a task, which [`Waiter::replace_handle`] makes known.
    #[inline]
    pub(super) fn task() -> Self {
        Self::with_handle(None)
    }

    #[inline]
    fn with_handle(handle: Option<Handle>) -> Self {
        Waiter {
            next: RacyCell::new(ptr::null()),
            prev: RacyCell::new(ptr::null()),
            need: RacyCell::new(Need::WAKE),
            carry: RacyCell::new(0),
            handle: RacyCell::new(ManuallyDrop::new(handle)),
            state: AtomicU32::new(WAITING),
            mark: RacyCell::new(None),
            moved_by: RacyCell::new(None),
            _pinned: PhantomPinned,
        }
    }

    /// Returns what came of the wait, if it is over. From then on the waiter may be dropped, and
    /// what its waker did before is visible.
    #[inline]
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.verdict().map(Verdict::outcome)
    }

    #[inline]
    pub(super) fn verdict(&self) -> Option<Verdict> {
        // ORDERING: Acquire, pairs with the last store of `notify`; receives what the releaser did,
        // and the node.
        let state = self.state.load(Ordering::Acquire);
        (state & NOTIFIED != 0).then(|| Verdict::of_state(state))
    }

    /// Tells whether the waiter is that of the task of `waker`. The owner calls this.
    #[inline]
    pub(super) fn is_of(&self, waker: &Waker) -> bool {
        self.handle.with(|handle| {
            // SAFETY: nobody writes: the owner is here, and whoever notifies only reads. The task
            // that this names may have been woken, and be gone: it is compared, not followed.
            let handle = unsafe { &**handle };
            matches!(handle, Some(Handle::Task(known)) if known.will_wake(waker))
        })
    }

    /// Says whom to wake. Returns who was to be woken.
    ///
    /// # Safety
    ///
    /// The caller is the owner, and the node not registered, or in the list of a queue that the
    /// caller holds.
    #[inline]
    pub(super) unsafe fn replace_handle(&self, handle: Option<Handle>) -> Option<Handle> {
        // SAFETY: nobody notifies the node meanwhile.
        ManuallyDrop::into_inner(unsafe { self.handle.replace(ManuallyDrop::new(handle)) })
    }

    /// Parks the calling OS thread until the wait is over.
    ///
    /// # Blocking
    ///
    /// Blocks the thread. The waiter must be registered and of the calling thread, else this hangs.
    #[cfg(feature = "std")]
    pub fn park(&self) -> Outcome {
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            // PROGRESS: NOTIFIED is stored before the unpark, and `park` returns at once if the
            // unpark came first; stray unparks only cost a turn of the loop.
            thread::park();
        }
    }

    /// Returns the permits that it takes of the queue in which it is.
    ///
    /// # Safety
    ///
    /// The caller is the holder of that queue, or the wait is over and the caller the owner.
    pub(super) unsafe fn permits(&self) -> usize {
        // SAFETY: the caller may touch the node.
        let is_moved = unsafe { self.moved_by.get() }.is_some();
        // SAFETY: as above.
        let need = unsafe { self.need.get() };
        if is_moved { 1 } else { need.permits() }
    }

    /// Returns where the waiter was moved to, and by which wake.
    ///
    /// # Safety
    ///
    /// The caller holds the queue with which the waiter was registered, or has seen that nobody
    /// waits there, or is the owner and the wait is over.
    pub(super) unsafe fn moved(&self) -> Option<(*const WaitQueue, Verdict)> {
        // SAFETY: only a holder of that queue writes it, and before anybody else knows the node.
        let verdict = unsafe { self.moved_by.get() }?;
        // SAFETY: nobody writes it after the registration.
        let need = unsafe { self.need.get() };
        Some((need.target()?, verdict))
    }

    /// Tells the waiter the verdict: the last touch of the node. Puts whom to wake into `handle`.
    ///
    /// # Safety
    ///
    /// The caller is the holder, took the node from the list, and calls this once.
    #[inline]
    pub(super) unsafe fn notify(
        this: *const Waiter,
        verdict: Verdict,
        handle: &mut MaybeUninit<Option<Handle>>,
    ) {
        // SAFETY: a node that was in the list lives until NOTIFIED.
        let node = unsafe { &*this };
        debug_assert!(node.verdict().is_none(), "a waiter is notified once");
        node.handle.with(|known| {
            // SAFETY: nobody writes, and the owner of a notified node leaves the handle alone, so
            // it has one owner. `ManuallyDrop` has the layout of what is in it.
            unsafe { ptr::copy_nonoverlapping(known.cast(), handle.as_mut_ptr(), 1) }
        });
        // ORDERING: Release, pairs with the Acquire in `verdict`: passes on what the releaser did,
        // and orders the accesses above before the owner frees the node.
        node.state.store(NOTIFIED | (verdict as u32) << VERDICT_SHIFT, Ordering::Release);
    }

    /// Checks that nobody else may still touch this node, as freeing it would require.
    #[cfg(loom)]
    pub fn retire(&mut self) {
        self.next.with_mut(|_| ());
        self.prev.with_mut(|_| ());
        self.need.with_mut(|_| ());
        self.carry.with_mut(|_| ());
        self.handle.with_mut(|_| ());
        self.mark.with_mut(|_| ());
        self.moved_by.with_mut(|_| ());
        self.state.with_mut(|_| ());
    }
}

impl Drop for Waiter {
    #[inline]
    fn drop(&mut self) {
        if self.verdict().is_none() {
            self.handle.with_mut(|handle| {
                // SAFETY: `&mut self`, and not in a queue.
                let handle = unsafe { &mut *handle };
                // SAFETY: not notified, so nobody else has the handle; and not used again.
                unsafe { ManuallyDrop::drop(handle) }
            });
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("outcome", &self.outcome()).finish_non_exhaustive()
    }
}

/// What a holder decided of a waiter; finer than [`Outcome`], for those who give it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    Granted,
    /// By `wake`.
    Woken,
    /// By `wake_all`.
    WokenWithAll,
    /// By `notify_one`.
    Notified,
    Closed,
}

impl Verdict {
    fn of_state(state: u32) -> Verdict {
        match state >> VERDICT_SHIFT {
            0 => Verdict::Granted,
            1 => Verdict::Woken,
            2 => Verdict::WokenWithAll,
            3 => Verdict::Notified,
            _ => Verdict::Closed,
        }
    }

    pub(super) fn is_wake(self) -> bool {
        self.outcome() == Outcome::Woken
    }

    pub(super) fn outcome(self) -> Outcome {
        match self {
            Verdict::Granted => Outcome::Granted,
            Verdict::Woken | Verdict::WokenWithAll | Verdict::Notified => Outcome::Woken,
            Verdict::Closed => Outcome::Closed,
        }
    }
}

/// Whom to wake.
pub(super) enum Handle {
    Fiber(FiberHandle),
    #[cfg(feature = "std")]
    Thread(Thread),
    Task(Waker),
}

impl Handle {
    /// Runs code of others, which may panic.
    #[inline]
    pub(super) fn wake(self) {
        match self {
            Handle::Fiber(fiber) => fiber.wake(),
            #[cfg(feature = "std")]
            Handle::Thread(thread) => thread.unpark(),
            Handle::Task(waker) => waker.wake(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_survives_the_state_word() {
        for verdict in [
            Verdict::Granted,
            Verdict::Woken,
            Verdict::WokenWithAll,
            Verdict::Notified,
            Verdict::Closed,
        ] {
            let waiter = Waiter::task();
            // SAFETY: nobody else knows the node.
            unsafe { Waiter::notify(&waiter, verdict, &mut MaybeUninit::uninit()) };
            assert_eq!(waiter.verdict(), Some(verdict));
        }
    }
}
