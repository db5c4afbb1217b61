//! Joins, spawns, waits and wakes allocate nothing once the runtime is warm. Alone in its process,
//! since the allocator counts for all threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use rustfiber::sync::{AutoResetEvent, Barrier, Condvar, Mutex, Semaphore};
use rustfiber::{
    Counter, JoinHandle, Runtime, block_on, blocking, join, scope, sleep, spawn, spawn_future,
    yield_now,
};
use test_support::{Counting, allocation_count_of_all_threads};

#[global_allocator]
static COUNTING: Counting = Counting;

/// The least that one of `tries` runs allocates. With more than one worker, something that is made
/// once (a thief's first steal registers its thread with the queues) may fall into any run.
fn least_allocations(tries: usize, mut f: impl FnMut()) -> usize {
    let runs = (0..tries).map(|_| allocations_during(&mut f));
    runs.min().expect("there is a try")
}

fn allocations_during(f: impl FnOnce()) -> usize {
    let before = allocation_count_of_all_threads();
    f();
    allocation_count_of_all_threads() - before
}

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = join(|| fib(n - 1), || fib(n - 2));
    a + b
}

/// As [`fib`], with three closures or four at a time.
fn many(n: u64) -> u64 {
    if n == 0 {
        return 1;
    }
    let (a, b, c) = rustfiber::join_all((|| many(n - 1), || many(n - 1), || many(n - 1)));
    a + b + c + rustfiber::join_all([|| many(n - 1); 4]).into_iter().sum::<u64>()
}

/// Two fibers that hand a turn to each other, `rounds` times, by counters that exist already.
fn ping_pong(turns: &[(Counter, Counter)]) {
    join(
        || {
            for (ping, pong) in turns {
                ping.done();
                pong.wait();
            }
        },
        || {
            for (ping, pong) in turns {
                ping.wait();
                pong.done();
            }
        },
    );
}

fn turns(rounds: usize) -> Vec<(Counter, Counter)> {
    (0..rounds).map(|_| (Counter::new(1), Counter::new(1))).collect()
}

/// Jobs with closures of 64 bytes: of every two handles one is dropped, and one is joined.
fn spawn_join_and_detach(rounds: u64) {
    for round in 0..rounds {
        let numbers = [round; 8];
        let job = move || numbers.iter().sum::<u64>();
        assert_eq!(size_of_val(&job), 64);
        let handles: [JoinHandle<u64>; 20] = std::array::from_fn(|_| {
            let handle = spawn(job);
            drop(spawn(job)); // runs first, as the newer one
            handle
        });
        assert!(handles.into_iter().all(|handle| handle.join().unwrap() == 8 * round));
    }
}

fn scope_jobs(rounds: u64) {
    let ran = AtomicU64::new(0);
    for _ in 0..rounds {
        scope(|s| (0..20).for_each(|_| s.spawn(|| _ = ran.fetch_add(1, Ordering::Relaxed))));
    }
    assert_eq!(ran.into_inner(), 20 * rounds);
}

/// Has so many fibers wait at the same time.
fn wait_at_once(fibers: usize) {
    let everybody = Counter::new(fibers);
    let wait = || {
        everybody.done();
        everybody.wait();
    };
    scope(|s| (0..fibers).for_each(|_| s.spawn(wait)));
}

/// A wait on each primitive that is not granted at once, and one that gives up.
fn wait_on_primitives(rounds: usize) {
    let (ping, pong) = (AutoResetEvent::new(false), AutoResetEvent::new(false));
    let (mutex, changed, permits) = (Mutex::new(0), Condvar::new(), Semaphore::new(0));
    let meet = Barrier::new(2);
    let wait = |mine: usize| {
        for round in 0..rounds {
            let awaited = 2 * round + mine;
            let mut turn = changed.wait_while(mutex.lock(), |turn| *turn != awaited);
            *turn += 1;
            changed.notify_one();
            drop(turn);
            if mine == 0 {
                permits.add_permits(1);
                ping.set();
                pong.wait();
            } else {
                permits.acquire().unwrap().forget();
                ping.wait();
                pong.set();
            }
            meet.wait();
        }
    };
    join(|| wait(0), || wait(1));
}

