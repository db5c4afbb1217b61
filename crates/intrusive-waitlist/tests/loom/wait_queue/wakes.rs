//! Wakes without permits.

use std::task::Waker;

use intrusive_waitlist::wait_queue::Outcome;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

use super::{Fiber, block_on, finish, queue, retire};
use crate::{Data, Shared, model};

/// With three waiters the wake takes two rounds, in the middle of which the first comes back.
#[test]
fn wake_all_wakes_those_who_waited_and_nobody_who_comes_after() {
    model(3, || {
        let queue = queue(0);
        let fibers = [0; 3].map(|_| Fiber::waiting(queue));
        let waker = thread::spawn(move || queue.get().wake_all());
        assert_eq!(fibers[0].get().spin(), Outcome::Woken);
        let again = Fiber::waiting(queue);
        assert_eq!(waker.join().unwrap(), 3);
        assert_eq!(again.get().outcome(), None);
        for fiber in fibers {
            assert_eq!(fiber.get().outcome(), Some(Outcome::Woken));
        }
        assert_eq!(again.get().cancel(queue), None);
        fibers.into_iter().for_each(retire);
        retire(again);
        finish(queue, 0);
    });
}

/// The third is woken, but finds no room in the first batch: whoever asks is told the same.
#[test]
fn a_woken_waiter_behind_the_batch_is_woken() {
    model(4, || {
        let queue = queue(0);
        let fibers = [0; 3].map(|_| Fiber::waiting(queue));
        let waker = thread::spawn(move || queue.get().wake_all());
        let cancelled = fibers[2].get().cancel(queue);
        let woken = waker.join().unwrap();
        assert_eq!(woken, 2 + usize::from(cancelled.is_some()));
        assert_eq!(fibers[2].get().wakes(), usize::from(cancelled.is_some()));
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

#[test]
fn two_wakes_of_one_wake_two() {
    model(3, || {
        let queue = queue(0);
        let fibers = [0; 3].map(|_| Fiber::waiting(queue));
        let waker = thread::spawn(move || queue.get().wake(1));
        assert_eq!(queue.get().wake(1), 1);
        assert_eq!(waker.join().unwrap(), 1);
        let outcomes = fibers.map(|fiber| fiber.get().outcome());
        assert_eq!(outcomes, [Some(Outcome::Woken), Some(Outcome::Woken), None]);
        assert_eq!(fibers[2].get().cancel(queue), None);
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

#[test]
fn a_wake_passes_by_whoever_gave_up() {
    model(4, || {
        let queue = queue(0);
        let fibers = [0; 2].map(|_| Fiber::waiting(queue));
        let waker = thread::spawn(move || queue.get().wake(1));
        let first = fibers[0].get().cancel(queue);
        assert_eq!(waker.join().unwrap(), 1);
        let second = fibers[1].get().cancel(queue);
        assert!(first.is_some() != second.is_some(), "{first:?} {second:?}");
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

#[test]
fn a_wake_that_was_abandoned_goes_on() {
    model(4, || {
        let queue = queue(0);
        let fibers = [0; 2].map(|_| Fiber::waiting(queue));
        let waker = thread::spawn(move || queue.get().wake(1));
        // SAFETY: registered, and not cancelled.
        unsafe { queue.get().abandon(&fibers[0].get().waiter) };
        waker.join().unwrap();
        assert_eq!(fibers[1].get().outcome(), Some(Outcome::Woken));
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

/// The flag's own orderings are of no help.
#[test]
fn a_flag_that_was_set_before_the_wake_is_not_missed() {
    model(4, || {
        let (queue, flag) = (queue(0), Shared::new(AtomicBool::new(false)));
        let waker = thread::spawn(move || {
            flag.get().store(true, Relaxed);
            queue.get().wake_all();
        });
        let fiber = Fiber::waiting(queue);
        if flag.get().load(Relaxed) {
            let _ = fiber.get().cancel(queue);
        } else {
            assert_eq!(fiber.get().spin(), Outcome::Woken);
        }
        waker.join().unwrap();
        retire(fiber);
        finish(queue, 0);
    });
}

#[test]
fn what_a_waker_did_is_seen() {
    model(4, || {
        let (queue, data) = (queue(0), Shared::new(Data::new()));
        let fiber = Fiber::waiting(queue);
        let waker = thread::spawn(move || {
            data.get().add_one();
            queue.get().wake(1)
        });
        assert_eq!(fiber.get().spin(), Outcome::Woken);
        data.get().add_one();
        assert_eq!(waker.join().unwrap(), 1);
        retire(fiber);
        finish(queue, 0);
    });
}

#[test]
fn a_notification_is_stored_or_taken_once() {
    model(4, || {
        let queue = queue(0);
        let notifier = thread::spawn(move || queue.get().notify_one());
        assert!(matches!(queue.get().acquire_thread(1), Outcome::Granted | Outcome::Woken));
        notifier.join().unwrap();
        finish(queue, 0);
    });
}

#[test]
fn two_notifications_leave_at_most_one() {
    model(4, || {
        let queue = queue(0);
        let fiber = Fiber::registered(queue);
        let notifier = thread::spawn(move || queue.get().notify_one());
        queue.get().notify_one();
        notifier.join().unwrap();
        assert_eq!(fiber.get().outcome(), Some(Outcome::Woken));
        queue.get().notify_one();
        retire(fiber);
        finish(queue, 1);
    });
}

/// The notification is there already when the notifier comes, so that it changes nothing; but who
/// takes it sees what the notifier did, or is notified again.
#[test]
fn a_notification_of_a_notified_queue_is_not_missed() {
    model(4, || {
        let (queue, flag) = (queue(1), Shared::new(AtomicBool::new(false)));
        let notifier = thread::spawn(move || {
            flag.get().store(true, Relaxed);
            queue.get().notify_one();
        });
        let mut turns = 0;
        loop {
            assert!(matches!(queue.get().acquire_thread(1), Outcome::Granted | Outcome::Woken));
            turns += 1;
            if flag.get().load(Relaxed) {
                break;
            }
        }
        notifier.join().unwrap();
        assert!(turns <= 2);
        let left = queue.get().available_permits();
        assert!(turns + left <= 2);
        finish(queue, left);
    });
}

#[test]
fn a_notified_future_that_is_dropped_notifies_the_next() {
    model(3, || {
        let queue = queue(0);
        let dropped = thread::spawn(move || {
            let mut wait = Box::pin(queue.get().acquire(1));
            wait.as_mut().enable(Waker::noop());
        });
        let notifier = thread::spawn(move || queue.get().notify_one());
        let outcome = block_on(queue.get().acquire(1));
        assert!(matches!(outcome, Outcome::Granted | Outcome::Woken));
        dropped.join().unwrap();
        notifier.join().unwrap();
        finish(queue, 0);
    });
}
