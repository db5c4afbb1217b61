//! The soundness rules that a running program can show; docs/soundness.md says where the others
//! are checked.

mod support;

use std::cell::{Cell, OnceCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use fastrand::Rng;
use rustfiber::{
    Counter, FiberState, JoinHandle, Runtime, WaitKind, join, scope, spawn, without_suspending,
    yield_now,
};
use test_support::seed;

use support::{must_end, runtime_with};

/// Fibers stay on their home worker.
#[test]
fn a_job_never_changes_its_thread() {
    thread_local! {
        static MARK: Cell<usize> = const { Cell::new(0) };
    }
    must_end(|| {
        let runtime = runtime_with(4);
        let phases: Vec<Counter> = (0..20).map(|_| Counter::new(100)).collect();
        runtime.run(|| {
            scope(|s| {
                for _ in 0..100 {
                    s.spawn(|| {
                        let (thread, mark) =
                            (thread::current().id(), MARK.with(|mark| mark.as_ptr().addr()));
                        for phase in &phases {
                            phase.done();
                            phase.wait();
                            join(yield_now, yield_now);
                            assert_eq!(thread::current().id(), thread);
                            assert_eq!(MARK.with(|mark| mark.as_ptr().addr()), mark);
                        }
                    });
                }
            });
        });
    });
}

/// Rule 2: what a scope or a join lends is used by nobody when it returns.
#[test]
fn nothing_that_was_lent_is_used_after_the_scope() {
    must_end(|| {
        let runtime = runtime_with(4);
        runtime.run(|| {
            for round in 0..500 {
                let mut lent = [0_usize; 16];
                let unwinds = round % 2 == 1;
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    scope(|s| {
                        for (index, place) in lent.iter_mut().enumerate() {
                            s.spawn(move || {
                                join(yield_now, yield_now);
                                *place = index + round;
                            });
                        }
                        assert!(!unwinds, "on purpose");
                    });
                }));
                assert_eq!(outcome.is_err(), unwinds);
                assert!(lent.iter().enumerate().all(|(index, &place)| place == index + round));
            }
        });
    });
}

/// Rule 2: also when the first half of a join panics while the second one uses what was lent.
#[test]
fn nothing_that_was_lent_is_used_after_the_join() {
    for workers in [1, 4] {
        must_end(move || {
            runtime_with(workers).run(|| {
                for round in 1..=500 {
                    let mut lent = 0;
                    let started = Counter::new(1);
                    let first = || {
                        started.wait(); // so that the second half does run
                        resume_unwind(Box::new(round))
                    };
                    let second = || {
                        started.done();
                        (0..3).for_each(|_| yield_now());
                        lent = round;
                    };
                    let joined = || join::<_, _, (), ()>(first, second);
                    let payload = catch_unwind(AssertUnwindSafe(joined)).unwrap_err();
                    assert_eq!((*payload.downcast::<i32>().unwrap(), lent), (round, round));
                }
            });
        });
    }
}

#[derive(Clone, Copy)]
#[repr(align(32))]
struct Align32;
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Align64;

/// 64 bytes, aligned as `A` is: with its header, a scope's job of them has 128 bytes.
#[derive(Clone, Copy)]
struct Aligned<A> {
    bytes: [u8; 64],
    _align: [A; 0],
}

impl<A> Aligned<A> {
    const NEW: Self = Aligned { bytes: [7; 64], _align: [] };

    fn is_whole(&self) -> bool {
        std::ptr::from_ref(self).is_aligned() && self.bytes == [7; 64]
    }
}

/// The memory of jobs goes round between them, whatever their alignment.
#[test]
fn over_aligned_closures_and_results_stay_aligned() {
    fn check<A: Copy + Send + 'static>() {
        let value = Aligned::<A>::NEW;
        scope(|s| (0..100).for_each(|number| s.spawn(move || assert!(number < 100))));
        scope(|s| (0..50).for_each(|_| s.spawn(move || assert!(value.is_whole()))));
        let spawn_one = |_| {
            spawn(move || {
                assert!(value.is_whole());
                value
            })
        };
        let jobs: Vec<_> = (0..50).map(spawn_one).collect();
        assert!(jobs.into_iter().all(|job| job.join().unwrap().is_whole()));
    }
    must_end(|| {
        for workers in [1, 3] {
            runtime_with(workers).run(|| {
                for _ in 0..4 {
                    check::<Align32>();
                    check::<Align64>();
                }
            });
        }
    });
}

