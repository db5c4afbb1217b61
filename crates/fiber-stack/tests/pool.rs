//! Sizes, limits, and the reuse of stacks.

use std::collections::HashSet;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock};
use std::thread;

use fiber_stack::{
    Fiber, Resumed, Stack, StackCache, StackErrorKind, StackPool, StackSize, Suspender,
    live_stack_count,
};

fn size() -> StackSize {
    StackSize::new(64 * 1024).unwrap()
}

#[test]
fn sizes_outside_the_limits_are_refused_with_the_limit_and_the_remedy() {
    let small = StackSize::new(16).unwrap_err();
    assert_eq!(small.kind(), StackErrorKind::TooSmall);
    assert_eq!(
        small.to_string(),
        "stack of 16 bytes is below the 65536-byte minimum: ask for at least 65536 bytes"
    );
    assert!(small.source().is_none());
    assert_eq!(StackSize::new(0).unwrap_err().kind(), StackErrorKind::TooSmall);
    assert_eq!(StackSize::new(usize::MAX).unwrap_err().kind(), StackErrorKind::TooLarge);
    assert!(StackSize::new(StackSize::MAX_BYTES + 1).is_err());
    assert_eq!(StackSize::new(StackSize::MAX_BYTES).unwrap().bytes(), StackSize::MAX_BYTES);
}

#[test]
#[cfg(target_pointer_width = "64")]
fn one_tebibyte_is_refused() {
    let large = StackSize::new(1 << 40).unwrap_err();
    assert_eq!(large.kind(), StackErrorKind::TooLarge);
    assert_eq!(
        large.to_string(),
        "stack of 1099511627776 bytes is above the 1073741824-byte maximum: \
         ask for at most 1073741824 bytes and keep large data on the heap"
    );
}

#[test]
fn sizes_are_rounded_up_to_whole_pages() {
    for bytes in [StackSize::MIN_BYTES, StackSize::MIN_BYTES + 1, 100_000, 1_000_001] {
        let rounded = StackSize::new(bytes).unwrap().bytes();
        assert!(rounded >= bytes);
        assert_eq!(rounded % 4096, 0);
        assert!(rounded - bytes < 64 * 1024);
    }
    assert_eq!(StackSize::default().bytes(), StackSize::DEFAULT_BYTES);
    assert_eq!(StackSize::new(StackSize::DEFAULT_BYTES).unwrap(), StackSize::default());
}

#[test]
fn every_usable_byte_of_a_stack_can_be_written() {
    let stack = Stack::new(StackSize::new(StackSize::MIN_BYTES).unwrap()).unwrap();
    assert_eq!(stack.range().base() - stack.range().lowest(), stack.size().bytes());
    if cfg!(windows) {
        return; // There the system commits pages one after the other, as frames reach them.
    }
    for address in stack.range().lowest()..stack.range().base() {
        assert!(stack.contains(address));
        // SAFETY: the address lies in memory that `stack` owns and nothing else uses.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
    }
}

#[test]
fn stack_given_back_comes_out_next() {
    let pool = StackPool::new(size(), None);
    let mut cache = StackCache::new();
    let first = pool.take(&mut cache).unwrap();
    let second = pool.take(&mut cache).unwrap();
    let (first_range, second_range) = (first.range(), second.range());
    assert_ne!(first_range, second_range);
    pool.give_back(&mut cache, first);
    pool.give_back(&mut cache, second);
    assert_eq!(pool.take(&mut cache).unwrap().range(), second_range);
    assert_eq!(pool.take(&mut cache).unwrap().range(), first_range);
    assert_eq!(pool.created(), 2);
}

#[test]
fn stack_of_a_finished_fiber_comes_back_at_the_same_address() {
    let pool = StackPool::new(size(), Some(1));
    let mut cache = StackCache::new();
    let mut ranges = HashSet::new();
    for number in 0..1000 {
        let stack = pool.take(&mut cache).unwrap();
        ranges.insert((stack.range().lowest(), stack.range().base()));
        let mut fiber = Fiber::new(stack, |suspender: &Suspender<u32, u32>, first| {
            first + suspender.suspend(first)
        });
        assert!(matches!(fiber.resume(number), Resumed::Suspended(seen) if seen == number));
        assert!(matches!(fiber.resume(1), Resumed::Finished(Ok(sum)) if sum == number + 1));
        pool.give_back(&mut cache, fiber.into_stack());
    }
    assert_eq!(ranges.len(), 1);
    assert_eq!((pool.created(), pool.live()), (1, 1));
}

