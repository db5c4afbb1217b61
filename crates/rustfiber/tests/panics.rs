//! Where panics go, and what may still be done while one is under way.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use rustfiber::{Counter, Runtime, join, scope, spawn, without_suspending, yield_now};

use support::{Ended, is_child, must_end, run_child, runtime_with};

/// What a panic carries here.
#[derive(Debug, PartialEq)]
struct Payload(&'static str);

/// Panics without the hook's message, so that the test's output stays readable.
fn fail<R>(text: &'static str) -> R {
    resume_unwind(Box::new(Payload(text)))
}

fn caught<R>(f: impl FnOnce() -> R) -> &'static str {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    payload.downcast::<Payload>().unwrap().0
}

/// Runs `f` while jobs on every worker wait or are still to start; all of them must complete, and
/// every worker must be there afterwards.
fn among_others(f: impl Fn(&Runtime) + Send + Sync + 'static) {
    among_others_on(runtime_with, f);
}

/// As [`among_others`], on runtimes that `build` makes.
fn among_others_on(
    build: impl Fn(usize) -> Runtime + Send + Sync + 'static,
    f: impl Fn(&Runtime) + Send + Sync + 'static,
) {
    const OTHERS: usize = 50;
    let parts = Arc::new((build, f));
    for workers in [1, 2, 4] {
        let parts = Arc::clone(&parts);
        must_end(move || {
            let (build, f) = &*parts;
            let runtime = build(workers);
            let (gate, completed) = (Arc::new(Counter::new(1)), Arc::new(AtomicUsize::new(0)));
            for _ in 0..OTHERS {
                let (gate, completed) = (Arc::clone(&gate), Arc::clone(&completed));
                runtime.spawn(move || {
                    gate.wait();
                    completed.fetch_add(1, Ordering::Relaxed);
                });
            }
            f(&runtime);
            gate.done();
            // Each worker takes one of these, as it blocks until all are there.
            let everybody = Counter::new(workers);
            runtime.run(|| {
                scope(|s| {
                    for _ in 0..workers {
                        s.spawn(|| {
                            everybody.done();
                            without_suspending(|| everybody.wait());
                        });
                    }
                });
            });
            drop(runtime);
            assert_eq!(completed.load(Ordering::Relaxed), OTHERS);
        });
    }
}

#[test]
fn a_panic_in_either_half_of_a_join_comes_out_of_it() {
    among_others(|runtime| {
        let ran = AtomicUsize::new(0);
        let count = || ran.fetch_add(1, Ordering::Relaxed);
        runtime.run(|| {
            assert_eq!(caught(|| join(|| fail::<()>("a"), count)), "a");
            assert_eq!(caught(|| join(count, || fail::<()>("b"))), "b");
            assert_eq!(caught(|| join(|| fail::<()>("a"), || fail::<()>("b"))), "a");
            // The half that waits when the other one panics is waited for.
            let gate = Counter::new(1);
            let late = || {
                gate.wait();
                count();
            };
            let early = || {
                yield_now();
                gate.done();
                fail::<()>("early")
            };
            assert_eq!(caught(|| join(late, early)), "early");
            // Of two that have both panicked, the first one's comes out.
            let started = Counter::new(1);
            let a = || {
                started.wait();
                fail::<()>("a")
            };
            let b = || {
                started.done();
                fail::<()>("b")
            };
            assert_eq!(caught(|| join(a, b)), "a");
        });
        assert!((2..=3).contains(&ran.into_inner()), "a `b` that nobody started may be dropped");
    });
}

