#![doc = include_str!("README.md")]

mod park_slot;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::primitive::{AtomicU64, AtomicUsize, Ordering, fence};

use park_slot::{AWAKE, CLAIMED, PARKED, WOKEN_AS_SEARCHER};
pub use park_slot::{GenericParker, Park, ParkSlot};

/// Workers woken by one searcher that found work while more is in sight.
const WAKES_ON_FOUND: usize = 2;

/// Who sleeps, who searches, and who wakes whom.
pub struct Sleep {
    slots: Box<[Arc<ParkSlot>]>,
    /// One bit a worker, lowest first: set while the worker may be claimed by a wake for a job.
    parked: Box<[CachePadded<AtomicU64>]>,
    searchers: CachePadded<AtomicUsize>,
}

/// Why [`Sleep::park`] returned.
#[must_use = "a searcher must end its search with `found` or `park`"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awake {
    /// The last look found something. The worker is a searcher.
    Cancelled,
    /// A job needs a worker. The worker is a searcher.
    ForAJob,
    /// Something was addressed to this worker alone. It is not a searcher.
    ForItself,
    /// The deadline has come. The worker is not a searcher.
    InTime,
}

impl Sleep {
    /// Creates the sleeping place of `slots.len()` workers, in order of rank: wakes for jobs go to
    /// the lowest parked index.
    #[must_use]
    pub fn new(slots: Vec<Arc<ParkSlot>>) -> Self {
        let words = slots.len().div_ceil(64);
        Sleep {
            slots: slots.into(),
            parked: (0..words).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
            searchers: CachePadded::new(AtomicUsize::new(0)),
        }
    }

