//! Values that are given with a permit.

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::{Outcome, Registration, Slot, Waiter};
use loom::thread;

use super::{Fiber, REGISTERED, finish, queue};
use crate::{Data, Shared, model};

/// Gives a value if somebody waits alone, and else a permit.
fn give_or_release(queue: &WaitQueue, given: usize) {
    match queue.claim() {
        // SAFETY: the models' slots are for numbers.
        Some(claim) if claim.has_slot() => unsafe { claim.give(given) },
        Some(claim) => claim.grant(),
        None => queue.release(1),
    }
}

#[test]
fn a_value_is_given_or_a_permit_is_there() {
    model(4, || {
        let (queue, data) = (queue(0), Shared::new(Data::new()));
        let receiver = thread::spawn(move || {
            let (waiter, mut slot) = (Waiter::current_thread(), Slot::<usize>::new());
            // SAFETY: both stay here until the wait is over.
            let registration = unsafe { queue.get().register_with_slot(&waiter, slot.erase()) };
            let outcome = match registration {
                REGISTERED => waiter.park(),
                Registration::Ready(outcome) => outcome,
            };
            assert_eq!(outcome, Outcome::Granted);
            assert!(slot.take().is_none_or(|value| value == 7));
            assert_eq!(data.get().read(), 1, "what came before is seen");
        });
        data.get().add_one();
        give_or_release(queue.get(), 7);
        receiver.join().unwrap();
        finish(queue, 0);
    });
}

#[test]
fn a_timer_races_with_a_gift() {
    model(3, || {
        let queue = queue(0);
        let (fiber, slot) = (Fiber::new(), Shared::new(Slot::<usize>::new()));
        // SAFETY: leaked, and retired when nobody waits.
        let registration =
            unsafe { queue.get().register_with_slot(&fiber.get().waiter, slot.get().erase()) };
        assert_eq!(registration, REGISTERED);
        let timer = thread::spawn(move || {
            let given = fiber.get().cancel(queue).is_some();
            // Before anything else orders what the giver did.
            let value = slot.free().take();
            fiber.free().waiter.retire();
            // A permit without a value goes on, and a value comes with one.
            assert!(value.is_none() || given);
            if given {
                queue.get().release(1);
            }
        });
        // Behind the receiver, or alone, or served at once.
        let waiter = thread::spawn(move || queue.get().acquire_thread(1));
        give_or_release(queue.get(), 7);
        assert_eq!(waiter.join().unwrap(), Outcome::Granted);
        timer.join().unwrap();
        finish(queue, 0);
    });
}

#[test]
fn a_claimed_waiter_is_told_of_a_close() {
    model(4, || {
        let queue = queue(0);
        let receiver = Fiber::registered(queue);
        let closer = thread::spawn(move || queue.get().close());
        if let Some(claim) = queue.get().claim() {
            claim.close(queue.get());
        }
        let _is_first = closer.join().unwrap();
        assert!(queue.get().is_closed());
        assert_eq!(receiver.get().outcome(), Some(Outcome::Closed));
        super::retire(receiver);
        finish(queue, 0);
    });
}
