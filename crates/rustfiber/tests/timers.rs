//! Sleeps and timeouts of fibers: in time, in order, without a thread of their own, and beside
//! wakers.

mod support;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rustfiber::sync::{
    AutoResetEvent, Barrier, Condvar, ManualResetEvent, Mutex, RwLock, Semaphore, TimeoutError,
    WaitGroup, channel, oneshot,
};
use rustfiber::{
    Counter, Dump, Event, FiberState, Runtime, ShutdownError, WaitKind, join, scope, sleep,
    sleep_until, without_suspending, yield_now,
};

use support::{must_end, runtime_with};

/// Long enough that nothing but a hang lasts as long.
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(3);

/// Runs `body` on runtimes of one worker and of two. With one worker, what blocks its thread for
/// what another of its fibers does would hang.
fn on_workers(body: impl Fn() + Send + Sync + Copy + 'static) {
    must_end(move || {
        for workers in [1, 2] {
            runtime_with(workers).run(body);
        }
    });
}

#[test]
fn a_sleep_lasts_at_least_as_long_as_asked() {
    on_workers(|| {
        let start = Instant::now();
        sleep(SHORT);
        assert!(start.elapsed() >= SHORT);
        sleep_until(start + 3 * SHORT);
        assert!(start.elapsed() >= 3 * SHORT);
        let before = Instant::now();
        sleep_until(start);
        sleep(Duration::ZERO);
        assert!(before.elapsed() < LONG);
    });
    let start = Instant::now();
    sleep(SHORT); // a plain thread
    assert!(start.elapsed() >= SHORT);
}

/// Runs `trial` with a first deadline, until it says that all was prepared before that came: where
/// the machine is busy, it may not be.
fn prepared_in_time(mut trial: impl FnMut(Instant) -> bool) {
    let mut time = 10 * SHORT;
    while !trial(Instant::now() + time) {
        time *= 2;
    }
}

#[test]
fn sleepers_wake_in_order_of_their_deadlines() {
    const SLEEPERS: usize = 200;
    must_end(|| {
        let runtime = runtime_with(1);
        prepared_in_time(|first| {
            let (woken, asleep) = (StdMutex::new(Vec::new()), Counter::new(SLEEPERS));
            let in_time = runtime.run(|| {
                scope(|s| {
                    for index in 0..SLEEPERS {
                        let (woken, asleep) = (&woken, &asleep);
                        // Each once, in no order.
                        let turn = index * 77 % SLEEPERS;
                        s.spawn(move || {
                            asleep.done(); // and nobody runs before this fiber sleeps
                            sleep_until(first + Duration::from_micros(50 * turn as u64));
                            woken.lock().unwrap().push(turn);
                        });
                    }
                    asleep.wait();
                    Instant::now() < first
                })
            });
            let woken = woken.into_inner().unwrap();
            assert!(!in_time || woken.is_sorted(), "{woken:?}");
            assert_eq!(woken.len(), SLEEPERS);
            in_time
        });
        let peak = runtime.stats().total().fibers_peak;
        assert!(peak >= SLEEPERS as u64, "each slept on a fiber of its own: {peak}");
    });
}

#[test]
fn sleepers_do_not_keep_the_worker_from_others() {
    must_end(|| {
        let runtime = runtime_with(1);
        runtime.run(|| {
            let ran = AtomicBool::new(false);
            scope(|s| {
                s.spawn(|| ran.store(true, Ordering::Relaxed));
                sleep(SHORT);
                assert!(ran.load(Ordering::Relaxed), "the worker slept too");
            });
        });
    });
}

