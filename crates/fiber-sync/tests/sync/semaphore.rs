use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::{Closed, Semaphore, TimeoutError, TryError};

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::MAX;

#[test]
fn permits_go_back_when_they_are_dropped() {
    let semaphore = Semaphore::new(3);
    let one = semaphore.acquire().unwrap();
    let two = semaphore.acquire_many(2).unwrap();
    assert_eq!((one.count(), two.count()), (1, 2));
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryError::WouldBlock);
    drop(one);
    assert_eq!(semaphore.available_permits(), 1);
    assert_eq!(semaphore.try_acquire_many(2).unwrap_err(), TryError::WouldBlock);
    drop(two);
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn permits_are_split_merged_and_forgotten() {
    let semaphore = Arc::new(Semaphore::new(5));
    let mut permits = semaphore.acquire_many(5).unwrap();
    let mut two = permits.split(2).unwrap();
    assert_eq!((permits.count(), two.count()), (3, 2));
    assert!(two.split(3).is_none());
    assert_eq!(two.count(), 2);
    two.merge(permits.split(1).unwrap());
    drop(two);
    assert_eq!(semaphore.available_permits(), 3);
    permits.forget();
    assert_eq!(semaphore.available_permits(), 3);
    assert_eq!((semaphore.forget_permits(1), semaphore.forget_permits(9)), (1, 2));
    semaphore.add_permits(1);

    let mut owned = Arc::clone(&semaphore).acquire_owned().unwrap();
    assert!(owned.split(2).is_none());
    let other = owned.split(1).unwrap();
    assert_eq!((owned.count(), other.count(), Arc::strong_count(&semaphore)), (0, 1, 3));
    owned.merge(other);
    drop(owned);
    assert_eq!((semaphore.available_permits(), Arc::strong_count(&semaphore)), (1, 1));
    semaphore.acquire().unwrap().into_owned(Arc::clone(&semaphore)).forget();
    assert_eq!((semaphore.available_permits(), Arc::strong_count(&semaphore)), (0, 1));
}

#[test]
fn permits_of_two_semaphores_do_not_mix() {
    let (one, other) = (Semaphore::new(1), Arc::new(Semaphore::new(1)));
    let refused = catch_unwind(AssertUnwindSafe(|| {
        one.acquire().unwrap().merge(other.acquire().unwrap());
    }));
    assert!(refused.is_err());
    let refused = catch_unwind(AssertUnwindSafe(|| {
        drop(one.acquire().unwrap().into_owned(Arc::clone(&other)));
    }));
    assert!(refused.is_err());
    assert_eq!((one.available_permits(), other.available_permits()), (1, 1));
}

#[test]
fn the_longest_waiter_goes_first_whatever_it_wants() {
    let semaphore = Semaphore::new(1);
    let mut large = Task::waiting(semaphore.acquire_many_async(2));
    let mut small = Task::waiting(semaphore.acquire_async());
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryError::WouldBlock);
    semaphore.add_permits(1);
    assert_eq!((large.wake_count(), small.wake_count()), (1, 0));
    let permits = large.poll().unwrap().unwrap();
    assert!(small.poll().is_none());
    drop(permits);
    assert!(small.poll().unwrap().is_ok());
    assert_eq!(semaphore.available_permits(), 2, "the permits of both are back");
}

