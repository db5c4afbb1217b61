//! The ring of jobs that own their memory: the newest is taken first, and nobody wants it back.

use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::owner::{Owner, Push};
use super::{BATCH_MAX, Ring, Share};
use crate::barrier::Barrier;
use crate::job::Job;
use crate::primitive::{AtomicU64, Ordering, fence};

/// The owner's side of a ring whose jobs anybody may run.
pub struct Spawns(Owner);

impl Spawns {
    /// Creates an empty ring with room for `capacity` jobs, which it doubles when it is full.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is not a power of two above one.
    #[must_use]
    pub fn new(capacity: usize, barrier: Barrier) -> Self {
        Spawns(Owner::new(Share::Half, capacity, barrier))
    }

    /// Returns the thieves' side.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        self.0.ring()
    }

    /// Pushes a job.
    #[inline(always)]
    pub fn push(&self, job: Job) -> Push {
        self.0.push(job).1
    }

    /// Takes the newest job.
    #[inline(always)]
    #[must_use]
    pub fn pop(&self) -> Option<Job> {
        let ring = &**self.0.ring();
        let top = ring.owner.top.load(Ordering::Relaxed);
        if top <= ring.bounds.limit.load(Ordering::Relaxed) {
            return if ring.is_empty(top) { None } else { self.pop_slow() };
        }
        let job = self.lift(top, &ring.bounds.limit, || ring.barrier.light());
        if job.is_some() { job } else { self.pop_slow() }
    }

    /// Takes the job below `top`, which was private; none if a thief may be taking it. `order`
    /// keeps the store of the new top before the load of the limit.
    #[inline(always)]
    fn lift(&self, top: u64, limit: &AtomicU64, order: impl FnOnce()) -> Option<Job> {
        let (ring, index) = (&**self.0.ring(), top - 1);
        // SAFETY: the owner, and the index is in use.
        let word = unsafe { ring.word(index) };
        // ORDERING: Release, as in `Joins::take_back` (O1).
        ring.owner.top.store(index, Ordering::Release);
        order();
        if index >= limit.load(Ordering::Relaxed) {
            // SAFETY: the index is above the range that a thief can take from.
            return unsafe { job(word) };
        }
        // ORDERING: Release, as above: the job is there again.
        ring.owner.top.store(top, Ordering::Release);
        None
    }

    #[cold]
    #[inline(never)]
    fn pop_slow(&self) -> Option<Job> {
        let ring = &**self.0.ring();
        let top = ring.owner.top.load(Ordering::Relaxed);
        if !ring.barrier.is_asymmetric() && top > ring.bounds().limit.load(Ordering::Relaxed) {
            // ORDERING: SeqCst fence, pairs with the one in `heavy`: this is fenced mode.
            let job = self.lift(top, &ring.bounds().limit, || fence(Ordering::SeqCst));
            if job.is_some() {
                return job;
            }
        }
        self.pop_locked(top)
    }

    /// Takes the newest job under the lock; when none is private, takes public ones back first.
    fn pop_locked(&self, mut top: u64) -> Option<Job> {
        let ring = &**self.0.ring();
        self.0.lock();
        let (head, mut split) = ring.range();
        if top == split {
            split -= (split - head).div_ceil(2).min(BATCH_MAX as u64);
        }
        let mut taken = None;
        while taken.is_none() && top > split {
            top -= 1;
            // SAFETY: the owner has the lock, and the index is in the range.
            let word = unsafe { ring.word(top) };
            // SAFETY: the index leaves the range before the lock is free again.
            taken = unsafe { job(word) };
        }
        // ORDERING: Release, as in `Joins::take_back` (O1).
        ring.owner.top.store(top, Ordering::Release);
        self.0.set_limit(split);
        ring.set_range(head, split);
        ring.unlock();
        taken
    }

    /// Takes the oldest job, also a private one.
    #[cold]
    #[must_use]
    pub fn take_oldest(&self) -> Option<Job> {
        let ring = &**self.0.ring();
        self.0.lock();
        let top = ring.owner.top.load(Ordering::Relaxed);
        let (mut head, split) = ring.range();
        let mut taken = None;
        while taken.is_none() && head < top {
            // SAFETY: the owner has the lock, and the index is in the range.
            let word = unsafe { ring.word(head) };
            head += 1;
            // SAFETY: the index leaves the range before the lock is free again.
            taken = unsafe { job(word) };
        }
        self.0.set_limit(split.max(head));
        ring.set_range(head, split.max(head));
        ring.unlock();
        taken
    }

    /// Takes a job for which `wanted` holds, the newest of those; leaves a tombstone. Takes time
    /// linear in the jobs that are not wanted.
    #[cold]
    #[must_use]
    pub fn take_where(&self, wanted: &dyn Fn(NonNull<()>) -> bool) -> Option<Job> {
        let ring = &**self.0.ring();
        self.0.lock();
        let top = ring.owner.top.load(Ordering::Relaxed);
        let (head, split) = ring.range();
        // SAFETY: the owner has the lock, and the index is in the range.
        let word_at = |index: &u64| unsafe { ring.word(*index) };
        let is_wanted = |index: &u64| NonNull::new(word_at(index)).is_some_and(wanted);
        let taken = (head..top).rev().find(is_wanted).and_then(|index| {
            let word = word_at(&index);
            // SAFETY: the owner has the lock; no thief reads without it.
            unsafe { ring.set_word(index, ptr::null_mut()) };
            // SAFETY: a tombstone stands in its place.
            unsafe { job(word) }
        });
        self.0.set_limit(split); // undoes a raise that came to nothing
        ring.unlock();
        taken
    }

    /// Publishes if somebody is hungry: before each job that the worker runs.
    #[inline]
    pub fn serve(&self) -> Push {
        self.0.serve()
    }

    /// Makes all private jobs public: before the worker blocks, or takes no more jobs.
    pub fn hand_over(&self) -> Push {
        self.0.hand_over()
    }
}

