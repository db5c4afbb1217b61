//! Waiting for a wake of one queue and then for the permit of another: a condition and its mutex.

use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::Outcome;
use loom::thread;

use super::{Fiber, REGISTERED, block_on, finish, poll, queue, retire};
use crate::{Data, Shared, model};

impl Fiber {
    /// Creates one that waits for `condition`, and then for the permit of `mutex`.
    fn requeued(condition: Shared<WaitQueue>, mutex: Shared<WaitQueue>) -> Shared<Fiber> {
        let fiber = Fiber::new();
        let waiter = &fiber.get().waiter;
        // SAFETY: leaked, and retired when nobody waits.
        let registration = unsafe { condition.get().register_requeue(waiter, mutex.get()) };
        assert_eq!(registration, REGISTERED);
        fiber
    }
}

/// What a releaser did is seen through the mutex, and what a waker did through the move.
#[test]
fn a_woken_waiter_gets_the_permit() {
    model(4, || {
        let (condition, mutex) = (queue(0), queue(0));
        let data = [0; 2].map(|_| Shared::new(Data::new()));
        let fiber = Fiber::requeued(condition, mutex);
        let releaser = thread::spawn(move || {
            data[0].get().add_one();
            mutex.get().release(1);
        });
        data[1].get().add_one();
        assert_eq!(condition.get().wake(1), 1);
        assert_eq!(fiber.get().spin(), Outcome::Granted);
        data[0].get().add_one();
        releaser.join().unwrap();
        retire(fiber);
        finish(condition, 0);
        finish(mutex, 0);
    });
}

#[test]
fn what_the_waker_of_a_moved_waiter_did_is_seen() {
    model(4, || {
        let (condition, mutex) = (queue(0), queue(0));
        let data = Shared::new(Data::new());
        let fiber = Fiber::requeued(condition, mutex);
        let waker = thread::spawn(move || {
            data.get().add_one();
            condition.get().wake(1)
        });
        mutex.get().release(1);
        assert_eq!(fiber.get().spin(), Outcome::Granted);
        data.get().add_one();
        assert_eq!(waker.join().unwrap(), 1);
        retire(fiber);
        finish(condition, 0);
        finish(mutex, 0);
    });
}

/// Three are two batches of wakes, were they woken.
#[test]
fn all_are_moved_and_one_is_woken() {
    model(3, || {
        let (condition, mutex) = (queue(0), queue(0));
        let fibers = [0; 3].map(|_| Fiber::requeued(condition, mutex));
        let releaser = thread::spawn(move || mutex.get().release(1));
        assert_eq!(condition.get().wake_all(), 3);
        assert_eq!(condition.get().waiter_count(), 0);
        releaser.join().unwrap();
        for fiber in fibers {
            assert_eq!(fibers.iter().map(|fiber| fiber.get().wakes()).sum::<usize>(), 1);
            assert_eq!(fiber.get().outcome(), Some(Outcome::Granted), "in their order");
            retire(fiber);
            // Counted no more.
            fiber.get().wakes.store(0, Relaxed);
            mutex.get().release(1);
        }
        finish(condition, 0);
        finish(mutex, 1);
    });
}

/// The timer finds the waiter in the one queue, in the other, or granted.
#[test]
fn a_timer_races_with_a_move() {
    model(4, || {
        let (condition, mutex) = (queue(0), queue(0));
        let fiber = Fiber::requeued(condition, mutex);
        let timer = thread::spawn(move || fiber.get().cancel(condition));
        let releaser = thread::spawn(move || mutex.get().release(1));
        condition.get().wake(1);
        let timed_out = timer.join().unwrap().is_none();
        releaser.join().unwrap();
        retire(fiber);
        finish(condition, 0);
        finish(mutex, usize::from(timed_out));
    });
}

/// Of two waiters, one wake moves one; if that gives up, also after the move, the other.
#[test]
fn a_wake_goes_on_when_the_moved_waiter_gives_up() {
    model(4, || {
        let (condition, mutex) = (queue(0), queue(0));
        let fibers = [0; 2].map(|_| Fiber::requeued(condition, mutex));
        let waker = thread::spawn(move || condition.get().wake(1));
        let cancelled = fibers[0].get().cancel(condition);
        assert_eq!(waker.join().unwrap(), 1);
        assert_eq!(cancelled, None, "nobody releases");
        mutex.get().release(1);
        assert_eq!(fibers[1].get().outcome(), Some(Outcome::Granted));
        fibers.into_iter().for_each(retire);
        finish(condition, 0);
        finish(mutex, 0);
    });
}

