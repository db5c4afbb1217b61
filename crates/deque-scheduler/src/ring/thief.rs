//! Everybody else's side: look, ask, steal, and take by force what its owner does not publish.

use std::cell::Cell;
use std::marker::PhantomData;

use super::spawns::job;
use super::{BATCH_MAX, CLOSED, FREE, IN_BARRIER, LOCKED, Ring};
use crate::job::Job;
use crate::primitive::{AtomicU64, Ordering};

/// Tells a thief from the others: whose barrier it is that a lock waits for.
pub struct ThiefId {
    number: u32,
    /// Two threads must not use it at once.
    not_sync: PhantomData<Cell<()>>,
}

impl ThiefId {
    /// Makes the identity of a thief; a worker's index will do.
    ///
    /// # Safety
    ///
    /// No other thief of the same rings has the same number.
    ///
    /// # Panics
    ///
    /// Panics if the number is one of the two greatest.
    #[must_use]
    pub const unsafe fn new(number: u32) -> Self {
        assert!(number <= u32::MAX - IN_BARRIER, "the greatest numbers have another meaning");
        ThiefId { number, not_sync: PhantomData }
    }
}

impl Ring {
    /// Tells whether jobs are public, or were a moment ago.
    #[must_use]
    pub fn has_public(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `set_range`.
        self.public.available.load(Ordering::Acquire) != 0
    }

    /// Tells whether there are jobs, public or private. Certain only in [`last_look`].
    #[must_use]
    pub fn has_jobs(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release of each push.
        let top = self.owner.top.load(Ordering::Acquire);
        self.has_public() || top > self.public.split.load(Ordering::Relaxed)
    }

    /// Returns the end of what has been pushed, to be asked about later with
    /// [`Ring::has_jobs_below`].
    pub(crate) fn end(&self) -> u64 {
        // ORDERING: Acquire, pairs with the Release of each push.
        self.owner.top.load(Ordering::Acquire)
    }

    /// Tells whether jobs are left of those that were there when [`Ring::end`] returned `end`.
    pub(crate) fn has_jobs_below(&self, end: u64) -> bool {
        self.public.head.load(Ordering::Relaxed) < end && self.has_jobs()
    }

    /// Asks the owner to publish at its next push. For a searcher that found nothing public.
    pub fn ask(&self) {
        let gate = &self.bounds().gate;
        if gate.load(Ordering::Relaxed) != CLOSED {
            // A swap: its place among the owner's compare-and-swaps is certain.
            gate.swap(CLOSED, Ordering::Relaxed);
        }
    }

    /// Takes the oldest public jobs: half, at most `max` and at most [`BATCH_MAX`]; returns how
    /// many. None also when somebody else is at it.
    ///
    /// A thief on another thread than the owner's must be counted as a searcher.
    pub fn steal(&self, max: usize, into: &mut Vec<Job>) -> usize {
        if !self.has_public() {
            return 0;
        }
        let max = max.min(BATCH_MAX);
        into.reserve(max); // not under the lock
        if !self.try_lock(LOCKED) {
            return 0;
        }
        let (head, split) = self.range();
        let count = self.take(head, split, max, into);
        self.unlock();
        count
    }

    /// Takes the oldest jobs from the private range of an owner that does not answer; makes half of
    /// the range public, takes as [`Ring::steal`] does, and returns how many. None if there are
    /// public jobs, if somebody else is at it, or if the owner came to need the lock.
    ///
    /// The thief must be counted as a searcher. Costs a barrier over all threads of the process.
    pub fn force(&self, thief: &ThiefId, max: usize, into: &mut Vec<Job>) -> usize {
        let max = max.min(BATCH_MAX);
        into.reserve(max); // not under the lock
        let in_barrier = thief.number + IN_BARRIER;
        if !self.try_lock(in_barrier) {
            return 0; // F1
        }
        let lock = &self.public.lock;
        let (head, split) = self.range(); // F2
        let top = self.owner.top.load(Ordering::Relaxed);
        if head != split || top <= split {
            // ORDERING: Release, as in `unlock`. The owner may have taken the lock over.
            let _ = lock.compare_exchange(in_barrier, FREE, Ordering::Release, Ordering::Relaxed);
            return 0;
        }
        let goal = split + (top - split).div_ceil(2); // F3
        raise(&self.bounds().limit, goal); // F4
        self.barrier.heavy(); // F5
        // F6. ORDERING: Acquire, pairs with the Release in `unlock`. Failure: the owner took the
        // lock over, and this thief touches nothing more; its raise costs the owner one slow path.
        if lock.compare_exchange(in_barrier, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return 0;
        }
        // F7. ORDERING: Acquire, pairs with the Release of each push: the slots below are visible.
        let top = self.owner.top.load(Ordering::Acquire);
        let split = top.clamp(split, goal);
        let count = self.take(head, split, max, into); // F8
        self.unlock();
        count
    }

    /// Takes the oldest of `[head, split)` and sets the public range; under the lock.
    fn take(&self, mut head: u64, split: u64, max: usize, into: &mut Vec<Job>) -> usize {
        let wanted = max.min((split - head).div_ceil(2) as usize);
        let mut count = 0;
        while head < split && count < wanted {
            // SAFETY: the caller has the lock, and the index is in the public range.
            let word = unsafe { self.word(head) };
            // SAFETY: the index leaves the range before the lock is free again.
            let taken = unsafe { job(word) };
            head += 1;
            count += usize::from(taken.is_some());
            into.extend(taken);
        }
        self.set_range(head, split);
        count
    }

    /// Takes the lock if it is free.
    fn try_lock(&self, to: u32) -> bool {
        let lock = &self.public.lock;
        // ORDERING: Acquire, pairs with the Release in `unlock`.
        lock.load(Ordering::Relaxed) == FREE
            && lock.compare_exchange(FREE, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

/// The last searcher's look before it sleeps, after it has announced that it does: closes the gates
/// of all `rings`, and tells whether one of them has a job, also a private one.
///
/// What an owner pushes and this does not see meets a closed gate. All rings have the same barrier.
#[must_use]
pub fn last_look<'a>(rings: impl Iterator<Item = &'a Ring> + Clone) -> bool {
    rings.clone().for_each(Ring::ask); // L1
    if let Some(ring) = rings.clone().next() {
        ring.barrier.heavy(); // L2
    }
    rings.into_iter().any(Ring::has_jobs) // L3
}

/// Raises a bound; never lowers it, as the owner may have moved it on.
fn raise(bound: &AtomicU64, to: u64) {
    let mut seen = bound.load(Ordering::Relaxed);
    while seen < to {
        match bound.compare_exchange(seen, to, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}
