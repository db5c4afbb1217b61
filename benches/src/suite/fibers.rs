//! What fibers cost: switches, starts, waits and wakes.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use corosensei::{Coroutine, CoroutineResult, stack::DefaultStack};
use parking_lot::{Condvar, Mutex};
use rustfiber::{Counter, Event, scope};
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;

use super::Workload;
use crate::paired::{Run, System};
use crate::peers::{self, Pools};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "fibers/yield",
        about: "two fibers on one worker that yield to each other",
        bound: "a switch there and back: raw switches",
        make: |context, with| {
            let each = context.pick(100_000, 500_000);
            let mut systems = yields(&context.single, each);
            systems.extend(context.may("fibers/yield"));
            with(&systems);
        },
    },
    Workload {
        name: "fibers/create",
        about: "20 000 jobs, each created, run on a fiber and joined before the next, one worker",
        bound: "two switches on a stack that is there: raw switches",
        make: |context, with| {
            let count = context.pick(10_000, 20_000);
            let mut systems = create(&context.single, count);
            systems.extend(context.may("fibers/create"));
            with(&systems);
        },
    },
    Workload {
        name: "fibers/ping-pong",
        about: "two fibers on one worker that take turns over two events",
        bound: "two switches there and back a round",
        make: |context, with| {
            let rounds = context.pick(50_000, 100_000);
            let mut systems = ping_pong(&context.single, rounds);
            systems.extend(context.may("fibers/ping-pong"));
            with(&systems);
        },
    },
    Workload {
        name: "fibers/ring",
        about: "a token that goes round 503 fibers, each with an event of its own",
        bound: "a switch there and back a hop",
        make: |context, with| {
            let hops = context.pick(100_000, 200_000);
            let mut systems = ring(&context.pools, hops);
            systems.extend(context.may("fibers/ring"));
            with(&systems);
        },
    },
    Workload {
        name: "fibers/wake-1000",
        about: "1000 fibers that wait for one counter: from its zero to the end of the last, each \
                of 100 times",
        bound: "a switch there and back for each fiber",
        make: |context, with| {
            let times = context.pick(30, 100);
            let mut systems = wake(&context.single, times);
            systems.extend(context.may("fibers/wake-1000"));
            with(&systems);
        },
    },
    Workload {
        name: "fibers/stack-colour",
        about: "the same with stack tops at one stride, and with waits at staggered depths",
        bound: "the caches: equal strides share their sets",
        make: |context, with| {
            let times = context.pick(30, 100);
            let staggered = move || wake_ours(times, |index, f| at_depth(index % 16, f));
            with(&[
                System::measured("rustfiber", move || wake_ours(times, |_, f| f())),
                System::measured("staggered", staggered),
            ]);
        },
    },
    Workload {
        name: "fibers/phases",
        about: "a thousand fibers that wait for each other, phase by phase",
        bound: "a switch there and back for each fiber and phase",
        make: |context, with| {
            let mut systems = phases(&context.pools, 1000, context.pick(50, 200));
            systems.extend(context.may("fibers/phases"));
            with(&systems);
        },
    },
];

/// Two bare coroutines, resumed in turn.
fn raw_yields(each: u64) -> u64 {
    let coroutine = || {
        Coroutine::new(move |yielder, ()| {
            (0..each).for_each(|_| yielder.suspend(()));
            each
        })
    };
    let mut both: [Coroutine<(), (), u64>; 2] = [coroutine(), coroutine()];
    let mut sum = 0;
    while !both.iter().all(Coroutine::done) {
        for one in &mut both {
            if let CoroutineResult::Return(yields) = one.resume(()) {
                sum += yields;
            }
        }
    }
    sum
}

fn yields(pools: &Pools, each: u64) -> Vec<System<'_>> {
    vec![
        System::new("rustfiber", 2 * each, move || {
            let done = AtomicU64::new(0);
            pools.rustfiber.run(|| {
                scope(|s| {
                    for _ in 0..2 {
                        s.spawn(|| {
                            (0..each).for_each(|_| rustfiber::yield_now());
                            done.fetch_add(each, Ordering::Relaxed);
                        });
                    }
                });
            });
            done.into_inner()
        }),
        System::new("tokio", 2 * each, move || {
            pools.tokio_run(async move {
                let mut tasks = JoinSet::new();
                for _ in 0..2 {
                    tasks.spawn(async move {
                        for _ in 0..each {
                            tokio::task::yield_now().await;
                        }
                        each
                    });
                }
                tasks.join_all().await.into_iter().sum::<u64>()
            })
        }),
        System::new("raw switches", 2 * each, move || raw_yields(each)),
    ]
}