/// It is behind another in the line that it was moved to, and another is left in the one it was in.
#[test]
fn a_moved_waiter_is_taken_out_of_the_line_that_it_is_in() {
    model(2, || {
        let (condition, mutex) = (queue(0), queue(0));
        let ahead = Fiber::registered(mutex);
        let fibers = [0; 2].map(|_| Fiber::requeued(condition, mutex));
        assert_eq!(condition.get().wake(1), 1);
        let behind = Fiber::registered(mutex);
        assert_eq!(behind.get().cancel(mutex), None); // puts the others into the list
        let waker = thread::spawn(move || mutex.get().release(1));
        assert_eq!(fibers[0].get().cancel(condition), None, "the permit is for the one ahead");
        waker.join().unwrap();
        assert_eq!(condition.get().waiter_count(), 0, "the wake has gone on");
        mutex.get().release(1);
        for fiber in [ahead, fibers[1]] {
            assert_eq!(fiber.get().outcome(), Some(Outcome::Granted));
        }
        [ahead, behind].into_iter().chain(fibers).for_each(retire);
        finish(condition, 0);
        finish(mutex, 0);
    });
}

/// Before the wake, in the line of the mutex, or with the permit.
#[test]
fn a_moved_future_that_is_dropped_gives_back_wake_and_permit() {
    model(3, || {
        let (condition, mutex) = (queue(0), queue(0));
        let mut dropped = Box::pin(condition.get().wait_requeue(mutex.get_forever()));
        assert!(poll(dropped.as_mut(), Waker::noop()).is_pending());
        let mut next = Box::pin(condition.get().wait_requeue(mutex.get_forever()));
        assert!(!next.as_mut().enable(Waker::noop()));
        let waker = thread::spawn(move || {
            condition.get().wake(1);
            mutex.get().release(1);
        });
        drop(dropped);
        assert_eq!(block_on(next.as_mut()), Outcome::Granted);
        drop(next);
        waker.join().unwrap();
        finish(condition, 0);
        finish(mutex, 0);
    });
}

/// In the one queue or the other, or in the hands of who moves it.
#[test]
fn the_waker_of_a_moved_future_is_replaced() {
    model(4, || {
        let (condition, mutex) = (queue(0), queue(0));
        // A model that fails must not drop it: that would wait for what is never to come.
        let mut wait =
            ManuallyDrop::new(Box::pin(condition.get().wait_requeue(mutex.get_forever())));
        assert!(poll(wait.as_mut(), Waker::noop()).is_pending());
        let behind = Fiber::waiting(condition);
        let waker = thread::spawn(move || {
            assert_eq!(condition.get().wake(1), 1);
            mutex.get().release(1);
        });
        assert_eq!(block_on(wait.as_mut()), Outcome::Granted);
        drop(ManuallyDrop::into_inner(wait));
        waker.join().unwrap();
        assert_eq!(condition.get().wake(1), 1);
        retire(behind);
        finish(condition, 0);
        finish(mutex, 0);
    });
}

/// Who waits for the mutex alone and who is moved to it meet in its line.
#[test]
fn a_move_races_with_a_registration() {
    model(3, || {
        let (condition, mutex) = (queue(1), queue(1));
        assert_eq!(condition.get().try_acquire(1), Some(Outcome::Granted));
        let fiber = Fiber::requeued(condition, mutex);
        let owner = thread::spawn(move || {
            assert_eq!(mutex.get().acquire_thread(1), Outcome::Granted);
            mutex.get().release(1);
        });
        condition.get().wake_all();
        assert_eq!(fiber.get().spin(), Outcome::Granted);
        mutex.get().release(1);
        owner.join().unwrap();
        retire(fiber);
        finish(condition, 0);
        finish(mutex, 1);
    });
}

/// Whether the close comes before the wake, between the move and the grant, or too late.
#[test]
fn a_close_of_either_queue_ends_the_wait() {
    for closes_condition in [true, false] {
        model(3, move || {
            let (condition, mutex) = (queue(0), queue(0));
            let fiber = Fiber::requeued(condition, mutex);
            let closed = if closes_condition { condition } else { mutex };
            let closer = thread::spawn(move || closed.get().close());
            condition.get().wake(1);
            mutex.get().release(1);
            assert!(closer.join().unwrap());
            let outcome = fiber.get().outcome().expect("the wait is over");
            assert_ne!(outcome, Outcome::Woken);
            retire(fiber);
            finish(condition, 0);
            finish(mutex, usize::from(outcome == Outcome::Closed));
        });
    }
}
