//! Permits: acquire, release, cancel.

use intrusive_waitlist::wait_queue::{Outcome, Registration};
use loom::thread;

use super::{Fiber, REGISTERED, finish, queue, retire};
use crate::{Data, Shared, model};

#[test]
fn a_release_races_with_a_registration() {
    model(4, || {
        let queue = queue(0);
        // Hangs, which loom reports as a deadlock, if the permit is lost.
        let waiter = thread::spawn(move || queue.get().acquire_thread(1));
        queue.get().release(1);
        assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        finish(queue, 0);
    });
}

#[test]
fn a_mutex_hands_its_data_over() {
    model(4, || {
        let (queue, data) = (queue(1), Shared::new(Data::new()));
        let add_one = move || {
            assert_eq!(queue.get().acquire_thread(1), Outcome::Granted);
            data.get().add_one();
            queue.get().release(1);
        };
        let threads = [0, 1].map(|_| thread::spawn(add_one));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(data.get().read(), 2);
        finish(queue, 1);
    });
}

#[test]
fn a_lock_hands_its_data_over() {
    model(4, || {
        let (queue, data) = (queue(1), Shared::new(Data::new()));
        let add_one = move || {
            if !queue.get().try_lock() {
                assert_eq!(queue.get().acquire_thread(1), Outcome::Granted);
            }
            data.get().add_one();
            queue.get().unlock();
        };
        let threads = [0, 1].map(|_| thread::spawn(add_one));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(data.get().read(), 2);
        finish(queue, 1);
    });
}

#[test]
fn one_release_serves_one_and_leaves_the_rest() {
    model(3, || {
        let queue = queue(0);
        let waiter = thread::spawn(move || queue.get().acquire_thread(1));
        queue.get().release(2);
        assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        finish(queue, 1);
    });
}

#[test]
fn two_releases_serve_two_waiters() {
    model(3, || {
        let queue = queue(0);
        let waiters = [0, 1].map(|_| thread::spawn(move || queue.get().acquire_thread(1)));
        queue.get().release(1);
        queue.get().release(1);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        }
        finish(queue, 0);
    });
}

#[test]
fn one_release_serves_two_waiters() {
    model(3, || {
        let queue = queue(0);
        let waiters = [0, 1].map(|_| thread::spawn(move || queue.get().acquire_thread(1)));
        queue.get().release(2);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        }
        finish(queue, 0);
    });
}

#[test]
fn a_cancel_races_with_a_release() {
    model(3, || {
        let queue = queue(0);
        let canceller = thread::spawn(move || {
            let fiber = Fiber::new();
            let granted = match fiber.get().register(queue, 1) {
                REGISTERED => fiber.get().cancel(queue).is_some(),
                Registration::Ready(_) => true,
            };
            if granted {
                queue.get().release(1);
            }
            // Before anything else orders what the granter did to the node.
            fiber.free().waiter.retire();
        });
        let waiter = thread::spawn(move || queue.get().acquire_thread(1));
        queue.get().release(1);
        assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        canceller.join().unwrap();
        finish(queue, 0);
    });
}

#[test]
fn a_cancelled_head_lets_its_follower_go() {
    model(3, || {
        let queue = queue(0);
        let head = Fiber::new();
        assert_eq!(head.get().register(queue, 2), REGISTERED);
        let follower = thread::spawn(move || queue.get().acquire_thread(1));
        let releaser = thread::spawn(move || queue.get().release(1));
        assert_eq!(head.get().cancel(queue), None, "one permit is not two");
        assert_eq!(follower.join().unwrap(), Outcome::Granted);
        releaser.join().unwrap();
        retire(head);
        finish(queue, 0);
    });
}

#[test]
fn two_releases_serve_one_large_waiter() {
    model(3, || {
        let queue = queue(0);
        let waiter = thread::spawn(move || queue.get().acquire_thread(2));
        let releaser = thread::spawn(move || queue.get().release(1));
        queue.get().release(1);
        assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        releaser.join().unwrap();
        finish(queue, 0);
    });
}

#[test]
fn two_cancels_race_with_a_release() {
    model(3, || {
        let queue = queue(0);
        let cancellers = [0, 1].map(|_| {
            thread::spawn(move || {
                let fiber = Fiber::new();
                let granted = match fiber.get().register(queue, 1) {
                    REGISTERED => fiber.get().cancel(queue).is_some(),
                    Registration::Ready(_) => true,
                };
                if granted {
                    queue.get().release(1);
                }
                fiber.free().waiter.retire();
            })
        });
        queue.get().release(1);
        cancellers.into_iter().for_each(|canceller| canceller.join().unwrap());
        finish(queue, 1);
    });
}

#[test]
fn the_oldest_waiter_is_served_first() {
    model(4, || {
        let queue = queue(0);
        let oldest = Fiber::registered(queue);
        let younger = thread::spawn(move || queue.get().acquire_thread(1));
        queue.get().release(1);
        // Nobody else releases, so the younger thread waits until this one has seen its permit.
        assert_eq!(oldest.get().spin(), Outcome::Granted);
        queue.get().release(1);
        assert_eq!(younger.join().unwrap(), Outcome::Granted);
        retire(oldest);
        finish(queue, 0);
    });
}