#[test]
fn every_primitive_gives_up_in_time_and_stays_whole() {
    on_workers(|| {
        let (permits, mutex, lock) = (Semaphore::new(0), Mutex::new(()), RwLock::new(()));
        let (changed, barrier, group) = (Condvar::new(), Barrier::new(2), WaitGroup::new(1));
        let (auto, manual) = (AutoResetEvent::new(false), ManualResetEvent::new(false));
        let (full, receiver) = channel::bounded::<u8>(1);
        let (_never, empty) = channel::unbounded::<u8>();
        let (once, mut once_receiver) = oneshot::channel::<u8>();
        full.send(1).unwrap();
        let held = (mutex.lock(), lock.write());
        for limit in [Duration::ZERO, SHORT] {
            let start = Instant::now();
            assert_eq!(permits.acquire_timeout(limit).unwrap_err(), TimeoutError::TimedOut);
            assert_eq!(permits.acquire_many_timeout(2, limit).unwrap_err(), TimeoutError::TimedOut);
            assert!(mutex.lock_timeout(limit).is_none());
            assert!(lock.read_timeout(limit).is_none());
            assert!(lock.write_timeout(limit).is_none());
            assert!(barrier.wait_timeout(limit).is_none());
            assert!(!group.wait_timeout(limit));
            assert!(!auto.wait_timeout(limit));
            assert!(!manual.wait_timeout(limit));
            assert!(full.send_timeout(2, limit).is_err());
            assert_eq!(empty.recv_timeout(limit), Err(TimeoutError::TimedOut));
            assert_eq!(once_receiver.recv_timeout(limit), Err(TimeoutError::TimedOut));
            let own = Mutex::new(());
            assert!(changed.wait_timeout(own.lock(), limit).1.timed_out());
            assert!(start.elapsed() >= 13 * limit);
        }
        drop(held);
        permits.add_permits(2);
        group.done();
        auto.set();
        manual.set();
        once.send(3).unwrap();
        assert_eq!(permits.acquire_many_timeout(2, LONG).map(|permit| permit.count()), Ok(2));
        assert!(mutex.lock_timeout(LONG).is_some());
        assert!(lock.write_timeout(LONG).is_some());
        assert!(group.wait_timeout(LONG) && auto.wait_timeout(LONG) && manual.wait_timeout(LONG));
        assert_eq!((receiver.recv_timeout(LONG), full.send_timeout(2, LONG)), (Ok(1), Ok(())));
        assert_eq!(once_receiver.recv_timeout(LONG), Ok(3));
        let (first, second) = join(|| barrier.wait_timeout(LONG), || barrier.wait_timeout(LONG));
        assert!(first.unwrap().is_leader() != second.unwrap().is_leader());
    });
}

#[test]
fn a_timeout_of_nothing_suspends_nobody() {
    must_end(|| {
        let (runtime, permits) = (runtime_with(1), Semaphore::new(0));
        runtime.run(|| {
            let before = runtime.stats().total().suspensions;
            permits.acquire_timeout(Duration::ZERO).unwrap_err();
            sleep(Duration::ZERO);
            assert_eq!(runtime.stats().total().suspensions, before);
        });
    });
}

#[test]
fn a_grant_comes_before_a_far_timeout() {
    on_workers(|| {
        let (permits, waiting) = (Semaphore::new(0), Counter::new(5));
        scope(|s| {
            for _ in 0..5 {
                s.spawn(|| {
                    waiting.done();
                    permits.acquire_timeout(LONG).unwrap().forget();
                });
            }
            waiting.wait();
            permits.add_permits(5);
        });
        assert_eq!(permits.available_permits(), 0);
    });
}

/// Many timers are taken out of the middle of the heap, and the others are still due in order.
#[test]
fn what_was_granted_leaves_no_timer_behind() {
    const WAITERS: usize = 100;
    must_end(|| {
        let runtime = runtime_with(1);
        prepared_in_time(|first| {
            let (late, waiting) = (StdMutex::new(Vec::new()), Counter::new(WAITERS));
            let gates = [const { AutoResetEvent::new(false) }; WAITERS];
            let in_time = runtime.run(|| {
                scope(|s| {
                    for (index, gate) in gates.iter().enumerate() {
                        let (late, waiting) = (&late, &waiting);
                        let turn = index * 37 % WAITERS;
                        s.spawn(move || {
                            waiting.done(); // and nobody runs before this fiber waits
                            let deadline = first + Duration::from_micros(50 * turn as u64);
                            if !gate.wait_deadline(deadline) {
                                assert!(Instant::now() >= deadline);
                                late.lock().unwrap().push(turn);
                            }
                        });
                    }
                    waiting.wait();
                    gates.iter().step_by(2).for_each(AutoResetEvent::set);
                    Instant::now() < first
                })
            });
            let late = late.into_inner().unwrap();
            assert!(!in_time || late.is_sorted() && late.len() == WAITERS / 2, "{late:?}");
            in_time
        });
    });
}

