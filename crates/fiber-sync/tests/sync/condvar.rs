use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::{Condvar, Mutex};

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_change_is_not_missed() {
    let rounds = if cfg!(rustfiber_tsan) { 50 } else { 1_000 };
    as_thread_and_fiber(|| {
        let (turn, changed) = (Mutex::new(0), Condvar::new());
        thread::scope(|s| {
            s.spawn(|| {
                for round in 0..rounds {
                    let mut turn = changed.wait_while(turn.lock(), |turn| *turn != 2 * round + 1);
                    *turn += 1;
                    changed.notify_one();
                }
            });
            for round in 0..rounds {
                let mut turn = changed.wait_while(turn.lock(), |turn| *turn != 2 * round);
                *turn += 1;
                drop(turn);
                changed.notify_one();
            }
        });
        assert_eq!(*turn.lock(), 2 * rounds);
    });
}

#[test]
fn all_kinds_are_notified_at_once() {
    let (go, changed) = (Mutex::new(false), Condvar::new());
    thread::scope(|s| {
        s.spawn(|| drop(changed.wait_while(go.lock(), |go| !*go)));
        s.spawn(|| as_fiber(|| drop(changed.wait_while(go.lock(), |go| !*go))));
        s.spawn(|| {
            block_on(async {
                drop(changed.wait_while_async(go.lock_async().await, |go| !*go).await);
            });
        });
        *go.lock() = true;
        changed.notify_all();
    });
    assert!(!go.is_locked());
}

#[test]
fn the_longest_waiter_is_notified_first() {
    let (mutex, changed) = (Mutex::new(()), Condvar::new());
    assert!(!changed.notify_one());
    let mut first = Task::waiting(changed.wait_async(mutex.lock()));
    let mut second = Task::waiting(changed.wait_async(mutex.lock()));
    let third = Task::waiting(changed.wait_async(mutex.lock()));
    assert!(changed.notify_one());
    assert!(second.poll().is_none());
    let guard = first.poll().unwrap();
    assert_eq!(changed.notify_all(), 2);
    // Notified, it waits for the mutex.
    assert!(second.poll().is_none());
    drop(guard);
    drop(second.poll().unwrap());
    drop(third);
    assert_eq!(changed.notify_all(), 0);
    assert!(!mutex.is_locked());
}

#[test]
fn a_notified_future_that_is_dropped_notifies_the_next() {
    let (mutex, changed) = (Mutex::new(()), Condvar::new());
    // Dropped before it is polled again; and while it waits for the mutex.
    for polls in 0..2 {
        let mut first = Task::waiting(changed.wait_async(mutex.lock()));
        let mut second = Task::waiting(changed.wait_async(mutex.lock()));
        let guard = mutex.lock();
        changed.notify_one();
        (0..polls).for_each(|_| assert!(first.poll().is_none()));
        assert_eq!(second.wake_count(), 0);
        drop(first);
        assert_eq!(second.wake_count(), 1);
        drop(guard);
        drop(second.poll().unwrap());
    }
    // Not polled at all: it has unlocked the mutex all the same.
    drop(changed.wait_async(mutex.lock()));
    assert!(!mutex.is_locked());
    assert!(!changed.notify_one());
}

#[test]
fn a_wait_ends_in_time_with_the_mutex_locked() {
    as_thread_and_fiber(|| {
        let (mutex, changed) = (Mutex::new(0), Condvar::new());
        let begin = Instant::now();
        let (guard, result) = changed.wait_timeout(mutex.lock(), SOON);
        assert!(result.timed_out() && mutex.is_locked());
        let (guard, result) = changed.wait_deadline(guard, begin + 2 * SOON);
        assert!(result.timed_out() && begin.elapsed() >= 2 * SOON);
        let (guard, result) = changed.wait_timeout_while(guard, SOON, |_| true);
        assert!(result.timed_out());
        let deadline = Instant::now();
        let (guard, result) = changed.wait_deadline_while(guard, deadline, |_| true);
        assert!(result.timed_out());
        // What need not be waited for is not late.
        let (guard, result) = changed.wait_deadline_while(guard, deadline, |_| false);
        assert!(!result.timed_out());
        drop(guard);
        assert!(!changed.notify_one(), "nobody is left behind");
    });
}

#[test]
fn a_notification_in_time_is_no_timeout() {
    as_thread_and_fiber(|| {
        let (mutex, changed) = (Mutex::new(false), Condvar::new());
        thread::scope(|s| {
            s.spawn(|| {
                *mutex.lock() = true;
                changed.notify_one();
            });
            let (guard, result) =
                changed.wait_timeout_while(mutex.lock(), Duration::MAX, |done| !*done);
            assert!(*guard && !result.timed_out());
        });
    });
}

#[test]
fn a_waker_that_panics_at_the_unlock_is_heard_after_the_wait() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }
    as_thread_and_fiber(|| {
        let (mutex, changed) = (Mutex::new(()), Condvar::new());
        let guard = mutex.lock();
        let waker = Waker::from(Arc::new(Panics));
        let mut task = Box::pin(mutex.lock_async());
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let wait = catch_unwind(AssertUnwindSafe(|| changed.wait_timeout(guard, SOON).1));
        assert!(wait.is_err());
        assert!(mutex.is_locked());
        drop(task);
        assert!(!mutex.is_locked());
    });
}
