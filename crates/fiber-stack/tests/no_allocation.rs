//! A fiber on a pooled stack allocates nothing.

use fiber_stack::{Fiber, Resumed, StackCache, StackPool, StackSize, Suspender};
use test_support::{Counting, allocation_count};

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn fibers_on_cached_stacks_allocate_nothing() {
    let pool = StackPool::new(StackSize::default(), None);
    let mut cache = StackCache::new();
    let warm: Vec<_> = (0..StackCache::CAPACITY).map(|_| pool.take(&mut cache).unwrap()).collect();
    for stack in warm {
        pool.give_back(&mut cache, stack);
    }

    let before = allocation_count();
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
    let allocations = allocation_count() - before;
    assert_eq!(sum, (0..10_000).map(|number| number + 3).sum());
    assert_eq!(allocations, 0);
}
