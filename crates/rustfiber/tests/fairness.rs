//! No order of work starves a job or a fiber for ever: all on one worker, where nobody else helps.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustfiber::{Counter, Event, Runtime, scope, spawn, yield_now};

use support::{must_end, runtime_with};

/// Spawns itself again, always as the newest job, until `stop` is set.
fn respawn(stop: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    if !stop.load(Ordering::Relaxed) {
        rounds.fetch_add(1, Ordering::Relaxed);
        spawn(move || respawn(stop, rounds));
    }
}

#[test]
fn a_job_that_respawns_itself_does_not_starve_the_oldest_job() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let oldest_stop = Arc::clone(&stop);
        let started = Arc::clone(&rounds);
        runtime.run(|| {
            spawn(move || oldest_stop.store(true, Ordering::Relaxed));
            spawn(move || respawn(stop, rounds));
        });
        drop(runtime); // waits for both
        assert!(started.load(Ordering::Relaxed) >= 1, "the newest job came first");
    });
}

#[test]
fn a_job_that_respawns_itself_does_not_starve_a_ready_fiber() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let gate = Counter::new(1);
        runtime.run(|| {
            scope(|s| {
                let waiter_stop = Arc::clone(&stop);
                let gate = &gate;
                s.spawn(move || {
                    gate.wait();
                    waiter_stop.store(true, Ordering::Relaxed);
                });
                yield_now(); // it waits now
                s.spawn(move || {
                    gate.done();
                    respawn(stop, rounds);
                });
            });
        });
    });
}

#[test]
fn a_job_that_respawns_itself_does_not_starve_the_injector() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (respawner_stop, seen) = (Arc::clone(&stop), Arc::clone(&rounds));
        runtime.spawn(move || respawn(respawner_stop, rounds));
        while seen.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        runtime.run(|| stop.store(true, Ordering::Relaxed));
    });
}

#[test]
fn a_job_that_yields_lets_a_chain_of_others_run() {
    must_end(|| {
        let runtime = runtime_with(1);
        let flag = AtomicBool::new(false);
        runtime.run(|| {
            scope(|s| {
                let flag = &flag;
                // Each link is spawned by the one before, and the last sets the flag.
                s.spawn(move || {
                    scope(|s| {
                        s.spawn(move || scope(|s| s.spawn(|| flag.store(true, Ordering::Relaxed))))
                    });
                });
                while !flag.load(Ordering::Relaxed) {
                    yield_now();
                }
            });
        });
    });
}

#[test]
fn many_yielding_fibers_all_make_progress() {
    must_end(|| {
        let runtime = runtime_with(1);
        let turns: Vec<AtomicU64> = (0..10).map(|_| AtomicU64::new(0)).collect();
        runtime.run(|| {
            scope(|s| {
                for own in &turns {
                    let turns = &turns;
                    s.spawn(move || {
                        // Ends only when everybody has had a thousand turns.
                        while turns.iter().any(|turn| turn.load(Ordering::Relaxed) < 1000) {
                            own.fetch_add(1, Ordering::Relaxed);
                            yield_now();
                        }
                    });
                }
            });
        });
        let most = turns.iter().map(|turn| turn.load(Ordering::Relaxed)).max().unwrap();
        assert!(most < 2000, "the turns are about equal: {turns:?}");
    });
}

/// Spawns itself again, and goes behind others, until `stop` is set.
fn respawn_and_yield(stop: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    if !stop.load(Ordering::Relaxed) {
        rounds.fetch_add(1, Ordering::Relaxed);
        let next = (Arc::clone(&stop), Arc::clone(&rounds));
        spawn(move || respawn_and_yield(next.0, next.1));
        yield_now();
    }
}

/// Runs `respawn_and_yield` on one worker until what `set_up` arranged sets `stop`. Where that is
/// starved, the jobs that have yielded are too, and their fibers add up.
#[track_caller]
fn assert_no_yielding_job_starves(
    set_up: impl FnOnce(&Runtime, &Arc<AtomicBool>, &Arc<AtomicU64>) + Send + 'static,
) {
    must_end(|| {
        let builder = Runtime::builder().workers(1).stack_size(64 * 1024).max_fibers(4000);
        let runtime = builder.build().unwrap();
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        set_up(&runtime, &stop, &rounds);
        let peak = runtime.stats().total().fibers_peak;
        drop(runtime);
        assert!(stop.load(Ordering::Relaxed) && rounds.load(Ordering::Relaxed) >= 1);
        assert!(peak < 100, "{peak} fibers at once: those that had yielded did not go on");
    });
}

#[test]
fn jobs_that_respawn_and_yield_do_not_starve_a_ready_fiber() {
    assert_no_yielding_job_starves(|runtime, stop, rounds| {
        let gate = Counter::new(1);
        runtime.run(|| {
            scope(|s| {
                s.spawn(|| {
                    gate.wait();
                    stop.store(true, Ordering::Relaxed);
                });
                yield_now(); // it waits now
                s.spawn(|| {
                    gate.done();
                    respawn_and_yield(Arc::clone(stop), Arc::clone(rounds));
                });
            });
        });
    });
}