/// Rule 4: a waker may still be at work when the runtime that it wakes into has ended, and a later
/// runtime has its worker's place.
#[test]
fn a_waker_may_outlive_the_runtime_it_wakes_into() {
    must_end(|| {
        let (send, gates) = mpsc::channel::<Arc<Counter>>();
        let waker = thread::spawn(move || gates.iter().for_each(|gate| gate.done()));
        for round in 0..500 {
            let runtime = runtime_with(1 + round % 2);
            let gate = Arc::new(Counter::new(1));
            let job = {
                let gate = Arc::clone(&gate);
                runtime.spawn(move || gate.wait())
            };
            send.send(gate).unwrap();
            drop(runtime); // ends as soon as the job has, whatever the waker is doing
            assert!(job.is_finished());
        }
        drop(send);
        waker.join().unwrap();
    });
}

/// Rule 4: the same waker wakes into two runtimes and a thread, each of which ends at once.
#[test]
fn one_wake_reaches_runtimes_that_end_meanwhile() {
    must_end(|| {
        let (send, gates) = mpsc::channel::<Arc<Counter>>();
        let waker = thread::spawn(move || gates.iter().for_each(|gate| gate.done()));
        for round in 0..300 {
            let gate = Arc::new(Counter::new(1));
            let wait = || {
                let gate = Arc::clone(&gate);
                move || gate.wait()
            };
            let (one, two) = (runtime_with(1), runtime_with(1 + round % 3));
            let jobs: Vec<_> = (0..8).map(|job| [&one, &two][job % 2].spawn(wait())).collect();
            let plain = thread::spawn(wait());
            send.send(gate.clone()).unwrap();
            drop(one); // ends while the waker may have the other's fibers still before it
            drop(two);
            assert!(jobs.iter().all(JoinHandle::is_finished));
            plain.join().unwrap();
        }
        drop(send);
        waker.join().unwrap();
    });
}

/// Rule 5: a wake passes on the fibers of many workers, more than it keeps apart at once.
#[test]
fn one_wake_reaches_the_fibers_of_many_workers() {
    const WORKERS: usize = 12;
    must_end(|| {
        let runtime = runtime_with(WORKERS);
        for _ in 0..5 {
            let (everybody, gate) = (Counter::new(WORKERS), Counter::new(1));
            let waiting = |dump: &rustfiber::Dump| {
                let mut homes: Vec<usize> = dump
                    .fibers
                    .iter()
                    .filter(|fiber| fiber.state == FiberState::Waiting(WaitKind::Counter))
                    .map(|fiber| fiber.worker)
                    .collect();
                homes.sort_unstable();
                homes.dedup();
                homes.len()
            };
            thread::scope(|threads| {
                threads.spawn(|| {
                    while waiting(&runtime.dump()) < WORKERS {
                        thread::yield_now();
                    }
                    gate.done();
                });
                runtime.run(|| {
                    scope(|s| {
                        for _ in 0..WORKERS {
                            s.spawn(|| {
                                everybody.done();
                                // Blocks, so that each worker has to take one of these.
                                without_suspending(|| everybody.wait());
                                gate.wait();
                            });
                        }
                    });
                });
            });
        }
    });
}

