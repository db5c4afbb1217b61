//! Programs of many small jobs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};

use tokio::task::JoinSet;

use super::Workload;
use crate::fork_join::skynet_by_formula;
use crate::paired::System;
use crate::peers::Pools;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "spawning/scope",
        about: "a million empty jobs, spawned from inside into a scope",
        bound: "a write and a read of one queue slot a job",
        make: |context, with| with(&scope(&context.pools, context.pick(300_000, 1_000_000))),
    },
    Workload {
        name: "spawning/foreign",
        about: "200 000 empty jobs, spawned by a thread that is no worker",
        bound: "the same through a queue that all share",
        make: |context, with| with(&foreign(&context.pools, context.pick(60_000, 200_000))),
    },
    Workload {
        name: "spawning/skynet",
        about: "a tree with ten children a node and a million leaves, a spawned job a node",
        bound: "1.1 million jobs, as in spawning/scope",
        make: |context, with| {
            let leaves = context.pick(100_000, 1_000_000);
            // Not may: its coroutines start breadth first, and run out of stacks.
            with(&skynet(&context.pools, leaves));
        },
    },
];

fn scope(pools: &Pools, count: u64) -> Vec<System<'_>> {
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
            pools.tokio_run(async move {
                let ran = Arc::new(AtomicU64::new(0));
                let mut tasks = JoinSet::new();
                for _ in 0..count {
                    let ran = Arc::clone(&ran);
                    tasks.spawn(async move { ran.fetch_add(1, Ordering::Relaxed) });
                }
                while tasks.join_next().await.is_some() {}
                ran.load(Ordering::Relaxed)
            })
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

fn foreign(pools: &Pools, count: usize) -> Vec<System<'_>> {
    let submit = move |to: &dyn Fn(Arc<Countdown>)| {
        let all = Countdown::new(count);
        (0..count).for_each(|_| to(Arc::clone(&all)));
        all.wait()
    };
    vec![
        System::new("rustfiber", 0, move || {
            submit(&|all| drop(pools.rustfiber.spawn(move || all.count_down())))
        }),
        System::new("rayon", 0, move || submit(&|all| pools.rayon.spawn(move || all.count_down()))),
        System::new("tokio", 0, move || {
            submit(&|all| drop(pools.tokio.spawn(async move { all.count_down() })))
        }),
        System::new("channel", 0, move || {
            type Job = Box<dyn FnOnce() + Send>;
            let (sender, receiver) = crossbeam_channel::unbounded::<Job>();
            thread::scope(|s| {
                for _ in 0..pools.workers {
                    s.spawn(|| receiver.iter().for_each(|job| job()));
                }
                let left = submit(&|all| {
                    sender.send(Box::new(move || all.count_down())).expect("the pool is there");
                });
                drop(sender);
                left
            })
        }),
    ]
}

/// Children of a node, and of a number's parts.
const CHILDREN: u64 = 10;

fn skynet(pools: &Pools, leaves: u64) -> Vec<System<'_>> {
    let expected = skynet_by_formula(leaves);
    vec![
        System::new("rustfiber", expected, move || {
            fn node(first: u64, leaves: u64) -> u64 {
                if leaves == 1 {
                    return first;
                }
                let part = leaves / CHILDREN;
                let mut sums = [0; CHILDREN as usize];
                rustfiber::scope(|s| {
                    for (sum, child) in sums.iter_mut().zip(0..) {
                        s.spawn(move || *sum = node(first + child * part, part));
                    }
                });
                sums.iter().sum()
            }
            pools.rustfiber.run(|| node(0, leaves))
        }),
        System::new("rayon", expected, move || {
            fn node(first: u64, leaves: u64) -> u64 {
                if leaves == 1 {
                    return first;
                }
                let part = leaves / CHILDREN;
                let mut sums = [0; CHILDREN as usize];
                rayon::scope(|s| {
                    for (sum, child) in sums.iter_mut().zip(0..) {
                        s.spawn(move |_| *sum = node(first + child * part, part));
                    }
                });
                sums.iter().sum()
            }
            pools.rayon.install(|| node(0, leaves))
        }),
        System::new("tokio", expected, move || {
            fn node(first: u64, leaves: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
                Box::pin(async move {
                    if leaves == 1 {
                        return first;
                    }
                    let part = leaves / CHILDREN;
                    let child = |child| tokio::spawn(node(first + child * part, part));
                    let children: Vec<_> = (0..CHILDREN).map(child).collect();
                    let mut sum = 0;
                    for child in children {
                        sum += child.await.expect("no task panics");
                    }
                    sum
                })
            }
            pools.tokio_run(node(0, leaves))
        }),
    ]
}
