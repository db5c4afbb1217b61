//! The node: one per wait, in the waiter's own frame, for a fiber or a thread.

use core::fmt;
use core::ptr::{self, NonNull};

use crate::primitive::{AtomicU32, Ordering, RacyCell};
#[cfg(feature = "std")]
use crate::primitive::{Thread, thread};

const WAITING: u32 = 0;
const NOTIFIED: u32 = 1;

/// A node of a wait list, owned by the frame of whoever waits.
///
/// A waiter serves one registration. Between registration and notification it must neither move nor
/// be dropped; [`CompletionList::register`](crate::CompletionList::register) is `unsafe` for that.
#[repr(align(8))] // leaves the addresses 1 to 7 for sentinels
pub struct Waiter {
    pub(crate) next: RacyCell<*const Waiter>,
    handle: RacyCell<Option<WakeHandle>>,
    state: AtomicU32,
}

// SAFETY: `next` and `handle` change hands with the list's head word, as the table in the README
// says; `state` is atomic. Both kinds of handle may be used from any thread.
unsafe impl Send for Waiter {}
// SAFETY: as above.
unsafe impl Sync for Waiter {}

impl Waiter {
    /// Creates a waiter for the calling OS thread.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn current_thread() -> Self {
        Self::with_handle(WakeHandle::Thread(ThreadHandle(thread::current())))
    }

    /// Creates a waiter for a fiber.
    #[must_use]
    pub fn fiber(fiber: FiberHandle) -> Self {
        Self::with_handle(WakeHandle::Fiber(fiber))
    }

    fn with_handle(handle: WakeHandle) -> Self {
        Waiter {
            next: RacyCell::new(ptr::null()),
            handle: RacyCell::new(Some(handle)),
            state: AtomicU32::new(WAITING),
        }
    }

    /// Tells whether this waiter has been notified. From then on it may be dropped, and everything
    /// that happened before the completion is visible.
    #[inline]
    #[must_use]
    pub fn is_notified(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `notify`; receives what the completer did.
        self.state.load(Ordering::Acquire) == NOTIFIED
    }

    /// Parks the calling OS thread until this waiter has been notified.
    ///
    /// # Blocking
    ///
    /// Blocks the thread. The waiter must be registered and of the calling thread, else this hangs.
    #[cfg(feature = "std")]
    pub fn park_until_notified(&self) {
        // PROGRESS: the completer stores NOTIFIED before it unparks, and `park` returns at once if
        // the unpark came first; stray unparks only cost a turn of the loop.
        while !self.is_notified() {
            thread::park();
        }
    }

    /// Takes the handle out, then notifies: the last touch of this node.
    ///
    /// # Safety
    ///
    /// The caller claimed this node from its list, and calls this once.
    pub(crate) unsafe fn notify(this: *const Waiter) -> WakeHandle {
        // SAFETY: a claimed node lives until the NOTIFIED below.
        let node = unsafe { &*this };
        let handle = node.handle.with_mut(|handle| {
            // SAFETY: the claimant has the cell to itself.
            unsafe { (*handle).take() }
        });
        // ORDERING: Release, pairs with the Acquire in `is_notified`: passes on what the completer
        // did, and orders the reads of `next` and `handle` before the waiter frees them.
        node.state.store(NOTIFIED, Ordering::Release);
        handle.expect("intrusive-waitlist: a waiter was notified twice")
    }

    /// Checks that nobody else may still touch this node, as freeing it would require.
    #[cfg(loom)]
    pub fn retire(mut self) {
        self.next.with_mut(|_| ());
        self.handle.with_mut(|_| ());
        self.state.with_mut(|state| *state = u32::MAX);
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("notified", &self.is_notified()).finish_non_exhaustive()
    }
}

/// How to wake one claimed waiter.
#[must_use = "a handle that is not woken leaves its waiter asleep for ever"]
#[derive(Debug)]
pub enum WakeHandle {
    /// A fiber: [`FiberHandle::wake`] makes it ready, or the runtime does so in its own way.
    Fiber(FiberHandle),
    /// A parked OS thread.
    #[cfg(feature = "std")]
    Thread(ThreadHandle),
}

impl WakeHandle {
    /// Wakes the waiter.
    #[inline]
    pub fn wake(self) {
        match self {
            WakeHandle::Fiber(fiber) => fiber.wake(),
            #[cfg(feature = "std")]
            WakeHandle::Thread(thread) => thread.0.unpark(),
        }
    }
}

/// A handle to a parked OS thread; outlives the waiter it was taken from.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct ThreadHandle(Thread);

/// A fiber as its runtime knows it: one pointer, and the function that makes it ready.
#[derive(Clone, Copy, Debug)]
pub struct FiberHandle {
    fiber: NonNull<()>,
    wake: unsafe fn(NonNull<()>),
}

// SAFETY: `FiberHandle::new` requires that `wake` may be called from any thread.
unsafe impl Send for FiberHandle {}
// SAFETY: as above; the handle itself is two plain words.
unsafe impl Sync for FiberHandle {}

impl FiberHandle {
    /// Creates a handle.
    ///
    /// # Safety
    ///
    /// `wake(fiber)` may be called once per registration, from any thread, at any time after the
    /// registration, also after the waiter's node is gone.
    #[must_use]
    pub const unsafe fn new(fiber: NonNull<()>, wake: unsafe fn(NonNull<()>)) -> Self {
        FiberHandle { fiber, wake }
    }

    /// Returns the pointer given to [`FiberHandle::new`], for a runtime that wakes in batches.
    #[must_use]
    pub fn fiber(&self) -> NonNull<()> {
        self.fiber
    }

    /// Makes the fiber ready.
    #[inline]
    pub fn wake(self) {
        // SAFETY: `new` requires that this may be called after a claim, which is the only place
        // that gives handles away.
        unsafe { (self.wake)(self.fiber) }
    }
}
