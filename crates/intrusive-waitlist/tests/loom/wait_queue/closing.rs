//! Closing while others wait, release and give up.

use intrusive_waitlist::wait_queue::{Outcome, Registration};
use loom::thread;

use super::{Fiber, finish, queue, retire};
use crate::{Data, Shared, model};

#[test]
fn a_close_races_with_a_registration() {
    model(4, || {
        let (queue, data) = (queue(0), Shared::new(Data::new()));
        let waiter = thread::spawn(move || {
            let fiber = Fiber::new();
            let outcome = match fiber.get().register(queue, 1) {
                Registration::Registered => fiber.get().spin(),
                Registration::Ready(outcome) => outcome,
            };
            assert_eq!(outcome, Outcome::Closed);
            data.get().add_one();
            fiber.free().waiter.retire();
        });
        data.get().add_one();
        assert!(queue.get().close());
        waiter.join().unwrap();
        assert_eq!(queue.get().try_acquire(1), Some(Outcome::Closed));
        finish(queue, 0);
    });
}

#[test]
fn a_close_races_with_a_release() {
    model(4, || {
        let queue = queue(0);
        let fibers = [0; 2].map(|_| Fiber::registered(queue));
        let releaser = thread::spawn(move || queue.get().release(1));
        assert!(queue.get().close());
        let outcome = fibers[0].get().spin();
        assert_eq!(fibers[1].get().spin(), Outcome::Closed, "one permit is not two");
        releaser.join().unwrap();
        fibers.into_iter().for_each(retire);
        finish(queue, usize::from(outcome == Outcome::Closed));
    });
}

#[test]
fn a_close_races_with_a_cancel() {
    model(4, || {
        let queue = queue(0);
        let fibers = [0; 2].map(|_| Fiber::registered(queue));
        let canceller = thread::spawn(move || fibers[0].get().cancel(queue));
        assert!(queue.get().close());
        assert_eq!(fibers[1].get().spin(), Outcome::Closed);
        assert!(matches!(canceller.join().unwrap(), None | Some(Outcome::Closed)));
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

#[test]
fn close_release_and_cancel_meet() {
    model(3, || {
        let queue = queue(0);
        let fibers = [0; 2].map(|_| Fiber::registered(queue));
        let canceller = thread::spawn(move || fibers[0].get().cancel(queue));
        let releaser = thread::spawn(move || queue.get().release(1));
        assert!(queue.get().close());
        let outcomes = [canceller.join().unwrap(), Some(fibers[1].get().spin())];
        releaser.join().unwrap();
        let granted = outcomes.iter().filter(|outcome| **outcome == Some(Outcome::Granted));
        let granted = granted.count();
        assert!(granted <= 1);
        fibers.into_iter().for_each(retire);
        finish(queue, 1 - granted);
    });
}

#[test]
fn a_close_ends_more_waits_than_a_batch() {
    model(3, || {
        let queue = queue(0);
        let fibers = [0; 3].map(|_| Fiber::registered(queue));
        let closer = thread::spawn(move || queue.get().close());
        let canceller = thread::spawn(move || fibers[1].get().cancel(queue));
        assert!(matches!(canceller.join().unwrap(), None | Some(Outcome::Closed)));
        assert!(closer.join().unwrap());
        assert_eq!(fibers[0].get().outcome(), Some(Outcome::Closed));
        assert_eq!(fibers[2].get().outcome(), Some(Outcome::Closed));
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

#[test]
fn one_of_two_closes_closes() {
    model(4, || {
        let queue = queue(0);
        let fiber = Fiber::registered(queue);
        let closer = thread::spawn(move || queue.get().close());
        let closed = queue.get().close();
        assert!(closed != closer.join().unwrap());
        assert_eq!(fiber.get().spin(), Outcome::Closed);
        retire(fiber);
        finish(queue, 0);
    });
}
