//! What a runtime's workers have done so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deque_scheduler::{JobCounts, WorkerStats as QueueStats};

use crate::clock::ticks_to_duration;

/// What a runtime has done so far: see [`Runtime::stats`](crate::Runtime::stats).
///
/// While the runtime works the figures are read one after the other, so they need not fit together
/// exactly; once it is idle they do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Each worker's own figures, by index.
    pub workers: Vec<WorkerStats>,
    /// Workers that were not parked.
    pub active_workers: usize,
}

impl Stats {
    /// Returns the sum over all workers; of the longest ready delay, the longest.
    #[must_use]
    pub fn total(&self) -> WorkerStats {
        let mut total = WorkerStats::default();
        for worker in &self.workers {
            total.jobs += worker.jobs;
            total.steals += worker.steals;
            total.suspensions += worker.suspensions;
            total.resumptions += worker.resumptions;
            total.parks += worker.parks;
            total.wakes += worker.wakes;
            total.fibers_created += worker.fibers_created;
            total.fibers_in_use += worker.fibers_in_use;
            total.fibers_peak += worker.fibers_peak;
            total.ready_delay_max = total.ready_delay_max.max(worker.ready_delay_max);
        }
        total
    }
}

/// What one worker has done since its runtime started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Jobs started from a queue. The half of a `join` that its own caller runs is not counted.
    pub jobs: u64,
    /// Jobs taken from other workers.
    pub steals: u64,
    /// Times a job left the worker to others, to wait or to yield.
    pub suspensions: u64,
    /// Times such a job went on.
    pub resumptions: u64,
    /// Times the worker announced that it sleeps; a few of these find work in the last look.
    pub parks: u64,
    /// Times another thread woke it.
    pub wakes: u64,
    /// Fibers begun. Stacks are used again, so there are fewer stacks than this.
    pub fibers_created: u64,
    /// Fibers that exist now: running, suspended, or kept for the next job.
    pub fibers_in_use: u64,
    /// The most fibers that existed at once. In a total: the sum of the workers' peaks, which need
    /// not have been at the same time.
    pub fibers_peak: u64,
    /// The longest time from a fiber's wake to its going on, by the processor's own clock. Of the
    /// wakes by a worker's jobs, one in eight is timed.
    pub ready_delay_max: Duration,
}

/// One worker's counts. Each word has one writer, that worker.
#[derive(Default)]
pub(crate) struct Counts {
    /// Root jobs (all but the halves of joins): by these a runtime finds its end.
    pub(crate) roots: JobCounts,
    pub(crate) jobs: AtomicU64,
    pub(crate) suspensions: AtomicU64,
    pub(crate) resumptions: AtomicU64,
    pub(crate) fibers_created: AtomicU64,
    pub(crate) fibers_ended: AtomicU64,
    pub(crate) fibers_peak: AtomicU64,
    /// In [`ticks`](crate::clock::ticks).
    pub(crate) ready_delay_max: AtomicU64,
}

impl Counts {
    pub(crate) fn add_fiber(&self) {
        add_one(&self.fibers_created, Ordering::Relaxed);
        raise(&self.fibers_peak, self.fibers_in_use());
    }

    pub(crate) fn fibers_in_use(&self) -> u64 {
        let ended = self.fibers_ended.load(Ordering::Relaxed);
        // Read by others, the two words may be of different moments.
        self.fibers_created.load(Ordering::Relaxed).saturating_sub(ended)
    }

    pub(crate) fn read(&self, queues: &QueueStats) -> WorkerStats {
        WorkerStats {
            jobs: self.jobs.load(Ordering::Relaxed),
            steals: queues.steals(),
            suspensions: self.suspensions.load(Ordering::Relaxed),
            resumptions: self.resumptions.load(Ordering::Relaxed),
            parks: queues.parks(),
            wakes: queues.wakes(),
            fibers_created: self.fibers_created.load(Ordering::Relaxed),
            fibers_in_use: self.fibers_in_use(),
            fibers_peak: self.fibers_peak.load(Ordering::Relaxed),
            ready_delay_max: ticks_to_duration(self.ready_delay_max.load(Ordering::Relaxed)),
        }
    }
}

/// Adds one to a word that only the caller writes.
pub(crate) fn add_one(word: &AtomicU64, ordering: Ordering) {
    word.store(word.load(Ordering::Relaxed) + 1, ordering);
}

/// Raises a word that only the caller writes.
pub(crate) fn raise(word: &AtomicU64, value: u64) {
    if value > word.load(Ordering::Relaxed) {
        word.store(value, Ordering::Relaxed);
    }
}