#[test]
fn a_waiter_is_granted_what_is_released() {
    as_thread_and_fiber(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        thread::scope(|s| {
            s.spawn(|| semaphore.add_permits(5));
            semaphore.acquire().unwrap().forget();
            semaphore.acquire_many(2).unwrap().forget();
            semaphore.acquire_timeout(NEVER).unwrap().forget();
            Arc::clone(&semaphore).acquire_many_owned(1).unwrap().forget();
        });
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn a_wait_ends_in_time_and_leaves_nothing_behind() {
    as_thread_and_fiber(|| {
        let semaphore = Semaphore::new(1);
        let begin = Instant::now();
        assert_eq!(semaphore.acquire_many_timeout(2, SOON).unwrap_err(), TimeoutError::TimedOut);
        let deadline = begin + 2 * SOON;
        assert_eq!(
            semaphore.acquire_many_deadline(2, deadline).unwrap_err(),
            TimeoutError::TimedOut
        );
        assert!(Instant::now() >= deadline);
        // A deadline that has passed is a `try_` in line.
        assert!(semaphore.acquire_deadline(begin).is_ok());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_timeout_in_the_instant_of_the_grant_loses_no_permit() {
    let attempts = if cfg!(rustfiber_tsan) { 5_000 } else { 100_000 };
    as_thread_and_fiber(|| {
        let (semaphore, is_over) = (Semaphore::new(0), AtomicBool::new(false));
        let mut granted = 0;
        let released = thread::scope(|s| {
            let releaser = s.spawn(|| {
                let mut released = 0;
                while !is_over.load(Relaxed) {
                    if semaphore.available_permits() == 0 {
                        semaphore.add_permits(1);
                        released += 1;
                    }
                }
                released
            });
            for _ in 0..attempts {
                if let Ok(permit) = semaphore.acquire_timeout(Duration::ZERO) {
                    permit.forget();
                    granted += 1;
                }
            }
            is_over.store(true, Relaxed);
            releaser.join().unwrap()
        });
        assert_eq!(granted + semaphore.available_permits(), released);
    });
}

#[test]
fn a_future_that_is_dropped_loses_no_permit() {
    let semaphore = Semaphore::new(1);
    drop(semaphore.acquire_async());
    let held = semaphore.acquire().unwrap();
    // Waiting.
    let waiting = Task::waiting(semaphore.acquire_async());
    let mut behind = Task::waiting(semaphore.acquire_async());
    drop(waiting);
    drop(held);
    let held = behind.poll().unwrap().unwrap();
    // Granted, and never polled again.
    let granted = Task::waiting(semaphore.acquire_async());
    let mut behind = Task::waiting(semaphore.acquire_async());
    drop(held);
    assert_eq!((granted.wake_count(), behind.wake_count()), (1, 0));
    assert!(behind.poll().is_none());
    drop(granted);
    assert_eq!(behind.wake_count(), 1);
    drop(behind.poll().unwrap().unwrap());
    // Over.
    let mut over = Task::new(semaphore.acquire_async());
    let permit = over.poll();
    drop(over);
    assert_eq!(semaphore.available_permits(), 0);
    drop(permit);
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn the_end_of_a_large_wait_lets_the_small_go() {
    as_fiber(|| {
        let semaphore = Semaphore::new(1);
        let large = Task::waiting(semaphore.acquire_many_async(2));
        let mut small = Task::waiting(semaphore.acquire_async());
        assert!(semaphore.acquire_timeout(SOON).is_err());
        assert!(small.poll().is_none());
        drop(large);
        assert!(small.poll().unwrap().is_ok());
    });
}

#[test]
fn a_close_ends_every_wait() {
    as_thread_and_fiber(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let held = semaphore.acquire().unwrap();
        let mut task = Task::waiting(semaphore.acquire_async());
        let mut owned = Task::waiting(Arc::clone(&semaphore).acquire_owned_async());
        thread::scope(|s| {
            s.spawn(|| semaphore.close());
            assert_eq!(semaphore.acquire_many(2).unwrap_err(), Closed);
        });
        assert_eq!(task.poll().unwrap().unwrap_err(), Closed);
        assert_eq!(owned.poll().unwrap().unwrap_err(), Closed);
        assert_eq!(semaphore.acquire_timeout(NEVER).unwrap_err(), TimeoutError::Closed);
        drop(held);
        assert!(semaphore.is_closed());
        assert_eq!(semaphore.try_acquire().unwrap_err(), TryError::Closed);
        assert_eq!(semaphore.available_permits(), 1);
        assert_eq!(semaphore.forget_permits(1), 0);
    });
}

#[test]
fn a_holder_that_panics_releases() {
    let semaphore = Semaphore::new(1);
    let mut task = Task::new(semaphore.acquire_async());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = semaphore.acquire().unwrap();
        assert!(task.poll().is_none());
        panic!("holding a permit");
    }));
    assert!(panicked.is_err());
    assert!(task.poll().unwrap().is_ok());
}

#[test]
fn all_kinds_wait_in_one_line() {
    let semaphore = Semaphore::new(0);
    thread::scope(|s| {
        s.spawn(|| semaphore.acquire().unwrap().forget());
        s.spawn(|| as_fiber(|| semaphore.acquire().unwrap().forget()));
        s.spawn(|| block_on(semaphore.acquire_async()).unwrap().forget());
        (0..3).for_each(|_| semaphore.add_permits(1));
    });
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn too_many_permits_are_refused() {
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(1))).is_err());
    let too_many = Semaphore::MAX_PERMITS + 1;
    assert!(catch_unwind(|| Semaphore::new(too_many)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.acquire_many(too_many).is_ok())).is_err());
}

#[test]
fn debug_shows_what_there_is() {
    let semaphore = Semaphore::new(2);
    let permit = semaphore.acquire().unwrap();
    assert_eq!(format!("{permit:?}"), "SemaphorePermit { count: 1 }");
    assert_eq!(format!("{semaphore:?}"), "Semaphore { available_permits: 1, closed: false, .. }");
}