/// The grant comes when the time is up: it is taken by the waiter, or by nobody; never lost, and
/// never twice.
#[test]
fn a_grant_in_the_instant_of_the_timeout_is_not_lost() {
    const ROUNDS: usize = 3_000;
    must_end(|| {
        let runtime = runtime_with(2);
        let (permits, turn) = (Semaphore::new(0), AtomicUsize::new(0));
        let (in_time, too_late) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|s| {
            s.spawn(|| {
                for round in 1..=ROUNDS {
                    while turn.load(Ordering::Acquire) != round {
                        thread::yield_now();
                    }
                    // About as long as the waiter waits.
                    let until = Instant::now() + Duration::from_micros(round as u64 % 60);
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    permits.add_permits(1);
                }
            });
            runtime.run(|| {
                for round in 1..=ROUNDS {
                    turn.store(round, Ordering::Release);
                    match permits.acquire_timeout(Duration::from_micros(30)) {
                        Ok(permit) => {
                            permit.forget();
                            in_time.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) => {
                            too_late.fetch_add(1, Ordering::Relaxed);
                            permits.acquire().unwrap().forget();
                        }
                    }
                }
            });
        });
        assert_eq!(in_time.into_inner() + too_late.into_inner(), ROUNDS);
        assert_eq!((permits.available_permits(), permits.waiter_count()), (0, 0));
    });
}

/// The clock says that the time is up, and a waker has been faster: deterministically, as the
/// worker is kept from its clock until both have happened.
#[test]
fn a_wake_before_the_timer_is_polled_wins() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (permits, waits) = (Semaphore::new(0), Event::new());
        let (permits, waits) = (&permits, &waits);
        runtime.run(|| {
            scope(|s| {
                s.spawn(move || {
                    waits.set();
                    permits.acquire_timeout(SHORT).expect("the grant came first").forget();
                });
                waits.wait();
                while permits.waiter_count() == 0 {
                    yield_now();
                }
                let until = Instant::now() + 2 * SHORT;
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                permits.add_permits(1);
                // Scheduling points, at which the worker looks at its clock.
                (0..100).for_each(|_| _ = join(|| (), || ()));
            });
        });
        assert_eq!(permits.available_permits(), 0);
    });
}

#[test]
fn whoever_is_behind_one_that_gives_up_goes_on() {
    on_workers(|| {
        let (permits, many) = (Semaphore::new(1), Event::new());
        scope(|s| {
            s.spawn(|| {
                many.set();
                permits.acquire_many_timeout(2, SHORT).unwrap_err();
            });
            many.wait();
            while permits.waiter_count() == 0 {
                yield_now();
            }
            permits.acquire().unwrap().forget(); // behind the large one
        });
        assert_eq!(permits.available_permits(), 0);
    });
}

/// A job that forks and joins for long lets those go on whose time has come.
#[test]
fn a_long_job_that_joins_gives_way_to_a_sleeper() {
    fn fib(n: u32) -> u32 {
        if n < 2 {
            return n;
        }
        let (a, b) = join(|| fib(n - 1), || fib(n - 2));
        a + b
    }
    must_end(|| {
        let woke = AtomicBool::new(false);
        runtime_with(1).run(|| {
            scope(|s| {
                s.spawn(|| {
                    while !woke.load(Ordering::Relaxed) {
                        assert_eq!(fib(10), 55);
                    }
                });
                // The newer job, and so the first.
                s.spawn(|| {
                    sleep(SHORT);
                    woke.store(true, Ordering::Relaxed);
                });
            });
        });
    });
}

#[test]
fn a_job_that_yields_lets_a_sleeper_wake() {
    must_end(|| {
        let woke = AtomicBool::new(false);
        runtime_with(1).run(|| {
            scope(|s| {
                s.spawn(|| {
                    let start = Instant::now();
                    sleep(SHORT);
                    assert!(start.elapsed() >= SHORT);
                    woke.store(true, Ordering::Relaxed);
                });
                while !woke.load(Ordering::Relaxed) {
                    yield_now();
                }
            });
        });
    });
}

#[test]
fn a_dump_tells_until_when_a_fiber_waits() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (permits, deadline) = (Semaphore::new(0), Instant::now() + LONG);
        thread::scope(|s| {
            s.spawn(|| {
                let wait = || permits.acquire_deadline(deadline).unwrap().forget();
                runtime.run(wait);
            });
            let waiting = FiberState::Waiting(WaitKind::Semaphore);
            let fiber = loop {
                let fibers = runtime.dump().fibers;
                if let Some(fiber) = fibers.into_iter().find(|fiber| fiber.state == waiting)
                    && fiber.deadline.is_some()
                {
                    break fiber;
                }
                thread::yield_now();
            };
            assert!(fiber.deadline.unwrap().duration_since(deadline) < SHORT);
            assert!(deadline.duration_since(fiber.deadline.unwrap()) < SHORT);
            let text = fiber.to_string();
            assert!(text.contains("a semaphore at") && text.contains("for 3"), "{text}");
            permits.add_permits(1);
        });
        let idle = runtime.dump().fibers;
        assert!(idle.iter().all(|fiber| fiber.deadline.is_none()), "{idle:?}");
    });
}

