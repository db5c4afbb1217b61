//! More and more contenders for one lock. Each waits for it, has it for a while or, as a task or
//! fiber, across a scheduling point, and gives it back.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use tokio::task::JoinSet;

use super::sync::Turns;
use super::{Context, With, Workload};
use crate::contention::{self, Waits};
use crate::paired::{Run, System};
use crate::peers::Pools;
use crate::semaphores::{Hybrid, Intrusive, Segmented, TaskSemaphore};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "contention/threads",
        about: "2 to 64 threads that take a mutex for less than a microsecond; the fair ones hand \
                it over, the others let whoever comes first have it",
        bound: "a thread's wake-up for each turn of a fair mutex",
        make: |context, with| {
            let turns = context.pick(400, 4_000);
            sweep(context, with, |_, contenders| threads(contenders, turns));
        },
    },
    Workload {
        name: "contention/tasks",
        about: "2 to 64 tokio tasks that take a permit and yield with it",
        bound: "two polls of a task for each turn",
        make: |context, with| {
            let turns = context.pick(2_000, 20_000);
            sweep(context, with, |pools, contenders| {
                vec![
                    tasks::<Intrusive>(pools, contenders, turns),
                    tasks::<tokio::sync::Semaphore>(pools, contenders, turns),
                    tasks::<async_lock::Semaphore>(pools, contenders, turns),
                    tasks::<Hybrid>(pools, contenders, turns),
                    tasks::<Segmented>(pools, contenders, turns),
                ]
            });
        },
    },
    Workload {
        name: "contention/fibers",
        about: "2 to 64 fibers that take a permit and yield with it; tokio's are tasks",
        bound: "two switches there and back for each turn",
        make: |context, with| {
            let turns = context.pick(2_000, 20_000);
            sweep(context, with, |pools, contenders| {
                let (fair, unfair) = (Intrusive::new(1), fiber_sync::Semaphore::unfair(1));
                let mut systems = vec![
                    fibers("rustfiber", fair, pools, contenders, turns),
                    fibers("rustfiber, unfair", unfair, pools, contenders, turns),
                    tasks::<tokio::sync::Semaphore>(pools, contenders, turns),
                ];
                let program = MAY.iter().find(|(count, _)| *count == contenders);
                let may = program.and_then(|(_, program)| context.may(program));
                systems.extend(may.map(|may| may.with_workers(contenders)));
                systems
            });
        },
    },
];

/// Contenders, and the name of may's program with so many.
pub(crate) const MAY: [(usize, &str); 6] = [
    (2, "contention/fibers-2"),
    (4, "contention/fibers-4"),
    (8, "contention/fibers-8"),
    (16, "contention/fibers-16"),
    (32, "contention/fibers-32"),
    (64, "contention/fibers-64"),
];

fn sweep<'a>(
    context: &'a Context,
    with: With<'_>,
    systems: impl Fn(&'a Pools, usize) -> Vec<System<'a>>,
) {
    let all: Vec<_> =
        MAY.iter().flat_map(|(contenders, _)| systems(&context.pools, *contenders)).collect();
    with(&all);
}

/// Makes a system of a program that has its contenders take so many turns each. `all` are the turns
/// of all together.
fn system<'a>(
    name: &'static str,
    contenders: usize,
    all: usize,
    program: impl Fn(usize) -> (Vec<Waits>, usize) + 'a,
) -> System<'a> {
    let run = move || run(contenders, all, &program);
    System::measured(name, run).with_workers(contenders)
}

/// Runs a program, which also returns how many turns were taken.
pub(crate) fn run(
    contenders: usize,
    all: usize,
    program: impl Fn(usize) -> (Vec<Waits>, usize),
) -> Run {
    contention::measure(contenders, all / contenders, |turns| {
        let (waits, taken) = program(turns);
        assert_eq!(taken, contenders * turns, "who has the lock is alone");
        waits
    })
}

fn threads<'a>(contenders: usize, all: usize) -> Vec<System<'a>> {
    fn contend(
        contenders: usize,
        turns: usize,
        locked: impl Fn(&dyn Fn()) + Sync,
    ) -> (Vec<Waits>, usize) {
        let (taken, start) = (Turns::default(), Barrier::new(contenders));
        let contender = || {
            let mut waits = Waits::of(turns);
            start.wait();
            for _ in 0..turns {
                let begin = Instant::now();
                let noted = std::cell::RefCell::new(&mut waits);
                locked(&|| {
                    noted.borrow_mut().end(begin);
                    let before = taken.begin();
                    (0..100).for_each(|step| _ = black_box(step));
                    taken.end(before);
                });
            }
            waits
        };
        let waits = thread::scope(|s| {
            let threads: Vec<_> = (0..contenders).map(|_| s.spawn(contender)).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
            threads.into_iter().map(join).collect()
        });
        (waits, taken.taken())
    }
    vec![
        system("rustfiber", contenders, all, move |turns| {
            let mutex = fiber_sync::Mutex::new(());
            contend(contenders, turns, |f| {
                let _guard = mutex.lock();
                f();
            })
        }),
        system("parking_lot, fair", contenders, all, move |turns| {
            let mutex = parking_lot::FairMutex::new(());
            contend(contenders, turns, |f| {
                let _guard = mutex.lock();
                f();
            })
        }),
        system("parking_lot", contenders, all, move |turns| {
            let mutex = parking_lot::Mutex::new(());
            contend(contenders, turns, |f| {
                let _guard = mutex.lock();
                f();
            })
        }),
        system("std", contenders, all, move |turns| {
            let mutex = std::sync::Mutex::new(());
            contend(contenders, turns, |f| {
                let _guard = mutex.lock();
                f();
            })
        }),
    ]
}

fn tasks<S: TaskSemaphore>(pools: &Pools, contenders: usize, all: usize) -> System<'_> {
    system(S::NAME, contenders, all, move |turns| {
        pools.tokio_run(async move {
            let shared = Arc::new((S::with_permits(1), Turns::default()));
            let mut tasks = JoinSet::new();
            for _ in 0..contenders {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    let (semaphore, taken) = &*shared;
                    let mut waits = Waits::of(turns);
                    for _ in 0..turns {
                        let begin = Instant::now();
                        let _permit = semaphore.acquire().await;
                        waits.end(begin);
                        let before = taken.begin();
                        tokio::task::yield_now().await;
                        taken.end(before);
                    }
                    waits
                });
            }
            (tasks.join_all().await, shared.1.taken())
        })
    })
}

fn fibers<'a, P: fiber_sync::Policy + 'a>(
    name: &'static str,
    semaphore: fiber_sync::Semaphore<P>,
    pools: &'a Pools,
    contenders: usize,
    all: usize,
) -> System<'a> {
    system(name, contenders, all, move |turns| {
        let taken = Turns::default();
        let started = AtomicUsize::new(0);
        let mut waits: Vec<Waits> = (0..contenders).map(|_| Waits::of(turns)).collect();
        pools.rustfiber.run(|| {
            rustfiber::scope(|s| {
                for waits in &mut waits {
                    s.spawn(|| {
                        started.fetch_add(1, Ordering::Relaxed);
                        for _ in 0..turns {
                            let begin = Instant::now();
                            let _permit = semaphore.acquire();
                            waits.end(begin);
                            let before = taken.begin();
                            rustfiber::yield_now();
                            taken.end(before);
                        }
                    });
                }
            });
        });
        assert_eq!(started.into_inner(), contenders);
        (waits, taken.taken())
    })
}
