//! The whole path: fork-join, scopes, counters and runs on real workers, against plain oracles.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustfiber::{Counter, Runtime, join, scope, without_suspending, yield_now};

use support::{must_end, runtime_with};

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = join(|| fib(n - 1), || fib(n - 2));
    a + b
}

fn each_worker_count(check: impl Fn(&Runtime)) {
    for (workers, is_fenced) in [1, 2, 4, 16].into_iter().flat_map(|n| [(n, false), (n, true)]) {
        let runtime = Runtime::builder().workers(workers).fenced(is_fenced).build().unwrap();
        assert_eq!(runtime.worker_count(), workers);
        check(&runtime);
    }
}

#[test]
fn join_computes_fibonacci() {
    each_worker_count(|runtime| assert_eq!(runtime.run(|| fib(20)), 6765));
}

#[test]
fn join_outside_a_worker_moves_into_the_default_runtime() {
    assert_eq!(join(|| 1, || 2), (1, 2));
}

#[test]
fn scope_waits_for_all_jobs_and_lends_its_frame() {
    each_worker_count(|runtime| {
        let sum = AtomicUsize::new(0);
        runtime.run(|| {
            scope(|s| {
                for part in 0..1000 {
                    let sum = &sum;
                    s.spawn(move || {
                        sum.fetch_add(part, Ordering::Relaxed);
                    });
                }
            });
        });
        assert_eq!(sum.into_inner(), 499_500);
    });
}

#[test]
fn thousands_of_fibers_wait_on_one_counter() {
    each_worker_count(|runtime| {
        const JOBS: usize = 2000;
        let (phase, before, after) = (Counter::new(JOBS), AtomicUsize::new(0), AtomicUsize::new(0));
        runtime.run(|| {
            scope(|s| {
                for _ in 0..JOBS {
                    s.spawn(|| {
                        before.fetch_add(1, Ordering::Relaxed);
                        phase.done();
                        phase.wait();
                        assert_eq!(before.load(Ordering::Relaxed), JOBS);
                        after.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        });
        assert_eq!(after.into_inner(), JOBS);
    });
}

#[test]
fn joins_of_interleaving_fibers_do_not_mix() {
    each_worker_count(|runtime| {
        let gates: Vec<Counter> = (0..50).map(|_| Counter::new(1)).collect();
        let sum = AtomicUsize::new(0);
        runtime.run(|| {
            scope(|s| {
                for index in 0..gates.len() {
                    let (gates, sum) = (&gates, &sum);
                    s.spawn(move || {
                        let wait = || {
                            gates[index].wait();
                            index
                        };
                        let (a, b) = join(wait, || 1000 * index);
                        assert_eq!((a, b), (index, 1000 * index));
                        sum.fetch_add(1, Ordering::Relaxed);
                    });
                }
                // Opened in an order that is neither first-in nor last-in.
                let gates = &gates;
                s.spawn(move || (0..50).for_each(|step| gates[step * 7 % 50].done()));
            });
        });
        assert_eq!(sum.into_inner(), 50);
    });
}

#[test]
fn yielding_on_one_worker_lets_the_awaited_job_run() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let flag = AtomicBool::new(false);
    runtime.run(|| {
        scope(|s| {
            s.spawn(|| flag.store(true, Ordering::Relaxed));
            while !flag.load(Ordering::Relaxed) {
                yield_now();
            }
        });
    });
}

#[test]
fn two_yielding_fibers_do_not_starve_the_injector() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (flag, started) = (AtomicBool::new(false), Counter::new(2));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            runtime.run(|| {
                scope(|s| {
                    for _ in 0..2 {
                        s.spawn(|| {
                            started.done();
                            while !flag.load(Ordering::Relaxed) {
                                yield_now();
                            }
                        });
                    }
                });
            });
        });
        started.wait();
        runtime.run(|| flag.store(true, Ordering::Relaxed));
    });
}

