//! Whom to wake after the unlock, and what becomes of panics of wakers.

use core::mem::{self, MaybeUninit};

use super::waiter::Handle;

/// How many waiters are notified under one lock; loom has to see the batch overflow.
pub(super) const BATCH_LEN: usize = if cfg!(loom) { 2 } else { 16 };

/// Handles of waiters that have been notified. They are not woken where they are collected: no code
/// of others runs under the lock.
///
/// A batch that is dropped leaks the handles in it: nobody does that.
pub(super) struct WakeBatch {
    /// The first `len` are there. The others cost nothing.
    handles: [MaybeUninit<Option<Handle>>; BATCH_LEN],
    len: usize,
}

impl WakeBatch {
    pub(super) const fn new() -> Self {
        WakeBatch { handles: [const { MaybeUninit::uninit() }; BATCH_LEN], len: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == BATCH_LEN
    }

    /// Adds a handle, for which there is room, by having it written in its place.
    ///
    /// # Safety
    ///
    /// `write` writes it.
    #[inline]
    pub(super) unsafe fn push(&mut self, write: impl FnOnce(&mut MaybeUninit<Option<Handle>>)) {
        write(&mut self.handles[self.len]);
        self.len += 1;
    }

    /// Wakes everybody in the batch, oldest first, whatever the wakers do.
    pub(super) fn wake_all(&mut self, panics: &mut Panics) {
        let len = mem::take(&mut self.len);
        for handle in &self.handles[..len] {
            // SAFETY: `push` wrote it, and `len` has forgotten it: it is read once.
            let handle = unsafe { handle.assume_init_read() };
            if let Some(handle) = handle {
                panics.catch(|| handle.wake());
            }
        }
    }
}

pub(super) use policy::{Panics, wake_one};

/// A waker's panic keeps nobody asleep: when everybody has been woken, the first comes out of the
/// call that woke. Later ones are dropped, and so is the first if the call is part of an unwinding.
#[cfg(feature = "std")]
mod policy {
    use std::any::Any;
    use std::boxed::Box;
    use std::mem;
    use std::panic::{self, AssertUnwindSafe};
    use std::thread;

    use super::Handle;

    #[must_use = "somebody's panic is in it"]
    pub(in super::super) struct Panics {
        first: thread::Result<()>,
    }

    impl Panics {
        pub(in super::super) const fn new() -> Self {
            Panics { first: Ok(()) }
        }

        pub(in super::super) fn catch(&mut self, wake: impl FnOnce()) {
            let result = panic::catch_unwind(AssertUnwindSafe(wake));
            match (&self.first, result) {
                (_, Ok(())) => (),
                (Ok(()), first) => self.first = first,
                (Err(_), Err(later)) => suppress(later),
            }
        }

        /// Keeps the first panic, and drops the other.
        pub(in super::super) fn or(self, later: Panics) -> Panics {
            match &self.first {
                Ok(()) => later,
                Err(_) => {
                    later.suppress();
                    self
                }
            }
        }

        /// Goes on with the panic, if there was one.
        pub(in super::super) fn resume(self) {
            match self.first {
                Ok(()) => (),
                Err(payload) if thread::panicking() => suppress(payload),
                Err(payload) => panic::resume_unwind(payload),
            }
        }

        /// Drops the panic; its message has been printed.
        pub(in super::super) fn suppress(self) {
            if let Err(payload) = self.first {
                suppress(payload);
            }
        }
    }

    /// Wakes somebody, with nobody left to wake and nothing to do after it.
    #[inline]
    pub(in super::super) fn wake_one(handle: Handle) {
        if thread::panicking() {
            let mut panics = Panics::new();
            panics.catch(|| handle.wake());
            return panics.suppress();
        }
        handle.wake();
    }

    /// Its destructor may panic too; what comes of that is leaked.
    fn suppress(payload: Box<dyn Any + Send>) {
        panic::catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(mem::forget);
    }
}

/// Without `std` nothing can be caught: a waker that panics aborts the program.
#[cfg(not(feature = "std"))]
mod policy {
    use super::Handle;

    pub(in super::super) struct Panics;

    impl Panics {
        pub(in super::super) const fn new() -> Self {
            Panics
        }

        pub(in super::super) fn catch(&mut self, wake: impl FnOnce()) {
            struct Abort;
            impl Drop for Abort {
                fn drop(&mut self) {
                    // A panic while unwinding aborts.
                    panic!("intrusive-waitlist: a waker panicked");
                }
            }
            let abort = Abort;
            wake();
            core::mem::forget(abort);
        }

        pub(in super::super) fn or(self, _: Panics) -> Panics {
            self
        }

        pub(in super::super) fn resume(self) {}

        pub(in super::super) fn suppress(self) {}
    }

    /// Wakes somebody, with nobody left to wake and nothing to do after it.
    pub(in super::super) fn wake_one(handle: Handle) {
        Panics::new().catch(|| handle.wake());
    }
}
