//! The queue for submissions from outside: first in, first out, shared by all workers.

use crossbeam_deque::{Injector as Queue, Steal};

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
        // Without the fence that a steal begins with: this is asked at each yield.
        if self.0.is_empty() {
            return None;
        }
        loop {
            match self.0.steal() {
                Steal::Success(job) => return Some(job),
                Steal::Empty => return None,
                // PROGRESS: somebody else took a job meanwhile.
                Steal::Retry => std::hint::spin_loop(),
            }
        }
    }
}
