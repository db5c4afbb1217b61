//! What waiting costs: semaphores, locks, events and channels.

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use tokio::task::JoinSet;

use super::Workload;
use crate::paired::System;
use crate::peers::Pools;
use crate::semaphores::{Hybrid, Intrusive, Segmented, TaskSemaphore};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "sync/uncontended",
        about: "a permit that is there, taken and given back",
        bound: "two compare-and-swaps: std, by a lock, has four",
        make: |context, with| with(&uncontended(context.pick(300_000, 1_000_000))),
    },
    Workload {
        name: "sync/wait-cycle",
        about: "a task that begins to wait for a permit, is woken by its release, and takes it",
        bound: "the clone and the wake of a waker, and some compare-and-swaps",
        make: |context, with| {
            let rounds = context.pick(100_000, 300_000);
            with(&by_semaphore(
                rounds,
                [
                    wait_cycle::<Intrusive>,
                    wait_cycle::<tokio::sync::Semaphore>,
                    wait_cycle::<async_lock::Semaphore>,
                    wait_cycle::<Hybrid>,
                    wait_cycle::<Segmented>,
                ],
            ));
        },
    },
    Workload {
        name: "sync/cancel",
        about: "a task that begins to wait for a permit, and gives up",
        bound: "the clone of a waker, and some compare-and-swaps",
        make: |context, with| {
            let rounds = context.pick(100_000, 300_000);
            with(&by_semaphore(
                rounds,
                [
                    cancel::<Intrusive>,
                    cancel::<tokio::sync::Semaphore>,
                    cancel::<async_lock::Semaphore>,
                    cancel::<Hybrid>,
                    cancel::<Segmented>,
                ],
            ));
        },
    },
    Workload {
        name: "sync/cancel-in-line",
        about: "100 tasks wait in line, and give up from the middle outwards",
        bound: "the same for each",
        make: |context, with| {
            let rounds = context.pick(1_000, 3_000);
            with(&by_semaphore(
                rounds,
                [
                    cancel_in_line::<Intrusive>,
                    cancel_in_line::<tokio::sync::Semaphore>,
                    cancel_in_line::<async_lock::Semaphore>,
                    cancel_in_line::<Hybrid>,
                    cancel_in_line::<Segmented>,
                ],
            ));
        },
    },
    Workload {
        name: "sync/event",
        about: "a task that begins to wait for an event, is woken by it, and goes on",
        bound: "as sync/wait-cycle",
        make: |context, with| with(&event(context.pick(100_000, 300_000))),
    },
    Workload {
        name: "sync/mutex",
        about: "a lock that nobody else wants, round an addition",
        bound: "two atomic read-modify-writes",
        make: |context, with| with(&mutex(context.pick(1_000_000, 3_000_000))),
    },
    Workload {
        name: "sync/one-permit-tasks",
        about: "1000 tokio tasks that take the one permit, yield, and give it back, 100 times each",
        bound: "two polls of a task for each turn",
        make: |context, with| {
            let turns = context.pick(20, 100);
            with(&[
                one_permit::<Intrusive>(&context.pools, turns),
                one_permit::<tokio::sync::Semaphore>(&context.pools, turns),
                one_permit::<async_lock::Semaphore>(&context.pools, turns),
                one_permit::<Hybrid>(&context.pools, turns),
                one_permit::<Segmented>(&context.pools, turns),
            ]);
        },
    },
    Workload {
        name: "sync/one-permit-fibers",
        about: "the same as 1000 fibers; tokio's are tasks",
        bound: "two switches there and back for each turn",
        make: |context, with| {
            let turns = context.pick(20, 100);
            let (fair, unfair) = (Intrusive::new(1), fiber_sync::Semaphore::unfair(1));
            let mut systems = vec![
                one_permit_fibers("rustfiber", fair, &context.pools, turns),
                one_permit_fibers("rustfiber, unfair", unfair, &context.pools, turns),
                one_permit::<tokio::sync::Semaphore>(&context.pools, turns),
            ];
            systems.extend(context.may("sync/one-permit-fibers"));
            with(&systems);
        },
    },
    Workload {
        name: "sync/channel-ping-pong",
        about: "two fibers on one worker that send each other a number over two channels; threads \
                have crossbeam's",
        bound: "two switches there and back a round",
        make: |context, with| {
            let rounds = context.pick(20_000, 100_000);
            let mut systems = channel_ping_pong(&context.single, rounds);
            systems.extend(context.may("sync/channel-ping-pong"));
            with(&systems);
        },
    },
];