#[test]
fn a_shutdown_waits_for_sleepers_or_tells_of_them() {
    must_end(|| {
        let (slept, runtime) = (Arc::new(AtomicBool::new(false)), runtime_with(2));
        let has_slept = Arc::clone(&slept);
        drop(runtime.spawn(move || {
            sleep(SHORT);
            has_slept.store(true, Ordering::Relaxed);
        }));
        drop(runtime); // waits for all jobs
        assert!(slept.load(Ordering::Relaxed));

        let (runtime, event) = (runtime_with(1), Arc::new(AutoResetEvent::new(false)));
        let waits = Arc::clone(&event);
        drop(runtime.spawn(move || assert!(waits.wait_timeout(LONG))));
        let is_waiting = |dump: Dump| dump.fibers.iter().any(|fiber| fiber.deadline.is_some());
        while !is_waiting(runtime.dump()) {
            thread::yield_now();
        }
        let ShutdownError::TimedOut { dump, .. } = runtime.shutdown(10 * SHORT).unwrap_err() else {
            panic!("it is no job");
        };
        assert!(dump.to_string().contains("an event") && is_waiting(dump.clone()), "{dump}");
        event.set(); // lets its threads end
    });
}

#[test]
fn sleeping_where_nothing_may_suspend_parks_the_thread() {
    struct Sleeps;
    impl Drop for Sleeps {
        fn drop(&mut self) {
            sleep(SHORT);
        }
    }
    must_end(|| {
        let runtime = runtime_with(1);
        let start = Instant::now();
        runtime.run(|| {
            let before = runtime.stats().total().suspensions;
            without_suspending(|| sleep(SHORT));
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _sleeps = Sleeps;
                panic!("with a sleep on the way");
            }));
            caught.unwrap_err();
            assert_eq!(runtime.stats().total().suspensions, before);
        });
        assert!(start.elapsed() >= 2 * SHORT);
    });
}

#[test]
fn a_sleep_without_a_fiber_parks_the_thread() {
    must_end(|| {
        let runtime = Runtime::builder().workers(1).max_fibers(1).build().unwrap();
        let start = Instant::now();
        runtime.run(|| {
            let slept = Event::new();
            scope(|s| {
                s.spawn(|| {
                    sleep(SHORT); // on the native stack, as the only fiber waits
                    slept.set();
                });
                slept.wait();
            });
        });
        assert!(start.elapsed() >= SHORT);
    });
}

/// A waker of a task that waits for something itself.
struct WakerThatWaits {
    is_called: Event,
    goes_on: Event,
}

impl Wake for WakerThatWaits {
    fn wake(self: Arc<Self>) {
        self.is_called.set();
        self.goes_on.wait();
    }
}

impl WakerThatWaits {
    fn new() -> Arc<Self> {
        Arc::new(WakerThatWaits { is_called: Event::new(), goes_on: Event::new() })
    }
}

/// A fiber's wait lets a task go whose waker waits, while the fiber itself is notified: its thread
/// waits, as a fiber that is in a queue must not be put into another.
#[test]
fn a_waker_that_waits_does_not_suspend_a_fiber_that_is_registered() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (mutex, changed) = (Mutex::new(()), Condvar::new());
        let (waker, locked, go) = (WakerThatWaits::new(), Event::new(), Event::new());
        thread::scope(|s| {
            s.spawn(|| {
                runtime.run(|| {
                    let guard = mutex.lock();
                    locked.set();
                    go.wait();
                    drop(changed.wait(guard)); // grants the task its lock
                });
            });
            locked.wait();
            let mut task = pin!(mutex.lock_async());
            let task_waker = Waker::from(Arc::clone(&waker));
            let mut context = Context::from_waker(&task_waker);
            assert!(task.as_mut().poll(&mut context).is_pending());
            while runtime.stats().total().suspensions == 0 {
                thread::yield_now(); // until the fiber waits to go
            }
            go.set();
            waker.is_called.wait(); // on the fiber's thread
            let Poll::Ready(guard) = task.as_mut().poll(&mut context) else {
                panic!("it was granted the lock");
            };
            assert!(changed.notify_one(), "the fiber is registered");
            drop(guard);
            waker.goes_on.set();
        });
        assert_eq!(runtime.stats().total().suspensions, 2, "to go, and for the condition");
    });
}