#[test]
fn panics_reach_whoever_waits_and_no_worker_dies() {
    each_worker_count(|runtime| {
        /// A value that makes a closure's type plain, so that only the panic matters.
        fn fail(text: &'static str) -> usize {
            std::panic::panic_any(text)
        }
        let text = |f: &(dyn Fn() + Sync)| {
            let caught = catch_unwind(AssertUnwindSafe(|| runtime.run(f)));
            *caught.unwrap_err().downcast::<&str>().unwrap()
        };
        assert_eq!(
            text(&|| {
                join(|| fail("a"), || ());
            }),
            "a"
        );
        assert_eq!(
            text(&|| {
                join(|| (), || fail("b"));
            }),
            "b"
        );
        assert_eq!(
            text(&|| {
                join(|| fail("a"), || fail("b"));
            }),
            "a"
        );
        assert_eq!(text(&|| scope(|_| panic!("body"))), "body");
        assert_eq!(text(&|| scope(|s| s.spawn(|| panic!("child")))), "child");
        let both = || {
            scope(|s| {
                s.spawn(|| panic!("child"));
                panic!("body")
            })
        };
        assert_eq!(text(&both), "body");
        // A job that panics with a ticket lets the waiters go on.
        let counter = Counter::new(1);
        let ticket = || {
            scope(|s| {
                s.spawn_counted(&counter, || panic!("counted"));
                counter.wait();
            });
        };
        assert_eq!(text(&ticket), "counted");
        assert_eq!(runtime.run(|| fib(10)), 55);
    });
}

#[test]
fn mutex_held_across_waits_never_hangs_inside_without_suspending() {
    each_worker_count(|runtime| {
        let lock = Mutex::new(0);
        runtime.run(|| {
            scope(|s| {
                for _ in 0..500 {
                    s.spawn(|| {
                        without_suspending(|| {
                            let mut held = lock.lock().unwrap();
                            let (a, b) = join(|| 1, || 1);
                            let counter = Counter::new(1);
                            scope(|s| {
                                s.spawn(|| ());
                                s.spawn_counted(&counter, || ());
                            });
                            counter.wait();
                            *held += a + b;
                        });
                    });
                }
            });
        });
        assert_eq!(lock.into_inner().unwrap(), 1000);
    });
}

#[test]
fn a_job_of_one_runtime_waits_for_another() {
    let outer = Runtime::builder().workers(1).build().unwrap();
    let inner = Runtime::builder().workers(1).build().unwrap();
    assert_eq!(outer.run(|| inner.run(|| outer.run(|| fib(10)))), 55);
}

#[test]
fn a_runtime_may_end_inside_its_own_job() {
    let runtime = Arc::new(Runtime::builder().workers(2).build().unwrap());
    let own = Arc::clone(&runtime);
    let counter = Counter::new(1);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            runtime.run(move || drop(own));
            counter.done();
        });
        counter.wait();
    });
    drop(runtime);
}

#[test]
fn worker_counts_out_of_range_are_refused_with_the_range() {
    for workers in [0, 100_000] {
        let text = Runtime::builder().workers(workers).build().unwrap_err().to_string();
        assert!(text.contains(&workers.to_string()) && text.contains("1 to 1024"), "{text}");
    }
}

/// A completion wakes fibers in batches, one for each worker, and keeps some open at a time.
#[test]
fn one_counter_wakes_fibers_of_many_workers() {
    const WORKERS: usize = 20;
    must_end(|| {
        let runtime = runtime_with(WORKERS);
        let (all_here, opened) = (Counter::new(WORKERS), Counter::new(1));
        let waiting = AtomicUsize::new(0);
        runtime.run(|| {
            scope(|s| {
                for _ in 0..WORKERS {
                    s.spawn(|| {
                        all_here.done();
                        // Blocks the worker, so that each one has to take one of the jobs.
                        without_suspending(|| all_here.wait());
                        if waiting.fetch_add(1, Ordering::Relaxed) + 1 == WORKERS {
                            opened.done();
                        }
                        opened.wait();
                    });
                }
            });
        });
    });
}
