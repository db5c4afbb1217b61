//! What one worker's scheduling has done so far; written by that worker, read by anybody.

use crate::primitive::{AtomicU64, Ordering};

/// Counts of one worker, since it started.
#[derive(Debug, Default)]
pub struct WorkerStats {
    steals: AtomicU64,
    parks: AtomicU64,
    wakes: AtomicU64,
}

impl WorkerStats {
    /// Successful steals from other workers; a batch counts once.
    #[must_use]
    pub fn steals(&self) -> u64 {
        self.steals.load(Ordering::Relaxed)
    }

    /// Times the worker blocked its thread.
    #[must_use]
    pub fn parks(&self) -> u64 {
        self.parks.load(Ordering::Relaxed)
    }

    /// Times another thread woke the worker.
    #[must_use]
    pub fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    pub(crate) fn add_steal(&self) {
        add(&self.steals);
    }

    pub(crate) fn add_park(&self) {
        add(&self.parks);
    }

    pub(crate) fn add_wake(&self) {
        add(&self.wakes);
    }
}

/// Adds one without a read-modify-write: each counter has one writer.
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