/// Rule 5: one registration, one wake, one resumption, whenever the wake comes: also before the
/// fiber has suspended.
#[test]
fn random_registrations_and_notifications_release_every_waiter_once() {
    const BATCHES: usize = if cfg!(debug_assertions) { 20 } else { 100 };
    const WAITS: usize = 1000;
    let mut random = Rng::with_seed(seed());
    must_end(move || {
        for batch in 0..BATCHES {
            let runtime = runtime_with([1, 2, 3, 8][batch % 4]);
            let counters: Vec<Counter> = (0..WAITS / 4).map(|_| Counter::new(1)).collect();
            let (released, mut order) =
                (AtomicUsize::new(0), (0..counters.len()).collect::<Vec<_>>());
            random.shuffle(&mut order);
            let wait = |mut random: Rng, waits: usize| {
                for _ in 0..waits {
                    let counter = &counters[random.usize(..counters.len())];
                    (0..random.usize(..200)).for_each(|_| std::hint::spin_loop());
                    counter.wait();
                    assert_eq!(counter.value(), 0);
                    released.fetch_add(1, Ordering::Relaxed);
                }
            };
            thread::scope(|threads| {
                let (mut notifier, waiter) = (random.clone(), random.clone());
                let (wait, order, counters) = (&wait, &order, &counters);
                threads.spawn(move || wait(waiter, WAITS / 10));
                threads.spawn(move || {
                    for &counter in order {
                        (0..notifier.usize(..2000)).for_each(|_| std::hint::spin_loop());
                        counters[counter].done();
                    }
                });
                runtime.run(|| {
                    scope(|s| {
                        for _ in 0..WAITS / 10 * 9 / 3 {
                            let random = random.fork();
                            s.spawn(move || wait(random, 3));
                        }
                    });
                });
            });
            assert_eq!(released.into_inner(), WAITS);
            drop(runtime);
        }
    });
}

/// Rule 5, as near as two threads can come: the wake comes while the fiber is about to suspend.
#[test]
fn a_fiber_that_is_notified_while_it_suspends_goes_on_once() {
    const ROUNDS: usize = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
    must_end(|| {
        let runtime = runtime_with(1);
        let gates: Vec<Counter> = (0..ROUNDS).map(|_| Counter::new(1)).collect();
        let near = AtomicUsize::new(0);
        thread::scope(|threads| {
            threads.spawn(|| {
                for (index, gate) in gates.iter().enumerate() {
                    while near.load(Ordering::Acquire) < index + 1 {
                        std::hint::spin_loop();
                    }
                    (0..index % 64).for_each(|_| std::hint::spin_loop());
                    gate.done();
                }
            });
            let waits = || {
                for (index, gate) in gates.iter().enumerate() {
                    near.store(index + 1, Ordering::Release);
                    gate.wait();
                    assert_eq!(gate.value(), 0);
                }
            };
            runtime.run(waits);
        });
        let total = runtime.stats().total();
        assert_eq!(total.suspensions, total.resumptions);
    });
}

/// Rule 6: results live until their last user is gone.
#[test]
fn handles_outlive_their_runtime_and_serve_other_runtimes() {
    must_end(|| {
        let made = Arc::new(());
        let runtime = runtime_with(2);
        let handles: Vec<JoinHandle<Arc<()>>> = (0..10)
            .map(|_| {
                let made = Arc::clone(&made);
                runtime.spawn(move || made)
            })
            .collect();
        drop(runtime);
        let other = runtime_with(1);
        for (index, handle) in handles.into_iter().enumerate() {
            match index % 3 {
                0 => drop(handle),
                1 => drop(handle.join().unwrap()),
                _ => drop(other.run(|| handle.join().unwrap())),
            }
        }
        assert_eq!(Arc::strong_count(&made), 1, "each result was dropped once");
    });
}

/// Rule 6: whichever of a job and its handle ends first, and wherever the handle does. Each result
/// is dropped once, and each panic comes to the handle or to the handler.
#[test]
fn jobs_and_handles_end_in_any_order() {
    const COUNT: usize = if cfg!(debug_assertions) { 5_000 } else { 50_000 };
    must_end(|| {
        let mut random = Rng::with_seed(seed());
        let (made, panics) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
        let handled = Arc::clone(&panics);
        let runtime = Runtime::builder()
            .workers(3)
            .panic_handler(move |_| _ = handled.fetch_add(1, Ordering::Relaxed))
            .build()
            .unwrap();
        let other = runtime_with(1);
        let join_one = |handle: JoinHandle<Arc<()>>| {
            if handle.join().is_err() {
                panics.fetch_add(1, Ordering::Relaxed);
            }
        };
        let spawn_one = |index: usize| {
            let made = Arc::clone(&made);
            spawn(
                move || if index.is_multiple_of(8) { resume_unwind(Box::new(made)) } else { made },
            )
        };
        let (send, receive) = mpsc::channel::<JoinHandle<Arc<()>>>();
        thread::scope(|threads| {
            threads.spawn(|| {
                for (index, handle) in receive.into_iter().enumerate() {
                    match index % 3 {
                        0 => drop(handle),
                        1 => join_one(handle),
                        _ => other.run(|| join_one(handle)),
                    }
                }
            });
            runtime.run(|| {
                for index in 0..COUNT {
                    let handle = spawn_one(index);
                    (0..random.usize(..3)).for_each(|_| yield_now());
                    match random.usize(..4) {
                        0 => drop(handle),
                        1 => join_one(handle),
                        2 => join(|| join_one(spawn_one(1)), || drop(handle)).1,
                        _ => send.send(handle).unwrap(),
                    }
                }
                drop(send);
            });
        });
        drop((runtime, other));
        assert_eq!(Arc::strong_count(&made), 1);
        assert_eq!(panics.load(Ordering::Relaxed), COUNT.div_ceil(8));
    });
}