#[test]
fn a_panic_in_a_scope_comes_out_when_all_its_jobs_have_ended() {
    among_others(|runtime| {
        runtime.run(|| {
            let ended = AtomicUsize::new(0);
            let body = || {
                scope(|s| {
                    for _ in 0..10 {
                        s.spawn(|| {
                            yield_now();
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                    fail::<()>("body")
                })
            };
            assert_eq!(caught(body), "body");
            assert_eq!(ended.load(Ordering::Relaxed), 10, "they borrow from this frame");
            assert_eq!(caught(|| scope(|s| s.spawn(|| fail::<()>("child")))), "child");
            let both = || {
                scope(|s| {
                    s.spawn(|| fail::<()>("child"));
                    fail::<()>("body")
                })
            };
            assert_eq!(caught(both), "body", "the body's panic wins");
            let siblings = || {
                scope(|s| {
                    (0..10).for_each(|_| s.spawn(|| fail::<()>("sibling")));
                    s.spawn(|| _ = ended.fetch_add(1, Ordering::Relaxed));
                });
            };
            assert_eq!(caught(siblings), "sibling");
            assert_eq!(ended.load(Ordering::Relaxed), 11);
        });
    });
}

#[test]
fn the_first_childs_panic_wins() {
    let runtime = runtime_with(1);
    let gate = Counter::new(1);
    let first = || {
        runtime.run(|| {
            scope(|s| {
                s.spawn(|| {
                    gate.wait();
                    fail::<()>("later")
                });
                s.spawn(|| {
                    gate.done();
                    fail::<()>("first")
                });
                yield_now();
            });
        });
    };
    assert_eq!(caught(first), "first");
}

#[test]
fn a_panic_in_a_run_or_a_spawned_job_goes_to_whoever_waits() {
    among_others(|runtime| {
        assert_eq!(caught(|| runtime.run(|| fail::<()>("run"))), "run");
        let payload = runtime.spawn(|| fail::<()>("spawned")).join().unwrap_err();
        assert_eq!(*payload.downcast::<Payload>().unwrap(), Payload("spawned"));
        runtime.run(|| {
            let payload = spawn(|| fail::<()>("inside")).join().unwrap_err();
            assert_eq!(*payload.downcast::<Payload>().unwrap(), Payload("inside"));
        });
    });
}

#[test]
fn a_job_that_panics_with_a_ticket_lets_the_waiters_go_on() {
    among_others(|runtime| {
        let scoped = || {
            let counter = Counter::new(2);
            scope(|s| {
                s.spawn_counted(&counter, || fail::<()>("counted"));
                let ticket = counter.ticket();
                s.spawn(move || {
                    let _ticket = ticket;
                    fail::<()>("counted")
                });
                counter.wait();
            });
        };
        assert_eq!(caught(|| runtime.run(scoped)), "counted");
        let counter = Arc::new(Counter::new(1));
        let ticket = Arc::clone(&counter).ticket_owned();
        let job = runtime.spawn(move || {
            let _ticket = ticket;
            fail::<()>("owned")
        });
        counter.wait();
        assert!(job.join().is_err());
    });
}

#[test]
fn a_detached_jobs_panic_goes_to_the_handler_once_whenever_it_was_detached() {
    for before in [true, false] {
        must_end(move || {
            let (send, handled) = mpsc::channel();
            let send = Mutex::new(send);
            let handler = move |payload: Box<dyn std::any::Any + Send>| {
                send.lock().unwrap().send(payload.downcast::<Payload>().unwrap().0).unwrap();
            };
            let runtime = Runtime::builder().workers(2).panic_handler(handler).build().unwrap();
            let gate = Arc::new(Counter::new(1));
            let job = {
                let gate = Arc::clone(&gate);
                runtime.spawn(move || {
                    gate.wait();
                    fail::<()>("detached")
                })
            };
            if before {
                drop(job);
                gate.done();
            } else {
                gate.done();
                while !job.is_finished() {
                    thread::yield_now();
                }
                assert!(handled.try_recv().is_err(), "somebody may still ask for it");
                drop(job);
            }
            assert_eq!(handled.recv().unwrap(), "detached");
            // One that is asked for does not go there, nor does one that somebody waits for.
            assert!(runtime.spawn(|| fail::<()>("asked for")).join().is_err());
            assert_eq!(caught(|| runtime.run(|| fail::<()>("run"))), "run");
            drop(runtime); // and with it the handler
            assert!(handled.recv().is_err(), "one panic was handled");
        });
    }
}

#[test]
fn detached_panics_are_each_handled_once_among_others() {
    let handled = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&handled);
    let build = move |workers| {
        let handled = Arc::clone(&handled);
        let handler = move |payload: Box<dyn std::any::Any + Send>| {
            handled.lock().unwrap().push(payload.downcast::<Payload>().unwrap().0);
        };
        Runtime::builder().workers(workers).panic_handler(handler).build().unwrap()
    };
    among_others_on(build, |runtime| {
        (0..20).for_each(|_| drop(runtime.spawn(|| fail::<()>("outside"))));
        runtime.run(|| (0..20).for_each(|_| drop(spawn(|| fail::<()>("inside")))));
        let late = runtime.spawn(|| fail::<()>("late"));
        while !late.is_finished() {
            thread::yield_now();
        }
        drop(late);
    });
    let all = Arc::into_inner(all).unwrap().into_inner().unwrap();
    let count = |text| all.iter().filter(|&&other| other == text).count();
    assert_eq!((count("outside"), count("inside"), count("late")), (60, 60, 3), "on 3 runtimes");
}

/// A process that `abort` ended, and not, say, a second panic.
fn assert_aborted(Ended { output, text }: &Ended) {
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("rustfiber: fatal: "), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        const SIGABRT: i32 = 6;
        assert_eq!(output.status.signal(), Some(SIGABRT), "{text}");
    }
}

#[test]
fn a_panic_handler_that_panics_ends_the_process_with_a_message() {
    if !is_child() {
        let ended = run_child("a_panic_handler_that_panics_ends_the_process_with_a_message");
        assert_aborted(&ended);
        let text = &ended.text;
        return assert!(text.contains("the panic handler of a runtime panicked itself"), "{text}");
    }
    let runtime = Runtime::builder().workers(1).panic_handler(|_| panic!("again")).build().unwrap();
    drop(runtime.spawn(|| panic!("first")));
    drop(runtime);
}

/// Calls `f` when it is dropped, if that is by a panic.
struct WhilePanicking<F: FnMut()>(F);

impl<F: FnMut()> Drop for WhilePanicking<F> {
    fn drop(&mut self) {
        assert!(thread::panicking());
        (self.0)();
    }
}

#[test]
fn joins_and_waits_inside_drop_during_unwinding_on_one_worker_do_not_suspend() {
    must_end(|| {
        let runtime = runtime_with(1);
        let ran = AtomicUsize::new(0);
        let count = || _ = ran.fetch_add(1, Ordering::Relaxed);
        let somebody_else = Arc::new(AtomicBool::new(false));
        let unwinds = || {
            // An older job, which must not run meanwhile: the thread would panic in its frames.
            let flag = Arc::clone(&somebody_else);
            drop(spawn(move || flag.store(true, Ordering::Relaxed)));
            let mut unstarted = Some(spawn(|| 5));
            let _guard = WhilePanicking(|| {
                join(count, count);
                scope(|s| (0..3).for_each(|_| s.spawn(count)));
                let counter = Counter::new(1);
                scope(|s| {
                    s.spawn_counted(&counter, count);
                    counter.wait();
                });
                assert_eq!(unstarted.take().unwrap().join().unwrap(), 5);
                yield_now();
                assert!(!somebody_else.load(Ordering::Relaxed), "it suspended");
            });
            fail::<()>("unwinding")
        };
        assert_eq!(caught(|| runtime.run(unwinds)), "unwinding");
        assert_eq!(ran.load(Ordering::Relaxed), 6);
        drop(runtime);
        assert!(somebody_else.load(Ordering::Relaxed));
    });
}

#[test]
fn a_join_while_unwinding_whose_half_was_stolen_blocks_the_thread() {
    must_end(|| {
        let runtime = runtime_with(2);
        let joined = AtomicBool::new(false);
        let unwinds = || {
            let here = rustfiber::current_worker();
            let (is_started, may_end) = (AtomicBool::new(false), AtomicBool::new(false));
            let guard = || {
                let a = || {
                    until(&is_started);
                    // An older job than the wait: this worker must not get to it.
                    drop(spawn(|| ()));
                    may_end.store(true, Ordering::Release);
                };
                let b = || {
                    is_started.store(true, Ordering::Release);
                    until(&may_end);
                    assert!(!thread::panicking(), "the thief does not unwind");
                    rustfiber::current_worker()
                };
                let suspensions = runtime.stats().total().suspensions;
                let ((), there) = join(a, b);
                assert_ne!(there, here);
                assert_eq!(runtime.stats().total().suspensions, suspensions);
                joined.store(true, Ordering::Relaxed);
            };
            let _guard = WhilePanicking(guard);
            fail::<()>("unwinding")
        };
        assert_eq!(caught(|| runtime.run(unwinds)), "unwinding");
        assert!(joined.load(Ordering::Relaxed));
    });
}

/// Waits for another worker, in a job that must not suspend.
fn until(flag: &AtomicBool) {
    while !flag.load(Ordering::Acquire) {
        thread::yield_now();
    }
}

#[test]
fn a_wait_while_unwinding_runs_the_unstarted_jobs_that_it_is_for() {
    for workers in [1, 2, 4] {
        must_end(move || {
            let (runtime, other) = (runtime_with(workers), runtime_with(1));
            let (counter, ran, seen) =
                (Counter::new(3), AtomicUsize::new(0), Mutex::new(Vec::new()));
            let mut other = Some(other);
            let unwinds = || {
                scope(|s| {
                    let _guard = WhilePanicking(|| {
                        counter.wait();
                        seen.lock().unwrap().push(ran.load(Ordering::Relaxed));
                        // What goes on elsewhere, the thread waits for.
                        let other = other.take().unwrap();
                        seen.lock().unwrap().push(other.run(|| join(|| 20, || 22).1));
                        drop(other);
                    });
                    for _ in 0..3 {
                        // Each may do all that a job may do, though its thread may be panicking.
                        s.spawn_counted(&counter, || {
                            let (a, b) = join(|| 1, || spawn(|| 2).join().unwrap());
                            assert_eq!(caught(|| scope(|s| s.spawn(|| fail::<()>("in")))), "in");
                            ran.fetch_add(a + b, Ordering::Relaxed);
                        });
                    }
                    fail::<()>("unwinding")
                });
            };
            assert_eq!(caught(|| runtime.run(unwinds)), "unwinding");
            assert_eq!(seen.into_inner().unwrap(), [9, 22]);
        });
    }
}

#[test]
fn while_unwinding_scopes_hand_nothing_out() {
    /// Gives idle workers time to take something, and returns what `taken` then holds.
    fn watch(taken: &Mutex<Option<ThreadId>>) -> Option<ThreadId> {
        let start = Instant::now();
        while taken.lock().unwrap().is_none() && start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        *taken.lock().unwrap()
    }
    for workers in [2, 4] {
        must_end(move || {
            let runtime = runtime_with(workers);
            let own = Mutex::new(None);
            let job = Mutex::new(None);
            let note = |place: &Mutex<Option<ThreadId>>| {
                *place.lock().unwrap() = Some(thread::current().id());
            };
            let unwinds = || {
                note(&own);
                let _guard = WhilePanicking(|| {
                    scope(|s| {
                        s.spawn(|| note(&job));
                        watch(&job);
                    });
                });
                fail::<()>("unwinding")
            };
            assert_eq!(caught(|| runtime.run(unwinds)), "unwinding");
            assert_eq!(own.into_inner().unwrap(), job.into_inner().unwrap());
        });
    }
}

/// The line in which the job below waits.
const SUSPENDED_LINE: u32 = line!() + 4;

/// A job of this worker that has started, and waits for ever.
fn suspended_job() -> rustfiber::JoinHandle<()> {
    let job = spawn(|| Counter::new(1).wait());
    yield_now();
    job
}

/// Checks that the report names the wait at `line`, what it is for, and what the other fiber does.
fn assert_deadlock_reported(ended: &Ended, line: u32, kind: &str, suspended_line: u32) {
    assert_aborted(ended);
    let (file, text) = (file!(), &ended.text);
    let wait = format!("the wait at {file}:{line}:");
    let suspended = format!("waits for a counter at {file}:{suspended_line}:");
    for part in [&wait, &suspended, kind, "would never end"] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
}

#[test]
fn a_wait_while_panicking_for_a_fiber_of_this_worker_aborts_with_a_report() {
    let wait_line = line!() + 10;
    if !is_child() {
        let ended =
            run_child("a_wait_while_panicking_for_a_fiber_of_this_worker_aborts_with_a_report");
        assert_deadlock_reported(&ended, wait_line, "for a spawned job", SUSPENDED_LINE);
        return assert!(ended.text.contains("must not suspend"), "{}", ended.text);
    }
    must_end(|| {
        runtime_with(1).run(|| {
            let mut job = Some(suspended_job());
            let _guard = WhilePanicking(|| job.take().unwrap().join().unwrap());
            fail::<()>("unwinding")
        });
    });
}

#[test]
fn a_wait_for_a_fiber_of_this_worker_without_suspending_aborts_with_a_report() {
    let wait_line = line!() + 10;
    if !is_child() {
        let ended =
            run_child("a_wait_for_a_fiber_of_this_worker_without_suspending_aborts_with_a_report");
        assert_deadlock_reported(&ended, wait_line, "for a spawned job", SUSPENDED_LINE);
        return assert!(ended.text.contains("`without_suspending`"), "{}", ended.text);
    }
    must_end(|| {
        runtime_with(1).run(|| {
            let job = suspended_job();
            without_suspending(|| job.join().unwrap());
        });
    });
}

#[test]
fn a_wait_for_a_counted_fiber_of_this_worker_without_suspending_aborts_with_a_report() {
    let wait_line = line!() + 13;
    if !is_child() {
        let ended = run_child(
            "a_wait_for_a_counted_fiber_of_this_worker_without_suspending_aborts_with_a_report",
        );
        return assert_deadlock_reported(&ended, wait_line, "for a counter", wait_line - 2);
    }
    must_end(|| {
        let (never, counter) = (Counter::new(1), Counter::new(1));
        runtime_with(1).run(|| {
            scope(|s| {
                s.spawn_counted(&counter, || never.wait());
                yield_now();
                without_suspending(|| counter.wait());
            });
        });
    });
}

/// A value whose destructor panics, and counts down.
struct Bomb(Arc<AtomicUsize>);

impl Bomb {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Bomb(Arc::clone(alive))
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        if !thread::panicking() {
            fail::<()>("bomb");
        }
    }
}

