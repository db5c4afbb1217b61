//! What a runtime tells of itself: statistics, dumps, and the report of a shutdown in vain.

mod support;

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustfiber::{
    Counter, FiberDump, FiberState, Runtime, ShutdownError, WaitKind, current_worker, join_all,
    par_for, scope, spawn, yield_now,
};

fn on_one_worker() -> Runtime {
    Runtime::builder().workers(1).build().unwrap()
}

/// Waits, without giving up the CPU for long, until `condition` holds.
#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::yield_now();
    }
}

#[test]
fn stats_count_what_one_worker_did() {
    let runtime = on_one_worker();
    let gate = Counter::new(1);
    runtime.run(|| {
        scope(|s| {
            for _ in 0..10 {
                s.spawn(|| gate.wait());
            }
            s.spawn(|| gate.done());
            yield_now();
        });
    });
    until("the worker sleeps", || runtime.stats().active_workers == 0);
    let stats = runtime.stats();
    let total = stats.total();
    assert_eq!(stats.workers, [total]);
    assert_eq!(total.jobs, 12); // the run, ten that wait, one that opens
    assert_eq!(total.steals, 0);
    // The scope waits and yields; of the ten, those that started before the gate was open.
    assert!((1..=12).contains(&total.suspensions), "{total:?}");
    assert_eq!(total.resumptions, total.suspensions);
    assert!(total.fibers_peak >= 2 && total.fibers_peak <= total.fibers_created, "{total:?}");
    assert!(total.fibers_in_use <= 2, "at most two idle fibers are kept: {total:?}");
    assert!(total.parks >= 1, "{total:?}");
    // Again, if the worker's last look before it sleeps has found the job.
    until("a sleeping worker was woken", || {
        until("the worker sleeps", || runtime.stats().active_workers == 0);
        runtime.run(|| ());
        runtime.stats().total().wakes > total.wakes
    });
}

#[test]
fn stats_tell_how_many_fibers_waited_at_once() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let everybody = Counter::new(100);
    runtime.run(|| {
        scope(|s| {
            for _ in 0..100 {
                s.spawn(|| {
                    everybody.done();
                    everybody.wait();
                });
            }
        });
    });
    let total = runtime.stats().total();
    assert!(total.fibers_peak >= 100, "99 jobs and the scope waited: {total:?}");
    // Neither the last job nor, if all have ended before it looks, the scope has to suspend.
    assert!(total.suspensions >= 99, "{total:?}");
}

#[test]
fn steals_are_counted() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let both = Counter::new(2);
    runtime.run(|| {
        scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    both.done();
                    // Blocks this worker, so the other one has to take the other job.
                    rustfiber::without_suspending(|| both.wait());
                });
            }
        });
    });
    assert!(runtime.stats().total().steals >= 1);
}

#[test]
fn the_ready_delay_is_the_time_that_a_woken_fiber_waits_for_its_worker() {
    let runtime = on_one_worker();
    let gate = Counter::new(1);
    let busy = Duration::from_millis(20);
    runtime.run(|| {
        scope(|s| {
            s.spawn(|| gate.wait());
            yield_now(); // the job above starts, and waits
            gate.done();
            let start = Instant::now();
            while start.elapsed() < busy {
                hint::spin_loop();
            }
        });
    });
    let delay = runtime.stats().total().ready_delay_max;
    assert!(delay >= busy && delay < busy * 50, "{delay:?}");
}

#[test]
fn a_dump_names_what_each_fiber_does_and_where() {
    let runtime = on_one_worker();
    let (waiting, gate) = (AtomicBool::new(false), Counter::new(1));
    thread::scope(|threads| {
        let spawn_line = line!() + 5;
        threads.spawn(|| {
            runtime.run(|| {
                scope(|s| {
                    let (gate, waiting) = (&gate, &waiting);
                    s.spawn(move || {
                        waiting.store(true, Ordering::Relaxed);
                        gate.wait();
                    });
                    yield_now(); // else the scope's fiber would run the job itself
                });
            });
        });
        let wait_line = spawn_line + 2;
        until("both fibers wait", || {
            let states = runtime.dump().fibers.into_iter().map(|fiber| fiber.state);
            states.filter(|state| matches!(state, FiberState::Waiting(_))).count() == 2
        });
        let dump = runtime.dump();
        let with = |state| {
            let found = dump.fibers.iter().find(|fiber| fiber.state == state);
            found.unwrap_or_else(|| panic!("no fiber is {state:?} in\n{dump}"))
        };
        let job = with(FiberState::Waiting(WaitKind::Counter));
        let (spawned_at, waits_at) = (job.spawned_at.unwrap(), job.waits_at.unwrap());
        assert_eq!((spawned_at.file(), spawned_at.line()), (file!(), spawn_line));
        assert_eq!((waits_at.file(), waits_at.line()), (file!(), wait_line));
        let scope = with(FiberState::Waiting(WaitKind::Scope));
        assert_eq!(scope.waits_at.unwrap().line(), spawn_line - 2);
        assert_eq!(scope.spawned_at.unwrap().line(), spawn_line - 3);
        let text = dump.to_string();
        assert!(text.contains("waits for a counter at"), "{text}");
        assert!(text.contains(&format!("{}:{wait_line}:", file!())), "{text}");
        gate.done();
    });
    until("no fiber has a job", || {
        runtime.dump().fibers.iter().all(|fiber| fiber.state == FiberState::Idle)
    });
}

