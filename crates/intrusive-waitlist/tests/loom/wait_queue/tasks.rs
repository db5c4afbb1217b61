//! Futures: wakers that change, that panic, that use the queue; futures that are dropped.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, Waker};

use intrusive_waitlist::wait_queue::Outcome;
use loom::thread;

use super::{Fiber, block_on, calling, finish, poll, queue, retire};
use crate::{Data, Shared, model};

#[test]
fn a_task_is_granted_its_permit() {
    model(4, || {
        let (queue, data) = (queue(0), Shared::new(Data::new()));
        let task = thread::spawn(move || {
            assert_eq!(block_on(queue.get().acquire(1)), Outcome::Granted);
            data.get().add_one();
        });
        data.get().add_one();
        queue.get().release(1);
        task.join().unwrap();
        finish(queue, 0);
    });
}

/// Polled with wakers that lead nowhere, and then with one that works.
#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    model(6, || {
        let queue = queue(0);
        let mut wait = Box::pin(queue.get().acquire(1));
        assert_eq!(poll(wait.as_mut(), Waker::noop()), Poll::Pending);
        let releaser = thread::spawn(move || queue.get().release(1));
        if poll(wait.as_mut(), &calling(|| ())).is_pending() {
            assert_eq!(block_on(wait.as_mut()), Outcome::Granted);
        }
        drop(wait);
        releaser.join().unwrap();
        finish(queue, 0);
    });
}

/// By the holder's list, where the other releaser may be the holder, or hands over to it.
#[test]
fn a_waker_is_replaced_behind_another() {
    model(4, || {
        let queue = queue(0);
        let fiber = Fiber::registered(queue);
        let mut wait = Box::pin(queue.get().acquire(1));
        assert!(poll(wait.as_mut(), Waker::noop()).is_pending());
        let releaser = thread::spawn(move || {
            queue.get().release(1);
            queue.get().release(1);
        });
        assert_eq!(block_on(wait.as_mut()), Outcome::Granted);
        drop(wait);
        releaser.join().unwrap();
        retire(fiber);
        finish(queue, 0);
    });
}

/// The wait begins with a waker that leads nowhere.
#[test]
fn an_enabled_wait_misses_no_wake() {
    model(4, || {
        let queue = queue(0);
        let mut wait = Box::pin(queue.get().wait());
        assert!(!wait.as_mut().enable(Waker::noop()));
        let waker = thread::spawn(move || queue.get().wake_all());
        assert_eq!(block_on(wait.as_mut()), Outcome::Woken);
        drop(wait);
        assert_eq!(waker.join().unwrap(), 1);
        finish(queue, 0);
    });
}

#[test]
fn a_future_that_is_dropped_gives_its_permit_to_the_next() {
    model(3, || {
        let queue = queue(0);
        let dropper = thread::spawn(move || {
            let mut wait = Box::pin(queue.get().acquire(1));
            let granted = poll(wait.as_mut(), Waker::noop()).is_ready();
            drop(wait);
            if granted {
                queue.get().release(1);
            }
        });
        let waiter = thread::spawn(move || block_on(queue.get().acquire(1)));
        queue.get().release(1);
        dropper.join().unwrap();
        assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        finish(queue, 0);
    });
}

/// A task that was granted and then forgotten by its executor, until that drops it.
#[test]
fn a_granted_future_that_is_never_polled_again_loses_nothing() {
    model(4, || {
        let queue = queue(0);
        let mut forgotten = Box::pin(queue.get().acquire(1));
        assert!(poll(forgotten.as_mut(), Waker::noop()).is_pending());
        let next = Fiber::registered(queue);
        let releaser = thread::spawn(move || queue.get().release(1));
        drop(forgotten);
        assert_eq!(next.get().spin(), Outcome::Granted);
        releaser.join().unwrap();
        retire(next);
        finish(queue, 0);
    });
}

/// Three waiters are two batches; the first waker panics, in whichever call it is woken.
#[test]
fn a_waker_that_panics_keeps_nobody_asleep() {
    model(3, || {
        let queue = queue(0);
        let mut wait = Box::pin(queue.get().acquire(1));
        // No message: the hook is not called.
        let panicking = calling(|| panic::resume_unwind(Box::new("waker")));
        assert!(poll(wait.as_mut(), &panicking).is_pending());
        let fibers = [0; 2].map(|_| Fiber::registered(queue));
        let release = move |permits| {
            let release = AssertUnwindSafe(|| queue.get().release(permits));
            panic::catch_unwind(release).is_err()
        };
        let releaser = thread::spawn(move || release(1));
        let panicked = release(2);
        assert!(panicked != releaser.join().unwrap(), "it panics once");
        assert_eq!(fibers.map(|fiber| fiber.get().spin()), [Outcome::Granted; 2]);
        assert_eq!(poll(wait.as_mut(), Waker::noop()), Poll::Ready(Outcome::Granted));
        drop(wait);
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

/// The waker of the first drops the second, which the same batch has notified or the next would,
/// takes and gives permits, waits and counts: what it gives back goes to the third.
#[test]
fn a_waker_may_use_the_queue() {
    model(3, || {
        let queue = queue(0);
        let second = Shared::new(Some(Box::pin(queue.get_forever().acquire(1))));
        let wake = move || {
            assert_eq!(queue.get().try_acquire(1), None);
            drop(second.free().take());
            let fiber = Fiber::registered(queue);
            assert!(queue.get().waiter_count() >= 1);
            if fiber.get().cancel(queue).is_some() {
                queue.get().release(1);
            }
            fiber.free().waiter.retire();
        };
        let mut first = Box::pin(queue.get().acquire(1));
        assert!(poll(first.as_mut(), &calling(wake)).is_pending());
        let future = second.free().as_mut().expect("put there above").as_mut();
        assert!(poll(future, Waker::noop()).is_pending());
        let third = Fiber::new();
        assert_eq!(third.get().register(queue, 2), super::REGISTERED);
        let releaser = thread::spawn(move || queue.get().release(2));
        queue.get().release(1);
        releaser.join().unwrap();
        assert_eq!(third.get().outcome(), Some(Outcome::Granted));
        assert_eq!(poll(first.as_mut(), Waker::noop()), Poll::Ready(Outcome::Granted));
        drop(first);
        retire(third);
        finish(queue, 0);
    });
}

/// One permit goes round, and each waiter passes it on.
#[test]
fn fiber_thread_and_task_wait_side_by_side() {
    model(3, || {
        let queue = queue(0);
        let fiber = Fiber::registered(queue);
        let order = Shared::new(AtomicUsize::new(0));
        let thread = thread::spawn(move || {
            assert_eq!(queue.get().acquire_thread(1), Outcome::Granted);
            order.get().fetch_add(1, Relaxed);
            queue.get().release(1);
        });
        let task = thread::spawn(move || {
            assert_eq!(block_on(queue.get().acquire(1)), Outcome::Granted);
            order.get().fetch_add(1, Relaxed);
            queue.get().release(1);
        });
        queue.get().release(1);
        assert_eq!(fiber.get().spin(), Outcome::Granted);
        assert_eq!(order.get().load(Relaxed), 0, "the fiber was first");
        queue.get().release(1);
        thread.join().unwrap();
        task.join().unwrap();
        retire(fiber);
        finish(queue, 1);
    });
}
