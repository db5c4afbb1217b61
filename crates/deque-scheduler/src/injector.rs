//! The queue for submissions from outside: first in, first out, shared by all workers.

use crossbeam_deque::{Injector as Queue, Steal, Worker};

use crate::job::Job;

/// Jobs submitted by threads that are not workers.
pub(crate) struct Injector(Queue<Job>);

impl Injector {
    pub(crate) fn new() -> Self {
        Injector(Queue::new())
    }

    pub(crate) fn push(&self, job: Job) {
        self.0.push(job);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many jobs there are, or were a moment ago.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the oldest job.
    #[inline]
    pub(crate) fn take(&self) -> Option<Job> {
        self.retry(Queue::steal)
    }

    /// Takes the oldest job, and puts some that follow into `loot`, in their order: at most half of
    /// the queue, and `max` with the first.
    #[inline]
    pub(crate) fn take_batch(&self, hands: &Hands, max: usize, loot: &mut Vec<Job>) -> Option<Job> {
        let first = self.retry(|queue| queue.steal_batch_with_limit_and_pop(&hands.0, max));
        loot.extend(std::iter::from_fn(|| hands.0.pop()));
        first
    }

    #[inline]
    fn retry(&self, steal: impl Fn(&Queue<Job>) -> Steal<Job>) -> Option<Job> {
        // Without the fence that a steal begins with: this is asked at each yield.
        if self.0.is_empty() {
            return None;
        }
        loop {
            match steal(&self.0) {
                Steal::Success(job) => return Some(job),
                Steal::Empty => return None,
                // PROGRESS: somebody else took a job meanwhile.
                Steal::Retry => std::hint::spin_loop(),
            }
        }
    }
}

/// Where the queue puts what a worker takes at once. Empty between calls.
pub(crate) struct Hands(Worker<Job>);

impl Hands {
    pub(crate) fn new() -> Self {
        Hands(Worker::new_fifo())
    }
}
