//! Waiting in a queue allocates nothing, whoever waits.
#![cfg(all(not(loom), feature = "std"))]

use std::future::Future;
use std::pin::pin;
use std::ptr::NonNull;
use std::task::{Context, Waker};
use std::time::Duration;

use intrusive_waitlist::wait_queue::{Outcome, Registration, Waiter};
use intrusive_waitlist::{FiberHandle, WaitQueue};
use test_support::{Counting, allocation_count};

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn no_kind_of_wait_allocates() {
    fn nobody(_: NonNull<()>) {}
    let queue = WaitQueue::new(0);
    // The thread's handle is made by whoever asks first.
    let _ = std::thread::current();

    let before = allocation_count();
    for _ in 0..1_000 {
        // SAFETY: `nobody` may be called at any time.
        let fiber = Waiter::fiber(unsafe { FiberHandle::new(NonNull::dangling(), nobody) });
        let thread = Waiter::current_thread();
        for waiter in [&fiber, &thread] {
            // SAFETY: stays in this frame until it is granted, below.
            assert_eq!(unsafe { queue.register(waiter, 1) }, Registration::Registered);
        }
        let mut task = pin!(queue.acquire(1));
        let mut context = Context::from_waker(Waker::noop());
        assert!(task.as_mut().poll(&mut context).is_pending());
        queue.release(3);
        assert_eq!((fiber.outcome(), thread.park()), (Some(Outcome::Granted), Outcome::Granted));
        assert!(task.poll(&mut context).is_ready());
        assert_eq!(queue.acquire_thread_timeout(1, Duration::ZERO), None);
    }
    assert_eq!(allocation_count() - before, 0);
}
