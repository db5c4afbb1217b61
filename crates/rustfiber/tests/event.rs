//! Events: taken by one waiter each time, by the one that has waited longest, fiber or thread.

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustfiber::{Counter, Event, FiberState, WaitKind, join, scope, without_suspending, yield_now};

use support::{must_end, runtime_with};

#[test]
fn a_set_event_is_taken_once() {
    let event = Event::new();
    assert!(!event.try_wait());
    event.set();
    event.set();
    assert!(event.try_wait());
    assert!(!event.try_wait(), "signals are not counted");
    event.set();
    event.wait();
    assert!(!event.try_wait(), "a wait takes the event");
}

#[test]
fn whoever_has_waited_longest_goes_first() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (event, came, went) = (Event::new(), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        runtime.run(|| {
            scope(|s| {
                for index in 0..5 {
                    let (event, came, went) = (&event, &came, &went);
                    s.spawn(move || {
                        came.lock().unwrap().push(index);
                        event.wait();
                        went.lock().unwrap().push(index);
                    });
                }
                while came.lock().unwrap().len() < 5 {
                    yield_now();
                }
                (0..5).for_each(|_| event.set());
            });
        });
        assert_eq!(came.into_inner().unwrap(), went.into_inner().unwrap());
    });
}

#[test]
fn fibers_and_threads_of_several_runtimes_pass_a_token_round() {
    const ROUNDS: usize = 2_000;
    must_end(|| {
        let (one, other) = (runtime_with(1), runtime_with(2));
        let events: Vec<Event> = (0..4).map(|_| Event::new()).collect();
        let passed = AtomicUsize::new(0);
        let pass = |place: usize| {
            for _ in 0..ROUNDS {
                events[place].wait();
                passed.fetch_add(1, Ordering::Relaxed);
                events[(place + 1) % 4].set();
            }
        };
        thread::scope(|s| {
            s.spawn(|| one.run(|| join(|| pass(0), || pass(1))));
            s.spawn(|| other.run(|| pass(2)));
            s.spawn(|| pass(3));
            events[0].set();
        });
        assert_eq!(passed.into_inner(), 4 * ROUNDS);
        assert!(events[0].try_wait(), "the token came round");
    });
}

/// No wait returns without a signal of its own, and none is lost, however many wait.
#[test]
fn as_many_waits_end_as_signals_were_taken() {
    const WAITERS: usize = 64;
    const EACH: usize = 200;
    must_end(|| {
        let runtime = runtime_with(4);
        let (event, ended, left) = (Event::new(), AtomicUsize::new(0), Counter::new(WAITERS));
        runtime.run(|| {
            scope(|s| {
                for _ in 0..WAITERS {
                    s.spawn(|| {
                        for _ in 0..EACH {
                            event.wait();
                            ended.fetch_add(1, Ordering::Relaxed);
                        }
                        left.done();
                    });
                }
                // Set again and again: a signal that meets a set event is none.
                while left.value() != 0 {
                    event.set();
                    yield_now();
                }
            });
        });
        assert_eq!(ended.into_inner(), WAITERS * EACH);
    });
}

#[test]
fn a_wait_that_must_not_suspend_blocks_the_thread() {
    must_end(|| {
        let runtime = runtime_with(2);
        let (event, elsewhere) = (Event::new(), Event::new());
        let before = runtime.stats().total().suspensions;
        runtime.run(|| {
            scope(|s| {
                s.spawn(|| event.set());
                without_suspending(|| event.wait());
            });
        });
        thread::scope(|s| {
            s.spawn(|| elsewhere.set());
            elsewhere.wait(); // a plain thread
        });
        // The scope's own wait may have suspended, the event's has not.
        assert!(runtime.stats().total().suspensions <= before + 1);
    });
}

#[test]
fn a_dump_tells_who_waits_for_an_event() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (event, waits) = (std::sync::Arc::new(Event::new()), std::sync::Arc::new(Event::new()));
        let job = {
            let (event, waits) = (event.clone(), waits.clone());
            runtime.spawn(move || {
                waits.set();
                event.wait();
            })
        };
        waits.wait();
        let is_waiting = || {
            let dump = runtime.dump();
            dump.fibers.iter().any(|fiber| fiber.state == FiberState::Waiting(WaitKind::Event))
        };
        while !is_waiting() {
            thread::yield_now();
        }
        event.set();
        job.join().unwrap();
        assert!(!is_waiting());
    });
}