/// Rule 6, across runtimes that are alive.
#[test]
fn a_job_may_wait_for_a_handle_of_another_runtime() {
    must_end(|| {
        let (one, other) = (runtime_with(1), runtime_with(1));
        let gate = Arc::new(Counter::new(1));
        let waiting = {
            let gate = Arc::clone(&gate);
            one.spawn(move || gate.wait())
        };
        let outer = other.spawn(move || waiting.join().unwrap());
        // The only worker of each runtime is free meanwhile.
        one.run(|| ());
        other.run(|| gate.done());
        outer.join().unwrap();
    });
}

/// Rule 7, in every build.
#[test]
fn a_counter_that_reached_zero_takes_neither_more_nor_less() {
    let contract = |f: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
    };
    let counter = Counter::new(1);
    counter.add(1);
    counter.done();
    counter.done();
    assert!(contract(&|| counter.add(1)).contains("zero"));
    assert!(contract(&|| counter.done()).contains("zero"));
    counter.wait(); // still done
    assert_eq!(counter.value(), 0);
    Counter::new(0).wait();
}

/// Rule 10: a wait does not end early, whatever unparks its thread.
#[test]
fn stray_unparks_do_not_end_a_wait() {
    must_end(|| {
        let counter = Counter::new(1);
        let is_over = AtomicBool::new(false);
        thread::scope(|threads| {
            let waiter = threads.spawn(|| {
                counter.wait();
                assert!(is_over.load(Ordering::Relaxed), "the wait ended early");
            });
            for _ in 0..1000 {
                waiter.thread().unpark();
                thread::yield_now();
            }
            is_over.store(true, Ordering::Relaxed);
            counter.done();
        });
    });
}

/// Rule 10: nor a job's, whether it has suspended or blocks its worker's thread.
#[test]
fn stray_unparks_of_a_worker_do_not_end_a_jobs_wait() {
    for blocks in [false, true] {
        must_end(move || {
            let runtime = runtime_with(1);
            let gate = Arc::new(Counter::new(1));
            let is_over = Arc::new(AtomicBool::new(false));
            let (send, worker) = mpsc::channel();
            let job = {
                let (gate, is_over) = (Arc::clone(&gate), Arc::clone(&is_over));
                runtime.spawn(move || {
                    send.send(thread::current()).unwrap();
                    if blocks {
                        without_suspending(|| gate.wait())
                    } else {
                        gate.wait()
                    }
                    is_over.load(Ordering::Relaxed)
                })
            };
            let worker = worker.recv().unwrap();
            for _ in 0..1000 {
                worker.unpark();
                thread::yield_now();
            }
            is_over.store(true, Ordering::Relaxed);
            gate.done();
            assert!(job.join().unwrap(), "the wait ended early");
        });
    }
}

/// Rule 11: inside `without_suspending`, nothing unrelated runs on the waiting stack.
#[test]
fn without_suspending_runs_only_what_is_waited_for() {
    must_end(|| {
        let runtime = runtime_with(1);
        let ran = Arc::new(AtomicBool::new(false));
        let unrelated = Arc::clone(&ran);
        runtime.run(|| {
            spawn(move || unrelated.store(true, Ordering::Relaxed));
            without_suspending(|| {
                assert_eq!(join(|| 1, || 2), (1, 2));
                let (counter, inner) = (Counter::new(1), AtomicUsize::new(0));
                let count = || _ = inner.fetch_add(1, Ordering::Relaxed);
                scope(|s| {
                    s.spawn(count);
                    s.spawn_counted(&counter, count);
                    counter.wait();
                });
                assert_eq!(inner.into_inner(), 2);
                assert_eq!(spawn(|| 3).join().unwrap(), 3);
                yield_now();
            });
            assert!(!ran.load(Ordering::Relaxed), "it ran on a stack that held a lock");
        });
        drop(runtime);
        assert!(ran.load(Ordering::Relaxed));
    });
}

