//! Join handles as futures: on any executor, dropped at any point, with wakers of any kind.

mod support;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use rustfiber::{Counter, JoinHandle, block_on, spawn, without_suspending};
use support::{must_end, runtime_with};

/// Counts its wakes, and does something at each.
struct Counting<F> {
    wakes: AtomicUsize,
    then: F,
}

impl<F: Fn() + Send + Sync + 'static> Counting<F> {
    fn new(then: F) -> Arc<Self> {
        Arc::new(Counting { wakes: AtomicUsize::new(0), then })
    }
}

impl<F: Fn() + Send + Sync + 'static> Wake for Counting<F> {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        (self.then)();
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A job that ends when its gate opens.
fn gated<R: Send + 'static>(
    runtime: &rustfiber::Runtime,
    job: impl FnOnce() -> R + Send + 'static,
) -> (Arc<Counter>, JoinHandle<R>) {
    let gate = Arc::new(Counter::new(1));
    let jobs_gate = Arc::clone(&gate);
    let handle = runtime.spawn(move || {
        jobs_gate.wait();
        job()
    });
    (gate, handle)
}

#[test]
fn a_handle_is_awaited_by_threads_and_fibers() {
    let runtime = runtime_with(2);
    let sum = || {
        block_on(async {
            let mut sum = 0;
            for handle in (0..100).map(|n| spawn(move || n)).collect::<Vec<_>>() {
                sum += handle.await.unwrap();
            }
            sum
        })
    };
    assert_eq!((sum(), runtime.run(sum)), (4950, 4950));
}

#[test]
fn a_panic_is_the_futures_output() {
    let runtime = runtime_with(1);
    let payload = block_on(runtime.spawn(|| panic_any("lost"))).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "lost");
}

#[test]
fn the_waker_of_the_last_poll_is_woken_once_and_others_are_dropped() {
    let runtime = runtime_with(1);
    let (gate, mut handle) = gated(&runtime, || 7);
    let [first, last] = [(); 2].map(|()| Counting::new(|| ()));
    for task in [&first, &first, &last, &last] {
        assert!(poll(&mut handle, &Waker::from(Arc::clone(task))).is_pending());
    }
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&last)), (1, 2));
    gate.done();
    drop(runtime);
    assert_eq!((first.wakes.load(Ordering::SeqCst), last.wakes.load(Ordering::SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&last), 1);
    assert!(matches!(poll(&mut handle, Waker::noop()), Poll::Ready(Ok(7))));
}

#[test]
fn a_handle_that_was_polled_may_be_joined() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (gate, mut handle) = gated(&runtime, || 8);
        let task = Counting::new(|| ());
        assert!(poll(&mut handle, &Waker::from(Arc::clone(&task))).is_pending());
        thread::scope(|s| {
            let joined = s.spawn(|| handle.join().unwrap());
            gate.done();
            assert_eq!(joined.join().unwrap(), 8);
        });
        assert_eq!(Arc::strong_count(&task), 1, "the waker is gone");
        // On the worker itself, where the wait may run the job.
        runtime.run(|| {
            let mut handle = spawn(|| 9);
            assert!(poll(&mut handle, Waker::noop()).is_pending());
            assert_eq!(without_suspending(|| handle.join().unwrap()), 9);
        });
    });
}

#[test]
fn a_handle_that_was_polled_may_be_dropped_and_detaches() {
    let runtime = runtime_with(1);
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let counted = Arc::clone(&ran);
        let (gate, mut handle) = gated(&runtime, move || counted.fetch_add(1, Ordering::SeqCst));
        let task = Counting::new(|| ());
        assert!(poll(&mut handle, &Waker::from(Arc::clone(&task))).is_pending());
        drop(handle);
        assert_eq!(Arc::strong_count(&task), 1, "the waker is gone");
        gate.done();
        // Whether the job has ended by then or not.
        assert_eq!(task.wakes.load(Ordering::SeqCst), 0);
    }
    drop(runtime);
    assert_eq!(ran.load(Ordering::SeqCst), 3);
}

#[test]
fn a_handle_that_has_returned_its_result_is_spent() {
    let runtime = runtime_with(1);
    let mut handle = pin!(runtime.spawn(|| ()));
    assert!(block_on(handle.as_mut()).is_ok());
    assert_eq!(format!("{handle:?}"), "JoinHandle { is_finished: true }");
    let again = catch_unwind(AssertUnwindSafe(|| poll(&mut handle, Waker::noop())));
    assert!(again.is_err());
}

#[test]
fn a_waker_that_panics_kills_no_worker() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let handler = move |_| _ = counted.fetch_add(1, Ordering::SeqCst);
    let builder = rustfiber::Runtime::builder().workers(1);
    let runtime = builder.panic_handler(handler).build().unwrap();
    let (gate, mut handle) = gated(&runtime, || 1);
    let task = Counting::new(|| panic_any("waker"));
    assert!(poll(&mut handle, &Waker::from(task)).is_pending());
    gate.done();
    assert_eq!(runtime.run(|| 2), 2);
    assert_eq!(handle.join().unwrap(), 1);
    drop(runtime);
    assert_eq!(handled.load(Ordering::SeqCst), 1, "the runtime's handler gets the panic");
}

/// The memory of the job that has ended is used again, for one that the worker waits for while it
/// still runs the waker.
#[test]
fn a_waker_may_spawn_and_wait_for_another_job() {
    must_end(|| {
        for _ in 0..3 {
            let runtime = runtime_with(2);
            let (gate, mut handle) = gated(&runtime, || ());
            let has_waited = Arc::new(Counter::new(1));
            let waited = Arc::clone(&has_waited);
            // The handle's side frees the block before the waker runs on.
            let (freed, is_freed) = std::sync::mpsc::channel::<()>();
            let is_freed = std::sync::Mutex::new(is_freed);
            let task = Counting::new(move || {
                is_freed.lock().unwrap().recv().unwrap();
                let started = Arc::new(Counter::new(1));
                let end = Arc::new(Counter::new(1));
                let (jobs_started, jobs_end) = (Arc::clone(&started), Arc::clone(&end));
                let job = spawn(move || {
                    jobs_started.done();
                    jobs_end.wait();
                });
                without_suspending(|| {
                    started.wait();
                    end.done();
                    job.join().unwrap();
                });
                waited.done();
            });
            assert!(poll(&mut handle, &Waker::from(task)).is_pending());
            gate.done();
            while !handle.is_finished() {
                thread::yield_now();
            }
            handle.join().unwrap();
            freed.send(()).unwrap();
            has_waited.wait();
        }
    });
}