#[test]
fn panicking_destructors_of_captures_results_and_payloads_kill_nobody() {
    let alive = Arc::new(AtomicUsize::new(0));
    let all = Arc::clone(&alive);
    among_others(move |runtime| {
        let bomb = || Bomb::new(&all);
        let throw = || panic_any(bomb());
        // Captures: the closure's own panic, after its body.
        let capture = bomb();
        assert_eq!(caught(|| runtime.run(move || drop(capture))), "bomb");
        let capture = bomb();
        assert!(runtime.spawn(move || drop(capture)).join().is_err());
        let capture = bomb();
        assert_eq!(caught(|| runtime.run(|| scope(|s| s.spawn(move || drop(capture))))), "bomb");
        let capture = bomb();
        assert_eq!(caught(|| runtime.run(|| join(|| (), move || drop(capture)))), "bomb");
        assert_eq!(all.load(Ordering::Relaxed), 0);
        // Results that nobody gets: of detached jobs, and of halves whose other half panics.
        drop(runtime.spawn({
            let result = bomb();
            move || {
                yield_now();
                result
            }
        }));
        runtime.run(|| {
            assert_eq!(caught(|| join(bomb, || fail::<()>("b"))), "b");
            let started = Counter::new(1);
            let b = || {
                started.done();
                bomb()
            };
            let a = || {
                started.wait(); // so that `b` does run
                fail::<()>("a")
            };
            assert_eq!(caught(|| join(a, b)), "a");
        });
        // Payloads: of a detached job, of a scope's second child, of a `b` whose `a` panics too.
        drop(runtime.spawn({
            let payload = bomb();
            move || -> () { panic_any(payload) }
        }));
        let siblings = || scope(|s| (0..2).for_each(|_| s.spawn(throw)));
        let first = catch_unwind(AssertUnwindSafe(|| runtime.run(siblings))).unwrap_err();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(first))).is_err());
    });
    assert_eq!(alive.load(Ordering::Relaxed), 0, "each was dropped once");
}

