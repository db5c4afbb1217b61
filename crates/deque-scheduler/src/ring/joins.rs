//! The ring of second halves of open `join`s: each is taken back by its place.

use std::fmt;
use std::ptr;
use std::sync::Arc;

use super::owner::{Owner, Push};
use super::{Ring, Share};
use crate::barrier::Barrier;
use crate::job::Job;
use crate::primitive::{Ordering, fence};

/// The owner's side of a ring whose jobs are wanted back.
///
/// The private range holds open joins of the running fiber only; so before another fiber runs, call
/// [`Joins::hand_over`]. What was handed over is taken by anybody, also by this worker, with
/// [`Ring::steal`], oldest first: the place of a join that is open is never used again.
pub struct Joins(Owner);

/// Where a join's job lies, until it is taken back.
#[derive(Debug)]
#[must_use = "a join's job must be taken back before its frame ends"]
pub struct Place(u64);

/// Whether a join got its job back.
#[must_use = "a job taken back must be run or dropped by the caller"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeBack {
    /// Nobody has it, and nobody will.
    Mine,
    /// Somebody has taken it, and runs it.
    Stolen,
}

impl Joins {
    /// Creates an empty ring with room for `capacity` jobs, which it doubles when it is full.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is not a power of two above one.
    #[must_use]
    pub fn new(capacity: usize, barrier: Barrier) -> Self {
        Joins(Owner::new(Share::One, capacity, barrier))
    }

    /// Returns the thieves' side.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        self.0.ring()
    }

    /// Pushes a job, to be taken back from its place.
    #[inline(always)]
    pub fn push(&self, job: Job) -> (Place, Push) {
        let (index, push) = self.0.push(job);
        (Place(index), push)
    }

    /// Takes the job at `place` back.
    ///
    /// # Safety
    ///
    /// The place comes from a push on this ring.
    #[inline(always)]
    pub unsafe fn take_back(&self, place: Place) -> TakeBack {
        let (ring, index) = (&**self.0.ring(), place.0);
        let top = ring.owner.top.load(Ordering::Relaxed);
        // O0. Others lie above: of fibers that suspended inside their joins, or that the job made.
        if top.wrapping_sub(1) != index {
            return self.claim(index, top);
        }
        // O1. ORDERING: Release, pairs with the Acquire in `force` (F7): whoever sees this index
        // sees the slots below it.
        ring.owner.top.store(index, Ordering::Release);
        ring.barrier.light(); // O2
        // O3. A thief whose raise is not seen here sees O1 after its barrier.
        if index >= ring.bounds.limit.load(Ordering::Relaxed) {
            return TakeBack::Mine;
        }
        self.take_back_slow(index) // O4
    }

    /// The job at `index` was the newest, and may be public.
    #[cold]
    #[inline(never)]
    fn take_back_slow(&self, index: u64) -> TakeBack {
        let ring = self.0.ring();
        if !ring.barrier.is_asymmetric() {
            // ORDERING: SeqCst fence, pairs with the one in `heavy`: this is the O2 of fenced mode.
            fence(Ordering::SeqCst);
            if index >= ring.bounds().limit.load(Ordering::Relaxed) {
                return TakeBack::Mine;
            }
        }
        self.claim(index, index + 1)
    }

    /// Decides under the lock. Leaves a tombstone, and drops those that no job lies above.
    #[cold]
    #[inline(never)]
    fn claim(&self, index: u64, top: u64) -> TakeBack {
        let ring = &**self.0.ring();
        self.0.lock();
        let (head, split) = ring.range();
        let outcome = if index < head {
            TakeBack::Stolen
        } else {
            // SAFETY: the owner has the lock, and nobody has taken the job.
            unsafe { ring.set_word(index, ptr::null_mut()) };
            TakeBack::Mine
        };
        let mut top = top;
        // SAFETY: the owner has the lock, and the index is in the range.
        while top > head && unsafe { ring.word(top - 1) }.is_null() {
            top -= 1;
        }
        let split = split.min(top);
        // ORDERING: Release, pairs with the Acquire in `force` (F7), as O1, which this may undo.
        ring.owner.top.store(top, Ordering::Release);
        self.0.set_limit(split); // undoes a raise that came to nothing
        ring.set_range(head, split);
        ring.unlock();
        outcome
    }

    /// Publishes if somebody is hungry: now and then in a job that pushes nothing.
    #[inline]
    pub fn serve(&self) -> Push {
        self.0.serve()
    }

    /// Makes all private jobs public: before another fiber of this worker runs.
    #[inline(always)]
    pub fn hand_over(&self) -> Push {
        self.0.hand_over()
    }
}

impl fmt::Debug for Joins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Joins").field(self.0.ring()).finish()
    }
}