thread_local! {
    /// The pattern of the scoped-tls crate: set during a call, restored after it.
    static SCOPED: Cell<u32> = const { Cell::new(0) };
}

fn with_scoped<R>(value: u32, f: impl FnOnce() -> R) -> R {
    let before = SCOPED.replace(value);
    let result = f();
    SCOPED.set(before);
    result
}

/// Rule 12: the hole that is known to remain, and the two ways around it.
#[test]
fn a_scoped_thread_local_across_a_wait_is_seen_by_other_fibers() {
    must_end(|| {
        let runtime = runtime_with(1);
        runtime.run(|| {
            let opened = Counter::new(1);
            let first = || {
                with_scoped(1, || {
                    opened.wait(); // the other fiber sets it to 2, and waits as well
                    SCOPED.get()
                })
            };
            let second = || {
                with_scoped(2, || {
                    opened.done();
                    yield_now();
                    SCOPED.get()
                })
            };
            let (seen_by_first, _) = join(first, second);
            assert_eq!(seen_by_first, 2, "two fibers of one thread share its thread-locals");

            // Without a wait inside there is no interleaving, also when it is not meant.
            SCOPED.set(0);
            let guarded = |value: u32| {
                with_scoped(value, || {
                    without_suspending(|| scope(|s| s.spawn(yield_now)));
                    SCOPED.get()
                })
            };
            assert_eq!(join(|| guarded(1), || guarded(2)), (1, 2));
            // What a closure captures is its own.
            let captured = |value: u32| {
                yield_now();
                value
            };
            assert_eq!(join(|| captured(1), || captured(2)), (1, 2));
        });
    });
}

/// Has no size, so that nothing but the order of events can go wrong below.
struct Local;

static LOCALS_DROPPED: AtomicUsize = AtomicUsize::new(0);