#[test]
fn waiters_in_the_inbox_keep_their_order() {
    model(3, || {
        let queue = queue(0);
        let fibers = [0; 3].map(|_| Fiber::registered(queue));
        let releaser = thread::spawn(move || queue.get().release(1));
        queue.get().release(1);
        releaser.join().unwrap();
        let outcomes = fibers.map(|fiber| fiber.get().outcome());
        assert_eq!(outcomes, [Some(Outcome::Granted), Some(Outcome::Granted), None]);
        assert_eq!(fibers[2].get().cancel(queue), None);
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

#[test]
fn who_only_tries_takes_no_granted_permit() {
    model(3, || {
        let queue = queue(0);
        let waiter = thread::spawn(move || {
            assert_eq!(queue.get().acquire_thread(1), Outcome::Granted);
            queue.get().release(1);
        });
        let passer_by = thread::spawn(move || {
            if queue.get().try_acquire(1).is_some() {
                queue.get().release(1);
            }
        });
        queue.get().release(1);
        waiter.join().unwrap();
        passer_by.join().unwrap();
        finish(queue, 1);
    });
}

#[test]
fn permits_that_do_not_suffice_are_carried_into_the_queue() {
    model(4, || {
        let queue = queue(1);
        let waiter = thread::spawn(move || queue.get().acquire_thread(2));
        queue.get().release(1);
        assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        finish(queue, 0);
    });
}

/// The permit comes from the releaser, but often by the canceller's hand, which took it from the
/// credit before PENDING was set, or after.
#[test]
fn what_a_releaser_did_passes_through_the_holder() {
    model(3, || {
        let (queue, data) = (queue(0), Shared::new(Data::new()));
        let head = Fiber::new();
        assert_eq!(head.get().register(queue, 2), REGISTERED);
        let waiter = thread::spawn(move || {
            assert_eq!(queue.get().acquire_thread(1), Outcome::Granted);
            data.get().add_one();
        });
        let releaser = thread::spawn(move || {
            data.get().add_one();
            queue.get().release(1);
        });
        assert_eq!(head.get().cancel(queue), None);
        waiter.join().unwrap();
        releaser.join().unwrap();
        assert_eq!(data.get().read(), 2);
        retire(head);
        finish(queue, 0);
    });
}

#[test]
fn a_waiter_that_saw_its_outcome_may_go() {
    model(4, || {
        let queue = queue(0);
        let fiber = Fiber::registered(queue);
        let releaser = thread::spawn(move || queue.get().release(1));
        assert_eq!(fiber.get().spin(), Outcome::Granted);
        fiber.free().waiter.retire();
        releaser.join().unwrap();
        finish(queue, 0);
    });
}

#[test]
fn more_waiters_than_a_batch_are_all_served() {
    model(3, || {
        let queue = queue(0);
        let fibers = [0; 3].map(|_| Fiber::registered(queue));
        let releaser = thread::spawn(move || queue.get().release(3));
        let youngest = thread::spawn(move || queue.get().acquire_thread(1));
        queue.get().release(1);
        assert_eq!(youngest.join().unwrap(), Outcome::Granted);
        releaser.join().unwrap();
        for fiber in fibers {
            assert_eq!(fiber.get().outcome(), Some(Outcome::Granted));
        }
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}

#[test]
fn a_waiter_behind_the_batch_may_give_up() {
    model(3, || {
        let queue = queue(0);
        let fibers = [0; 3].map(|_| Fiber::registered(queue));
        let releaser = thread::spawn(move || queue.get().release(3));
        let cancelled = fibers[2].get().cancel(queue);
        releaser.join().unwrap();
        assert!(fibers[..2].iter().all(|fiber| fiber.get().outcome().is_some()));
        fibers.into_iter().for_each(retire);
        finish(queue, usize::from(cancelled.is_none()));
    });
}

/// The fiber is resumed by the timer or by the releaser, never by both and never by none.
#[test]
fn a_timer_races_with_a_grant() {
    model(4, || {
        let queue = queue(0);
        let fiber = Fiber::registered(queue);
        let timer = thread::spawn(move || fiber.get().cancel(queue));
        queue.get().release(1);
        let timed_out = timer.join().unwrap().is_none();
        assert_eq!(fiber.get().wakes(), usize::from(!timed_out));
        retire(fiber);
        finish(queue, usize::from(timed_out));
    });
}

#[test]
fn waiters_are_counted() {
    model(4, || {
        let queue = queue(0);
        let fibers = [0; 2].map(|_| Fiber::registered(queue));
        let releaser = thread::spawn(move || queue.get().release(1));
        let count = queue.get().waiter_count();
        assert!((1..=2).contains(&count), "{count}");
        // Counting while somebody holds does not lose what was left to the holder.
        assert_eq!(fibers[0].get().spin(), Outcome::Granted);
        releaser.join().unwrap();
        assert_eq!(queue.get().waiter_count(), 1);
        assert_eq!(fibers[1].get().cancel(queue), None);
        fibers.into_iter().for_each(retire);
        finish(queue, 0);
    });
}
