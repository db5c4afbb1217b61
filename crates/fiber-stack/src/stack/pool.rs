//! Pools of stacks: a private cache for every worker over one shared queue.
//!
//! A fiber takes a stack when it begins and gives it back when it ends. The cache serves both
//! without atomics or allocation; the shared queue only sees what a cache cannot hold. Stacks come
//! out of a cache newest first, because the newest is the likeliest to be in the processor's cache.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crossbeam_queue::SegQueue;

use super::limit::increment_below;
use super::{Stack, StackSize};
use crate::error::{Reason, StackError};

/// Hands out stacks of one size and takes them back for reuse; workers share it.
///
/// Stacks that come back stay mapped and keep the memory they touched, until the pool is dropped.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), fiber_stack::StackError> {
/// use fiber_stack::{StackCache, StackPool, StackSize};
///
/// let pool = StackPool::new(StackSize::default(), Some(100));
/// let mut cache = StackCache::new(); // One for every worker.
///
/// let stack = pool.take(&mut cache)?;
/// pool.give_back(&mut cache, stack);
/// pool.take(&mut cache)?;
/// assert_eq!(pool.created(), 1);
/// # Ok(())
/// # }
/// ```
pub struct StackPool {
    size: StackSize,
    max_live: usize,
    shared: SegQueue<Stack>,
    counts: Arc<PoolCounts>,
}

/// Keeps a few idle stacks of a [`StackPool`] for one worker, without atomics.
///
/// A cache serves one pool only. Dropping it unmaps the stacks in it; a worker that ends hands them
/// on with [`StackPool::flush`].
#[derive(Debug)]
pub struct StackCache {
    // Never grows beyond its first allocation.
    stacks: Vec<Stack>,
}

// ORDERING: Relaxed throughout: these only count, and no memory is published through them.
struct PoolCounts {
    live: AtomicUsize,
    created: AtomicUsize,
}

/// Counts one stack against the limit of its pool for as long as it lives, in the pool or not.
pub(super) struct PoolPermit {
    counts: Arc<PoolCounts>,
}

impl StackPool {
    /// Creates an empty pool of stacks of `size` that has at most `max_live` stacks at once.
    ///
    /// A stack counts from when it is mapped until it is unmapped: in use, idle in the pool or in
    /// any cache, or leaked by an unfinished fiber. Up to [`StackCache::CAPACITY`] idle stacks of
    /// every other cache are out of a worker's reach, so a limit for N fibers on W workers is
    /// N + (W − 1) × `CAPACITY`.
    pub fn new(size: StackSize, max_live: Option<usize>) -> StackPool {
        let counts = PoolCounts { live: AtomicUsize::new(0), created: AtomicUsize::new(0) };
        StackPool {
            size,
            max_live: max_live.unwrap_or(usize::MAX),
            shared: SegQueue::new(),
            counts: Arc::new(counts),
        }
    }

    /// Takes a stack from `cache`, else from the shared queue, else maps a new one.
    ///
    /// The stack holds whatever its last fiber left on it.
    ///
    /// # Errors
    ///
    /// [`PoolLimit`](crate::StackErrorKind::PoolLimit) at the limit of the pool, and the errors of
    /// [`Stack::new`].
    ///
    /// # Panics
    ///
    /// If `cache` holds stacks of another pool.
    #[inline]
    pub fn take(&self, cache: &mut StackCache) -> Result<Stack, StackError> {
        let Some(stack) = cache.stacks.pop() else { return self.take_shared() };
        self.assert_owns(&stack);
        Ok(stack)
    }

    #[cold]
    fn take_shared(&self) -> Result<Stack, StackError> {
        if let Some(stack) = self.shared.pop() {
            return Ok(stack);
        }
        let permit = PoolPermit::acquire(&self.counts, self.max_live)?;
        let stack = Stack::map(self.size, Some(permit))?;
        self.counts.created.fetch_add(1, Relaxed);
        Ok(stack)
    }

    /// Gives a stack back for reuse: to `cache`, or to the shared queue when `cache` is full.
    ///
    /// # Panics
    ///
    /// If `stack` was not taken from this pool.
    #[inline]
    pub fn give_back(&self, cache: &mut StackCache, stack: Stack) {
        self.assert_owns(&stack);
        if cache.stacks.len() < StackCache::CAPACITY {
            cache.stacks.push(stack);
        } else {
            self.shared.push(stack);
        }
    }

    /// Moves all stacks of `cache` to the shared queue, for the other workers.
    ///
    /// # Panics
    ///
    /// If `cache` holds stacks of another pool.
    pub fn flush(&self, cache: &mut StackCache) {
        for stack in cache.stacks.drain(..) {
            self.assert_owns(&stack);
            self.shared.push(stack);
        }
    }

    /// Returns the size of this pool's stacks.
    pub fn size(&self) -> StackSize {
        self.size
    }

    /// Returns how many stacks of this pool are mapped: in use, idle and leaked.
    pub fn live(&self) -> usize {
        self.counts.live.load(Relaxed)
    }

    /// Returns how many stacks this pool has mapped since it was created.
    pub fn created(&self) -> usize {
        self.counts.created.load(Relaxed)
    }

    #[inline]
    fn assert_owns(&self, stack: &Stack) {
        let owned = match &stack.pool_permit {
            Some(permit) => Arc::ptr_eq(&permit.counts, &self.counts),
            None => false,
        };
        assert!(
            owned,
            "fiber-stack: a stack or a cache was used with a pool it does not belong to"
        );
    }
}

impl fmt::Debug for StackPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackPool")
            .field("size", &self.size)
            .field("max_live", &self.max_live)
            .field("live", &self.live())
            .field("created", &self.created())
            .finish_non_exhaustive()
    }
}

impl StackCache {
    /// The most stacks that a cache holds.
    pub const CAPACITY: usize = 16;

    /// Creates an empty cache; this is the only allocation it makes.
    pub fn new() -> StackCache {
        StackCache { stacks: Vec::with_capacity(Self::CAPACITY) }
    }
}

impl Default for StackCache {
    fn default() -> StackCache {
        StackCache::new()
    }
}

impl PoolPermit {
    fn acquire(counts: &Arc<PoolCounts>, max_live: usize) -> Result<PoolPermit, StackError> {
        increment_below(&counts.live, max_live)
            .map_err(|_| StackError::new(Reason::PoolLimit { limit: max_live }))?;
        Ok(PoolPermit { counts: Arc::clone(counts) })
    }
}

impl Drop for PoolPermit {
    fn drop(&mut self) {
        self.counts.live.fetch_sub(1, Relaxed);
    }
}