/// Sleeps, and timeouts that come and that do not.
fn wait_for_time(rounds: usize) {
    let (permits, never) = (Semaphore::new(0), AutoResetEvent::new(false));
    let moment = Duration::from_micros(1);
    join(
        || {
            for _ in 0..rounds {
                sleep(moment);
                assert!(!never.wait_timeout(moment));
                permits.add_permits(1);
            }
        },
        || {
            for _ in 0..rounds {
                permits.acquire_timeout(Duration::from_secs(3600)).unwrap().forget();
            }
        },
    );
}

/// Jobs awaited by a fiber as a task, and futures that the workers poll, which wake each other.
fn futures_and_handles(rounds: usize) {
    let woken = |mut polls: usize| {
        std::future::poll_fn(move |context| {
            polls -= 1;
            let waker = context.waker().clone();
            waker.wake();
            if polls == 0 { Poll::Ready(1) } else { Poll::Pending }
        })
    };
    for _ in 0..rounds {
        let future = spawn_future(woken(3));
        let sum = block_on(async { spawn(|| 1).await.unwrap() + future.await.unwrap() });
        assert_eq!(sum, 2);
    }
}

/// Calls on helper threads, the first of which stays.
fn blocking_calls(rounds: usize) {
    for round in 0..rounds {
        assert_eq!(blocking(|| round), round);
    }
}

#[test]
fn joins_spawns_and_waits_allocate_nothing_in_the_steady_state() {
    for workers in [1, 2] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        runtime.run(|| {
            // Warm: queues have grown, stacks are cached, records are made.
            wait_at_once(8); // more fibers than what follows needs, whatever the picks' order
            for _ in 0..5 {
                assert_eq!(fib(18), 2584);
                ping_pong(&turns(200));
                spawn_join_and_detach(100);
                scope_jobs(100);
                wait_on_primitives(100);
                wait_for_time(100);
                futures_and_handles(100);
                blocking_calls(20);
            }
            let tries = if workers == 1 { 1 } else { 10 };
            assert_eq!(least_allocations(tries, || assert_eq!(fib(18), 2584)), 0, "joins");
            // Under AddressSanitizer each job has memory of its own.
            if !cfg!(feature = "sanitizer") {
                assert_eq!(least_allocations(tries, || spawn_join_and_detach(100)), 0, "spawns");
                assert_eq!(least_allocations(tries, || scope_jobs(100)), 0, "jobs of scopes");
                assert_eq!(least_allocations(tries, || futures_and_handles(100)), 0, "futures");
            }
            let sets: Vec<_> = (0..tries).map(|_| turns(1000)).collect();
            let waits = sets.iter().map(|turns| allocations_during(|| ping_pong(turns)));
            assert_eq!(waits.min(), Some(0), "waits and wakes");
            assert_eq!(least_allocations(tries, || wait_on_primitives(300)), 0, "primitives");
            assert_eq!(least_allocations(tries, || wait_for_time(300)), 0, "sleeps and timeouts");
            // A call that comes before the last one's thread is idle again may make one more.
            assert_eq!(least_allocations(10, || blocking_calls(1)), 0, "calls elsewhere");
            let yields = || (0..1000).for_each(|_| yield_now());
            assert_eq!(least_allocations(tries, yields), 0, "yields");
            assert_eq!(least_allocations(tries, || assert_eq!(many(4), 7_u64.pow(4))), 0, "many");
            let mut numbers = vec![0_u64; 100_000];
            let sort = || {
                (0..100_000).for_each(|n| numbers[n as usize] = n * 7919 % 100_000);
                rustfiber::par_sort_unstable(&mut numbers);
            };
            assert_eq!(least_allocations(tries, sort), 0, "unstable sorts");
        });
        assert!(runtime.stats().total().suspensions >= 1000, "the fibers did wait");
    }
    // The allocator does count: a job from outside any worker finds no block ready.
    assert!(allocations_during(|| scope(|s| s.spawn(|| ()))) > 0);
}
