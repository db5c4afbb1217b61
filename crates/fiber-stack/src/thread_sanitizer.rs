//! Tells ThreadSanitizer which fiber runs, under `--cfg rustfiber_tsan`; does nothing otherwise.
//!
//! The sanitizer keeps a call stack and a clock for each thread. Unless it is told of switches, the
//! frames of all suspended fibers pile up on their thread's call stack, until that runs over. So
//! each fiber has a *context* of its own, which [`Fiber::resume`](crate::Fiber::resume) enters and
//! leaves. A switch orders what comes before it and what comes after it, as it does in truth: the
//! fibers of one thread cannot race with each other.
//!
//! That order hangs on the context's address. Whoever gets the address of a destroyed context gets
//! its clock as well, and seems to come after all that the old fiber's thread had done: its races
//! are not seen. So contexts spend a while in a quarantine before they are destroyed.

#[cfg(not(rustfiber_tsan))]
pub(crate) use self::off::Context;
#[cfg(rustfiber_tsan)]
pub(crate) use self::on::Context;

#[cfg(not(rustfiber_tsan))]
mod off {
    /// Nothing, in place of what the sanitizer knows of a fiber.
    pub(crate) struct Context;

    /// Nothing, in place of what the sanitizer knows of a fiber's resumer.
    pub(crate) struct Resumer;

    impl Context {
        pub(crate) fn new() -> Self {
            Context
        }

        #[inline(always)]
        pub(crate) fn enter(&self) -> Resumer {
            Resumer
        }

        pub(crate) fn retire(&mut self) {}
    }

    impl Resumer {
        #[inline(always)]
        pub(crate) fn enter(self) {}
    }
}

#[cfg(rustfiber_tsan)]
mod on {
    use std::ffi::{c_uint, c_void};
    use std::mem;
    use std::ptr::null_mut;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

    /// How many contexts may be in the quarantine: each holds about 30 kilobytes.
    const QUARANTINE_COUNT: usize = 128;

    /// Retired contexts, and null where there is none yet.
    static QUARANTINE: [AtomicPtr<c_void>; QUARANTINE_COUNT] =
        [const { AtomicPtr::new(null_mut()) }; QUARANTINE_COUNT];

    /// How many contexts have been retired.
    static RETIRED: AtomicUsize = AtomicUsize::new(0);

    /// A switch orders what comes before it and what comes after it.
    const SYNCHRONIZES: c_uint = 0;

    // SAFETY: as the sanitizer's `tsan_interface.h` declares them.
    unsafe extern "C" {
        fn __tsan_get_current_fiber() -> *mut c_void;
        fn __tsan_create_fiber(flags: c_uint) -> *mut c_void;
        fn __tsan_destroy_fiber(context: *mut c_void);
        fn __tsan_switch_to_fiber(context: *mut c_void, flags: c_uint);
    }

    /// What the sanitizer knows of a fiber; null once it is retired.
    pub(crate) struct Context(*mut c_void);

    /// What the sanitizer knows of a fiber's resumer: a thread, or another fiber.
    #[must_use = "it runs again when the fiber comes back"]
    pub(crate) struct Resumer(*mut c_void);

    impl Context {
        pub(crate) fn new() -> Self {
            // SAFETY: takes a plain number.
            Context(unsafe { __tsan_create_fiber(0) })
        }

        /// Says that this fiber runs from now on.
        ///
        /// Inlined, as the resumer's `enter` is, so that both happen in one function: one that
        /// began in one context and ended in another would take a frame off the wrong call stack.
        #[inline(always)]
        pub(crate) fn enter(&self) -> Resumer {
            // SAFETY: takes nothing.
            let resumer = Resumer(unsafe { __tsan_get_current_fiber() });
            // SAFETY: the context lives until it is retired, and only one thread has the fiber.
            unsafe { __tsan_switch_to_fiber(self.0, SYNCHRONIZES) };
            resumer
        }

        /// Ends the context, of a fiber that is never resumed again.
        pub(crate) fn retire(&mut self) {
            let context = mem::replace(&mut self.0, null_mut());
            // ORDERING: Relaxed, so that the sanitizer sees no order between fibers here. In truth
            // it makes every read-modify-write a full barrier.
            let index = RETIRED.fetch_add(1, Ordering::Relaxed) % QUARANTINE_COUNT;
            let oldest = QUARANTINE[index].swap(context, Ordering::Relaxed);
            if !oldest.is_null() {
                // SAFETY: it was retired once, so it does not run, and leaves the quarantine once.
                unsafe { __tsan_destroy_fiber(oldest) };
            }
        }
    }

    impl Resumer {
        /// Says that the resumer runs again.
        #[inline(always)]
        pub(crate) fn enter(self) {
            // SAFETY: the resumer waits in `Fiber::resume`, and so is alive.
            unsafe { __tsan_switch_to_fiber(self.0, SYNCHRONIZES) };
        }
    }
}
