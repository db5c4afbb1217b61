//! How a model is run.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use loom::thread::{self, Thread};

/// Explores every interleaving with at most `preemptions` involuntary switches; without a bound,
/// all.
pub fn model(preemptions: impl Into<Option<usize>>, check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions.into());
    builder.max_branches = 20_000;
    let (executions, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let counted = Arc::clone(&executions);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        check();
    });
    let name = std::thread::current().name().unwrap_or("model").to_string();
    println!("{name}: {} executions, {:.1?}", executions.load(Relaxed), start.elapsed());
}

/// A waker that unparks a thread. (`loom::future::block_on` makes a new one at every poll.)
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Returns a waker that unparks the calling thread of the model.
#[must_use]
pub fn unparking() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Runs a future on the calling thread of the model.
pub fn block_on<F: Future>(future: F) -> F::Output {
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