#[test]
fn halves_that_the_library_forks_are_the_callers_in_a_dump() {
    type Call<'a> = (&'a (dyn Fn(&Counter) + Sync), u32);
    let loops: Call = (&|gate| par_for(0..2, |_| gate.wait()), line!());
    let closures: Call = (&|gate| _ = join_all([(), ()].map(|()| || gate.wait())), line!());
    for (call, line) in [loops, closures] {
        let (runtime, gate) = (on_one_worker(), Counter::new(1));
        thread::scope(|threads| {
            threads.spawn(|| runtime.run(|| call(&gate)));
            // The first half waits, so the second one is a job of another fiber.
            let spawned_at = || {
                let dump = runtime.dump();
                let waits = |fiber: &FiberDump| matches!(fiber.state, FiberState::Waiting(_));
                let waiting = dump.fibers.into_iter().filter(waits);
                waiting.map(|fiber| fiber.spawned_at.unwrap()).collect::<Vec<_>>()
            };
            until("both halves wait", || spawned_at().len() == 2);
            let sites = spawned_at();
            gate.done();
            let lines = sites.iter().filter(|site| site.line() == line).count();
            assert_eq!(lines, 1, "one is the run's: {sites:?}");
        });
    }
}

#[test]
fn a_dump_tells_running_from_ready() {
    let runtime = on_one_worker();
    let states: Vec<FiberState> = runtime.run(|| {
        let gate = Counter::new(1);
        scope(|s| {
            s.spawn(|| gate.wait());
            yield_now();
            gate.done();
            runtime.dump().fibers.into_iter().map(|fiber| fiber.state).collect()
        })
    });
    let count = |state| states.iter().filter(|&&other| other == state).count();
    assert_eq!((count(FiberState::Running), count(FiberState::Ready)), (1, 1), "{states:?}");
}

#[test]
fn shutdown_waits_for_jobs_that_end() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let ran = Arc::new(Counter::new(100));
    for _ in 0..100 {
        let ticket = Arc::clone(&ran).ticket_owned();
        runtime.spawn(move || {
            yield_now();
            drop(ticket);
        });
    }
    runtime.shutdown(Duration::MAX).unwrap();
    assert_eq!(ran.value(), 0);
}

#[test]
fn shutdown_with_a_job_blocked_for_ever_returns_in_time_and_names_it() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let gate = Arc::new(Counter::new(1));
    let spawn_line = line!() + 3;
    let blocked = {
        let gate = Arc::clone(&gate);
        runtime.spawn(move || {
            gate.wait();
            current_worker()
        })
    };
    let (timeout, start) = (Duration::from_millis(100), Instant::now());
    until("the job waits", || {
        let mut fibers = runtime.dump().fibers.into_iter();
        fibers.any(|fiber| fiber.state == FiberState::Waiting(WaitKind::Counter))
    });
    let (send, outcome) = std::sync::mpsc::channel();
    support::must_end(move || send.send(runtime.shutdown(timeout)).unwrap());
    let error = outcome.recv().unwrap().unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let text = error.to_string();
    let ShutdownError::TimedOut { timeout: told, dump } = error else { panic!("{error}") };
    assert_eq!(told, timeout);
    let job = dump.fibers.iter().find(|fiber| fiber.waits_at.is_some()).unwrap();
    assert_eq!(job.spawned_at.unwrap().line(), spawn_line);
    assert_eq!(job.waits_at.unwrap().line(), spawn_line + 1);
    for line in [spawn_line, spawn_line + 1] {
        assert!(text.contains(&format!("{}:{line}:", file!())), "{text}");
    }
    // What the job uses is still there: it can go on, and end.
    gate.done();
    assert!(blocked.join().unwrap().is_some());
}

#[test]
fn shutdown_inside_an_own_job_begins_the_end() {
    let runtime = on_one_worker();
    let (send, receive) = std::sync::mpsc::channel::<Runtime>();
    let job = runtime.spawn(move || {
        let runtime = receive.recv().unwrap();
        let later = spawn(|| 7);
        let error = runtime.shutdown(Duration::from_secs(60)).unwrap_err();
        assert!(matches!(error, ShutdownError::InsideOwnJob), "{error}");
        later.join().unwrap()
    });
    send.send(runtime).unwrap();
    assert_eq!(job.join().unwrap(), 7);
}
