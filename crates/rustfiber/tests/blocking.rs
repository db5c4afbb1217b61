//! `blocking`: the caller's fiber waits, its worker does not.

mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::mpsc;
use std::thread;

use rustfiber::{FiberState, WaitKind, blocking, current_worker, join, without_suspending};
use support::{must_end, runtime_with};

#[test]
fn a_worker_goes_on_while_its_fiber_waits_for_a_call() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (sender, receiver) = mpsc::channel();
        // The call blocks its thread until the worker has run the other half.
        let (received, ()) = runtime.run(|| {
            join(
                move || blocking(move || receiver.recv().unwrap()),
                move || sender.send(5).unwrap(),
            )
        });
        assert_eq!(received, 5);
    });
}

#[test]
fn a_call_may_borrow_and_runs_elsewhere() {
    let runtime = runtime_with(1);
    let mut numbers = vec![1, 2];
    let is_elsewhere = runtime.run(|| {
        blocking(|| {
            numbers.push(3);
            current_worker().is_none()
        })
    });
    assert!(is_elsewhere);
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_plain_thread_and_what_must_not_suspend_call_in_place() {
    let here = || thread::current().id();
    assert_eq!(blocking(here), here());
    let in_place = runtime_with(1).run(|| without_suspending(|| blocking(here) == here()));
    assert!(in_place);
}

#[test]
fn a_panic_of_the_call_comes_out() {
    runtime_with(1).run(|| {
        for _ in 0..3 {
            let panic =
                catch_unwind(AssertUnwindSafe(|| blocking(|| panic_any(7_u8)))).unwrap_err();
            assert_eq!(*panic.downcast::<u8>().unwrap(), 7);
        }
        assert_eq!(blocking(|| 8), 8);
    });
}

#[test]
fn thread_locals_are_the_helpers() {
    thread_local! {
        static LOCAL: Cell<u32> = const { Cell::new(0) };
    }
    runtime_with(1).run(|| {
        LOCAL.set(1);
        blocking(|| LOCAL.set(2));
        assert_eq!(LOCAL.get(), 1);
    });
}

#[test]
fn a_dump_tells_who_waits_for_a_call() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (sender, receiver) = mpsc::channel::<()>();
        let handle = runtime.spawn(move || blocking(move || receiver.recv().is_err()));
        let waits = FiberState::Waiting(WaitKind::Blocking);
        while !runtime.dump().fibers.iter().any(|fiber| fiber.state == waits) {
            thread::yield_now();
        }
        drop(sender);
        assert!(handle.join().unwrap());
    });
}
