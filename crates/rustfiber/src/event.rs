//! A flag that jobs and threads signal to each other.

use std::cell::Cell;
use std::panic::Location;

use intrusive_waitlist::{Registration, SignalList, Waiter};

use crate::latch::{self, Awaited, Completion, Wait};
use crate::worker::Worker;

/// A flag that is set by anybody and taken by one waiter: an auto-reset event.
///
/// Fibers and plain threads may wait side by side, also jobs of different runtimes; whoever has
/// waited longest goes first. Signals are not counted: setting a set event changes nothing.
///
/// A wait and a wake cost less than half of what they cost with
/// [`sync::AutoResetEvent`](crate::sync::AutoResetEvent), which is the same but for what takes more
/// than a list under a lock: waits that give up, and tasks that wait. Take that one for these.
///
/// # Examples
///
/// ```
/// use rustfiber::{Event, join};
///
/// let (ping, pong) = (Event::new(), Event::new());
/// join(
///     || (0..3).for_each(|_| { ping.set(); pong.wait() }),
///     || (0..3).for_each(|_| { ping.wait(); pong.set() }),
/// );
/// ```
#[derive(Debug, Default)]
pub struct Event {
    list: SignalList,
}

impl Event {
    /// Creates an event that is not set.
    #[must_use]
    pub fn new() -> Self {
        Event { list: SignalList::new() }
    }

    /// Lets the waiter that has waited longest go on; with no waiter, sets the event for the next.
    pub fn set(&self) {
        if let Some(handle) = self.list.set() {
            handle.wake();
        }
    }

    /// Takes the event if it is set; tells whether it was.
    #[must_use]
    pub fn try_wait(&self) -> bool {
        self.list.try_take()
    }

    /// Waits until the event is set, and takes it.
    ///
    /// # Panics
    ///
    /// Panics with [`FiberLimit`](crate::FiberLimit)'s message if the event is not set and the job
    /// has no fiber, because no stack was to be had.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or blocks the plain thread. Where the job must not suspend (inside
    /// [`without_suspending`](crate::without_suspending), or while panicking) it blocks the thread.
    #[track_caller]
    #[inline(always)] // no frame between the caller and the switch; see `worker::suspend`
    pub fn wait(&self) {
        let turn = Turn { event: self, is_taken: Cell::new(false) };
        let wait = Wait { what: Awaited::Event, site: Location::caller() };
        let worker = Worker::current();
        if let Some(worker) = worker
            && worker.can_suspend()
        {
            // Registering takes the event if it is set: one look, not two.
            return worker.suspend_until(&turn, &wait);
        }
        if turn.is_done() {
            return;
        }
        if let Some(limit) = worker.and_then(Worker::fiber_limit) {
            panic!("FiberLimit: {limit}");
        }
        latch::wait(&turn, &wait);
    }
}

/// One wait, done when it has taken the event.
struct Turn<'event> {
    event: &'event Event,
    is_taken: Cell<bool>,
}

impl Completion for Turn<'_> {
    fn is_done(&self) -> bool {
        if !self.is_taken.get() {
            self.is_taken.set(self.event.try_wait());
        }
        self.is_taken.get()
    }

    // SAFETY: the trait's contract is the list's own.
    unsafe fn register(&self, waiter: &Waiter) -> Registration {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.event.list.register(waiter) }
    }

    fn wait_thread(&self) {
        if !self.is_taken.get() {
            self.event.list.wait_thread();
        }
    }
}
