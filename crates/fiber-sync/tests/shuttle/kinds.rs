//! The three kinds of waiters, as shuttle's threads.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use fiber_sync::blocker::{
    Blocker, BlockingWait, FiberHandle, Outcome, Registration, Waiter, install,
};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread::{self, Thread, ThreadId};

/// Which way a thread of a model waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Thread,
    Fiber,
    Task,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Thread, Kind::Fiber, Kind::Task];

/// Runs `f` on so many threads of each kind in turn, and waits for them.
pub(crate) fn run(count: usize, f: impl Fn(usize, Kind) + Send + Sync + 'static) {
    FIBERS.take();
    // All threads of a model are one to the system, and to the thread-local blocker.
    let _installed = install(&ByKind);
    let f = Arc::new(f);
    let threads: Vec<_> = (0..count)
        .map(|index| {
            let f = Arc::clone(&f);
            thread::spawn(move || {
                let kind = KINDS[index % KINDS.len()];
                if kind == Kind::Fiber {
                    FIBERS.with_borrow_mut(|fibers| fibers.insert(thread::current().id()));
                }
                f(index, kind);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

thread_local! {
    /// The threads of the running model that are fibers.
    static FIBERS: RefCell<HashSet<ThreadId>> = RefCell::default();
}

/// A deadline that has passed: the wait ends at once, in vain, unless it is granted between its
/// registration and its cancellation. (The checker knows no time.)
pub(crate) fn at_once() -> Instant {
    Instant::now()
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = unparking();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => {
                thread::park();
                // A future that woke itself waits for another thread.
                thread::yield_now();
            }
        }
    }
}

/// Polls a future once, and drops it in the next moment.
pub(crate) fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let waker = unparking();
    match pin!(future).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => {
            thread::yield_now();
            None
        }
    }
}

fn unparking() -> Waker {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Suspends fibers, and parks threads.
struct ByKind;

/// A fiber's wait: it must be woken once if it is not given up, and never else.
struct Suspension {
    wakes: Mutex<usize>,
    woken: Condvar,
}

fn wake(fiber: NonNull<()>) {
    // SAFETY: suspensions are leaked.
    let suspension = unsafe { fiber.cast::<Suspension>().as_ref() };
    *suspension.wakes.lock().unwrap() += 1;
    suspension.woken.notify_one();
}

// SAFETY: returns what the wait told it; the waiter stays until its wait is over or was given up.
unsafe impl Blocker for ByKind {
    fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
        if !FIBERS.with_borrow(|fibers| fibers.contains(&thread::current().id())) {
            return wait.park_thread();
        }
        let suspension = Suspension { wakes: Mutex::new(0), woken: Condvar::new() };
        let suspension: &'static Suspension = Box::leak(Box::new(suspension));
        // SAFETY: leaked.
        let handle = unsafe { FiberHandle::new(NonNull::from(suspension).cast(), wake) };
        let waiter = Waiter::fiber(handle);
        // SAFETY: it stays here until its wait is over or given up.
        if let Registration::Ready(outcome) = unsafe { wait.register(&waiter) } {
            return Some(outcome);
        }
        if wait.deadline().is_some() {
            // SAFETY: registered.
            let outcome = unsafe { wait.cancel(&waiter) };
            if outcome.is_none() {
                assert_eq!(*suspension.wakes.lock().unwrap(), 0, "nobody wakes who gave up");
                return None;
            }
        }
        let mut wakes = suspension.wakes.lock().unwrap();
        while *wakes == 0 {
            wakes = suspension.woken.wait(wakes).unwrap();
        }
        assert_eq!(*wakes, 1, "a fiber is woken once");
        Some(waiter.outcome().expect("who is woken has an outcome"))
    }
}