/// Polls a future that is ready when it is polled first.
fn at_once<R>(future: impl Future<Output = R>) -> R {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("there is nothing to wait for"),
    }
}

fn by_semaphore<const N: usize>(
    rounds: usize,
    programs: [fn(usize) -> usize; N],
) -> Vec<System<'static>> {
    let names = [
        Intrusive::NAME,
        tokio::sync::Semaphore::NAME,
        async_lock::Semaphore::NAME,
        Hybrid::NAME,
        Segmented::NAME,
    ];
    let system = |(name, program): (_, fn(usize) -> usize)| {
        System::new(name, rounds, move || program(rounds))
    };
    names.into_iter().zip(programs).map(system).collect()
}

fn uncontended(rounds: usize) -> Vec<System<'static>> {
    /// As a task does it.
    fn tasks<S: TaskSemaphore>(rounds: usize) -> usize {
        let (semaphore, mut taken) = (S::with_permits(1), 0);
        at_once(async {
            for _ in 0..rounds {
                let _permit = black_box(&semaphore).acquire().await;
                taken += 1;
            }
        });
        assert!(semaphore.try_acquire().is_some(), "it was given back");
        taken
    }
    let mut systems = by_semaphore(
        rounds,
        [
            tasks::<Intrusive>,
            tasks::<tokio::sync::Semaphore>,
            tasks::<async_lock::Semaphore>,
            tasks::<Hybrid>,
            tasks::<Segmented>,
        ],
    );
    systems.push(System::new("rustfiber, blocking", rounds, move || {
        let (semaphore, mut taken) = (Intrusive::new(1), 0);
        for _ in 0..rounds {
            let _permit = black_box(&semaphore).acquire();
            taken += 1;
        }
        assert_eq!(semaphore.available_permits(), 1, "it was given back");
        taken
    }));
    systems.push(System::new("std", rounds, move || {
        let (permits, freed) = (std::sync::Mutex::new(1_usize), std::sync::Condvar::new());
        let mut taken = 0;
        for _ in 0..rounds {
            let mut count = black_box(&permits).lock().expect("nobody panics");
            while *count == 0 {
                count = freed.wait(count).expect("nobody panics");
            }
            *count -= 1;
            drop(count);
            taken += 1;
            *black_box(&permits).lock().expect("nobody panics") += 1;
            freed.notify_one();
        }
        taken
    }));
    systems
}

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives `f` a waker, and checks that it was woken so often.
fn with_waker(expected: usize, f: impl FnOnce(&mut Context<'_>)) {
    let wakes = Arc::new(Wakes::default());
    f(&mut Context::from_waker(&Waker::from(Arc::clone(&wakes))));
    assert_eq!(wakes.0.load(Ordering::Relaxed), expected, "times that the task was woken");
    assert_eq!(Arc::strong_count(&wakes), 1, "nobody keeps the waker");
}

fn begin<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) {
    assert!(future.poll(context).is_pending(), "it has to wait");
}

fn wait_cycle<S: TaskSemaphore>(rounds: usize) -> usize {
    let semaphore = S::with_permits(1);
    let mut taken = 0;
    with_waker(rounds, |context| {
        for _ in 0..rounds {
            let held = semaphore.try_acquire().expect("it is there");
            let mut wait = pin!(semaphore.acquire());
            begin(wait.as_mut(), context);
            drop(held);
            taken += usize::from(wait.poll(context).is_ready());
        }
    });
    taken
}

