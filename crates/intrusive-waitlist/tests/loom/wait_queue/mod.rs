//! The wait queue: each test is one claim of `src/wait_queue/README.md`. A batch is of two there.

mod closing;
mod permits;
mod requeue;
mod slots;
mod tasks;
mod wakes;

use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use intrusive_waitlist::wait_queue::{Outcome, Registration, Waiter};
use intrusive_waitlist::{FiberHandle, WaitQueue};
use loom::thread;
use test_support::block_on;

use crate::Shared;

const REGISTERED: Registration = Registration::Registered;

fn queue(permits: usize) -> Shared<WaitQueue> {
    Shared::new(WaitQueue::new(permits))
}

/// Checks that nobody waits, that no permit was lost or made, and that nobody touches the queue.
fn finish(queue: Shared<WaitQueue>, permits: usize) {
    assert_eq!(queue.get().waiter_count(), 0);
    assert_eq!(queue.get().available_permits(), permits);
    queue.free().retire();
}

/// A waiter of a fiber that only counts how often it is made ready, in std's atomics: they order
/// nothing for loom.
struct Fiber {
    waiter: Waiter,
    wakes: &'static AtomicUsize,
}

impl Fiber {
    fn new() -> Shared<Fiber> {
        fn wake(fiber: NonNull<()>) {
            // SAFETY: the counter is leaked, below.
            let wakes = unsafe { fiber.cast::<AtomicUsize>().as_ref() };
            wakes.fetch_add(1, Relaxed);
        }
        let wakes: &'static AtomicUsize = Box::leak(Box::default());
        // SAFETY: `wake` may be called from anywhere, at any time.
        let handle = unsafe { FiberHandle::new(NonNull::from(wakes).cast(), wake) };
        Shared::new(Fiber { waiter: Waiter::fiber(handle), wakes })
    }

    /// Creates one that is registered for a permit.
    fn registered(queue: Shared<WaitQueue>) -> Shared<Fiber> {
        let fiber = Fiber::new();
        assert_eq!(fiber.get().register(queue, 1), REGISTERED);
        fiber
    }

    /// Creates one that is registered for a wake.
    fn waiting(queue: Shared<WaitQueue>) -> Shared<Fiber> {
        let fiber = Fiber::new();
        // SAFETY: leaked, and retired when nobody waits.
        assert_eq!(unsafe { queue.get().register_wait(&fiber.get().waiter) }, REGISTERED);
        fiber
    }

    fn register(&self, queue: Shared<WaitQueue>, permits: usize) -> Registration {
        // SAFETY: leaked, and retired when nobody waits.
        unsafe { queue.get().register(&self.waiter, permits) }
    }

    fn cancel(&self, queue: Shared<WaitQueue>) -> Option<Outcome> {
        // SAFETY: the models cancel once what they have registered.
        unsafe { queue.get().cancel(&self.waiter) }
    }

    fn outcome(&self) -> Option<Outcome> {
        self.waiter.outcome()
    }

    /// Waits, but not by parking or joining, which alone would order what the waker did. One thread
    /// of a model may spin: loom lets two take turns for ever, and a third never runs.
    fn spin(&self) -> Outcome {
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            thread::yield_now();
        }
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Relaxed)
    }
}

/// Checks that the fiber was made ready once if its wait is over, and that nobody touches its node.
fn retire(fiber: Shared<Fiber>) {
    assert_eq!(fiber.get().wakes(), usize::from(fiber.get().outcome().is_some()));
    fiber.free().waiter.retire();
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// A waker that runs a function.
struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

pub(crate) fn calling(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Call(f)))
}
