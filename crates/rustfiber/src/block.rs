//! Memory of spawned jobs: blocks of one size that go round between the workers.
//!
//! A worker takes blocks from a list of its own, and whoever is done with one puts it on its own
//! worker's list, so a job that stays costs no allocation and no shared word. Where jobs move, one
//! worker's list fills while another's runs dry: lists pass each other full bundles through the
//! depot, one lock for so many jobs. A thread that is no worker has a list too, which it fills from
//! the depot of the runtime that it submits to. Blocks are plain heap memory and belong to no
//! runtime; what does not fit one goes to the allocator.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};

use parking_lot::Mutex;

use crate::worker::Worker;

/// A block: two cache lines, for a job whose closure, and result if it has a handle, have up to
/// ten words, or for a future of up to seven.
const BLOCK: Layout = match Layout::from_size_align(128, 16) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// Blocks that change hands at once.
const BUNDLE: usize = 64;

/// Bundles that the depot keeps, for each worker; more are freed.
const BUNDLES_PER_WORKER: usize = 64;

/// Under a sanitizer each job has memory of its own, so that a use after its end shows.
const IS_POOLED: bool = !cfg!(feature = "sanitizer");

/// A value in a block, or in memory of its own if it does not fit. Unlike a box's, its memory comes
/// from and goes to the worker that allocates or frees it.
pub(crate) struct Block<T> {
    value: NonNull<T>,
}

impl<T> Block<T> {
    const IS_POOLED: bool =
        IS_POOLED && size_of::<T>() <= BLOCK.size() && align_of::<T>() <= BLOCK.align();
    const LAYOUT: Layout = if Self::IS_POOLED { BLOCK } else { Layout::new::<T>() };

    /// Puts a value into a block of `worker`, which is the caller's if there is one; else of the
    /// calling thread, or of `depot`, if there is any.
    #[inline(always)]
    pub(crate) fn new(value: T, worker: Option<&Worker>, depot: Option<&Depot>) -> Self {
        let pooled = match worker {
            _ if !Self::IS_POOLED => None,
            Some(worker) => worker.blocks.take(Some(&worker.shared.blocks)),
            None => take_outside(depot),
        };
        let memory = pooled.unwrap_or_else(|| {
            // SAFETY: jobs have headers, so the size is not zero.
            let memory = unsafe { alloc(Self::LAYOUT) };
            NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(Self::LAYOUT))
        });
        let place = memory.cast::<T>();
        debug_assert!(place.is_aligned(), "a block for a value of another alignment");
        // SAFETY: the memory is fresh, and has `LAYOUT`, which is large and aligned enough.
        unsafe { place.write(value) };
        Block { value: place }
    }

    /// Gives up the block without freeing it.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        self.value
    }

    /// # Safety
    ///
    /// `value` is from [`Block::into_raw`], and this is called once.
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Self {
        Block { value }
    }

    /// Takes the value out, and frees the block on `worker`.
    pub(crate) fn into_inner(self, worker: &Worker) -> T {
        // SAFETY: the block holds a value, which is read once.
        let value = unsafe { self.value.read() };
        self.forget(Some(worker));
        value
    }

    /// Frees the block on `worker`, or without any, and does not drop the value.
    pub(crate) fn forget(self, worker: Option<&Worker>) {
        let memory = self.value.cast::<u8>();
        match worker {
            // SAFETY: every block of this type was allocated with this layout.
            _ if !Self::IS_POOLED => unsafe { dealloc(memory.as_ptr(), Self::LAYOUT) },
            Some(worker) => worker.blocks.give_back(memory, Some(&worker.shared.blocks)),
            None => give_back_outside(memory),
        }
    }
}

/// A free block, in a list.
struct Free {
    next: *mut Free,
}

/// Free blocks in a list of their own.
struct Bundle {
    first: *mut Free,
    count: usize,
}

// SAFETY: free blocks are nobody's but the bundle's.
unsafe impl Send for Bundle {}

impl Bundle {
    const EMPTY: Bundle = Bundle { first: ptr::null_mut(), count: 0 };

    fn push(&mut self, memory: NonNull<u8>) {
        let block = memory.cast::<Free>();
        // SAFETY: the block is free, and larger than a link.
        unsafe { block.write(Free { next: self.first }) };
        (self.first, self.count) = (block.as_ptr(), self.count + 1);
    }

    fn pop(&mut self) -> Option<NonNull<u8>> {
        let block = NonNull::new(self.first)?;
        // SAFETY: blocks in the list begin with a link.
        self.first = unsafe { block.as_ref() }.next;
        self.count -= 1;
        Some(block.cast())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        while let Some(memory) = self.pop() {
            // SAFETY: every block was allocated with this layout.
            unsafe { dealloc(memory.as_ptr(), BLOCK) };
        }
    }
}

/// One thread's free blocks: a bundle that it works with, and at most one full one beside it.
pub(crate) struct BlockList {
    open: RefCell<Bundle>,
    full: Cell<Option<Bundle>>,
}

impl BlockList {
    pub(crate) const fn new() -> Self {
        BlockList { open: RefCell::new(Bundle::EMPTY), full: Cell::new(None) }
    }

    #[inline]
    fn take(&self, depot: Option<&Depot>) -> Option<NonNull<u8>> {
        let mut open = self.open.borrow_mut();
        open.pop().or_else(|| {
            *open = self.full.take().or_else(|| depot?.take())?;
            open.pop()
        })
    }

    #[inline]
    fn give_back(&self, memory: NonNull<u8>, depot: Option<&Depot>) {
        let mut open = self.open.borrow_mut();
        open.push(memory);
        if open.count == BUNDLE {
            let filled = std::mem::replace(&mut *open, Bundle::EMPTY);
            match (self.full.replace(Some(filled)), depot) {
                (Some(older), Some(depot)) => depot.give_back(older),
                (older, _) => drop(older),
            }
        }
    }
}

