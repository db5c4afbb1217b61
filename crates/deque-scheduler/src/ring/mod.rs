#![doc = include_str!("README.md")]

mod joins;
mod owner;
mod spawns;
mod thief;

use std::fmt;

use crossbeam_utils::CachePadded;

use crate::barrier::Barrier;
use crate::primitive::{AtomicU32, AtomicU64, Ordering, RacyCell};

pub use joins::{Joins, Place, TakeBack};
pub use owner::Push;
pub use spawns::Spawns;
pub use thief::{ThiefId, last_look};

/// Jobs that one steal takes, at most.
pub const BATCH_MAX: usize = 32;

/// The lock's word: nobody has the ring.
const FREE: u32 = 0;
/// Somebody moves `head` or `split`.
const LOCKED: u32 = 1;
/// Above this: the thief of this number, less this, waits in its barrier.
const IN_BARRIER: u32 = 2;

/// The gate's word: somebody is hungry.
const CLOSED: u64 = 0;

/// One word of the ring; null is a tombstone: its job was claimed in place.
///
/// Written by the owner, while no thief can have the index or under the lock; read by thieves under
/// the lock.
type Slot = RacyCell<*mut ()>;

/// One worker's jobs of one kind: `[head, split)` is public, `[split, top)` the owner's alone.
///
/// The owner's side is [`Joins`] or [`Spawns`]; what a `Ring` itself offers is everybody else's.
pub struct Ring {
    owner: CachePadded<OwnerWords>,
    /// What the owner's fast paths compare with. In fenced mode the comparisons always fail.
    bounds: CachePadded<Bounds>,
    /// The true bounds in fenced mode.
    fenced_bounds: CachePadded<Bounds>,
    public: CachePadded<PublicWords>,
    share: Share,
    barrier: Barrier,
}

/// How much of its private range an owner publishes when somebody is hungry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    One,
    Half,
}

/// Written by the owner at each push and pop.
struct OwnerWords {
    top: AtomicU64,
    /// Replaced by the owner, under the lock, when they are full.
    slots: RacyCell<Slots>,
}

/// The memory of a ring; as many slots as a power of two.
struct Slots {
    memory: Box<[Slot]>,
    /// One less than their number.
    mask: u64,
}

impl Slots {
    fn new(capacity: usize) -> Self {
        let memory = (0..capacity).map(|_| RacyCell::new(std::ptr::null_mut())).collect();
        Slots { memory, mask: capacity as u64 - 1 }
    }

    /// Returns the slot of `index`.
    #[inline(always)]
    fn at(&self, index: u64) -> &Slot {
        // SAFETY: the length is a power of two, so the mask keeps the place below it.
        unsafe { self.memory.get_unchecked((index & self.mask) as usize) }
    }
}

/// Written by slow paths and by thieves that ask or force; read by the owner at each push and pop.
struct Bounds {
    /// A push at this index or above has something to do: a demand, or room.
    gate: AtomicU64,
    /// A pop below this index must lock. At least `split`; above it only after a raise.
    limit: AtomicU64,
}

/// Written under the lock.
struct PublicWords {
    lock: AtomicU32,
    head: AtomicU64,
    split: AtomicU64,
    /// `split - head`, for thieves that only look.
    available: AtomicU64,
}

// SAFETY: `slots` is written by the owner under the lock, and read by it or under the lock; a slot
// is written by the owner and read as `Slot` says. A job may go to any thread.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// Creates an empty ring with room for `capacity` jobs, which it doubles when it is full.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is not a power of two above one.
    fn new(share: Share, capacity: usize, barrier: Barrier) -> Self {
        assert!(
            capacity.is_power_of_two() && capacity > 1,
            "a ring's capacity is a power of two above one, not {capacity}"
        );
        let open = Bounds::new(capacity as u64 - 1, 0);
        let never = Bounds::new(0, 0);
        let always = Bounds::new(CLOSED, u64::MAX);
        let (bounds, fenced_bounds) =
            if barrier.is_asymmetric() { (open, never) } else { (always, open) };
        Ring {
            owner: CachePadded::new(OwnerWords {
                top: AtomicU64::new(0),
                slots: RacyCell::new(Slots::new(capacity)),
            }),
            bounds: CachePadded::new(bounds),
            fenced_bounds: CachePadded::new(fenced_bounds),
            public: CachePadded::new(PublicWords {
                lock: AtomicU32::new(FREE),
                head: AtomicU64::new(0),
                split: AtomicU64::new(0),
                available: AtomicU64::new(0),
            }),
            share,
            barrier,
        }
    }

    /// Returns the bounds that are in force.
    fn bounds(&self) -> &Bounds {
        if self.barrier.is_asymmetric() { &self.bounds } else { &self.fenced_bounds }
    }

    /// Returns `head` and `split`; they hold still under the lock only.
    fn range(&self) -> (u64, u64) {
        let public = &self.public;
        (public.head.load(Ordering::Relaxed), public.split.load(Ordering::Relaxed))
    }

    /// Tells whether nothing is left below `top`, for the owner. Thieves may make it so at any
    /// time.
    #[inline(always)]
    fn is_empty(&self, top: u64) -> bool {
        let (head, split) = self.range();
        top <= split && head == split
    }

    /// Sets the public range; under the lock.
    fn set_range(&self, head: u64, split: u64) {
        // ORDERING: Release, pairs with the Acquire in `push_slow`: the slots below are read, so
        // they may be written again.
        self.public.head.store(head, Ordering::Release);
        self.public.split.store(split, Ordering::Relaxed);
        // ORDERING: Release, pairs with the Acquire in `has_public`.
        self.public.available.store(split - head, Ordering::Release);
    }

    fn unlock(&self) {
        // ORDERING: Release, pairs with the Acquire of the next lock: publishes the range and
        // slots.
        self.public.lock.store(FREE, Ordering::Release);
    }

    /// Returns the word at `index`.
    ///
    /// # Safety
    ///
    /// The caller is the owner or has the lock, and `index` is in `[head, top)`.
    #[inline(always)]
    unsafe fn word(&self, index: u64) -> *mut () {
        // SAFETY: as the caller vouches; whoever writes the slot is excluded by the same.
        let slot = unsafe { self.slot(index) };
        slot.with(|word| {
            // SAFETY: as above.
            unsafe { *word }
        })
    }

    /// Sets the word at `index`.
    ///
    /// # Safety
    ///
    /// The caller is the owner, and `index` is free, or in `[head, top)` with the lock held.
    #[inline(always)]
    unsafe fn set_word(&self, index: u64, to: *mut ()) {
        // SAFETY: the caller is the owner.
        let slot = unsafe { self.slot(index) };
        slot.with_mut(|word| {
            // SAFETY: no thief reads a free slot, nor one without the lock.
            unsafe { *word = to }
        });
    }

    /// # Safety
    ///
    /// The caller is the owner or has the lock.
    #[inline(always)]
    unsafe fn slot(&self, index: u64) -> &Slot {
        self.owner.slots.with(|slots| {
            // SAFETY: `slots` changes only when the owner replaces it, with the lock held.
            let slots = unsafe { &*slots };
            slots.at(index)
        })
    }
}

impl Bounds {
    fn new(gate: u64, limit: u64) -> Self {
        Bounds { gate: AtomicU64::new(gate), limit: AtomicU64::new(limit) }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, split) = self.range();
        let top = self.owner.top.load(Ordering::Relaxed);
        f.debug_struct("Ring")
            .field("head", &head)
            .field("split", &split)
            .field("top", &top)
            .finish_non_exhaustive()
    }
}