impl Drop for Local {
    fn drop(&mut self) {
        LOCALS_DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    /// Opens when a second fiber has made its own.
    static MADE: Cell<Option<&'static Counter>> = const { Cell::new(None) };
    static LAZY: Local = {
        if let Some(made) = MADE.take() {
            made.wait();
        }
        Local
    };
    static ONCE: OnceCell<Local> = const { OnceCell::new() };
}

/// Rule 12, in `std` itself: the initialiser of a `thread_local!` may not be entered again while it
/// waits. `std` takes for granted that a thread in it is in no `with` of the same variable, and
/// drops what was made meanwhile, though others borrow it.
#[test]
fn a_thread_locals_initialiser_that_waits_drops_what_another_fiber_borrows() {
    must_end(|| {
        let made: &'static Counter = Box::leak(Box::new(Counter::new(1)));
        runtime_with(1).run(|| {
            let (begun, end) = (Counter::new(1), Counter::new(1));
            let first = || {
                MADE.set(Some(made));
                begun.done();
                LAZY.with(|_| end.done());
            };
            let second = || {
                begun.wait();
                LAZY.with(|_borrowed| {
                    made.done(); // the first one's initialiser goes on
                    end.wait();
                    LOCALS_DROPPED.load(Ordering::Relaxed)
                })
            };
            let ((), dropped) = join(first, second);
            assert_eq!(dropped, 1, "the value was dropped while it was borrowed");

            // Waiting first, and setting a cell that takes one value only, drops nobody's.
            let (gate, end) = (Counter::new(1), Counter::new(1));
            let first = || {
                gate.wait();
                let refused = ONCE.with(|once| once.set(Local)).is_err();
                end.done();
                refused
            };
            let second = || {
                ONCE.with(|once| {
                    let _borrowed = once.get_or_init(|| Local);
                    gate.done();
                    end.wait();
                    LOCALS_DROPPED.load(Ordering::Relaxed)
                })
            };
            assert_eq!(join(first, second), (true, 2), "the refused one was dropped, no other");
        });
    });
}

/// No frame dies while a token to it exists: joins of many fibers of one worker end in any order.
#[test]
fn interleaved_joins_take_back_their_own_jobs_only() {
    const FIBERS: usize = 1000;
    let mut random = Rng::with_seed(seed());
    must_end(move || {
        for workers in [1, 2, 4] {
            let runtime = runtime_with(workers);
            let gates: Vec<[Counter; 2]> =
                (0..FIBERS).map(|_| [Counter::new(1), Counter::new(1)]).collect();
            let mut order: Vec<(usize, usize)> =
                (0..FIBERS).flat_map(|fiber| [(fiber, 0), (fiber, 1)]).collect();
            random.shuffle(&mut order);
            runtime.run(|| {
                scope(|s| {
                    for (index, [outer, inner]) in gates.iter().enumerate() {
                        s.spawn(move || {
                            let wait = || {
                                inner.wait();
                                index
                            };
                            let nested = || {
                                outer.wait();
                                join(wait, || index + 1)
                            };
                            assert_eq!(join(nested, || index + 2), ((index, index + 1), index + 2));
                        });
                    }
                    let gates = &gates;
                    s.spawn(move || {
                        for (index, (fiber, gate)) in order.into_iter().enumerate() {
                            gates[fiber][gate].done();
                            if index % 16 == 0 {
                                yield_now();
                            }
                        }
                    });
                });
            });
        }
    });
}

/// The same with two fibers, step by step: the second one's job lies above the first one's when
/// that one's join returns.
#[test]
fn a_join_finds_its_job_below_another_fibers() {
    must_end(|| {
        let (start, middle, end) = (Counter::new(1), Counter::new(1), Counter::new(1));
        runtime_with(1).run(|| {
            scope(|s| {
                s.spawn(|| {
                    start.wait();
                    let a = || {
                        middle.done(); // the first fiber is ready, and comes before new jobs
                        end.wait();
                    };
                    assert_eq!(join(a, || "second").1, "second");
                });
                yield_now(); // it waits for the start now
                s.spawn(|| {
                    start.done(); // so the second fiber is ready
                    assert_eq!(join(|| middle.wait(), || "first").1, "first");
                    end.done();
                });
            });
        });
    });
}

#[test]
fn the_last_reference_to_a_runtime_may_go_inside_its_own_job() {
    must_end(|| {
        for workers in [1, 2, 4] {
            let runtime = Arc::new(runtime_with(workers));
            let own = Arc::clone(&runtime);
            let (is_last, wait) = mpsc::channel::<()>();
            let job = runtime.spawn(move || {
                wait.recv().unwrap_err(); // until the other reference has gone
                let own: Runtime = Arc::into_inner(own).unwrap();
                let later = own.spawn(|| 7);
                drop(own);
                // The runtime goes on until its jobs have ended, those that came late as well.
                later.join().unwrap() + spawn(|| 1).join().unwrap()
            });
            drop(runtime);
            drop(is_last);
            assert_eq!(job.join().unwrap(), 8);
        }
    });
}

#[test]
fn dropping_a_runtime_inside_anothers_job_suspends_only_that_job() {
    must_end(|| {
        let outer = runtime_with(1);
        let gate = Arc::new(Counter::new(1));
        let inner = runtime_with(1);
        let blocked = {
            let gate = Arc::clone(&gate);
            inner.spawn(move || gate.wait())
        };
        let dropping = outer.spawn(move || drop(inner));
        // The outer runtime's only worker is free to run the job that ends the wait.
        outer.run(move || gate.done());
        dropping.join().unwrap();
        assert!(blocked.is_finished());
    });
}

/// Locks are held by nobody while user code runs: a job may ask for anything of its runtime.
#[test]
fn a_job_may_ask_its_runtime_anything() {
    must_end(|| {
        let runtime = Arc::new(runtime_with(2));
        let texts = Mutex::new(Vec::new());
        runtime.run(|| {
            let ask = || {
                texts.lock().unwrap().push(format!("{:?} {}", runtime.stats(), runtime.dump()));
            };
            scope(|s| (0..20).for_each(|_| s.spawn(ask)));
            without_suspending(|| scope(|s| s.spawn(ask)));
        });
        assert_eq!(texts.into_inner().unwrap().len(), 21);
    });
}
