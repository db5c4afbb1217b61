//! `block_on` in jobs: the fiber waits, its worker does not.

mod support;

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;

use rustfiber::sync::{CancelToken, Cancelled, channel};
use rustfiber::{FiberState, WaitKind, block_on, join, spawn, spawn_future, without_suspending};
use support::{must_end, runtime_with};

#[test]
fn a_worker_goes_on_while_its_fiber_waits_for_a_future() {
    must_end(|| {
        runtime_with(1).run(|| {
            let (sender, receiver) = channel::bounded(1);
            let receive = || block_on(receiver.recv_async()).unwrap();
            let (received, ()) = join(receive, || sender.send(7).unwrap());
            assert_eq!(received, 7);
        });
    });
}

#[test]
fn a_future_that_wakes_itself_lets_the_workers_other_jobs_run() {
    must_end(|| {
        runtime_with(1).run(|| {
            let is_set = AtomicBool::new(false);
            let spins = poll_fn(|context| {
                context.waker().wake_by_ref();
                if is_set.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
            });
            join(|| block_on(spins), || is_set.store(true, Ordering::Relaxed));
        });
    });
}

#[test]
fn where_nothing_may_suspend_the_thread_waits() {
    must_end(|| {
        let runtime = runtime_with(2);
        let awaited = || block_on(async { spawn(|| 1).await.unwrap() });
        assert_eq!(runtime.run(|| without_suspending(awaited)), 1);
    });
}

/// A future polled on a worker blocks its fiber for another future, and that for a third.
#[test]
fn calls_may_be_nested_in_polls() {
    must_end(|| {
        let runtime = runtime_with(1);
        let inner = || async { block_on(spawn_future(async { 1 })).unwrap() + 1 };
        let outer =
            runtime.spawn_future(async move { block_on(spawn_future(inner())).unwrap() + 1 });
        assert_eq!(outer.join().unwrap(), 3);
    });
}

#[test]
fn a_panic_of_the_future_comes_out_of_the_job() {
    let runtime = runtime_with(1);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        runtime.run(|| block_on(async { panic_any("poll") }));
    }));
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "poll");
}

#[test]
fn a_dump_tells_who_waits_for_a_future() {
    must_end(|| {
        let runtime = runtime_with(1);
        let token = CancelToken::new();
        let jobs_token = token.clone();
        let handle = runtime.spawn(move || jobs_token.run(pending::<()>()));
        let waits = FiberState::Waiting(WaitKind::Future);
        while !runtime.dump().fibers.iter().any(|fiber| fiber.state == waits) {
            thread::yield_now();
        }
        token.cancel();
        assert_eq!(handle.join().unwrap(), Err(Cancelled));
    });
}