#[test]
fn jobs_that_respawn_and_yield_do_not_starve_the_oldest_job() {
    assert_no_yielding_job_starves(|runtime, stop, rounds| {
        let (oldest, stop, rounds) = (Arc::clone(stop), Arc::clone(stop), Arc::clone(rounds));
        let oldest = runtime.run(|| {
            let oldest = spawn(move || oldest.store(true, Ordering::Relaxed));
            spawn(move || respawn_and_yield(stop, rounds));
            oldest
        });
        oldest.join().unwrap();
    });
}

#[test]
fn jobs_that_respawn_and_yield_do_not_starve_the_injector() {
    assert_no_yielding_job_starves(|runtime, stop, rounds| {
        let (respawner_stop, seen) = (Arc::clone(stop), Arc::clone(rounds));
        let respawner_rounds = Arc::clone(rounds);
        runtime.spawn(move || respawn_and_yield(respawner_stop, respawner_rounds));
        while seen.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        runtime.run(|| stop.store(true, Ordering::Relaxed));
    });
}

/// A job that runs for long, but joins, lets fibers that were woken meanwhile go on.
#[test]
fn a_long_job_that_joins_gives_way_to_woken_fibers() {
    gives_way(|is_over| {
        while !is_over() {
            rustfiber::join(|| (), || ());
        }
    });
}

/// The same for a loop without joins of its own.
#[test]
fn a_long_loop_gives_way_to_woken_fibers() {
    gives_way(|is_over| {
        rustfiber::par_for(0..usize::MAX / 2, |_| {
            if is_over() {
                // The only way out of a loop.
                std::panic::resume_unwind(Box::new("over"));
            }
        });
    });
}

/// On its only worker, `long` must not end before a fiber does that is woken meanwhile: by a plain
/// thread, and then by the long job itself.
fn gives_way(long: impl Fn(&(dyn Fn() -> bool + Sync)) + Send + Sync + 'static) {
    must_end(move || {
        for is_outside in [true, false] {
            let (event, started) = (Event::new(), Event::new());
            let over = AtomicBool::new(false);
            let is_over = || over.load(Ordering::Relaxed);
            let long = || {
                let outcome = catch_unwind(AssertUnwindSafe(|| long(&is_over)));
                assert!(outcome.is_ok() || is_over());
            };
            runtime_with(1).run(|| {
                scope(|s| {
                    s.spawn(|| {
                        started.set();
                        event.wait();
                        over.store(true, Ordering::Relaxed);
                    });
                    started.wait();
                    if is_outside {
                        thread::scope(|threads| {
                            threads.spawn(|| event.set());
                            long();
                        });
                    } else {
                        event.set();
                        long();
                    }
                });
            });
        }
    });
}

#[test]
fn waits_that_run_their_jobs_do_not_starve_an_injected_job() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (begun, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (begins, stops) = (Arc::clone(&begun), Arc::clone(&stop));
        let busy = runtime.spawn(move || {
            begins.store(true, Ordering::Relaxed);
            while !stops.load(Ordering::Relaxed) {
                spawn(|| ()).join().unwrap();
            }
        });
        while !begun.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        runtime.spawn(move || stop.store(true, Ordering::Relaxed)).join().unwrap();
        busy.join().unwrap();
    });
}

#[test]
fn waits_that_run_their_jobs_do_not_starve_an_older_job() {
    must_end(|| {
        runtime_with(1).run(|| {
            let stop = AtomicBool::new(false);
            scope(|s| {
                s.spawn(|| stop.store(true, Ordering::Relaxed));
                while !stop.load(Ordering::Relaxed) {
                    scope(|inner| inner.spawn(|| ()));
                }
            });
        });
    });
}

/// The flag's job is private to a worker that comes to no scheduling point until it is set.
#[test]
fn jobs_that_yield_take_what_a_busy_worker_keeps_to_itself() {
    must_end(|| {
        for workers in [2, 4] {
            let runtime = runtime_with(workers);
            let (flag, there) = (AtomicBool::new(false), AtomicU64::new(0));
            let meet = || {
                there.fetch_add(1, Ordering::Relaxed);
                while there.load(Ordering::Relaxed) != workers as u64 {
                    std::hint::spin_loop();
                }
            };
            let is_set = || flag.load(Ordering::Relaxed);
            runtime.run(|| {
                scope(|s| {
                    for _ in 1..workers {
                        s.spawn(|| {
                            meet();
                            while !is_set() {
                                yield_now();
                            }
                        });
                    }
                    meet();
                    (0..4).for_each(|_| s.spawn(|| ()));
                    s.spawn(|| flag.store(true, Ordering::Relaxed));
                    while !is_set() {
                        std::hint::spin_loop();
                    }
                });
            });
        }
    });
}
