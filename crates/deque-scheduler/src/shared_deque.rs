//! One worker's jobs: two deques, both visible to thieves.
//!
//! *Joins* hold the second halves of open `join`s. Their tokens point into frames, so each token is
//! stolen alone and run at once, and its owner can tell for sure whether it is still here.
//! *Spawns* hold jobs that own their memory.

use std::cell::RefCell;
use std::iter;
use std::ptr::NonNull;

use crossbeam_deque::{Steal, Stealer, Worker};

use crate::job::Job;

/// The owner's side.
pub(crate) struct OwnDeques {
    joins: Worker<Job>,
    spawns: Worker<Job>,
    /// Tokens lifted while a buried one is looked for; kept for its capacity.
    lifted: RefCell<Vec<Job>>,
}

/// Whether a `join` got its second half back.
#[must_use = "a job taken back must be run or dropped by the caller"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeBack {
    /// The newest job: nobody had touched it.
    Top,
    /// Below jobs of other fibers, which stay queued (and were out of sight for a moment).
    Buried,
    /// A thief or another fiber of this worker has it.
    Taken,
}

impl OwnDeques {
    pub(crate) fn new() -> Self {
        OwnDeques {
            joins: Worker::new_lifo(),
            spawns: Worker::new_lifo(),
            lifted: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn stealers(&self) -> Stealers {
        Stealers { joins: self.joins.stealer(), spawns: self.spawns.stealer() }
    }

    #[inline]
    pub(crate) fn push_join(&self, job: Job) {
        self.joins.push(job);
    }

    #[inline]
    pub(crate) fn push_spawn(&self, job: Job) {
        self.spawns.push(job);
    }

    /// Takes the newest job.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Job> {
        self.joins.pop().or_else(|| self.spawns.pop())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.spawns.is_empty()
    }

    /// Takes the join made from `wanted` out, wherever it lies.
    #[inline]
    pub(crate) fn take_back(&self, wanted: NonNull<()>) -> TakeBack {
        match self.joins.pop() {
            None => TakeBack::Taken,
            Some(job) if job.is(wanted) => TakeBack::Top,
            Some(other) => self.take_buried(other, wanted),
        }
    }

    /// Lifts the jobs above `wanted`, and puts them back in order.
    #[cold]
    fn take_buried(&self, top: Job, wanted: NonNull<()>) -> TakeBack {
        let mut lifted = self.lifted.borrow_mut();
        let mut found = TakeBack::Taken;
        for job in iter::once(top).chain(iter::from_fn(|| self.joins.pop())) {
            if job.is(wanted) {
                found = TakeBack::Buried;
                break;
            }
            lifted.push(job);
        }
        while let Some(job) = lifted.pop() {
            self.joins.push(job);
        }
        found
    }

    /// Takes a spawned job for which `wanted` holds, the newest first; the others stay in order.
    #[cold]
    pub(crate) fn take_spawn_where(&self, wanted: &dyn Fn(NonNull<()>) -> bool) -> Option<Job> {
        let mut lifted = self.lifted.borrow_mut();
        let mut found = None;
        while let Some(job) = self.spawns.pop() {
            if wanted(job.pointer()) {
                found = Some(job);
                break;
            }
            lifted.push(job);
        }
        while let Some(job) = lifted.pop() {
            self.spawns.push(job);
        }
        found
    }
}

/// Everybody else's side, and the owner's when it wants its oldest job.
pub(crate) struct Stealers {
    joins: Stealer<Job>,
    spawns: Stealer<Job>,
}

impl Stealers {
    pub(crate) fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.spawns.is_empty()
    }

    /// Takes the oldest job. One at a time, so that a stolen job is a started one: nobody who looks
    /// for an unstarted job misses it on its way from queue to queue.
    pub(crate) fn steal(&self) -> Option<Job> {
        until_decided(|| self.joins.steal()).or_else(|| self.steal_spawn())
    }

    /// Takes the oldest spawned job.
    pub(crate) fn steal_spawn(&self) -> Option<Job> {
        until_decided(|| self.spawns.steal())
    }
}

/// Repeats a steal that lost a race: each loss means that somebody else took a job.
pub(crate) fn until_decided(mut steal: impl FnMut() -> Steal<Job>) -> Option<Job> {
    loop {
        match steal() {
            Steal::Success(job) => return Some(job),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}
