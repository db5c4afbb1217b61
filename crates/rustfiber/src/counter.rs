//! A count of outstanding things that jobs wait on.

use std::ops::Deref;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;

use intrusive_waitlist::CounterList;

use crate::dump::Site;
use crate::error::FiberLimit;
use crate::home::wake_all;
use crate::latch::{self, Awaited, Wait};
use crate::worker::Worker;

/// A count that goes down to zero once; whoever waits goes on at zero.
///
/// Fibers and plain threads may wait side by side, and on the same counter as jobs of different
/// runtimes. Two words and no allocation; a waiter may free it as soon as its wait returns.
///
/// # Examples
///
/// ```
/// use rustfiber::{Counter, scope};
///
/// let all_loaded = Counter::new(3);
/// scope(|s| {
///     for part in ["mesh", "sound", "script"] {
///         let all_loaded = &all_loaded;
///         s.spawn(move || {
///             let loaded = part.len(); // each loads its own part,
///             all_loaded.done();
///             all_loaded.wait(); // and links it when all are there
///             assert!(loaded > 0);
///         });
///     }
/// });
/// ```
#[derive(Debug)]
pub struct Counter {
    list: CounterList,
}

impl Counter {
    /// Creates a counter of `count` outstanding things.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Counter { list: CounterList::new(count) }
    }

    /// Adds `count` things. Only somebody who holds an outstanding count may add.
    ///
    /// # Panics
    ///
    /// Panics after the counter has reached zero.
    pub fn add(&self, count: usize) {
        self.list.add(count);
    }

    /// Takes one count off; at zero, wakes everybody who waits.
    ///
    /// # Panics
    ///
    /// Panics if the counter is zero already.
    pub fn done(&self) {
        wake_all(self.list.done());
    }

    /// Takes charge of one outstanding count: the ticket takes it off when it is dropped, so that a
    /// panic cannot leave the waiters hanging. It adds nothing: create the counter with the count.
    pub fn ticket(&self) -> Ticket<'_> {
        Ticket { counter: CounterRef::Borrowed(self) }
    }

    /// Takes charge of one outstanding count, for a job that may borrow nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustfiber::{Counter, spawn};
    /// use std::sync::Arc;
    ///
    /// let counter = Arc::new(Counter::new(10));
    /// for _ in 0..10 {
    ///     let ticket = Arc::clone(&counter).ticket_owned();
    ///     spawn(move || drop(ticket));
    /// }
    /// counter.wait();
    /// ```
    pub fn ticket_owned(self: Arc<Self>) -> Ticket<'static> {
        Ticket { counter: CounterRef::Owned(self) }
    }

    /// Waits until the count is zero.
    ///
    /// # Panics
    ///
    /// Panics with [`FiberLimit`]'s message if the job has no fiber, because no stack was to be
    /// had; [`Counter::try_wait`] returns it.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or blocks the plain thread. Where the job must not suspend (inside
    /// [`without_suspending`](crate::without_suspending), or while panicking) it runs the jobs
    /// spawned with [`Scope::spawn_counted`](crate::Scope::spawn_counted) on this counter that have
    /// not started, and then blocks the thread; if one of them is suspended on this very worker,
    /// which can now never resume it, the process aborts with a report.
    #[track_caller]
    #[inline(always)] // no frame between the caller and the switch; see `worker::suspend`
    pub fn wait(&self) {
        if self.list.is_done() {
            return;
        }
        let site = Location::caller();
        match Worker::current() {
            Some(worker) if worker.can_suspend() => {
                worker.run_or_suspend_until(&self.list, &self.wait_at(site));
            }
            _ => self.wait_otherwise(site),
        }
    }

    /// Waits where no fiber can suspend.
    #[cold]
    fn wait_otherwise(&self, site: Site) {
        if let Err(limit) = self.try_wait_at(site) {
            panic!("FiberLimit: {limit}");
        }
    }

    fn wait_at(&self, site: Site) -> Wait {
        Wait { what: Awaited::Counter(ptr::from_ref(self).addr()), site }
    }

    /// Waits until the count is zero, unless the job cannot wait.
    ///
    /// # Errors
    ///
    /// When the job has no fiber, because no stack was to be had, and the count is not zero.
    ///
    /// # Blocking
    ///
    /// As [`Counter::wait`].
    #[track_caller]
    pub fn try_wait(&self) -> Result<(), FiberLimit> {
        self.try_wait_at(Location::caller())
    }

    fn try_wait_at(&self, site: Site) -> Result<(), FiberLimit> {
        if self.list.is_done() {
            return Ok(());
        }
        if let Some(limit) = Worker::current().and_then(Worker::fiber_limit) {
            return Err(limit);
        }
        latch::wait(&self.list, &self.wait_at(site));
        Ok(())
    }

    /// Returns the outstanding count at some moment during the call.
    #[must_use]
    pub fn value(&self) -> usize {
        self.list.value()
    }
}

/// One outstanding count, taken off on drop.
#[must_use = "a ticket that is dropped at once takes its count off at once"]
#[derive(Debug)]
pub struct Ticket<'counter> {
    counter: CounterRef<'counter>,
}

#[derive(Debug)]
enum CounterRef<'counter> {
    Borrowed(&'counter Counter),
    Owned(Arc<Counter>),
}

impl Deref for CounterRef<'_> {
    type Target = Counter;

    fn deref(&self) -> &Counter {
        match self {
            CounterRef::Borrowed(counter) => counter,
            CounterRef::Owned(counter) => counter,
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.counter.done();
    }
}
