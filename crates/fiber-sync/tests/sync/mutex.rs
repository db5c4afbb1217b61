use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::blocker::Primitive;
use fiber_sync::{Mutex, MutexGuard, OwnedMutexGuard};

use crate::common::{LAST_WAIT, Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn one_at_a_time_has_access() {
    let rounds = if cfg!(rustfiber_tsan) { 100 } else { 5_000 };
    // Not an atomic: what a holder does is seen by the next.
    let mutex = Mutex::new(0);
    thread::scope(|s| {
        s.spawn(|| (0..rounds).for_each(|_| *mutex.lock() += 1));
        s.spawn(|| as_fiber(|| (0..rounds).for_each(|_| *mutex.lock() += 1)));
        s.spawn(|| {
            block_on(async {
                for _ in 0..rounds {
                    *mutex.lock_async().await += 1;
                }
            });
        });
    });
    assert_eq!(mutex.into_inner(), 3 * rounds);
}

#[test]
fn a_locked_mutex_is_not_locked_again() {
    as_thread_and_fiber(|| {
        let mutex = Arc::new(Mutex::new(1));
        let guard = mutex.lock();
        assert!(mutex.is_locked());
        for _ in 0..2 {
            assert!(mutex.try_lock().is_none());
            assert!(Arc::clone(&mutex).try_lock_owned().is_none());
            assert!(mutex.lock_timeout(SOON).is_none());
            assert!(mutex.lock_deadline(Instant::now()).is_none());
        }
        drop(guard);
        assert!(!mutex.is_locked());
        assert_eq!(*mutex.lock_timeout(SOON).unwrap(), 1);
        assert_eq!(*mutex.lock_deadline(Instant::now()).unwrap(), 1);
        assert_eq!(*Arc::clone(&mutex).try_lock_owned().unwrap(), 1);
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn an_unlock_hands_over_to_the_longest_waiter() {
    let mutex = Mutex::new(());
    let guard = mutex.lock();
    let mut tasks = [(); 3].map(|()| Task::waiting(mutex.lock_async()));
    drop(guard);
    // Nobody overtakes.
    assert!(mutex.try_lock().is_none());
    for at in 0..3 {
        assert_eq!(tasks.each_ref().map(Task::wake_count).iter().sum::<usize>(), at + 1);
        assert!(tasks.iter_mut().skip(at + 1).all(|task| task.poll().is_none()));
        drop(tasks[at].poll().unwrap());
    }
    assert!(!mutex.is_locked());
}

#[test]
fn a_future_that_is_dropped_hands_the_mutex_on() {
    let mutex = Arc::new(Mutex::new(()));
    let guard = mutex.lock();
    let (waits, handed) = (Task::waiting(mutex.lock_async()), Task::waiting(mutex.lock_async()));
    let mut next = Task::waiting(Arc::clone(&mutex).lock_owned_async());
    drop(waits);
    drop(guard);
    assert_eq!((handed.wake_count(), next.wake_count()), (1, 0));
    drop(handed);
    drop(next.poll().unwrap());
    assert!(!mutex.is_locked());
}

#[test]
fn owned_guards_keep_the_mutex_alive() {
    let guard = Arc::new(Mutex::new(5)).lock_owned();
    assert!(OwnedMutexGuard::mutex(&guard).is_locked());
    let mutex = Arc::clone(OwnedMutexGuard::mutex(&guard));
    assert_eq!((*guard, Arc::strong_count(&mutex)), (5, 2));
    drop(guard);
    assert_eq!(Arc::try_unwrap(mutex).unwrap().into_inner(), 5);
}

#[test]
fn a_holder_that_panics_unlocks_and_poisons_nothing() {
    let mutex = Mutex::new(0);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        *mutex.lock() = 7;
        let _guard = mutex.lock();
        panic!("holding the mutex");
    }));
    assert!(panicked.is_err());
    assert_eq!(*mutex.lock(), 7);
}

#[test]
fn a_guard_may_go_to_another_thread() {
    let mutex = Mutex::new(String::new());
    let mut guard = mutex.lock();
    thread::scope(|s| {
        s.spawn(|| *guard += "there");
    });
    thread::scope(|s| {
        s.spawn(|| drop(guard));
    });
    assert_eq!(*mutex.lock(), "there");
}

#[test]
fn values_may_be_unsized() {
    let mutex: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2]));
    let mut guard = mutex.lock();
    guard[0] = 3;
    assert!(MutexGuard::mutex(&guard).is_locked());
    drop(guard);
    assert_eq!(&*mutex.lock_owned(), &[3, 2]);
}

#[test]
fn waits_are_named() {
    as_fiber(|| {
        let mutex = Mutex::new(());
        let _guard = mutex.lock();
        assert!(mutex.lock_timeout(Duration::ZERO).is_none());
        assert_eq!(LAST_WAIT.get(), Some(Primitive::Mutex));
    });
}

#[test]
fn debug_shows_the_value_if_it_may() {
    let mut mutex = Mutex::from(1);
    *mutex.get_mut() = 2;
    assert_eq!(format!("{mutex:?}"), "Mutex { value: 2 }");
    let guard = mutex.lock();
    assert_eq!(format!("{guard:?} {guard} {mutex:?}"), "2 2 Mutex { value: <locked> }");
    assert_eq!(Mutex::<u8>::default().into_inner(), 0);
}
