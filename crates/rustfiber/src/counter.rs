//! A count of outstanding things that jobs wait on.

use std::ptr;

use intrusive_waitlist::CounterList;

use crate::home::wake_all;
use crate::latch;
use crate::worker::Worker;

/// A count that goes down to zero once; whoever waits goes on at zero.
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
    /// panic cannot leave the waiters hanging.
    pub fn ticket(&self) -> Ticket<'_> {
        Ticket { counter: self }
    }

    /// Waits until the count is zero.
    ///
    /// # Panics
    ///
    /// Panics with `FiberLimit` if the job runs without a fiber, because no stack was to be had.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or blocks the plain thread.
    pub fn wait(&self) {
        if self.list.is_done() {
            return;
        }
        let is_stuck = Worker::current().is_some_and(Worker::is_out_of_fibers);
        assert!(!is_stuck, "FiberLimit: no stack was left for a fiber, so this job cannot wait");
        let this_counter = ptr::from_ref(self).addr();
        latch::wait(&self.list, &|header| header.owners[1] == this_counter);
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
    counter: &'counter Counter,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.counter.done();
    }
}