fn cancel<S: TaskSemaphore>(rounds: usize) -> usize {
    let semaphore = S::with_permits(1);
    let held = semaphore.try_acquire().expect("it is there");
    with_waker(0, |context| {
        for _ in 0..rounds {
            begin(pin!(semaphore.acquire()), context);
        }
    });
    drop(held);
    usize::from(semaphore.try_acquire().is_some()) * rounds
}

fn cancel_in_line<S: TaskSemaphore>(rounds: usize) -> usize {
    const LINE: usize = 100;
    let semaphore = S::with_permits(1);
    let mut taken = 0;
    with_waker(0, |context| {
        for _ in 0..rounds {
            let held = semaphore.try_acquire().expect("it is there");
            let mut line: Vec<_> = (0..LINE).map(|_| Some(Box::pin(semaphore.acquire()))).collect();
            for wait in line.iter_mut().flatten() {
                begin(wait.as_mut(), context);
            }
            for distance in 0..LINE / 2 {
                line[LINE / 2 - 1 - distance] = None;
                line[LINE / 2 + distance] = None;
            }
            drop(held);
            taken += usize::from(semaphore.try_acquire().is_some());
        }
    });
    taken
}

fn event(rounds: usize) -> Vec<System<'static>> {
    vec![
        System::new("rustfiber", rounds, move || {
            let (event, mut woken) = (fiber_sync::AutoResetEvent::new(false), 0);
            with_waker(rounds, |context| {
                for _ in 0..rounds {
                    let mut wait = pin!(event.wait_async());
                    begin(wait.as_mut(), context);
                    event.set();
                    woken += usize::from(wait.poll(context).is_ready());
                }
            });
            woken
        }),
        System::new("tokio", rounds, move || {
            let (event, mut woken) = (tokio::sync::Notify::new(), 0);
            with_waker(rounds, |context| {
                for _ in 0..rounds {
                    let mut wait = pin!(event.notified());
                    begin(wait.as_mut(), context);
                    event.notify_one();
                    woken += usize::from(wait.poll(context).is_ready());
                }
            });
            woken
        }),
        System::new("event-listener", rounds, move || {
            let (event, mut woken) = (event_listener::Event::new(), 0);
            with_waker(rounds, |context| {
                for _ in 0..rounds {
                    event_listener::listener!(event => wait);
                    let mut wait = pin!(wait);
                    begin(wait.as_mut(), context);
                    event.notify(1);
                    woken += usize::from(wait.poll(context).is_ready());
                }
            });
            woken
        }),
    ]
}

fn mutex(rounds: u64) -> Vec<System<'static>> {
    /// Adds up by whatever `add` locks.
    fn system<M: 'static>(
        name: &'static str,
        rounds: u64,
        make: fn(u64) -> M,
        add: impl Fn(&M) + 'static,
        value: fn(M) -> u64,
    ) -> System<'static> {
        System::new(name, rounds, move || {
            let mutex = make(0);
            (0..rounds).for_each(|_| add(black_box(&mutex)));
            value(mutex)
        })
    }
    vec![
        system(
            "rustfiber",
            rounds,
            fiber_sync::Mutex::new,
            |mutex| *mutex.lock() += 1,
            fiber_sync::Mutex::into_inner,
        ),
        system(
            "parking_lot",
            rounds,
            parking_lot::Mutex::new,
            |mutex| *mutex.lock() += 1,
            parking_lot::Mutex::into_inner,
        ),
        system(
            "std",
            rounds,
            std::sync::Mutex::new,
            |mutex| *mutex.lock().expect("nobody panics") += 1,
            |mutex| mutex.into_inner().expect("nobody panics"),
        ),
        system(
            "async-lock",
            rounds,
            async_lock::Mutex::new,
            |mutex| *mutex.lock_blocking() += 1,
            async_lock::Mutex::into_inner,
        ),
        system(
            "tokio",
            rounds,
            tokio::sync::Mutex::new,
            |mutex| *at_once(mutex.lock()) += 1,
            tokio::sync::Mutex::into_inner,
        ),
    ]
}

