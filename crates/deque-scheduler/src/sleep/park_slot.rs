//! One worker's sleeping place: a state word, and the parker that blocks its thread.

use std::fmt;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::primitive::{AtomicU32, Ordering, Signal, fence};

/// The worker runs, or is about to look once more.
pub(super) const AWAKE: u32 = 0;
/// The worker has announced that it sleeps.
pub(super) const PARKED: u32 = 1;
/// A wake for a job owns the sleeper, and is counting it as a searcher.
pub(super) const CLAIMED: u32 = 2;
/// Woken for something addressed to this worker.
pub(super) const WOKEN: u32 = 3;
/// Woken for a job, and counted as a searcher.
pub(super) const WOKEN_AS_SEARCHER: u32 = 4;

/// How a worker's thread blocks. Platform parkers implement this.
pub trait Park: Send + Sync {
    /// Blocks until [`Park::unpark`] has been called since the last return; may return early.
    fn park(&self);

    /// As [`Park::park`], and returns when `timeout` is over.
    fn park_timeout(&self, timeout: Duration);

    /// Lets one present or future [`Park::park`] return.
    fn unpark(&self);
}

/// The parker that works everywhere: a mutex and a condition variable.
#[derive(Default)]
pub struct GenericParker(Signal);

impl Park for GenericParker {
    fn park(&self) {
        self.0.wait_and_lower();
    }

    fn park_timeout(&self, timeout: Duration) {
        self.0.wait_and_lower_for(timeout);
    }

    fn unpark(&self) {
        self.0.raise();
    }
}

impl fmt::Debug for GenericParker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GenericParker")
    }
}

/// Where one worker sleeps.
///
/// A slot may outlive the scheduler it served: stray wakes of an awake slot do nothing.
pub struct ParkSlot {
    pub(super) state: CachePadded<AtomicU32>,
    parker: Box<dyn Park>,
}

impl ParkSlot {
    /// Creates the slot of an awake worker.
    #[must_use]
    pub fn new(parker: impl Park + 'static) -> Self {
        ParkSlot { state: CachePadded::new(AtomicU32::new(AWAKE)), parker: Box::new(parker) }
    }

    /// Wakes the worker if it sleeps, because something was published for it alone: its inbox, or a
    /// flag that its last look sees. Publish first, then call this.
    pub fn wake(&self) {
        // ORDERING: SeqCst fence, pairs with the one in `Sleep::park`: either this sees PARKED, or
        // the worker's last look sees what was published.
        // PROGRESS: so what was published before is never slept on.
        fence(Ordering::SeqCst);
        // ORDERING: Relaxed: WOKEN publishes nothing; the inbox does.
        let claim =
            self.state.compare_exchange(PARKED, WOKEN, Ordering::Relaxed, Ordering::Relaxed);
        if claim.is_ok() {
            self.parker.unpark();
        }
    }

    /// Tells whether the worker was asleep, or about to be, at some moment during the call.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PARKED
    }

    /// Ends a wake that went through CLAIMED.
    pub(super) fn finish_wake(&self, reason: u32) {
        // ORDERING: Release, pairs with the Acquire in `block_until_woken`: the worker may end its
        // search only after it was counted as a searcher.
        self.state.store(reason, Ordering::Release);
        self.parker.unpark();
    }

    /// Takes the announcement back. False: somebody is waking this worker already.
    pub(super) fn cancel(&self) -> bool {
        // ORDERING: Relaxed: nothing is published with the state.
        self.state.compare_exchange(PARKED, AWAKE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Blocks until a waker has decided, and returns its reason.
    pub(super) fn block_until_woken(&self) -> u32 {
        loop {
            // ORDERING: Acquire, pairs with the Release in `finish_wake`.
            match self.state.load(Ordering::Acquire) {
                // PROGRESS: every change to WOKEN or WOKEN_AS_SEARCHER is followed by an unpark.
                PARKED | CLAIMED => self.parker.park(),
                reason => return reason,
            }
        }
    }

    /// As [`ParkSlot::block_until_woken`], but takes the announcement back at the deadline, unless
    /// a waker has decided by then. None: the worker is awake again, and nobody has woken it.
    pub(super) fn block_until(&self, deadline: Instant) -> Option<u32> {
        while self.is_parked() {
            let left = deadline.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                // PROGRESS: as in `block_until_woken`, and ends in time.
                self.parker.park_timeout(left);
            } else if self.cancel() {
                return None;
            }
        }
        Some(self.block_until_woken())
    }
}

impl fmt::Debug for ParkSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkSlot").field("parked", &self.is_parked()).finish_non_exhaustive()
    }
}