fn create(pools: &Pools, count: u64) -> Vec<System<'_>> {
    let expected = count * (count - 1) / 2;
    vec![
        System::new("rustfiber", expected, move || {
            let one = |number| rustfiber::spawn(move || number).join().expect("no job panics");
            pools.rustfiber.run(|| (0..count).map(one).sum::<u64>())
        }),
        System::new("tokio", expected, move || {
            pools.tokio_run(async move {
                let mut sum = 0;
                for number in 0..count {
                    sum += tokio::spawn(async move { number }).await.expect("no task panics");
                }
                sum
            })
        }),
        System::new("threads", expected, move || {
            let one = |number| thread::spawn(move || number).join().expect("no thread panics");
            (0..count).map(one).sum::<u64>()
        }),
        System::new("raw switches", expected, move || {
            let kept = Cell::new(Some(DefaultStack::new(64 << 10).expect("a stack is to be had")));
            let one = |number| {
                let stack = kept.take().expect("it came back");
                let mut coroutine: Coroutine<(), (), u64, _> =
                    Coroutine::with_stack(stack, move |_, ()| number);
                let CoroutineResult::Return(number) = coroutine.resume(()) else {
                    unreachable!("it does not suspend")
                };
                kept.set(Some(coroutine.into_stack()));
                number
            };
            (0..count).map(one).sum::<u64>()
        }),
    ]
}

/// An event for threads.
#[derive(Default)]
struct ThreadEvent {
    is_set: Mutex<bool>,
    was_set: Condvar,
}

impl ThreadEvent {
    fn set(&self) {
        *self.is_set.lock() = true;
        self.was_set.notify_one();
    }

    fn wait(&self) {
        let mut is_set = self.is_set.lock();
        // PROGRESS: `set` notifies after it has set.
        while !std::mem::take(&mut *is_set) {
            self.was_set.wait(&mut is_set);
        }
    }
}

/// What tokio has for an event.
#[derive(Default)]
struct Pair {
    ping: Notify,
    pong: Notify,
}

fn ping_pong(pools: &Pools, rounds: usize) -> Vec<System<'_>> {
    vec![
        System::new("rustfiber", rounds, move || {
            let (ping, pong) = (Event::new(), Event::new());
            let played = AtomicUsize::new(0);
            pools.rustfiber.run(|| {
                scope(|s| {
                    s.spawn(|| {
                        for _ in 0..rounds {
                            ping.set();
                            pong.wait();
                        }
                    });
                    s.spawn(|| {
                        for _ in 0..rounds {
                            ping.wait();
                            played.fetch_add(1, Ordering::Relaxed);
                            pong.set();
                        }
                    });
                });
            });
            played.into_inner()
        }),
        System::new("tokio", rounds, move || {
            pools.tokio_run(async move {
                let pair = Arc::new(Pair::default());
                let other = Arc::clone(&pair);
                let first = tokio::spawn(async move {
                    for _ in 0..rounds {
                        pair.ping.notify_one();
                        pair.pong.notified().await;
                    }
                });
                let second = tokio::spawn(async move {
                    let mut played = 0;
                    for _ in 0..rounds {
                        other.ping.notified().await;
                        played += 1;
                        other.pong.notify_one();
                    }
                    played
                });
                first.await.expect("no task panics");
                second.await.expect("no task panics")
            })
        }),
        System::new("threads", rounds, move || {
            let (ping, pong) = (ThreadEvent::default(), ThreadEvent::default());
            let mut played = 0;
            thread::scope(|s| {
                s.spawn(|| {
                    for _ in 0..rounds {
                        ping.set();
                        pong.wait();
                    }
                });
                for _ in 0..rounds {
                    ping.wait();
                    played += 1;
                    pong.set();
                }
            });
            played
        }),
    ]
}

/// Places of the ring, of which the token's start makes the last one short of work.
const RING: usize = 503;

/// How often the token comes to a place.
fn visits(hops: usize, place: usize) -> usize {
    hops / RING + usize::from(place < hops % RING)
}