#[test]
fn pool_limit_is_an_error_that_names_it_and_goes_away_with_a_stack() {
    let pool = StackPool::new(size(), Some(3));
    let mut cache = StackCache::new();
    let mut stacks: Vec<_> = (0..3).map(|_| pool.take(&mut cache).unwrap()).collect();
    let error = pool.take(&mut cache).unwrap_err();
    assert_eq!(error.kind(), StackErrorKind::PoolLimit);
    assert_eq!(
        error.to_string(),
        "the pool already has all of the 3 stacks it may have: \
         raise the pool's limit, or let fewer fibers wait at once"
    );
    assert_eq!((pool.live(), pool.created()), (3, 3));

    // Unmapping one makes room, as does giving one back.
    drop(stacks.pop());
    assert_eq!(pool.live(), 2);
    stacks.push(pool.take(&mut cache).unwrap());
    assert!(pool.take(&mut cache).is_err());
    pool.give_back(&mut cache, stacks.pop().unwrap());
    stacks.push(pool.take(&mut cache).unwrap());
    assert_eq!((pool.live(), pool.created()), (3, 4));
}

#[test]
fn cache_keeps_its_capacity_and_passes_the_rest_on() {
    let pool = StackPool::new(size(), None);
    let (mut mine, mut other) = (StackCache::new(), StackCache::new());
    let count = StackCache::CAPACITY + 5;
    let stacks: Vec<_> = (0..count).map(|_| pool.take(&mut mine).unwrap()).collect();
    for stack in stacks {
        pool.give_back(&mut mine, stack);
    }
    let shared: Vec<_> = (0..5).map(|_| pool.take(&mut other).unwrap()).collect();
    assert_eq!(pool.created(), count);
    drop(pool.take(&mut other).unwrap()); // The cache keeps its own, so this one is new.
    assert_eq!((pool.created(), pool.live()), (count + 1, count));

    pool.flush(&mut mine);
    let flushed: Vec<_> =
        (0..StackCache::CAPACITY).map(|_| pool.take(&mut other).unwrap()).collect();
    assert_eq!(pool.created(), count + 1);
    drop((shared, flushed));
    assert_eq!(pool.live(), 0);
}

#[test]
fn dropping_the_pool_and_the_cache_unmaps_what_is_idle() {
    let pool = StackPool::new(size(), None);
    let mut cache = StackCache::new();
    let kept = pool.take(&mut cache).unwrap();
    let idle = pool.take(&mut cache).unwrap();
    pool.give_back(&mut cache, idle);
    pool.flush(&mut cache);
    assert_eq!(pool.live(), 2);
    drop(pool);
    // A stack outlives its pool.
    let mut fiber = Fiber::new(kept, |_: &Suspender<(), ()>, ()| 5);
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(5))));
}

#[test]
fn pool_refuses_a_stack_and_a_cache_of_another() {
    const FOREIGN: &str =
        "fiber-stack: a stack or a cache was used with a pool it does not belong to";
    let (pool, other) = (StackPool::new(size(), None), StackPool::new(size(), None));
    let (mut cache, mut empty) = (StackCache::new(), StackCache::new());
    let stack = pool.take(&mut cache).unwrap();
    pool.give_back(&mut cache, stack);

    let foreign = pool.take(&mut empty).unwrap();
    let loose = Stack::new(size()).unwrap();
    let misuses: [Box<dyn FnOnce() + '_>; 3] = [
        Box::new(|| drop(other.take(&mut cache))),
        Box::new(|| other.give_back(&mut empty, foreign)),
        Box::new(|| other.give_back(&mut StackCache::new(), loose)),
    ];
    for misuse in misuses {
        let panic = catch_unwind(AssertUnwindSafe(misuse)).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&FOREIGN));
    }
}

#[test]
fn limit_holds_and_no_stack_is_handed_out_twice_across_threads() {
    const LIMIT: usize = 24;
    let pool = StackPool::new(size(), Some(LIMIT));
    let in_use = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut cache = StackCache::new();
                for round in 0..500 {
                    let mut taken = Vec::new();
                    while let Ok(stack) = pool.take(&mut cache) {
                        assert!(in_use.lock().unwrap().insert(stack.range().base()));
                        taken.push(stack);
                        if taken.len() > round % LIMIT {
                            break;
                        }
                    }
                    assert!(pool.live() <= LIMIT);
                    for stack in taken {
                        assert!(in_use.lock().unwrap().remove(&stack.range().base()));
                        pool.give_back(&mut cache, stack);
                    }
                }
                pool.flush(&mut cache);
            });
        }
    });
    assert!(in_use.into_inner().unwrap().is_empty());
    assert!(pool.live() <= LIMIT);
    assert!(live_stack_count() >= pool.live());
}

#[test]
fn leaked_stack_still_counts() {
    // Static, so that LeakSanitizer finds the counts that the leaked stack still refers to.
    static POOL: OnceLock<StackPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| StackPool::new(size(), Some(1)));
    let mut cache = StackCache::new();
    let stack = pool.take(&mut cache).unwrap();
    let mut fiber = Fiber::new(stack, |suspender: &Suspender<(), ()>, ()| suspender.suspend(()));
    assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
    catch_unwind(AssertUnwindSafe(|| drop(fiber))).unwrap_err();
    assert_eq!(pool.live(), 1);
    assert_eq!(pool.take(&mut cache).unwrap_err().kind(), StackErrorKind::PoolLimit);
}