    /// Announces that the calling worker searches for a job.
    pub fn start_search(&self) {
        // ORDERING: Relaxed: a pusher that misses the new searcher only wakes one more.
        self.searchers.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the calling worker's search, because it has something to do.
    ///
    /// If it was the last searcher, and somebody is parked, `leave` is called: it must close the
    /// gates of all rings, and tells whether work is in sight. Whoever is needed for that is woken,
    /// or for what other workers that are awake may have pushed unseen.
    pub fn found(&self, leave: impl FnOnce() -> bool) {
        if !self.stop_searching() || self.claimable() == 0 {
            return;
        }
        let in_sight = leave();
        // ORDERING: SeqCst fence, pairs with the one in `park`: a worker that is seen parked here
        // sees its gate closed when it runs again.
        fence(Ordering::SeqCst);
        if in_sight {
            self.wake_up_to(WAKES_ON_FOUND);
        } else if self.claimable() + 1 < self.slots.len() {
            // PROGRESS: others run, and may have pushed before they could see their gate closed.
            // Who is woken looks with a barrier before it sleeps again.
            self.wake_up_to(1);
        }
    }

    /// Returns how many workers a wake for a job may claim.
    fn claimable(&self) -> usize {
        let bits = |word: &CachePadded<AtomicU64>| word.load(Ordering::Relaxed).count_ones();
        self.parked.iter().map(bits).sum::<u32>() as usize
    }

    /// Wakes a worker, if a job was made visible, nobody searches, and somebody sleeps.
    #[inline]
    pub fn notify_job(&self) {
        // ORDERING: SeqCst fence, pairs with those in `park` and `stop_searching`: either this sees
        // the sleeper (or that the searcher is gone), or they see the job.
        // PROGRESS: so a job is never published past a searcher or sleeper that looks no more.
        fence(Ordering::SeqCst);
        if self.searchers.load(Ordering::Relaxed) == 0 {
            self.wake_up_to(1);
        }
    }

    /// Blocks the calling worker until it is woken, unless `look` sees something.
    ///
    /// The caller must be a searcher. `look` is called after the announcement, and is told whether
    /// the caller was the last searcher. It must look at everything that is addressed to this
    /// worker (its inbox, stop flags); the last searcher's also at all queues.
    ///
    /// # Blocking
    ///
    /// Blocks the OS thread.
    pub fn park(&self, worker: usize, look: impl FnOnce(bool) -> bool) -> Awake {
        self.park_until(worker, None, look)
    }

    /// As [`Sleep::park`], and returns at the deadline, if there is one.
    ///
    /// # Blocking
    ///
    /// Blocks the OS thread, at most until about the deadline.
    pub fn park_until(
        &self,
        worker: usize,
        deadline: Option<Instant>,
        look: impl FnOnce(bool) -> bool,
    ) -> Awake {
        let slot = &self.slots[worker];
        let (word, bit) = self.bit_of(worker);
        slot.state.store(PARKED, Ordering::Relaxed);
        // ORDERING: Release, pairs with the Acquire in `claim`: who sees the bit sees PARKED.
        word.fetch_or(bit, Ordering::Release);
        let is_last = self.stop_searching(); // its fence orders the announcement before the look
        let is_needed = look(is_last);
        let reason = match deadline {
            _ if is_needed && slot.cancel() => AWAKE,
            Some(deadline) if !is_needed => slot.block_until(deadline).unwrap_or(AWAKE),
            _ => slot.block_until_woken(),
        };
        word.fetch_and(!bit, Ordering::Relaxed);
        slot.state.store(AWAKE, Ordering::Relaxed);
        // ORDERING: SeqCst fence, pairs with the one in `found`: the bit is cleared before this
        // worker's next push looks at its gate.
        fence(Ordering::SeqCst);
        match reason {
            WOKEN_AS_SEARCHER => Awake::ForAJob,
            // PROGRESS: also if it was woken for itself meanwhile: pushers may have counted on the
            // last searcher, who hands on what it has seen, or not looked for, in `found`.
            _ if is_needed => {
                self.start_search();
                Awake::Cancelled
            }
            // PROGRESS: as for itself. A waker for a job that found the announcement taken back has
            // gone on to the next; this worker looks at everything before it parks again.
            AWAKE => Awake::InTime,
            _ => Awake::ForItself,
        }
    }

    /// Wakes every parked worker for itself: used when all must look at a stop flag.
    pub fn wake_all(&self) {
        for slot in &self.slots {
            slot.wake();
        }
    }

    /// Returns how many workers are parked at some moment during the call.
    #[must_use]
    pub fn parked_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_parked()).count()
    }

    /// Takes the caller off the count of searchers. True: it was the last, and must look for work
    /// that pushers left to it.
    fn stop_searching(&self) -> bool {
        // ORDERING: AcqRel, pairs with itself in other searchers: the last one sees the bits of
        // those that parked before it, and so whom it can wake.
        let before = self.searchers.fetch_sub(1, Ordering::AcqRel);
        if cfg!(any(debug_assertions, loom)) {
            assert_ne!(before, 0, "a search ended that nobody had started");
        }
        // ORDERING: SeqCst fence, pairs with the one in `notify_job`.
        // PROGRESS: a pusher that still counted on this searcher has its job seen after this.
        fence(Ordering::SeqCst);
        before == 1
    }

    /// Wakes up to `count` parked workers as searchers, in order of rank.
    #[cold]
    fn wake_up_to(&self, count: usize) {
        let mut left = count;
        for (index, word) in self.parked.iter().enumerate() {
            let mut bits = word.load(Ordering::Relaxed);
            while bits != 0 && left != 0 {
                let worker = index * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                left -= usize::from(self.claim(worker));
            }
        }
    }

    /// Wakes `worker` as a searcher, if its bit is still set and nobody else wakes it.
    fn claim(&self, worker: usize) -> bool {
        let (word, bit) = self.bit_of(worker);
        // ORDERING: Acquire, pairs with the Release in `park`: the state is PARKED or later.
        if word.fetch_and(!bit, Ordering::Acquire) & bit == 0 {
            return false;
        }
        let slot = &self.slots[worker];
        // ORDERING: Relaxed: CLAIMED publishes nothing; the job's own queue does.
        let claim =
            slot.state.compare_exchange(PARKED, CLAIMED, Ordering::Relaxed, Ordering::Relaxed);
        if claim.is_err() {
            return false;
        }
        // The sleeper waits out CLAIMED, so it is counted before it can end its search.
        self.start_search();
        slot.finish_wake(WOKEN_AS_SEARCHER);
        true
    }

    fn bit_of(&self, worker: usize) -> (&AtomicU64, u64) {
        (&self.parked[worker / 64], 1 << (worker % 64))
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("workers", &self.slots.len())
            .field("parked", &self.parked_count())
            .field("searchers", &self.searchers.load(Ordering::Relaxed))
            .finish()
    }
}