fn ring(pools: &Pools, hops: usize) -> Vec<System<'_>> {
    vec![
        System::new("rustfiber", hops, move || {
            let places: Vec<Event> = (0..RING).map(|_| Event::new()).collect();
            let hopped = AtomicUsize::new(0);
            pools.rustfiber.run(|| {
                scope(|s| {
                    for place in 0..RING {
                        let (own, next) = (&places[place], &places[(place + 1) % RING]);
                        let hopped = &hopped;
                        s.spawn(move || {
                            for _ in 0..visits(hops, place) {
                                own.wait();
                                hopped.fetch_add(1, Ordering::Relaxed);
                                next.set();
                            }
                        });
                    }
                    places[0].set();
                });
            });
            hopped.into_inner()
        }),
        System::new("tokio", hops, move || {
            pools.tokio_run(async move {
                let places: Arc<Vec<Notify>> = Arc::new((0..RING).map(|_| Notify::new()).collect());
                let mut tasks = JoinSet::new();
                for place in 0..RING {
                    let places = Arc::clone(&places);
                    tasks.spawn(async move {
                        let mut hopped = 0;
                        for _ in 0..visits(hops, place) {
                            places[place].notified().await;
                            hopped += 1;
                            places[(place + 1) % RING].notify_one();
                        }
                        hopped
                    });
                }
                places[0].notify_one();
                tasks.join_all().await.into_iter().sum::<usize>()
            })
        }),
    ]
}

/// Fibers that are woken at once.
const WOKEN: usize = 1000;

/// Calls `f` from so many frames below.
#[inline(never)]
fn at_depth(depth: usize, f: &dyn Fn()) {
    let frame = std::hint::black_box([0_u64; 16]);
    if depth == 0 {
        f()
    } else {
        at_depth(depth - 1, f)
    }
    std::hint::black_box(frame);
}

/// On a runtime of its own each time: where the system happens to put the stacks decides how they
/// share the caches, and is not to decide about a whole comparison.
fn wake_ours(times: usize, place: impl Fn(usize, &dyn Fn()) + Sync) -> Run {
    let runtime = peers::rustfiber(1);
    let mut seconds = 0.0;
    for _ in 0..times {
        let (there, open) = (Counter::new(WOKEN), Counter::new(1));
        let (ended, place) = (AtomicUsize::new(0), &place);
        seconds += runtime.run(|| {
            let mut start = None;
            scope(|s| {
                for index in 0..WOKEN {
                    let (there, open, ended) = (&there, &open, &ended);
                    s.spawn(move || {
                        place(index, &|| {
                            there.done();
                            open.wait();
                            ended.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                }
                // One worker: when this one goes on, all the others wait.
                there.wait();
                start = Some(Instant::now());
                open.done();
            });
            start.expect("the scope has run").elapsed().as_secs_f64()
        });
        assert_eq!(ended.into_inner(), WOKEN, "each fiber goes on once");
    }
    Run::took(seconds)
}

fn wake(pools: &Pools, times: usize) -> Vec<System<'_>> {
    let tokio = move || {
        let mut seconds = 0.0;
        for _ in 0..times {
            seconds += pools.tokio_run(async move {
                let (open, there) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
                let mut tasks = JoinSet::new();
                for _ in 0..WOKEN {
                    let (open, there) = (Arc::clone(&open), Arc::clone(&there));
                    tasks.spawn(async move {
                        there.fetch_add(1, Ordering::Relaxed);
                        open.notified().await;
                    });
                }
                // One worker: a task that has come is one that waits.
                while there.load(Ordering::Relaxed) < WOKEN {
                    tokio::task::yield_now().await;
                }
                let start = Instant::now();
                open.notify_waiters();
                let ended = tasks.join_all().await.len();
                assert_eq!(ended, WOKEN, "each task goes on once");
                start.elapsed().as_secs_f64()
            });
        }
        Run::took(seconds)
    };
    vec![
        System::measured("rustfiber", move || wake_ours(times, |_, f| f())),
        System::measured("tokio", tokio),
    ]
}

fn phases(pools: &Pools, fibers: usize, phases: usize) -> Vec<System<'_>> {
    let steps = (fibers * phases) as u64;
    vec![
        System::new("rustfiber", steps, move || {
            let gates: Vec<Counter> = (0..phases).map(|_| Counter::new(fibers)).collect();
            let done = AtomicU64::new(0);
            pools.rustfiber.run(|| {
                scope(|s| {
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
            pools.tokio_run(async move {
                let barrier = Arc::new(Barrier::new(fibers));
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
            })
        }),
    ]
}
