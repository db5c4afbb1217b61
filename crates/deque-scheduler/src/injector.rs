//! The queue for submissions from outside: first in, first out, shared by all workers.

use crossbeam_deque::Injector as Queue;

use crate::job::Job;
use crate::shared_deque::until_decided;

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

    /// Takes the oldest job.
    #[inline]
    pub(crate) fn take(&self) -> Option<Job> {
        // Without the fence that a steal begins with: this is asked at each yield.
        if self.0.is_empty() {
            return None;
        }
        until_decided(|| self.0.steal())
    }
}
