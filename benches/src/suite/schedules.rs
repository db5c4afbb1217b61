//! Schedules that go wrong easily: one worker comes late, or one has all the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustfiber::{Counter, scope};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::Workload;
use crate::fork_join::mix;
use crate::paired::{Run, System};
use crate::peers::Pools;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "schedules/late-thief",
        about: "worker 2 is busy for 5 ms while worker 1 enters a join of two halves of some 50 ms \
                without a scheduling point",
        bound: "ideal: 5 ms and one half; a thief must find the half without its owner's help",
        make: |context, with| with(&late_thief(&context.pools)),
    },
    Workload {
        name: "schedules/pile-up",
        about: "10 000 fibers that all started and wait on one worker; from their wake until each \
                has worked 100 µs",
        bound: "half of sequential for whoever moves them; sequential for fibers that stay at home",
        make: |context, with| {
            with(&pile_up(&context.pools, context.pick(1_000, 10_000)));
        },
    },
];

/// Some 50 ms of work, the same for everybody.
fn long_half(seed: u64) -> u64 {
    mix(seed, 30_000_000)
}

const BUSY: Duration = Duration::from_millis(5);

/// Is busy, from when it has said so.
fn busy(started: &AtomicUsize) {
    let start = Instant::now();
    started.fetch_add(1, Ordering::Relaxed);
    while start.elapsed() < BUSY {
        std::hint::spin_loop();
    }
}

/// Spins until all other workers are busy: no scheduling point.
fn until(started: &AtomicUsize, count: usize) {
    while started.load(Ordering::Relaxed) < count {
        std::hint::spin_loop();
    }
}

fn late_thief(pools: &Pools) -> Vec<System<'_>> {
    let expected = (long_half(1), long_half(2));
    let others = pools.workers.max(2) - 1;
    // Each run starts when the others are busy.
    let timed = move |join: &dyn Fn() -> (u64, u64)| {
        let start = Instant::now();
        assert_eq!(join(), expected, "a wrong answer");
        Run::took(start.elapsed().as_secs_f64())
    };
    vec![
        System::measured("rustfiber", move || {
            let (started, mut run) = (AtomicUsize::new(0), None);
            pools.rustfiber.run(|| {
                scope(|s| {
                    (0..others).for_each(|_| s.spawn(|| busy(&started)));
                    until(&started, others);
                    run = Some(timed(&|| rustfiber::join(|| long_half(1), || long_half(2))));
                });
            });
            run.expect("the scope has run")
        }),
        System::measured("rayon", move || {
            let (started, mut run) = (AtomicUsize::new(0), None);
            pools.rayon.in_place_scope(|s| {
                let (started, run) = (&started, &mut run);
                s.spawn(move |s| {
                    (0..others).for_each(|_| s.spawn(|_| busy(started)));
                    until(started, others);
                    *run = Some(timed(&|| rayon::join(|| long_half(1), || long_half(2))));
                });
            });
            run.expect("the scope has run")
        }),
        System::measured("ideal", move || {
            timed(&|| {
                busy(&AtomicUsize::new(0));
                thread::scope(|s| {
                    let other = s.spawn(|| long_half(2));
                    (long_half(1), other.join().expect("no thread panics"))
                })
            })
        }),
    ]
}

/// Some 100 µs of work.
fn item(seed: u64) -> u64 {
    mix(seed, 60_000)
}

fn pile_up(pools: &Pools, count: usize) -> Vec<System<'_>> {
    let expected = (0..count as u64).map(item).fold(0, u64::wrapping_add);
    let others = pools.workers - 1;
    let tokio = move || {
        pools.tokio_run(async move {
            let (held, there) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (open, mut tasks) = (Arc::new(Notify::new()), JoinSet::new());
            for _ in 0..others {
                let (held, there) = (Arc::clone(&held), Arc::clone(&there));
                tasks.spawn(async move {
                    held.fetch_add(1, Ordering::Relaxed);
                    until(&there, count);
                    0
                });
            }
            // Pushes the last holder out of the slot from which nobody steals.
            tasks.spawn(async { 0 });
            until(&held, others);
            for seed in 0..count as u64 {
                let (open, there) = (Arc::clone(&open), Arc::clone(&there));
                tasks.spawn(async move {
                    let opened = open.notified();
                    there.fetch_add(1, Ordering::Relaxed);
                    opened.await;
                    item(seed)
                });
            }
            while there.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
            let start = Instant::now();
            open.notify_waiters();
            let sum = tasks.join_all().await.into_iter().fold(0, u64::wrapping_add);
            assert_eq!(sum, expected, "a wrong answer");
            Run::took(start.elapsed().as_secs_f64())
        })
    };
    vec![
        System::measured("rustfiber", move || {
            let (held, release) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let (there, open) = (Counter::new(count), Counter::new(1));
            let (sum, mut start) = (std::sync::atomic::AtomicU64::new(0), None);
            pools.rustfiber.run(|| {
                scope(|s| {
                    for _ in 0..others {
                        s.spawn(|| {
                            held.fetch_add(1, Ordering::Relaxed);
                            until(&release, 1);
                        });
                    }
                    until(&held, others);
                    for seed in 0..count as u64 {
                        let (there, open, sum) = (&there, &open, &sum);
                        s.spawn(move || {
                            there.done();
                            open.wait();
                            sum.fetch_add(item(seed), Ordering::Relaxed);
                        });
                    }
                    there.wait();
                    release.store(1, Ordering::Relaxed);
                    start = Some(Instant::now());
                    open.done();
                });
            });
            assert_eq!(sum.into_inner(), expected, "a wrong answer");
            Run::took(start.expect("the scope has run").elapsed().as_secs_f64())
        }),
        System::measured("tokio", tokio),
        System::new("sequential", expected, move || {
            (0..count as u64).map(item).fold(0, u64::wrapping_add)
        }),
    ]
}
