//! The queue for submissions from outside: first in, first out, shared by all workers.

use crossbeam_deque::Injector as Queue;

use crate::job::Job;
use crate::shared_deque::{OwnDeques, STEAL_BATCH_MAX, until_decided};

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

    /// Takes the oldest job, and moves some of those behind it to `own`.
    pub(crate) fn take_into(&self, own: &OwnDeques) -> Option<Job> {
        until_decided(|| own.take_batch(&self.0, STEAL_BATCH_MAX))
    }

    /// Takes the oldest job.
    pub(crate) fn take(&self) -> Option<Job> {
        until_decided(|| self.0.steal())
    }
}
