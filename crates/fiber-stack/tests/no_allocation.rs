//! A fiber on a pooled stack allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use fiber_stack::{Fiber, Resumed, StackCache, StackPool, StackSize, Suspender};

struct Counting;

thread_local! {
    static ALLOCATION_COUNT: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is forwarded to `System`; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATION_COUNT.set(ALLOCATION_COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `alloc` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn fibers_on_cached_stacks_allocate_nothing() {
    let pool = StackPool::new(StackSize::default(), None);
    let mut cache = StackCache::new();
    let warm: Vec<_> = (0..StackCache::CAPACITY).map(|_| pool.take(&mut cache).unwrap()).collect();
    for stack in warm {
        pool.give_back(&mut cache, stack);
    }

    let before = ALLOCATION_COUNT.get();
    let mut sum = 0_u64;
    for number in 0..10_000_u64 {
        let captured = [number; 64];
        let stack = pool.take(&mut cache).unwrap();
        let mut fiber = Fiber::new(stack, move |suspender: &Suspender<u64, u64>, first| {
            captured[5] + suspender.suspend(first)
        });
        let Resumed::Suspended(first) = fiber.resume(1) else { panic!("finished early") };
        let Resumed::Finished(Ok(last)) = fiber.resume(2) else { panic!("not finished") };
        sum += first + last;
        pool.give_back(&mut cache, fiber.into_stack());
    }
    let allocations = ALLOCATION_COUNT.get() - before;
    assert_eq!(sum, (0..10_000).map(|number| number + 3).sum());
    assert_eq!(allocations, 0);
}
