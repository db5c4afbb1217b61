//! Every future, dropped at every point of its life: before its first poll, in line, and with what
//! it was granted or woken for. Whoever comes next finds all as if it had never been.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use fiber_sync::{
    AutoResetEvent, Barrier, Condvar, ManualResetEvent, Mutex, OnceCell, Policy, RwLock, Semaphore,
    WaitGroup, channel, oneshot,
};

use crate::common::{Task, block_on};

/// The points at which a future may be dropped.
const POINTS: [Point; 3] = [Point::Unpolled, Point::InLine, Point::Released];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Unpolled,
    InLine,
    /// What it waits for has come, and it has not been polled again: perhaps it never is.
    Released,
}

/// Drops `future`, which has to wait until `release`, at `point`, and releases anyhow.
fn drop_at<T>(point: Point, future: impl Future<Output = T>, release: impl FnOnce()) {
    let mut task = Task::new(future);
    if point != Point::Unpolled {
        assert!(task.poll().is_none(), "it has to wait");
    }
    if point == Point::Released {
        release();
        assert_eq!(task.wake_count(), 1, "{point:?}");
        return drop(task);
    }
    drop(task);
    release();
}

#[test]
fn permits_go_on() {
    fn check<P: Policy + 'static>(new: impl Fn() -> Semaphore<P>) {
        for point in POINTS {
            let semaphore = Arc::new(new());
            let owned = || Arc::clone(&semaphore);
            let release = |count| move |semaphore: &Semaphore<P>| semaphore.add_permits(count);
            drop_at(point, semaphore.acquire_async(), || release(1)(&semaphore));
            drop_at(point, semaphore.acquire_many_async(3), || release(2)(&semaphore));
            drop_at(point, semaphore.acquire_many_async(4), || release(1)(&semaphore));
            semaphore.try_acquire_many(4).expect("none is lost").forget();
            drop_at(point, owned().acquire_owned_async(), || release(1)(&semaphore));
            drop_at(point, owned().acquire_many_owned_async(2), || release(1)(&semaphore));
            assert_eq!(semaphore.available_permits(), 2, "{point:?}");
        }
    }
    check(|| Semaphore::new(0));
    check(|| Semaphore::unfair(0));
}

#[test]
fn locks_go_on() {
    for point in POINTS {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock();
        drop_at(point, mutex.lock_async(), || drop(guard));
        let guard = mutex.lock();
        drop_at(point, Arc::clone(&mutex).lock_owned_async(), || drop(guard));
        assert!(!mutex.is_locked(), "{point:?}");

        let lock = Arc::new(RwLock::new(()));
        let guard = lock.write();
        drop_at(point, lock.read_async(), || drop(guard));
        let guard = lock.read();
        drop_at(point, lock.write_async(), || drop(guard));
        let guard = lock.write();
        drop_at(point, Arc::clone(&lock).read_owned_async(), || drop(guard));
        let guard = lock.read();
        drop_at(point, Arc::clone(&lock).write_owned_async(), || drop(guard));
        assert!(lock.try_write().is_some(), "{point:?}");
    }
}

#[test]
fn notifications_go_on() {
    for point in POINTS {
        let (mutex, changed) = (Mutex::new(()), Condvar::new());
        let mut next = None;
        drop_at(point, changed.wait_async(mutex.lock()), || {
            next = Some(Task::waiting(changed.wait_async(mutex.lock())));
            changed.notify_one();
        });
        let mut next = next.expect("put there by the release");
        assert!(next.poll().is_some(), "{point:?}");
        assert!(!changed.notify_one() && !mutex.is_locked());
    }
}

#[test]
fn events_and_arrivals_go_on() {
    for point in POINTS {
        let event = AutoResetEvent::new(false);
        drop_at(point, event.wait_async(), || event.set());
        assert!(event.try_wait() && !event.try_wait(), "{point:?}");

        let event = ManualResetEvent::new(false);
        drop_at(point, event.wait_async(), || event.set());
        assert!(event.is_set());

        let group = WaitGroup::new(2);
        drop_at(point, group.wait_at_most_async(1), || group.done());
        drop_at(point, group.wait_async(), || group.done());
        assert_eq!(group.count(), 0);

        let barrier = Barrier::new(2);
        drop_at(point, barrier.wait_async(), || {
            if point == Point::Released {
                assert!(barrier.wait().is_leader());
            }
        });
        // Who was dropped in time has not come.
        let mut other = Task::waiting(barrier.wait_async());
        assert!(barrier.wait().is_leader());
        assert!(other.poll().is_some_and(|result| !result.is_leader()), "{point:?}");
    }
}

#[test]
fn values_and_room_go_on() {
    for point in POINTS {
        let (sender, receiver) = channel::bounded(1);
        drop_at(point, receiver.recv_async(), || sender.try_send(1).unwrap());
        assert_eq!(sender.len(), 1, "{point:?}");
        drop_at(point, sender.send_async(2), || assert_eq!(receiver.recv(), Ok(1)));
        assert!(receiver.is_empty(), "{point:?}");
        sender.try_send(3).expect("there is room");

        let (sender, mut receiver) = oneshot::channel();
        drop_at(point, receiver.recv_async(), || sender.send(1).unwrap());
        assert_eq!(receiver.recv(), Ok(1), "{point:?}");
        let (sender, receiver) = oneshot::channel::<()>();
        drop_at(point, sender.closed_async(), || drop(receiver));
        assert!(sender.is_closed());
    }
}

#[test]
fn the_turn_to_make_a_value_goes_on() {
    for point in POINTS {
        let cell = OnceCell::new();
        // The first has the turn, and never makes the value.
        let maker = Task::waiting(cell.get_or_init_async(std::future::pending::<i32>));
        let waits = cell.get_or_init_async(|| async { 1 });
        drop_at(point, waits, || drop(maker));
        assert_eq!(cell.get(), None);
        let value = pin!(cell.get_or_init_async(|| async { 2 }));
        assert_eq!(block_on(value), &2, "{point:?}");

        let cell = OnceCell::new();
        drop_at(point, cell.wait_async(), || cell.set(1).unwrap());
        assert_eq!(cell.wait(), &1, "{point:?}");
    }
}
