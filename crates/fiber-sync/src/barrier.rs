//! So many go on together.

use std::fmt;
use std::mem;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;

use crate::blocker::Primitive;
use crate::primitive::{AtomicU64, Ordering, const_fn};
use crate::wait::{self, Limit};

/// A place where a number of fibers, threads and tasks wait for each other, again and again.
///
/// 56 bytes; waiting allocates nothing.
///
/// # Examples
///
/// ```
/// use fiber_sync::Barrier;
///
/// let barrier = Barrier::new(3);
/// let leaders = std::thread::scope(|s| {
///     let threads = [(); 3].map(|()| s.spawn(|| barrier.wait().is_leader()));
///     threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|&leads| leads).count()
/// });
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    /// How often the barrier has opened, modulo 2³²; below, how many have arrived since.
    state: AtomicU64,
    /// At least 1.
    count: u32,
    queue: WaitQueue,
}

/// What [`Barrier::wait`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Tells whether this is the one, among those who went on together, that arrived last.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

const WHAT: Primitive = Primitive::Barrier;

const fn state(generation: u32, arrived: u32) -> u64 {
    (generation as u64) << 32 | arrived as u64
}

fn generation(state: u64) -> u32 {
    (state >> 32) as u32
}

fn arrived(state: u64) -> u32 {
    state as u32
}

impl Barrier {
    const_fn! {
        /// Creates a barrier that opens for `count` at a time; 0 is taken for 1.
        ///
        /// # Panics
        ///
        /// Panics if `count` exceeds `u32::MAX`.
        #[must_use]
        pub const fn new(count: usize) -> Self {
            assert!(count <= u32::MAX as usize, "Barrier::new: the count exceeds u32::MAX");
            let count = if count == 0 { 1 } else { count as u32 };
            Barrier { state: AtomicU64::new(state(0, 0)), count, queue: WaitQueue::new(0) }
        }
    }

    /// Waits until the barrier's number has arrived. What any of them did before is seen by all.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        match self.wait_within(Limit::Never) {
            Some(result) => result,
            None => unreachable!("without a limit"),
        }
    }

    /// As [`Barrier::wait`], for tasks. The task arrives with the first poll.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the arrival back, unless the barrier has opened.
    pub async fn wait_async(&self) -> BarrierWaitResult {
        let Some(arrival) = self.arrive() else { return BarrierWaitResult { is_leader: true } };
        wait::until_async(&self.queue, || arrival.is_over()).await;
        mem::forget(arrival);
        BarrierWaitResult { is_leader: false }
    }

    /// As [`Barrier::wait`], but gives up after `timeout`: `None`, and the arrival is taken back.
    ///
    /// # Blocking
    ///
    /// As [`Barrier::wait`], for at most about `timeout`.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<BarrierWaitResult> {
        self.wait_within(Limit::After(timeout))
    }

    /// As [`Barrier::wait_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`Barrier::wait`], at most until about `deadline`.
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> Option<BarrierWaitResult> {
        self.wait_within(Limit::At(deadline))
    }

    #[track_caller]
    fn wait_within(&self, limit: Limit) -> Option<BarrierWaitResult> {
        let Some(arrival) = self.arrive() else {
            return Some(BarrierWaitResult { is_leader: true });
        };
        let is_over = wait::until(&self.queue, WHAT, limit, || arrival.is_over());
        // Of the last arrival and this retreat one comes first.
        let is_over = is_over || !arrival.take_back();
        mem::forget(arrival);
        is_over.then_some(BarrierWaitResult { is_leader: false })
    }

    /// Arrives. `None`: as the last, which has opened the barrier.
    fn arrive(&self) -> Option<Arrival<'_>> {
        // ORDERING: AcqRel; who arrives passes on what it did, and the last receives it from all
        // and passes it on to those who see the barrier open.
        let arrive = |before| {
            let is_last = arrived(before) + 1 == self.count;
            Some(if is_last { state(generation(before).wrapping_add(1), 0) } else { before + 1 })
        };
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, arrive);
        let before = before.unwrap_or_else(|state| state);
        if arrived(before) + 1 < self.count {
            return Some(Arrival { barrier: self, generation: generation(before) });
        }
        self.queue.wake_all();
        None
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrived = arrived(self.state.load(Ordering::Relaxed));
        f.debug_struct("Barrier")
            .field("count", &self.count)
            .field("arrived", &arrived)
            .finish_non_exhaustive()
    }
}

/// Somebody who has arrived, and was not the last. Taken back when dropped.
struct Arrival<'a> {
    barrier: &'a Barrier,
    generation: u32,
}

impl Arrival<'_> {
    /// Tells whether the barrier has opened.
    fn is_over(&self) -> bool {
        // ORDERING: Acquire, pairs with the last arrival.
        generation(self.barrier.state.load(Ordering::Acquire)) != self.generation
    }

    /// Returns false if the barrier has opened.
    fn take_back(&self) -> bool {
        let leave = |state| (generation(state) == self.generation).then(|| state - 1);
        // ORDERING: Acquire on failure, as in `is_over`.
        self.barrier.state.fetch_update(Ordering::Relaxed, Ordering::Acquire, leave).is_ok()
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.take_back();
    }
}
