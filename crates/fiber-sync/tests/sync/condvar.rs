use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::blocker::{
    Blocker, BlockingWait, FiberHandle, Outcome, Registration, Waiter, install,
};
use fiber_sync::{Condvar, Mutex, MutexGuard};

use crate::common::{Task, as_fiber, as_thread_and_fiber, block_on, wait_until};

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
    // Dropped in the line of the mutex, and with the mutex.
    for is_locked in [true, false] {
        let first = Task::waiting(changed.wait_async(mutex.lock()));
        let mut second = Task::waiting(changed.wait_async(mutex.lock()));
        let guard = is_locked.then(|| mutex.lock());
        changed.notify_one();
        assert_eq!((first.wake_count(), second.wake_count()), (usize::from(!is_locked), 0));
        drop(first);
        drop(guard);
        assert_eq!(second.wake_count(), 1);
        drop(second.poll().unwrap());
    }
    // Not polled at all: it has unlocked the mutex all the same.
    drop(changed.wait_async(mutex.lock()));
    assert!(!mutex.is_locked());
    assert!(!changed.notify_one());
}

#[test]
fn who_is_notified_is_not_woken_before_it_has_the_mutex() {
    let (mutex, changed) = (Mutex::new(()), Condvar::new());
    let mut tasks = [0; 20].map(|_| Task::waiting(changed.wait_async(mutex.lock())));
    let guard = mutex.lock();
    let mut late = Task::waiting(mutex.lock_async());
    assert_eq!(changed.notify_all(), 20);
    let woken = |tasks: &[Task<'_, _>]| tasks.iter().map(Task::wake_count).sum::<usize>();
    assert_eq!(woken(&tasks), 0);
    drop(guard);
    // First who waited for the mutex before.
    drop(late.poll().expect("it was there first"));
    for index in 0..tasks.len() {
        assert_eq!(woken(&tasks), index + 1);
        drop(tasks[index].poll().expect("in their order"));
    }
    assert!(!mutex.is_locked());
}

#[test]
fn who_runs_out_of_time_in_the_line_of_the_mutex_notifies_the_next() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static CHANGED: Condvar = Condvar::new();
    thread_local! {
        static HELD: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
        static NEXT: RefCell<Option<Task<'static, ()>>> = const { RefCell::new(None) };
    }
    /// Notified while another has the mutex, it runs out of time.
    struct OutOfTime;
    fn nobody(_: NonNull<()>) {}
    // SAFETY: returns what `cancel` or `park_thread` returns, and does not unwind in between.
    unsafe impl Blocker for OutOfTime {
        fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
            if wait.deadline().is_none() {
                drop(HELD.take().expect("the wait for the mutex is the second"));
                return wait.park_thread();
            }
            // SAFETY: `nobody` may be called at any time.
            let waiter = Waiter::fiber(unsafe { FiberHandle::new(NonNull::dangling(), nobody) });
            // SAFETY: it stays here until it has been taken out.
            let registration = unsafe { wait.register(&waiter) };
            NEXT.set(Some(Task::waiting(async {
                let other = Mutex::new(());
                drop(CHANGED.wait_async(other.lock()).await);
            })));
            HELD.set(MUTEX.try_lock());
            CHANGED.notify_one();
            assert_eq!((registration, waiter.outcome()), (Registration::Registered, None));
            // SAFETY: registered.
            unsafe { wait.cancel(&waiter) }
        }
    }
    let _installed = install(&OutOfTime);
    let (guard, result) = CHANGED.wait_timeout(MUTEX.lock(), SOON);
    assert!(result.timed_out());
    drop(guard);
    assert_eq!(NEXT.take().unwrap().poll(), Some(()));
    assert!(!MUTEX.is_locked());
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
    struct Panics(&'static str);
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            resume_unwind(Box::new(self.0));
        }
    }
    as_thread_and_fiber(|| {
        let (mutex, changed) = (Mutex::new(()), Condvar::new());
        let guard = mutex.lock();
        let [waker, other] = ["a waker", "another"].map(|text| Waker::from(Arc::new(Panics(text))));
        let mut task = Box::pin(mutex.lock_async());
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let wait = catch_unwind(AssertUnwindSafe(|| changed.wait_timeout(guard, SOON).1));
        assert!(wait.is_err());
        assert!(mutex.is_locked());
        drop(task);
        assert!(!mutex.is_locked());
        // Also if it was notified, and has been granted the mutex when it panics.
        let guard = mutex.lock();
        let mut task = Box::pin(mutex.lock_async());
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        thread::scope(|s| {
            let next = s.spawn(|| {
                wait_until(|| changed.notify_one());
                let mut next = Box::pin(mutex.lock_async());
                assert!(next.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
                drop(task);
                next
            });
            let wait = catch_unwind(AssertUnwindSafe(|| _ = changed.wait(guard)));
            assert_eq!(wait.unwrap_err().downcast_ref(), Some(&"a waker"), "the first is heard");
            drop(next.join());
        });
        assert!(!mutex.is_locked());
    });
}