#[test]
fn panicking_destructors_beside_another_panic_kill_nobody() {
    let alive = Arc::new(AtomicUsize::new(0));
    let all = Arc::clone(&alive);
    among_others(move |runtime| {
        let bomb = || Bomb::new(&all);
        runtime.run(|| {
            // The captures of a `b` that may never start, and the payload of one that does.
            let capture = bomb();
            assert_eq!(caught(|| join(|| fail::<()>("a"), move || drop(capture))), "a");
            let started = Counter::new(1);
            let b = || -> () {
                started.done();
                panic_any(bomb())
            };
            let a = || {
                started.wait();
                fail::<()>("a")
            };
            assert_eq!(caught(|| join(a, b)), "a");
            // The result of a scope whose child panics, and a child's payload beside the body's.
            let result = || {
                scope(|s| {
                    s.spawn(|| fail::<()>("child"));
                    bomb()
                })
            };
            assert_eq!(caught(result), "child");
            let payload = || {
                scope(|s| {
                    s.spawn(|| panic_any(bomb()));
                    fail::<()>("body")
                })
            };
            assert_eq!(caught(payload), "body");
        });
        // Results and payloads that a handle leaves behind, when it is dropped after the end.
        let (result, payload) = (bomb(), bomb());
        let result = runtime.spawn(move || result);
        let payload = runtime.spawn(move || -> () { panic_any(payload) });
        while !(result.is_finished() && payload.is_finished()) {
            thread::yield_now();
        }
        drop((result, payload));
        assert_eq!(all.load(Ordering::Relaxed), 0);
    });
    assert_eq!(alive.load(Ordering::Relaxed), 0, "each was dropped once");
}

/// A payload whose destructor panics with another one, and so on.
struct Endless;

impl Drop for Endless {
    fn drop(&mut self) {
        if !thread::panicking() {
            resume_unwind(Box::new(Endless));
        }
    }
}

#[test]
fn a_payload_that_makes_payloads_without_end_kills_nobody() {
    among_others(|runtime| {
        let job = runtime.spawn(|| -> () { resume_unwind(Box::new(Endless)) });
        while !job.is_finished() {
            thread::yield_now();
        }
        drop(job);
        drop(runtime.spawn(|| Endless));
        let b = || -> () { resume_unwind(Box::new(Endless)) };
        assert_eq!(caught(|| runtime.run(|| join(|| fail::<()>("a"), b))), "a");
    });
}