/// Tasks or fibers that share the one permit.
pub(crate) const SHARERS: usize = 1000;

/// Whoever has the permit is alone: what it reads is what the last one wrote.
#[derive(Default)]
pub(crate) struct Turns(AtomicUsize);

impl Turns {
    pub(crate) fn begin(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self, before: usize) {
        self.0.store(before + 1, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn one_permit<S: TaskSemaphore>(pools: &Pools, turns: usize) -> System<'_> {
    System::new(S::NAME, SHARERS * turns, move || {
        pools.tokio_run(async move {
            let shared = Arc::new((S::with_permits(1), Turns::default()));
            let mut tasks = JoinSet::new();
            for _ in 0..SHARERS {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    let (semaphore, taken) = &*shared;
                    for _ in 0..turns {
                        let _permit = semaphore.acquire().await;
                        let before = taken.begin();
                        tokio::task::yield_now().await;
                        taken.end(before);
                    }
                });
            }
            tasks.join_all().await;
            shared.1.taken()
        })
    })
}

fn one_permit_fibers<'a, P: fiber_sync::Policy + 'a>(
    name: &'static str,
    semaphore: fiber_sync::Semaphore<P>,
    pools: &'a Pools,
    turns: usize,
) -> System<'a> {
    System::new(name, SHARERS * turns, move || {
        let taken = Turns::default();
        pools.rustfiber.run(|| {
            rustfiber::scope(|s| {
                for _ in 0..SHARERS {
                    s.spawn(|| {
                        for _ in 0..turns {
                            let _permit = semaphore.acquire();
                            let before = taken.begin();
                            rustfiber::yield_now();
                            taken.end(before);
                        }
                    });
                }
            });
        });
        taken.taken()
    })
}

fn channel_ping_pong(pools: &Pools, rounds: usize) -> Vec<System<'_>> {
    let expected = rounds * (rounds - 1) / 2;
    vec![
        System::new("rustfiber", expected, move || {
            let (ping, pinged) = fiber_sync::channel::unbounded();
            let (pong, ponged) = fiber_sync::channel::unbounded();
            pools.rustfiber.run(|| {
                let echo = || {
                    for number in &pinged {
                        pong.send(number).expect("it is received");
                    }
                };
                let play = move || {
                    let turn = |number| {
                        ping.send(number).expect("it is received");
                        ponged.recv().expect("it is sent")
                    };
                    (0..rounds).map(turn).sum()
                };
                rustfiber::join(play, echo).0
            })
        }),
        System::new("tokio", expected, move || {
            pools.tokio_run(async move {
                let (ping, mut pinged) = tokio::sync::mpsc::unbounded_channel();
                let (pong, mut ponged) = tokio::sync::mpsc::unbounded_channel();
                tokio::spawn(async move {
                    while let Some(number) = pinged.recv().await {
                        pong.send(number).expect("it is received");
                    }
                });
                let mut sum = 0;
                for number in 0..rounds {
                    ping.send(number).expect("it is received");
                    sum += ponged.recv().await.expect("it is sent");
                }
                sum
            })
        }),
        System::new("threads", expected, move || {
            let (ping, pinged) = crossbeam_channel::unbounded();
            let (pong, ponged) = crossbeam_channel::unbounded();
            thread::scope(|s| {
                s.spawn(move || {
                    for number in pinged {
                        pong.send(number).expect("it is received");
                    }
                });
                let mut sum = 0;
                for number in 0..rounds {
                    ping.send(number).expect("it is received");
                    sum += ponged.recv().expect("it is sent");
                }
                drop(ping);
                sum
            })
        }),
    ]
}
