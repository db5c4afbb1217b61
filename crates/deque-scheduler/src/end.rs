//! The end of a pool: once it was asked for and every job has finished, all workers leave.
//!
//! Jobs are counted without a word that all workers write: each worker counts what it has submitted
//! and what it has finished, whoever submits from outside counts in one word more, and the two sums
//! are compared only once the end was asked for.
//!
//! | word | written by | when |
//! |---|---|---|
//! | `submitted`, of each worker | that worker | E1 before it pushes a job |
//! | `injected` | anybody outside | E1 before a job is injected |
//! | `finished`, of each worker | that worker | E2 after a job of its has ended |
//! | `is_asked` | who ends the pool | E3 after all that it has injected |
//! | `has_come` | a worker that finds the sums equal | E4, with a wake for everybody |
//!
//! **No job is left behind.** A job is submitted by another one, or from outside before E3. Who
//! sees E3 sees the latter counted (Release, Acquire). Who sees that a job has finished sees
//! counted all that it submitted (E1 of those comes before its E2, which is a Release), and itself,
//! as it passed from its E1 to its E2 through a queue. The finished are summed first; so each one
//! that is in their sum is in the other sum too, with all its children, and if the sums are equal,
//! nothing else is. Then nobody is left who could submit.
//!
//! **Nobody sleeps on.** Each worker asks once more after it has announced that it parks, with a
//! fence between (K4 of [`sleep`](crate::sleep)) that comes after its last E2. Of all workers' last
//! fences one is the last: that worker sees all counts. If E3 comes later, it wakes everybody.
//! Who sees the sums equal sets `has_come` and wakes everybody, so that the others need not.
//!
//! Models: `tests/loom/end.rs`.

use crossbeam_utils::CachePadded;

use crate::primitive::{AtomicBool, AtomicU64, Ordering};
use crate::sleep::Sleep;

/// One worker's counts of jobs. Only that worker adds to them.
#[derive(Debug, Default)]
pub struct JobCounts {
    submitted: AtomicU64,
    finished: AtomicU64,
}

impl JobCounts {
    /// Counts a job that the worker is about to push.
    #[inline(always)]
    pub fn add_submitted(&self) {
        // E1. ORDERING: Release, pairs with the Acquire in `End::is_quiescent`.
        add_one(&self.submitted, Ordering::Release);
    }

    /// Counts a job that has ended on the worker.
    #[inline(always)]
    pub fn add_finished(&self) {
        // E2. ORDERING: Release, pairs with the Acquire in `End::is_quiescent`: passes on what the
        // job has submitted.
        add_one(&self.finished, Ordering::Release);
    }
}

/// Whether a pool is to end, and has.
#[derive(Debug, Default)]
pub struct End {
    injected: CachePadded<AtomicU64>,
    is_asked: AtomicBool,
    has_come: AtomicBool,
}

impl End {
    /// Makes the end of a pool that nobody has asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a job that is about to be injected.
    pub fn add_injected(&self) {
        // E1. ORDERING: Release, pairs with the Acquire in `is_quiescent`.
        self.injected.fetch_add(1, Ordering::Release);
    }

    /// Asks for the end: from now on only jobs submit jobs.
    pub fn ask(&self, sleep: &Sleep) {
        // E3. ORDERING: Release, pairs with the Acquire in `has_come`: publishes what was injected.
        self.is_asked.store(true, Ordering::Release);
        // PROGRESS: a worker that parks sees the flag in its last look, or is woken.
        sleep.wake_all();
    }

    /// Tells whether the workers, whose counts these are, shall leave. A worker asks before it
    /// parks, and in its last look.
    pub fn has_come<'a>(
        &self,
        workers: impl Iterator<Item = &'a JobCounts> + Clone,
        sleep: &Sleep,
    ) -> bool {
        // ORDERING: Acquire, pairs with the Release in `ask`: sees what was injected before.
        if !self.is_asked.load(Ordering::Acquire) {
            return false;
        }
        if !self.has_come.load(Ordering::Relaxed) {
            if !self.is_quiescent(workers) {
                return false;
            }
            // E4. PROGRESS: the others may have looked when the last job had not finished.
            self.has_come.store(true, Ordering::Relaxed);
            sleep.wake_all();
        }
        true
    }

    /// Tells whether every job has finished. Stable once the end was asked for.
    fn is_quiescent<'a>(&self, workers: impl Iterator<Item = &'a JobCounts> + Clone) -> bool {
        let sum = |pick: fn(&JobCounts) -> &AtomicU64| -> u64 {
            // ORDERING: Acquire, pairs with the Release of each count's writer.
            workers.clone().map(|counts| pick(counts).load(Ordering::Acquire)).sum()
        };
        let finished = sum(|counts| &counts.finished); // first: see above
        // ORDERING: Acquire, as above.
        let submitted = sum(|counts| &counts.submitted) + self.injected.load(Ordering::Acquire);
        finished == submitted
    }
}

/// Adds one to a word that only the caller writes.
#[inline(always)]
fn add_one(word: &AtomicU64, ordering: Ordering) {
    word.store(word.load(Ordering::Relaxed) + 1, ordering);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A job submits another one, which finishes at once on another worker, when the first of the
    /// two sums has been made.
    #[test]
    fn a_job_between_the_sums_is_no_end() {
        let (end, sleep) = (End::new(), Sleep::new(Vec::new()));
        let (counts, looks) = ([JobCounts::default(), JobCounts::default()], Cell::new(0));
        end.add_injected();
        end.ask(&sleep);
        let between_the_sums = |_: &&JobCounts| {
            looks.set(looks.get() + 1);
            if looks.get() == counts.len() + 1 {
                counts[0].add_submitted();
                counts[1].add_finished();
            }
        };
        assert!(!end.has_come(counts.iter().inspect(between_the_sums), &sleep));
        assert_eq!(looks.get(), 2 * counts.len());
        assert!(!end.has_come(counts.iter(), &sleep));
        counts[0].add_finished();
        assert!(end.has_come(counts.iter(), &sleep));
    }
}
