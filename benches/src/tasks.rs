//! Programs of many small jobs, and of fibers that wait: against rayon where it can, and tokio.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};

use rustfiber::Counter;
use tokio::task::JoinSet;

use crate::paired::System;
use crate::peers::Pools;

/// Empty jobs, spawned from inside into a scope that waits for them.
pub(crate) fn scope(pools: &Pools, count: u64) -> Vec<System<'_>> {
    vec![
        System::new("rustfiber", count, move || {
            let ran = AtomicU64::new(0);
            pools.rustfiber.run(|| {
                rustfiber::scope(|s| {
                    for _ in 0..count {
                        s.spawn(|| _ = ran.fetch_add(1, Ordering::Relaxed));
                    }
                });
            });
            ran.into_inner()
        }),
        System::new("rayon", count, move || {
            let ran = AtomicU64::new(0);
            pools.rayon.scope(|s| {
                for _ in 0..count {
                    s.spawn(|_| _ = ran.fetch_add(1, Ordering::Relaxed));
                }
            });
            ran.into_inner()
        }),
        System::new("tokio", count, move || {
            let spawn_all = async move {
                let ran = Arc::new(AtomicU64::new(0));
                let mut tasks = JoinSet::new();
                for _ in 0..count {
                    let ran = Arc::clone(&ran);
                    tasks.spawn(async move { ran.fetch_add(1, Ordering::Relaxed) });
                }
                while tasks.join_next().await.is_some() {}
                ran.load(Ordering::Relaxed)
            };
            let inside = pools.tokio.spawn(spawn_all);
            pools.tokio.block_on(inside).expect("no task panics")
        }),
    ]
}

/// Tells a plain thread when so many jobs have ended; the same for all systems.
struct Countdown {
    left: AtomicUsize,
    waiter: Thread,
}

impl Countdown {
    fn new(count: usize) -> Arc<Self> {
        Arc::new(Countdown { left: AtomicUsize::new(count), waiter: thread::current() })
    }

    fn count_down(&self) {
        // ORDERING: AcqRel, with the Acquire in `wait`: passes on what all the jobs did.
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waiter.unpark();
        }
    }

    fn wait(&self) -> usize {
        // PROGRESS: the last one unparks after its decrement.
        while self.left.load(Ordering::Acquire) != 0 {
            thread::park();
        }
        0
    }
}

/// Empty jobs, spawned by a thread that is no worker.
pub(crate) fn foreign(pools: &Pools, count: usize) -> Vec<System<'_>> {
    vec![
        System::new("rustfiber", 0, move || {
            let all = Countdown::new(count);
            for _ in 0..count {
                let all = Arc::clone(&all);
                pools.rustfiber.spawn(move || all.count_down());
            }
            all.wait()
        }),
        System::new("rayon", 0, move || {
            let all = Countdown::new(count);
            for _ in 0..count {
                let all = Arc::clone(&all);
                pools.rayon.spawn(move || all.count_down());
            }
            all.wait()
        }),
        System::new("tokio", 0, move || {
            let all = Countdown::new(count);
            for _ in 0..count {
                let all = Arc::clone(&all);
                pools.tokio.spawn(async move { all.count_down() });
            }
            all.wait()
        }),
    ]
}

/// Fibers that go through phases together: each waits until all have ended the phase.
pub(crate) fn phases(pools: &Pools, fibers: usize, phases: usize) -> Vec<System<'_>> {
    let steps = (fibers * phases) as u64;
    vec![
        System::new("rustfiber", steps, move || {
            let gates: Vec<Counter> = (0..phases).map(|_| Counter::new(fibers)).collect();
            let done = AtomicU64::new(0);
            pools.rustfiber.run(|| {
                rustfiber::scope(|s| {
                    for _ in 0..fibers {
                        s.spawn(|| {
                            for gate in &gates {
                                done.fetch_add(1, Ordering::Relaxed);
                                gate.done();
                                gate.wait();
                            }
                        });
                    }
                });
            });
            done.into_inner()
        }),
        System::new("tokio", steps, move || {
            let all = async move {
                let barrier = Arc::new(tokio::sync::Barrier::new(fibers));
                let done = Arc::new(AtomicU64::new(0));
                let mut tasks = JoinSet::new();
                for _ in 0..fibers {
                    let (barrier, done) = (Arc::clone(&barrier), Arc::clone(&done));
                    tasks.spawn(async move {
                        for _ in 0..phases {
                            done.fetch_add(1, Ordering::Relaxed);
                            barrier.wait().await;
                        }
                    });
                }
                while tasks.join_next().await.is_some() {}
                done.load(Ordering::Relaxed)
            };
            let inside = pools.tokio.spawn(all);
            pools.tokio.block_on(inside).expect("no task panics")
        }),
    ]
}

/// Ten fibers that yield to each other.
pub(crate) fn yields(pools: &Pools, each: u64) -> Vec<System<'_>> {
    const FIBERS: u64 = 10;
    vec![
        System::new("rustfiber", FIBERS * each, move || {
            let done = AtomicU64::new(0);
            pools.rustfiber.run(|| {
                rustfiber::scope(|s| {
                    for _ in 0..FIBERS {
                        s.spawn(|| {
                            (0..each).for_each(|_| rustfiber::yield_now());
                            done.fetch_add(each, Ordering::Relaxed);
                        });
                    }
                });
            });
            done.into_inner()
        }),
        System::new("tokio", FIBERS * each, move || {
            let all = async move {
                let mut tasks = JoinSet::new();
                for _ in 0..FIBERS {
                    tasks.spawn(async move {
                        for _ in 0..each {
                            tokio::task::yield_now().await;
                        }
                        each
                    });
                }
                tasks.join_all().await.into_iter().sum::<u64>()
            };
            let inside = pools.tokio.spawn(all);
            pools.tokio.block_on(inside).expect("no task panics")
        }),
    ]
}
