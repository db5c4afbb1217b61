//! The primitives of `sync`, from fibers: they suspend, and wait in line with threads.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::thread;
use std::time::Duration;

use rustfiber::sync::{
    AutoResetEvent, Barrier, Condvar, Lazy, ManualResetEvent, Mutex, OnceCell, RwLock, Semaphore,
    WaitGroup, channel, oneshot,
};
use rustfiber::{
    Counter, Event, FiberDump, FiberState, Runtime, ShutdownError, WaitKind, block_on, join, scope,
    without_suspending, yield_now,
};

use support::{must_end, runtime_with};

/// Runs `body` on runtimes of one worker and of two. With one worker, what blocks its thread for
/// what another of its fibers does would hang.
fn on_workers(body: impl Fn() + Send + Sync + Copy + 'static) {
    must_end(move || {
        for workers in [1, 2] {
            runtime_with(workers).run(body);
        }
    });
}

/// Runs `a` and `b`, each so many times, as two jobs.
fn rounds(count: usize, a: impl Fn(usize) + Sync, b: impl Fn(usize) + Sync) {
    scope(|s| {
        s.spawn(|| (0..count).for_each(&a));
        s.spawn(|| (0..count).for_each(&b));
    });
}

#[test]
fn a_mutex_is_held_across_suspensions() {
    on_workers(|| {
        let (sum, jobs) = (Mutex::new(0), 8);
        scope(|s| {
            for _ in 0..jobs {
                s.spawn(|| {
                    for _ in 0..100 {
                        let mut sum = sum.lock();
                        let before = *sum;
                        yield_now(); // others come, and have to wait
                        *sum = before + 1;
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), jobs * 100);
    });
}

#[test]
fn readers_share_and_a_writer_is_alone() {
    on_workers(|| {
        let lock = RwLock::new((0, 0));
        scope(|s| {
            for index in 0..8 {
                let lock = &lock;
                s.spawn(move || {
                    for _ in 0..100 {
                        if index % 4 == 0 {
                            let mut pair = lock.write();
                            pair.0 += 1;
                            yield_now();
                            pair.1 += 1;
                        } else {
                            let pair = lock.read();
                            yield_now();
                            assert_eq!(pair.0, pair.1);
                        }
                    }
                });
            }
        });
        assert_eq!(lock.into_inner(), (200, 200));
    });
}

#[test]
fn permits_bound_how_many_go_on() {
    on_workers(|| {
        let (permits, inside) = (Semaphore::new(3), AtomicUsize::new(0));
        scope(|s| {
            for _ in 0..20 {
                s.spawn(|| {
                    for _ in 0..50 {
                        let _permit = permits.acquire().unwrap();
                        assert!(inside.fetch_add(1, Ordering::Relaxed) < 3);
                        yield_now();
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(permits.available_permits(), 3);
    });
}

#[test]
fn permits_on_request_are_unfair() {
    on_workers(|| {
        let permits = Semaphore::unfair(1);
        let job = |_| {
            let _permit = permits.acquire().unwrap();
            yield_now();
        };
        rounds(200, job, job);
        assert_eq!(permits.available_permits(), 1);
    });
}

#[test]
fn a_condition_variable_lets_fibers_take_turns() {
    on_workers(|| {
        let (turn, changed) = (Mutex::new(0), Condvar::new());
        let take_turns = |mine: usize| {
            let (turn, changed) = (&turn, &changed);
            move |round| {
                let awaited = 2 * round + mine;
                let mut turn = changed.wait_while(turn.lock(), |turn| *turn != awaited);
                *turn += 1;
                changed.notify_one();
            }
        };
        rounds(200, take_turns(0), take_turns(1));
        assert_eq!(turn.into_inner(), 400);
    });
}

#[test]
fn events_pass_a_turn_on() {
    on_workers(|| {
        let (ping, pong) = (AutoResetEvent::new(false), AutoResetEvent::new(false));
        let pinger = |_| {
            ping.set();
            pong.wait();
        };
        let ponger = |_| {
            ping.wait();
            pong.set();
        };
        rounds(200, pinger, ponger);
        assert!(!ping.try_wait() && !pong.try_wait());
    });
}

#[test]
fn an_event_that_stays_set_lets_everybody_go() {
    on_workers(|| {
        let (go, waiting, gone) =
            (ManualResetEvent::new(false), Counter::new(10), Counter::new(10));
        scope(|s| {
            for _ in 0..10 {
                s.spawn(|| {
                    waiting.done();
                    go.wait();
                    gone.done();
                });
            }
            waiting.wait();
            assert_eq!(gone.value(), 10);
            go.set();
            gone.wait();
        });
    });
}

#[test]
fn a_barrier_has_one_leader_each_time() {
    on_workers(|| {
        let (barrier, leaders) = (Barrier::new(6), AtomicUsize::new(0));
        scope(|s| {
            for _ in 0..6 {
                s.spawn(|| {
                    for _ in 0..50 {
                        if barrier.wait().is_leader() {
                            leaders.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(leaders.into_inner(), 50);
    });
}

#[test]
fn a_wait_group_lets_go_at_zero_and_below_a_bound() {
    on_workers(|| {
        let group = WaitGroup::new(10);
        scope(|s| {
            for _ in 0..10 {
                s.spawn(|| {
                    yield_now();
                    group.done();
                });
            }
            group.wait_at_most(5);
            assert!(group.count() <= 5);
            group.wait();
            assert_eq!(group.count(), 0);
        });
    });
}

#[test]
fn a_value_is_made_once_and_awaited_by_the_others() {
    on_workers(|| {
        let (cell, made) = (OnceCell::new(), AtomicUsize::new(0));
        let lazy = Lazy::new(|| {
            yield_now();
            made.fetch_add(1, Ordering::Relaxed)
        });
        scope(|s| {
            for index in 0..10 {
                let (cell, lazy) = (&cell, &lazy);
                s.spawn(move || {
                    let value = *cell.get_or_init(|| {
                        yield_now(); // the others come meanwhile
                        index
                    });
                    assert_eq!(Some(&value), cell.get());
                    assert_eq!(**lazy, 0);
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn channels_pass_every_value_once() {
    const EACH: usize = 500;
    on_workers(|| {
        let (sender, receiver) = channel::bounded(2);
        let (sum, count) = (AtomicUsize::new(0), AtomicUsize::new(0));
        scope(|s| {
            for _ in 0..3 {
                let sender = sender.clone();
                s.spawn(move || (1..=EACH).for_each(|value| sender.send(value).unwrap()));
                s.spawn(|| {
                    for value in receiver.iter() {
                        sum.fetch_add(value, Ordering::Relaxed);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            drop(sender);
        });
        assert_eq!(count.into_inner(), 3 * EACH);
        assert_eq!(sum.into_inner(), 3 * EACH * (EACH + 1) / 2);
    });
}

#[test]
fn one_value_is_passed_to_a_fiber_that_waits() {
    on_workers(|| {
        for round in 0..200 {
            let (sender, mut receiver) = oneshot::channel();
            let (received, ()) = join(|| receiver.recv(), || sender.send(round).unwrap());
            assert_eq!(received, Ok(round));
        }
    });
}

#[test]
fn a_future_is_awaited_by_a_fiber() {
    on_workers(|| {
        let permits = Semaphore::new(0);
        let awaits = || block_on(permits.acquire_async()).unwrap().forget();
        scope(|s| {
            (0..5).for_each(|_| s.spawn(awaits));
            yield_now();
            permits.add_permits(5);
        });
        assert_eq!(permits.available_permits(), 0);
    });
}

/// Waits until a fiber waits for `kind`.
fn await_waiting(runtime: &Runtime, kind: WaitKind) -> FiberDump {
    loop {
        let fibers = runtime.dump().fibers;
        let waiting = fibers.into_iter().find(|f| f.state == FiberState::Waiting(kind));
        if let Some(fiber) = waiting {
            return fiber;
        }
        thread::yield_now();
    }
}

#[test]
fn fibers_and_threads_are_served_in_order_of_arrival() {
    must_end(|| {
        let (one, two) = (runtime_with(1), runtime_with(2));
        let (permits, served) = (Semaphore::new(0), StdMutex::new(Vec::new()));
        let (permits, served) = (&permits, &served);
        let wait = move |place: usize| {
            permits.acquire().unwrap().forget();
            served.lock().unwrap().push(place);
            permits.add_permits(1);
        };
        thread::scope(|s| {
            for place in 0..12 {
                let (one, two) = (&one, &two);
                s.spawn(move || match place % 3 {
                    0 => wait(place),
                    1 => one.run(|| wait(place)),
                    _ => two.run(|| wait(place)),
                });
                while permits.waiter_count() != place + 1 {
                    thread::yield_now();
                }
            }
            permits.add_permits(1);
        });
        assert_eq!(*served.lock().unwrap(), Vec::from_iter(0..12));
    });
}

#[test]
fn a_dump_tells_what_each_fiber_waits_for() {
    must_end(|| {
        let runtime = runtime_with(1);
        let all = Arc::new((
            (Semaphore::new(0), Mutex::new(()), RwLock::new(())),
            (Condvar::new(), Mutex::new(()), Barrier::new(2), WaitGroup::new(1)),
            (AutoResetEvent::new(false), ManualResetEvent::new(false), OnceCell::new()),
        ));
        let ((permits, mutex, lock), (changed, own, barrier, group), (auto, manual, cell)) = &*all;
        let (value_sender, value_receiver) = channel::bounded::<u8>(1);
        let (once_sender, mut once_receiver) = oneshot::channel::<u8>();
        let (made, begun, finish) = (Semaphore::new(0), Event::new(), Event::new());
        let held = (mutex.lock(), lock.write());
        type Waits<'a> = Box<dyn FnOnce() + Send + 'a>;
        let waits: [(WaitKind, &str, Waits<'_>); 12] = [
            (WaitKind::Semaphore, "semaphore", Box::new(|| permits.acquire().unwrap().forget())),
            (WaitKind::Mutex, "a mutex", Box::new(|| drop(mutex.lock()))),
            (WaitKind::RwLock, "read-write", Box::new(|| drop(lock.read()))),
            (WaitKind::Condvar, "condition", Box::new(|| drop(changed.wait(own.lock())))),
            (WaitKind::Barrier, "barrier", Box::new(|| _ = barrier.wait())),
            (WaitKind::WaitGroup, "wait group", Box::new(|| group.wait())),
            (WaitKind::Event, "an event", Box::new(|| auto.wait())),
            (WaitKind::Event, "an event", Box::new(|| manual.wait())),
            (WaitKind::OnceCell, "value", Box::new(|| assert_eq!(cell.get_or_init(|| 2), &1))),
            (WaitKind::Channel, "a channel", Box::new(|| _ = value_receiver.recv().unwrap())),
            (WaitKind::Oneshot, "oneshot", Box::new(move || _ = once_receiver.recv().unwrap())),
            (
                WaitKind::Future,
                "a future",
                Box::new(|| block_on(made.acquire_async()).unwrap().forget()),
            ),
        ];
        let ends: [Box<dyn FnOnce() + '_>; 12] = [
            Box::new(|| permits.add_permits(1)),
            Box::new(move || drop(held.0)),
            Box::new(move || drop(held.1)),
            Box::new(|| assert!(changed.notify_one())),
            Box::new(|| _ = barrier.wait()),
            Box::new(|| group.done()),
            Box::new(|| auto.set()),
            Box::new(|| manual.set()),
            Box::new(|| finish.set()),
            Box::new(move || value_sender.send(1).unwrap()),
            Box::new(move || once_sender.send(1).unwrap()),
            Box::new(|| made.add_permits(1)),
        ];
        thread::scope(|s| {
            s.spawn(|| {
                cell.get_or_init(|| {
                    begun.set();
                    finish.wait();
                    1
                });
            });
            begun.wait();
            for ((kind, words, wait), end) in waits.into_iter().zip(ends) {
                let job = s.spawn(|| runtime.run(wait));
                let fiber = await_waiting(&runtime, kind);
                let site = fiber.waits_at.unwrap();
                assert!(site.file().ends_with("tests/sync.rs"), "{kind:?} at {site}");
                assert!(fiber.to_string().contains(words), "{fiber}");
                end();
                job.join().unwrap();
            }
        });
    });
}

#[test]
fn a_wait_that_must_not_suspend_parks_the_thread() {
    must_end(|| {
        let runtime = runtime_with(2);
        let semaphore = Semaphore::new(0);
        runtime.run(|| {
            scope(|s| {
                // By the other worker, to which it is handed over.
                s.spawn(|| {
                    while semaphore.waiter_count() == 0 {
                        thread::yield_now();
                    }
                    semaphore.add_permits(1);
                });
                let before = runtime.stats().total().suspensions;
                let permit = without_suspending(|| semaphore.acquire());
                assert_eq!(runtime.stats().total().suspensions, before);
                permit.expect("nobody closes it").forget();
            });
        });
    });
}

#[test]
fn a_wait_while_panicking_parks_the_thread() {
    /// Waits in a destructor.
    struct Waits<'a>(&'a AutoResetEvent, &'a Mutex<bool>);
    impl Drop for Waits<'_> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            self.0.wait();
            *self.1.lock() = true;
        }
    }
    must_end(|| {
        let runtime = runtime_with(2);
        let (event, has_waited) = (AutoResetEvent::new(false), Mutex::new(false));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            runtime.run(|| {
                scope(|s| {
                    let _waits = Waits(&event, &has_waited);
                    s.spawn(|| event.set());
                    panic!("with a wait on the way");
                });
            });
        }));
        assert_eq!(*outcome.unwrap_err().downcast::<&str>().unwrap(), "with a wait on the way");
        assert!(has_waited.into_inner());
    });
}

#[test]
fn a_wait_without_a_fiber_panics_and_leaves_the_line_whole() {
    must_end(|| {
        let runtime = Runtime::builder().workers(1).max_fibers(1).build().unwrap();
        let (mutex, others_ran) = (Mutex::new(0), AutoResetEvent::new(false));
        let payload = runtime.run(|| {
            let held = mutex.lock();
            let caught = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    s.spawn(|| others_ran.set());
                    // First, and on the native stack, as the only fiber waits.
                    s.spawn(|| {
                        assert!(mutex.try_lock().is_none());
                        *mutex.lock() += 1;
                    });
                    others_ran.wait();
                });
            }));
            drop(held);
            *mutex.lock() += 2; // nobody is in line
            caught.unwrap_err()
        });
        let text = payload.downcast::<String>().unwrap();
        assert!(text.starts_with("FiberLimit") && text.contains("raise"), "{text}");
        assert_eq!(mutex.into_inner(), 2);
    });
}

#[test]
fn a_wait_that_gives_up_does_so_without_a_fiber_too() {
    must_end(|| {
        let runtime = Runtime::builder().workers(1).max_fibers(1).build().unwrap();
        let (mutex, gave_up) = (Mutex::new(0), AutoResetEvent::new(false));
        runtime.run(|| {
            let _held = mutex.lock();
            scope(|s| {
                s.spawn(|| {
                    assert!(mutex.lock_timeout(Duration::from_millis(2)).is_none());
                    gave_up.set();
                });
                gave_up.wait();
            });
        });
    });
}

/// Locks them all in a ring: each fiber waits for what the next has.
fn deadlock(runtime: &Runtime, fibers: usize) {
    let all =
        Arc::new(((0..fibers).map(|_| Mutex::new(())).collect::<Vec<_>>(), Barrier::new(fibers)));
    for place in 0..fibers {
        let all = Arc::clone(&all);
        drop(runtime.spawn(move || {
            let (mutexes, all_locked) = &*all;
            let _held = mutexes[place].lock();
            all_locked.wait();
            drop(mutexes[(place + 1) % fibers].lock());
        }));
    }
}

#[test]
fn fibers_that_wait_for_each_others_mutexes_are_reported() {
    must_end(|| {
        for (workers, fibers) in [(1, 2), (2, 3), (1, 1)] {
            let runtime = runtime_with(workers);
            deadlock(&runtime, fibers);
            while runtime.dump().deadlocks().is_empty() {
                thread::yield_now();
            }
            // Its threads, which never end, are left to themselves.
            let error = runtime.shutdown(Duration::from_millis(1)).unwrap_err();
            let ShutdownError::TimedOut { dump, .. } = error else { panic!("it is no job") };
            let [cycle] = &dump.deadlocks()[..] else { panic!("one deadlock: {dump}") };
            assert_eq!(cycle.len(), fibers, "{dump}");
            for (place, index) in cycle.iter().enumerate() {
                assert_eq!(dump.fibers[*index].state, FiberState::Waiting(WaitKind::Mutex));
                assert_eq!(dump.fibers[*index].held_by, Some(cycle[(place + 1) % fibers]));
            }
            let text = dump.to_string();
            assert!(text.contains("deadlock: each") && text.contains("tests/sync.rs"), "{text}");
        }
    });
}

#[test]
fn a_fiber_that_waits_for_a_busy_one_is_no_deadlock() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (mutex, locked, end) = (Mutex::new(()), Event::new(), Event::new());
        thread::scope(|s| {
            s.spawn(|| {
                runtime.run(|| {
                    let _held = mutex.lock();
                    locked.set();
                    end.wait();
                });
            });
            locked.wait();
            s.spawn(|| runtime.run(|| drop(mutex.lock())));
            let waits = await_waiting(&runtime, WaitKind::Mutex);
            let dump = loop {
                let dump = runtime.dump();
                if dump.fibers.iter().any(|fiber| fiber.held_by.is_some()) {
                    break dump;
                }
            };
            let held_by = dump.fibers.iter().find_map(|fiber| fiber.held_by).unwrap();
            assert_eq!(dump.fibers[held_by].state, FiberState::Waiting(WaitKind::Event));
            assert_eq!((waits.worker, dump.deadlocks().len()), (0, 0), "{dump}");
            end.set();
        });
        assert!(runtime.dump().fibers.iter().all(|fiber| fiber.held_by.is_none()));
    });
}

#[test]
fn who_has_unlocked_a_mutex_holds_it_no_more() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (mutex, unlocked, wait) = (Mutex::new(()), Event::new(), Event::new());
        thread::scope(|s| {
            s.spawn(|| {
                runtime.run(|| {
                    drop(mutex.lock());
                    unlocked.set();
                    wait.wait();
                    drop(mutex.lock());
                });
            });
            unlocked.wait();
            let held = block_on(mutex.lock_async()); // a task, of which a dump knows nothing
            wait.set();
            await_waiting(&runtime, WaitKind::Mutex);
            for _ in 0..100 {
                let dump = runtime.dump();
                assert!(dump.fibers.iter().all(|fiber| fiber.held_by.is_none()), "{dump}");
            }
            drop(held);
        });
    });
}