thread_local! {
    /// The free blocks of a thread that is no worker.
    static OUTSIDE: BlockList = const { BlockList::new() };
}

/// Takes a block on a thread that is no worker.
fn take_outside(depot: Option<&Depot>) -> Option<NonNull<u8>> {
    // None as well once the thread's own list is gone, as the thread ends.
    OUTSIDE.try_with(|list| list.take(depot)).ok().flatten()
}

/// Frees a block on a thread that is no worker: what it has too many of goes to the allocator, as
/// a runtime whose depot could have it may be gone.
fn give_back_outside(memory: NonNull<u8>) {
    if OUTSIDE.try_with(|list| list.give_back(memory, None)).is_err() {
        // SAFETY: every block was allocated with this layout.
        unsafe { dealloc(memory.as_ptr(), BLOCK) };
    }
}

/// Full bundles on their way from workers that free to workers that allocate.
pub(crate) struct Depot {
    bundles: Mutex<Vec<Bundle>>,
}

impl Depot {
    pub(crate) fn new(workers: usize) -> Self {
        // All the room from the start: passing bundles on does not allocate.
        Depot { bundles: Mutex::new(Vec::with_capacity(workers * BUNDLES_PER_WORKER)) }
    }

    #[cold]
    fn take(&self) -> Option<Bundle> {
        self.bundles.lock().pop()
    }

    #[cold]
    fn give_back(&self, bundle: Bundle) {
        let mut bundles = self.bundles.lock();
        if bundles.len() < bundles.capacity() {
            bundles.push(bundle);
        } else {
            drop(bundles); // the allocator may be slow
            drop(bundle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Runtime;

    #[repr(align(32))]
    #[derive(Clone, Copy)]
    struct Aligned32;
    #[repr(align(64))]
    #[derive(Clone, Copy)]
    struct Aligned64;
    #[repr(align(128))]
    #[derive(Clone, Copy)]
    struct Aligned128;

    #[test]
    fn what_does_not_fit_a_block_in_size_or_alignment_is_not_pooled() {
        fn is_pooled<T>() -> bool {
            assert_eq!(Block::<T>::LAYOUT == BLOCK, Block::<T>::IS_POOLED);
            Block::<T>::IS_POOLED
        }
        assert_eq!(is_pooled::<(u128, [u8; 96])>(), IS_POOLED);
        assert_eq!(is_pooled::<[u8; 8]>(), IS_POOLED);
        assert!(!is_pooled::<[u8; 129]>());
        assert!(!is_pooled::<(Aligned32, [u8; 128])>());
        assert!(!is_pooled::<(Aligned64, [u8; 128])>());
        assert!(!is_pooled::<(Aligned128, [u8; 128])>());
    }

    /// Allocates more at once than the allocator could align by chance.
    fn place_many<T: Copy>(value: T) {
        let worker = Worker::current().expect("this runs on a worker");
        let values: Vec<_> =
            (0..32).map(|_| Block::new(value, Some(worker), None).into_raw()).collect();
        assert!(values.iter().all(|value| value.is_aligned()));
        for value in values {
            // SAFETY: from `into_raw` above, once.
            unsafe { Block::from_raw(value) }.into_inner(worker);
        }
    }

    #[test]
    fn values_are_aligned_also_where_blocks_lie_ready() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtime.run(|| {
            for _ in 0..2 {
                place_many([0_u8; 128]);
                place_many((Aligned32, [0_u8; 128]));
                place_many((Aligned64, [0_u8; 128]));
                place_many((Aligned128, [0_u8; 128]));
            }
        });
    }

    fn fresh() -> NonNull<u8> {
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc(BLOCK) }).unwrap()
    }

    #[test]
    fn blocks_come_back_newest_first_and_then_by_bundles() {
        let (list, depot) = (BlockList::new(), Depot::new(1));
        assert!(list.take(Some(&depot)).is_none());
        let given: Vec<_> = (0..3 * BUNDLE + 5).map(|_| fresh()).collect();
        given.iter().for_each(|memory| list.give_back(*memory, Some(&depot)));
        assert_eq!(depot.bundles.lock().len(), 2, "the list keeps one full bundle");
        let mut taken: Vec<_> = std::iter::from_fn(|| list.take(Some(&depot))).collect();
        assert_eq!(taken[0], given[given.len() - 1]);
        assert!(depot.bundles.lock().is_empty());
        taken.sort();
        let mut sorted = given.clone();
        sorted.sort();
        assert_eq!(taken, sorted, "each block once");
        taken.into_iter().for_each(|memory| list.give_back(memory, Some(&depot)));
    }

    #[test]
    fn one_worker_gets_what_another_gave() {
        let (giver, taker, depot) = (BlockList::new(), BlockList::new(), Depot::new(2));
        (0..2 * BUNDLE).for_each(|_| giver.give_back(fresh(), Some(&depot)));
        let taken: Vec<_> = std::iter::from_fn(|| taker.take(Some(&depot))).collect();
        assert_eq!(taken.len(), BUNDLE);
        taken.into_iter().for_each(|memory| taker.give_back(memory, Some(&depot)));
    }

    #[test]
    fn what_the_depot_has_no_room_for_is_freed() {
        let (list, depot) = (BlockList::new(), Depot::new(1));
        (0..(BUNDLES_PER_WORKER + 10) * BUNDLE).for_each(|_| list.give_back(fresh(), Some(&depot)));
        let bundles = depot.bundles.lock();
        assert_eq!(bundles.len(), BUNDLES_PER_WORKER);
        assert!(bundles.iter().all(|bundle| bundle.count == BUNDLE));
    }
}
