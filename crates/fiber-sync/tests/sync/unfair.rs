use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::{Closed, Semaphore, TimeoutError, TryError};

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn whoever_comes_first_takes_the_permit() {
    let semaphore = Semaphore::unfair(1);
    let held = semaphore.acquire().unwrap();
    let mut waiter = Task::waiting(semaphore.acquire_async());
    drop(held);
    assert_eq!(waiter.wake_count(), 1);
    // Woken, not granted.
    let overtaken = semaphore.try_acquire().unwrap();
    assert!(waiter.poll().is_none());
    drop(overtaken);
    assert_eq!(waiter.wake_count(), 2);
    assert!(waiter.poll().unwrap().is_ok());
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn one_wake_at_a_time_is_on_its_way() {
    let semaphore = Semaphore::unfair(1);
    let held = semaphore.acquire().unwrap();
    let mut waiters = [(); 3].map(|()| Task::waiting(semaphore.acquire_async()));
    drop(held);
    (0..10).for_each(|_| drop(semaphore.try_acquire().unwrap()));
    let wakes = |waiters: &[Task<_>; 3]| waiters.each_ref().map(Task::wake_count);
    assert_eq!(wakes(&waiters), [1, 0, 0]);
    // What is released beyond what the first will find is for others.
    semaphore.add_permits(1);
    assert_eq!(wakes(&waiters), [1, 1, 0]);
    let permits = [0, 1].map(|first| waiters[first].poll().unwrap().unwrap());
    drop(permits);
    assert_eq!(wakes(&waiters), [1, 1, 1]);
    assert!(waiters[2].poll().unwrap().is_ok());
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn all_kinds_get_what_is_released() {
    let rounds = if cfg!(rustfiber_tsan) { 50 } else { 1_000 };
    let semaphore = Semaphore::unfair(1);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| (0..rounds).for_each(|_| drop(semaphore.acquire().unwrap())));
            s.spawn(|| as_fiber(|| (0..rounds).for_each(|_| drop(semaphore.acquire().unwrap()))));
            s.spawn(|| {
                block_on(async {
                    for _ in 0..rounds {
                        drop(semaphore.acquire_async().await.unwrap());
                    }
                });
            });
        }
    });
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn one_release_serves_small_waiters_behind_large_ones() {
    let semaphore = Semaphore::unfair(0);
    let mut large = Task::waiting(semaphore.acquire_many_async(3));
    let mut small = [(); 2].map(|()| Task::waiting(semaphore.acquire_async()));
    semaphore.add_permits(2);
    assert!(large.poll().is_none());
    let permits = small.each_mut().map(|task| task.poll().unwrap().unwrap());
    semaphore.add_permits(1);
    assert!(large.poll().is_none());
    drop(permits);
    let permits = large.poll().unwrap().unwrap();
    assert_eq!(permits.count(), 3);
    let mut more = [(); 2].map(|()| Task::waiting(semaphore.acquire_async()));
    // Nobody wants several any more: as many are woken as there are permits.
    permits.forget();
    semaphore.add_permits(1);
    assert_eq!(more.each_ref().map(Task::wake_count), [1, 0]);
    drop(more[0].poll().unwrap());
    assert_eq!(more.each_ref().map(Task::wake_count), [1, 1]);
}

#[test]
fn a_woken_future_that_is_dropped_wakes_the_next() {
    let semaphore = Semaphore::unfair(0);
    let woken = Task::waiting(semaphore.acquire_async());
    let mut next = Task::waiting(semaphore.acquire_async());
    semaphore.add_permits(1);
    assert_eq!((woken.wake_count(), next.wake_count()), (1, 0));
    drop(woken);
    assert_eq!(next.wake_count(), 1);
    assert!(next.poll().unwrap().is_ok());
    drop(next);
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn a_wait_ends_in_time() {
    as_thread_and_fiber(|| {
        let semaphore = Semaphore::unfair(1);
        let begin = Instant::now();
        assert_eq!(semaphore.acquire_many_timeout(2, SOON).unwrap_err(), TimeoutError::TimedOut);
        let deadline = begin + 2 * SOON;
        let late = semaphore.acquire_many_deadline(2, deadline);
        assert_eq!(late.unwrap_err(), TimeoutError::TimedOut);
        assert!(Instant::now() >= deadline);
        assert!(semaphore.acquire_deadline(begin).is_ok());
    });
}

#[test]
fn a_release_in_the_instant_of_the_wait_is_not_missed() {
    let rounds = if cfg!(rustfiber_tsan) { 100 } else { 2_000 };
    as_thread_and_fiber(|| {
        let semaphore = Semaphore::unfair(0);
        for round in 0..rounds {
            thread::scope(|s| {
                s.spawn(|| (0..2).for_each(|_| semaphore.add_permits(1)));
                (0..round % 30).for_each(|_| std::hint::spin_loop());
                semaphore.acquire_many(2).unwrap().forget();
            });
        }
    });
}

#[test]
fn a_close_ends_every_wait() {
    as_thread_and_fiber(|| {
        let semaphore = Arc::new(Semaphore::unfair(1));
        let held = Arc::clone(&semaphore).acquire_owned().unwrap();
        let mut task = Task::waiting(semaphore.acquire_async());
        thread::scope(|s| {
            s.spawn(|| semaphore.close());
            assert_eq!(semaphore.acquire_many(2).unwrap_err(), Closed);
        });
        assert_eq!(task.poll().unwrap().unwrap_err(), Closed);
        drop(held);
        assert_eq!(semaphore.try_acquire().unwrap_err(), TryError::Closed);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn too_many_permits_are_refused() {
    let semaphore = Semaphore::unfair(Semaphore::MAX_PERMITS);
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(1))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(usize::MAX))).is_err());
    let too_many = Semaphore::MAX_PERMITS + 1;
    assert!(catch_unwind(|| Semaphore::unfair(too_many)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.acquire_many(too_many).is_ok())).is_err());
    assert_eq!(semaphore.forget_permits(usize::MAX), Semaphore::MAX_PERMITS);
}
