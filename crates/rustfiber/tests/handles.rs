//! Join handles: results, panics, detaching, and life after the runtime.

use std::panic::panic_any;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustfiber::{Counter, JoinHandle, Runtime, spawn, without_suspending};

#[test]
fn a_handle_yields_the_result_inside_and_outside() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    assert_eq!(runtime.spawn(|| 6 * 7).join().unwrap(), 42);
    let inside = || (0..100).map(|n| spawn(move || n)).map(|handle| handle.join().unwrap()).sum();
    assert_eq!(runtime.run::<_, usize>(inside), 4950);
    assert_eq!(spawn(|| 1).join().unwrap(), 1);
}

#[test]
fn a_handle_may_go_anywhere_whatever_its_result() {
    fn may_go_anywhere<T: Send + Sync + Unpin + 'static>() {}
    may_go_anywhere::<JoinHandle<u8>>();
    may_go_anywhere::<JoinHandle<Rc<u8>>>(); // a type only: `spawn` makes no such handle
}

#[test]
fn a_handle_outlives_its_runtime() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let handle = runtime.spawn(|| String::from("late"));
    drop(runtime);
    assert!(handle.is_finished());
    assert_eq!(handle.join().unwrap(), "late");
}

#[test]
fn a_panic_comes_out_of_the_handle() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let payload = runtime.spawn(|| panic_any("lost")).join().unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "lost");
    assert_eq!(runtime.run(|| 1), 1);
}

#[test]
fn dropping_the_runtime_waits_for_detached_jobs() {
    let ran = Arc::new(AtomicUsize::new(0));
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..1000 {
        let ran = Arc::clone(&ran);
        drop(runtime.spawn(move || ran.fetch_add(1, Ordering::Relaxed)));
    }
    drop(runtime);
    assert_eq!(ran.load(Ordering::Relaxed), 1000);
}

#[test]
fn a_wait_that_cannot_suspend_runs_the_unstarted_job() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    assert_eq!(runtime.run(|| without_suspending(|| spawn(|| 5).join().unwrap())), 5);
}

/// A result whose destructor panics, and a payload whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_any("bomb");
        }
    }
}

#[test]
fn panicking_destructors_kill_no_worker() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let gate = Arc::new(Counter::new(1));
    for payload in [false, true] {
        let gate = Arc::clone(&gate);
        drop(runtime.spawn(move || {
            gate.wait();
            if payload { panic_any(Bomb) } else { Bomb }
        }));
    }
    gate.done();
    assert_eq!(runtime.run(|| 1), 1);
}

/// Waits, when dropped, for a job of its own that runs elsewhere, without suspending.
struct WaitsInDrop {
    has_waited: Arc<Counter>,
}

impl Drop for WaitsInDrop {
    fn drop(&mut self) {
        let gate = Arc::new((AtomicBool::new(false), Counter::new(1)));
        let jobs_gate = Arc::clone(&gate);
        without_suspending(|| {
            let job = spawn(move || {
                jobs_gate.0.store(true, Ordering::Release);
                jobs_gate.1.wait();
            });
            while !gate.0.load(Ordering::Acquire) {
                thread::yield_now();
            }
            thread::spawn(move || {
                // SLEEP: lets the wait begin first; if it does not, the test shows nothing.
                thread::sleep(Duration::from_millis(20));
                gate.1.done();
            });
            job.join().unwrap();
        });
        self.has_waited.done();
    }
}

/// A detached job keeps its address while its result is dropped: a job spawned meanwhile is not
/// taken for one that has started on this worker.
#[test]
fn a_detached_results_destructor_may_wait_for_another_job() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..3 {
        let has_waited = Arc::new(Counter::new(1));
        let counted = Arc::clone(&has_waited);
        runtime.run(|| {
            let gate = Arc::new(Counter::new(1));
            let jobs_gate = Arc::clone(&gate);
            drop(spawn(move || {
                jobs_gate.wait();
                WaitsInDrop { has_waited: counted }
            }));
            gate.done();
            has_waited.wait();
        });
    }
}
