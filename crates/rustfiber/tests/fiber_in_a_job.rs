//! A job may make fibers of its own; a wait inside one blocks the worker instead of suspending the
//! job's fiber, which is not the one that runs.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fiber_stack::{Fiber, Resumed, Stack, StackSize, Suspender};
use rustfiber::{Counter, Runtime, join, scope, spawn, without_suspending, yield_now};

use support::{Ended, is_child, must_end, run_child, runtime_with};

fn finishes<R>(resumed: Resumed<(), R>) -> R {
    match resumed {
        Resumed::Finished(Ok(value)) => value,
        other => panic!("the fiber did not finish: {:?}", matches!(other, Resumed::Suspended(()))),
    }
}

fn inner<R: 'static>(f: impl FnOnce(&Suspender<(), ()>) -> R + 'static) -> Fiber<(), (), R> {
    let stack = Stack::new(StackSize::default()).unwrap();
    Fiber::new(stack, move |suspender: &Suspender<(), ()>, ()| f(suspender))
}

#[test]
fn a_wait_inside_an_inner_fiber_leaves_no_waiter_behind() {
    must_end(|| {
        let runtime = runtime_with(1);
        let counter = Arc::new(Counter::new(1));
        let waits = Arc::clone(&counter);
        let job = runtime.spawn(move || {
            let mut fiber = inner(move |_| waits.wait());
            finishes(fiber.resume(()));
            drop(fiber); // unmaps the stack on which the waiter lay
        });
        while runtime.stats().total().jobs == 0 {
            std::thread::yield_now();
        }
        counter.done();
        job.join().unwrap();
        assert_eq!(runtime.stats().total().suspensions, 0, "the thread blocked");
    });
}

#[test]
fn an_inner_fiber_may_fork_and_wait_for_jobs_that_have_not_started() {
    must_end(|| {
        let sum = runtime_with(1).run(|| {
            let mut fiber = inner(|_| {
                let ran = AtomicUsize::new(0);
                scope(|s| (0..3).for_each(|_| s.spawn(|| _ = ran.fetch_add(1, Ordering::Relaxed))));
                yield_now();
                let (a, b) = join(|| 10, || 20);
                ran.into_inner() + a + b + spawn(|| 100).join().unwrap()
            });
            finishes(fiber.resume(()))
        });
        assert_eq!(sum, 133);
    });
}

thread_local! {
    static LEFT: std::cell::RefCell<Option<Resume>> = const { std::cell::RefCell::new(None) };
}

/// Resumes the fiber when the thread ends.
struct Resume(Fiber<(), (), ()>);

impl Drop for Resume {
    fn drop(&mut self) {
        finishes(self.0.resume(()));
    }
}

/// Runs a job that starts an inner fiber, and leaves it suspended until its worker's thread ends.
fn leave(f: impl FnOnce(&Suspender<(), ()>) + Send + 'static) {
    runtime_with(1).run(|| {
        let mut fiber = inner(f);
        assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
        LEFT.with(|left| left.replace(Some(Resume(fiber))));
    });
}

#[test]
fn an_inner_fiber_left_inside_without_suspending_may_outlive_its_worker() {
    must_end(|| leave(|suspender| without_suspending(|| suspender.suspend(()))));
}

#[test]
fn a_scope_left_open_may_not_spawn_when_its_runtime_has_ended() {
    if is_child() {
        must_end(|| {
            leave(|suspender| {
                scope(|s| {
                    suspender.suspend(());
                    s.spawn(|| ());
                });
            });
        });
        return;
    }
    let Ended { text, output } =
        run_child("a_scope_left_open_may_not_spawn_when_its_runtime_has_ended");
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("a scope was left open when its runtime ended"), "{text}");
}

/// Coroutines of other crates suspend by a free function, which any closure may call.
#[test]
fn a_join_left_open_may_not_go_on_when_its_worker_has_gone() {
    struct Anywhere(*const Suspender<(), ()>);
    // SAFETY: used on one thread only.
    unsafe impl Send for Anywhere {}
    if is_child() {
        leave(|suspender| {
            let suspender = Anywhere(suspender);
            let suspend = move || {
                let Anywhere(suspender) = &suspender;
                // SAFETY: the fiber that it belongs to is the caller's.
                unsafe { (**suspender).suspend(()) }
            };
            join(suspend, || ());
        });
        return;
    }
    let Ended { text, output } =
        run_child("a_join_left_open_may_not_go_on_when_its_worker_has_gone");
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("a job was left half-way when its runtime ended"), "{text}");
}