/// Returns the job that a word stands for; none for a tombstone.
///
/// # Safety
///
/// The word is one of a ring's, and leaves it now.
pub(super) unsafe fn job(word: *mut ()) -> Option<Job> {
    // SAFETY: the word was a job's; as the caller vouches, it comes out once.
    NonNull::new(word).map(|pointer| unsafe { Job::new(pointer) })
}

impl fmt::Debug for Spawns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spawns").field(self.0.ring()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn token(number: usize) -> Job {
        let pointer = NonNull::new(ptr::without_provenance_mut(number)).unwrap();
        // SAFETY: the pointer is only compared.
        unsafe { Job::new(pointer) }
    }

    fn number(job: Job) -> usize {
        job.into_pointer().addr().get()
    }

    /// Makes rings of jobs one to six in all four states: private, public, and both, in two ways.
    fn rings(barrier: Barrier) -> impl Iterator<Item = Spawns> {
        [0, 3, 5, 6].into_iter().map(move |public| {
            let spawns = Spawns::new(2, barrier);
            for job in 1..=6 {
                let _ = spawns.push(token(job));
                if job == public {
                    let _ = spawns.hand_over();
                }
            }
            spawns
        })
    }

    fn pop_all(spawns: &Spawns) -> Vec<usize> {
        let mut jobs = Vec::new();
        // A range that holds only tombstones seems empty to the first of two pops.
        while spawns.ring().has_jobs() {
            jobs.extend(spawns.pop().map(number));
        }
        jobs
    }

    #[test]
    fn the_oldest_job_is_taken_wherever_it_lies() {
        for barrier in [Barrier::of_this_process(), Barrier::fenced()] {
            for spawns in rings(barrier) {
                for job in 1..=4 {
                    assert_eq!(spawns.take_oldest().map(number), Some(job));
                }
                let _ = spawns.push(token(7));
                assert_eq!(pop_all(&spawns), [7, 6, 5]);
                assert_eq!(spawns.take_oldest(), None);
            }
        }
    }

    #[test]
    fn a_wanted_job_is_taken_wherever_it_lies_and_no_other() {
        for barrier in [Barrier::of_this_process(), Barrier::fenced()] {
            for wanted in 1..=6 {
                for spawns in rings(barrier) {
                    let is_wanted = |job: NonNull<()>| job.addr().get() == wanted;
                    assert_eq!(spawns.take_where(&is_wanted).map(number), Some(wanted));
                    assert_eq!(spawns.take_where(&is_wanted), None);
                    let _ = spawns.push(token(7));
                    let left = (1..=7).rev().filter(|&job| job != wanted);
                    assert!(pop_all(&spawns).into_iter().eq(left));
                }
            }
        }
    }

    #[test]
    fn tombstones_are_no_jobs() {
        for spawns in rings(Barrier::of_this_process()) {
            (1..=6).for_each(|_| _ = spawns.take_where(&|_| true));
            assert_eq!(spawns.take_oldest(), None);
            assert_eq!((spawns.pop(), spawns.pop()), (None, None));
        }
    }

    #[test]
    fn jobs_that_come_later_do_not_count_as_there() {
        let spawns = Spawns::new(2, Barrier::of_this_process());
        let _ = (spawns.push(token(1)), spawns.push(token(2)));
        let end = spawns.ring().end();
        let _ = (spawns.push(token(3)), spawns.hand_over());
        for job in 1..=2 {
            assert!(spawns.ring().has_jobs_below(end));
            assert_eq!(spawns.take_oldest().map(number), Some(job));
        }
        assert!(!spawns.ring().has_jobs_below(end) && spawns.ring().has_jobs());
        assert!(spawns.pop().is_some() && !spawns.ring().has_jobs_below(u64::MAX));
    }
}
