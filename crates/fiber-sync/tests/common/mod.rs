//! What the tests wait with: a hand-made executor, and fibers that are threads in disguise.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Instant;

use fiber_sync::blocker::{
    Blocker, BlockingWait, FiberHandle, Outcome, Primitive, Registration, Waiter,
};

/// Runs a future on the calling thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits for what another thread does, and which tells nobody.
pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// A future that is polled by hand.
pub(crate) struct Task<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    wakes: Arc<Wakes>,
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl<'a, T> Task<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        Task { future: Box::pin(future), wakes: Arc::new(Wakes(AtomicUsize::new(0))) }
    }

    /// A task that has been polled once, in vain.
    pub(crate) fn waiting(future: impl Future<Output = T> + 'a) -> Self {
        let mut task = Task::new(future);
        assert!(task.poll().is_none(), "the task need not wait");
        task
    }

    pub(crate) fn poll(&mut self) -> Option<T> {
        let waker = Arc::clone(&self.wakes).into();
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    pub(crate) fn wake_count(&self) -> usize {
        self.wakes.0.load(SeqCst)
    }
}

thread_local! {
    /// Waits that the thread's blocker has carried out, and what they were.
    pub(crate) static BLOCKED: Cell<usize> = const { Cell::new(0) };
    pub(crate) static LAST_WAIT: Cell<Option<Primitive>> = const { Cell::new(None) };
}

/// A blocker whose fibers are threads. As a runtime would, it relies on exactly one wake of each
/// fiber whose wait ended otherwise than by `cancel`, and on none of others.
pub(crate) struct Fibers;

/// A fiber: type-stable, as it is leaked.
struct Fiber {
    wakes: Mutex<usize>,
    woken: Condvar,
}

/// # Safety
///
/// `fiber` is a [`Fiber`].
unsafe fn wake_fiber(fiber: NonNull<()>) {
    // SAFETY: fibers are leaked.
    let fiber = unsafe { fiber.cast::<Fiber>().as_ref() };
    *fiber.wakes.lock().unwrap() += 1;
    fiber.woken.notify_one();
}

impl Fiber {
    fn current() -> &'static Fiber {
        /// Every fiber ever made, for those who look for leaks.
        static ALL: Mutex<Vec<&'static Fiber>> = Mutex::new(Vec::new());
        fn new() -> &'static Fiber {
            let fiber = Fiber { wakes: Mutex::new(0), woken: Condvar::new() };
            let fiber: &'static Fiber = Box::leak(Box::new(fiber));
            ALL.lock().unwrap().push(fiber);
            fiber
        }
        thread_local! {
            static FIBER: &'static Fiber = new();
        }
        FIBER.with(|fiber| *fiber)
    }

    /// Returns false at the deadline.
    fn suspend(&self, deadline: Option<Instant>) -> bool {
        let mut wakes = self.wakes.lock().unwrap();
        while *wakes == 0 {
            let Some(deadline) = deadline else {
                wakes = self.woken.wait(wakes).unwrap();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            wakes = self.woken.wait_timeout(wakes, left).unwrap().0;
        }
        assert_eq!(*wakes, 1, "a fiber is woken once");
        *wakes = 0;
        true
    }
}

// SAFETY: returns what the wait told it; the waiter stays until its wait is over or was given up.
unsafe impl Blocker for Fibers {
    fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
        BLOCKED.set(BLOCKED.get() + 1);
        LAST_WAIT.set(Some(wait.what()));
        let fiber = Fiber::current();
        assert_eq!(*fiber.wakes.lock().unwrap(), 0, "a fiber that runs is not woken");
        // SAFETY: fibers are leaked.
        let waiter =
            Waiter::fiber(unsafe { FiberHandle::new(NonNull::from(fiber).cast(), wake_fiber) });
        // SAFETY: see above.
        if let Registration::Ready(outcome) = unsafe { wait.register(&waiter) } {
            return Some(outcome);
        }
        if !fiber.suspend(wait.deadline()) {
            // SAFETY: registered.
            match unsafe { wait.cancel(&waiter) } {
                None => return None,
                // The wake is on its way.
                Some(_) => _ = fiber.suspend(None),
            }
        }
        Some(waiter.outcome().expect("who is woken has an outcome"))
    }
}

/// Runs `f` as a thread that parks, and as a fiber.
pub(crate) fn as_thread_and_fiber(f: impl Fn() + Sync) {
    thread::scope(|s| {
        s.spawn(&f);
    });
    as_fiber(&f);
}

pub(crate) fn as_fiber<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|s| {
        let fiber = s.spawn(|| {
            let _installed = fiber_sync::blocker::install(&Fibers);
            f()
        });
        fiber.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