/// The scope was opened on a fiber of the worker's, and is waited for on its native stack, where a
/// wait may be refused. A refusal that unwinds would leave the scope while its job still borrows.
#[test]
fn a_scope_that_moved_to_a_job_without_a_fiber_does_not_unwind() {
    thread_local! {
        static MOVED: std::cell::RefCell<Option<Fiber<(), (), ()>>> =
            const { std::cell::RefCell::new(None) };
    }
    if is_child() {
        let runtime = Runtime::builder().workers(1).max_fibers(2).build().unwrap();
        let [never, first, second] = [(); 3].map(|()| Arc::new(Counter::new(1)));
        let (open, ready) = (Arc::clone(&never), Arc::clone(&first));
        runtime.spawn(move || {
            let mut fiber = inner(move |suspender| {
                scope(|s| {
                    s.spawn(|| {
                        ready.done();
                        open.wait();
                    });
                    suspender.suspend(());
                });
            });
            assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
            MOVED.with(|moved| moved.replace(Some(fiber)));
        });
        first.wait();
        // The scope's job waits on one fiber, this one on the other.
        let (open, ready) = (Arc::clone(&never), Arc::clone(&second));
        runtime.spawn(move || {
            ready.done();
            open.wait();
        });
        second.wait();
        let last = runtime.spawn(|| {
            let mut fiber = MOVED.with(|moved| moved.take()).unwrap();
            finishes(fiber.resume(()));
        });
        let _ = last.join();
        println!("the scope ended before its job");
        std::process::exit(0); // the jobs that wait would never end
    }
    let Ended { text, output } =
        run_child("a_scope_that_moved_to_a_job_without_a_fiber_does_not_unwind");
    assert!(!output.status.success() && !text.contains("the scope ended"), "{text}");
    assert!(text.contains("there was no stack for a fiber"), "{text}");
}

thread_local! {
    static INNERMOST: std::cell::Cell<*const Suspender<(), ()>> =
        const { std::cell::Cell::new(std::ptr::null()) };
    static KEPT: std::cell::RefCell<Option<Fiber<(), (), ()>>> =
        const { std::cell::RefCell::new(None) };
}

/// Makes a fiber inside which [`suspend_freely`] may be called, also by jobs that run on its stack.
fn inner_freely(f: impl FnOnce() + 'static) -> Fiber<(), (), ()> {
    inner(move |suspender| {
        let before = INNERMOST.replace(suspender);
        f();
        INNERMOST.set(before);
    })
}

fn suspend_freely() {
    let suspender = INNERMOST.get();
    // SAFETY: its fiber is the one that runs, and outlives the call.
    unsafe { (*suspender).suspend(()) };
    INNERMOST.set(suspender);
}

/// The job runs on the inner fiber's stack, in the wait at the scope's end, and ends inside another
/// job of the same outer fiber.
#[test]
fn a_job_on_an_inner_fiber_may_end_inside_a_later_one() {
    must_end(|| {
        let runtime = runtime_with(1);
        let counter = Arc::new(Counter::new(1));
        let awaited = Arc::clone(&counter);
        let job = runtime.spawn(move || {
            let mut fiber = inner_freely(|| scope(|s| s.spawn(suspend_freely)));
            assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
            KEPT.set(Some(fiber));
            let later = spawn(|| {
                let mut fiber = KEPT.take().unwrap();
                finishes(fiber.resume(()));
                drop(fiber); // unmaps the stack on which the first job ran
            });
            later.join().unwrap();
            // Looks whether what it waits for has started on this worker.
            without_suspending(|| awaited.wait());
        });
        while runtime.stats().total().jobs < 3 {
            std::thread::yield_now();
        }
        counter.done();
        job.join().unwrap();
    });
}

/// Nobody counts the second half: it is to end with the job around the join, which has gone.
#[test]
fn a_stolen_half_of_a_join_that_was_left_may_not_outlive_its_runtime() {
    if is_child() {
        static BEGUN: std::sync::OnceLock<Counter> = std::sync::OnceLock::new();
        let begun = BEGUN.get_or_init(|| Counter::new(1));
        runtime_with(2).run(|| {
            let mut fiber = inner_freely(|| {
                let never: &'static Counter = Box::leak(Box::new(Counter::new(1)));
                let half = || {
                    begun.done();
                    never.wait();
                };
                join(suspend_freely, half);
            });
            assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
            std::mem::forget(fiber);
            // The other worker takes the half: this one must not.
            without_suspending(|| begun.wait());
        });
        return; // the runtime ends
    }
    let Ended { text, output } =
        run_child("a_stolen_half_of_a_join_that_was_left_may_not_outlive_its_runtime");
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("a runtime ended while a job of its was half-way"), "{text}");
}
