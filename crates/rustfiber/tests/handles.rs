//! Join handles: results, panics, detaching, and life after the runtime.

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustfiber::{Counter, Runtime, spawn, without_suspending};

#[test]
fn a_handle_yields_the_result_inside_and_outside() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    assert_eq!(runtime.spawn(|| 6 * 7).join().unwrap(), 42);
    let inside = || (0..100).map(|n| spawn(move || n)).map(|handle| handle.join().unwrap()).sum();
    assert_eq!(runtime.run::<_, usize>(inside), 4950);
    assert_eq!(spawn(|| 1).join().unwrap(), 1);
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
