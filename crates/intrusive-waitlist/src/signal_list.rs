//! A flag that one waiter at a time takes: a queue under a short lock.

use std::fmt;
use std::ptr;

use crate::completion_list::Registration;
use crate::primitive::{Mutex, MutexGuard};
use crate::waiter::{Waiter, WakeHandle};

/// A flag that is set by anybody and taken by one waiter, the one that has waited longest.
///
/// Setting a set flag changes nothing: signals are not counted. No allocation.
pub struct SignalList {
    state: Mutex<State>,
}

/// If the flag is set, nobody waits.
struct State {
    is_set: bool,
    /// Null: nobody waits, and `newest` means nothing.
    oldest: *const Waiter,
    newest: *const Waiter,
}

// SAFETY: the waiters that the pointers lead to are `Sync`, and live while they are in the list.
unsafe impl Send for State {}

impl SignalList {
    /// Creates a list whose flag is not set.
    #[must_use]
    pub fn new() -> Self {
        let state = State { is_set: false, oldest: ptr::null(), newest: ptr::null() };
        SignalList { state: Mutex::new(state) }
    }

    /// Takes the flag, if it is set.
    #[inline]
    pub fn try_take(&self) -> bool {
        std::mem::take(&mut self.lock().is_set)
    }

    /// Takes the flag if it is set, and puts `waiter` into the list otherwise. A waiter that is
    /// notified has taken a flag.
    ///
    /// # Safety
    ///
    /// As for [`CompletionList::register`](crate::CompletionList::register).
    pub unsafe fn register(&self, waiter: &Waiter) -> Registration {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_set) {
            return Registration::AlreadyDone;
        }
        if state.oldest.is_null() {
            state.oldest = waiter;
        } else {
            // SAFETY: a waiter in the list lives until it is notified, after it has left the list.
            let newest = unsafe { &*state.newest };
            newest.next.with_mut(|next| {
                // SAFETY: links of waiters in the list are touched under the lock only.
                unsafe { *next = waiter }
            });
        }
        state.newest = waiter;
        Registration::Registered
    }

    /// Gives the flag to the oldest waiter; sets it if nobody waits.
    #[inline]
    #[must_use = "the claimed waiter sleeps until it is woken"]
    pub fn set(&self) -> Option<WakeHandle> {
        let mut state = self.lock();
        let oldest = state.oldest;
        if oldest.is_null() {
            state.is_set = true;
            return None;
        }
        // SAFETY: as in `register`.
        let links = unsafe { &(*oldest).next };
        state.oldest = links.with_mut(|next| {
            // SAFETY: as in `register`.
            unsafe { *next }
        });
        drop(state);
        // SAFETY: the waiter was claimed under the lock, once.
        Some(unsafe { Waiter::notify(oldest) })
    }

    /// Takes the flag, as an OS thread; waits for it if necessary.
    ///
    /// # Blocking
    ///
    /// Parks the calling thread. On a fiber this blocks the fiber's worker.
    pub fn wait_thread(&self) {
        let waiter = Waiter::current_thread();
        // SAFETY: `waiter` stays in this frame until it is notified.
        if unsafe { self.register(&waiter) } == Registration::Registered {
            waiter.park_until_notified();
        }
        #[cfg(loom)]
        waiter.retire();
    }

    /// No code of anybody else's runs under the lock, so it cannot be poisoned.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

impl Default for SignalList {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SignalList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalList").field("is_set", &self.lock().is_set).finish_non_exhaustive()
    }
}
