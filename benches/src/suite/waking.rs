//! How soon something runs after it was submitted or woken, from outside of the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustfiber::Event;
use tokio::sync::Notify;

use super::Workload;
use crate::fork_join::{ForkJoin, fibonacci, fibonacci_by_addition, mix};
use crate::paired::{Run, System};
use crate::peers::{Pools, Rayon, RustFiber};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "waking/idle",
        about: "from a thread's submission to an idle pool until the job runs; a submission each \
                millisecond",
        bound: "the system's wake-up of one thread: threads",
        make: |context, with| {
            let mut systems = idle(&context.pools, context.pick(100, 300));
            systems.extend(context.may("waking/idle"));
            with(&systems);
        },
    },
    Workload {
        name: "waking/under-load",
        about: "from a thread's wake until the woken runs, each millisecond, while all workers are \
                busy with programs of some 100 µs that do nothing but fork; rayon, which cannot \
                wait, is given a job",
        bound: "the time to the next scheduling point of a worker",
        make: |context, with| with(&under_load(&context.pools, context.pick(100, 300))),
    },
    Workload {
        name: "waking/long-home-forking",
        about: "from a wake until the fiber runs, when its only worker is 2 ms into a job of 20 ms \
                that comes to a scheduling point each 10 µs: a join, or tokio's yield",
        bound: "10 µs",
        make: |context, with| with(&long_home(&context.single, context.pick(2, 10), true)),
    },
    Workload {
        name: "waking/long-home",
        about: "the same with a job that has no scheduling point",
        bound: "18 ms, the rest of the job, for whoever does not move between workers",
        make: |context, with| with(&long_home(&context.single, context.pick(2, 10), false)),
    },
];

/// Lets an idle pool's workers go to sleep. There is no way to see that they have, for all systems.
const PAUSE: Duration = Duration::from_millis(1);

/// Submits one job after the other, and returns the latency of each.
pub(crate) fn submit(count: usize, to: impl Fn(mpsc::Sender<Instant>)) -> Run {
    let latency = |_| {
        // SLEEP: the pause is part of the workload.
        thread::sleep(PAUSE);
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        to(sender);
        let runs = receiver.recv().expect("the job runs");
        (runs - start).as_secs_f64()
    };
    Run::of((0..count).map(latency).collect())
}

fn tell(sender: &mpsc::Sender<Instant>) {
    sender.send(Instant::now()).expect("somebody waits for it");
}

fn idle(pools: &Pools, count: usize) -> Vec<System<'_>> {
    vec![
        System::measured("rustfiber", move || {
            submit(count, |sender| drop(pools.rustfiber.spawn(move || tell(&sender))))
        }),
        System::measured("rayon", move || {
            submit(count, |sender| pools.rayon.spawn(move || tell(&sender)))
        }),
        System::measured("tokio", move || {
            submit(count, |sender| drop(pools.tokio.spawn(async move { tell(&sender) })))
        }),
        System::measured("threads", move || {
            let (jobs, next) = mpsc::channel::<mpsc::Sender<Instant>>();
            thread::scope(|s| {
                s.spawn(move || next.into_iter().for_each(|sender| tell(&sender)));
                let run = submit(count, |sender| jobs.send(sender).expect("the thread is there"));
                drop(jobs);
                run
            })
        }),
    ]
}

/// Gives a pool one program after the other, by a thread for each worker, until told to stop; the
/// programs do nothing but fork.
fn load<'s, S: for<'any> ForkJoin<Scope<'any> = ()>>(
    threads: &'s thread::Scope<'s, '_>,
    workers: usize,
    stop: &'s AtomicBool,
    run: impl Fn(&(dyn Fn() -> u64 + Sync)) -> u64 + Copy + Send + 's,
) {
    for _ in 0..workers {
        threads.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let answer = run(&|| fibonacci::<S>(&mut (), LOAD));
                assert_eq!(answer, fibonacci_by_addition(LOAD), "a wrong answer");
            }
        });
    }
}

/// The load's programs: some 100 µs each.
const LOAD: u32 = 18;

/// Calls `wake` so often, a millisecond apart, and returns how long after each the answer came.
fn wake_regularly(count: usize, answers: &mpsc::Receiver<Instant>, wake: impl Fn()) -> Vec<f64> {
    let latency = |_| {
        // SLEEP: the pause is part of the workload.
        thread::sleep(PAUSE);
        let start = Instant::now();
        wake();
        let runs = answers.recv().expect("the woken answers");
        (runs - start).as_secs_f64()
    };
    (0..count).map(latency).collect()
}

fn under_load(pools: &Pools, count: usize) -> Vec<System<'_>> {
    vec![
        System::measured("rustfiber", move || {
            let (stop, event) = (AtomicBool::new(false), Arc::new(Event::new()));
            let (sender, answers) = mpsc::channel();
            let waits = Arc::clone(&event);
            let woken = pools.rustfiber.spawn(move || {
                for _ in 0..count {
                    waits.wait();
                    tell(&sender);
                }
            });
            let latencies = thread::scope(|threads| {
                let run = |f: &(dyn Fn() -> u64 + Sync)| pools.rustfiber.run(f);
                load::<RustFiber>(threads, pools.workers, &stop, run);
                let latencies = wake_regularly(count, &answers, || event.set());
                stop.store(true, Ordering::Relaxed);
                latencies
            });
            woken.join().expect("no job panics");
            Run::of(latencies)
        }),
        System::measured("rayon", move || {
            let stop = AtomicBool::new(false);
            let (sender, answers) = mpsc::channel();
            thread::scope(|threads| {
                let run = |f: &(dyn Fn() -> u64 + Sync)| pools.rayon.install(f);
                load::<Rayon>(threads, pools.workers, &stop, run);
                let latencies = wake_regularly(count, &answers, || {
                    let sender = sender.clone();
                    pools.rayon.spawn(move || tell(&sender));
                });
                stop.store(true, Ordering::Relaxed);
                Run::of(latencies)
            })
        }),
        // Its tasks do not fork: they compute 10 µs and yield, as tokio's users are told to.
        System::measured("tokio", move || {
            let (stop, event) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
            let (sender, answers) = mpsc::channel();
            let load: Vec<_> = (0..2 * pools.workers)
                .map(|_| {
                    let stop = Arc::clone(&stop);
                    pools.tokio.spawn(async move {
                        while !stop.load(Ordering::Relaxed) {
                            compute_10_us();
                            tokio::task::yield_now().await;
                        }
                    })
                })
                .collect();
            let waits = Arc::clone(&event);
            let woken = pools.tokio.spawn(async move {
                for _ in 0..count {
                    waits.notified().await;
                    tell(&sender);
                }
            });
            let latencies = wake_regularly(count, &answers, || event.notify_one());
            stop.store(true, Ordering::Relaxed);
            pools.tokio.block_on(async {
                woken.await.expect("no task panics");
                for task in load {
                    task.await.expect("no task panics");
                }
            });
            Run::of(latencies)
        }),
    ]
}

fn compute_10_us() {
    std::hint::black_box(mix(std::hint::black_box(1), 6_000));
}

/// How long the long job runs, and how long after its start the fiber is woken.
const LONG: Duration = Duration::from_millis(20);
const WOKEN_AFTER: Duration = Duration::from_millis(2);

fn spin(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

fn long_home(pool: &Pools, times: usize, has_points: bool) -> Vec<System<'_>> {
    vec![
        System::measured("rustfiber", move || {
            let latency = |_| {
                let (event, waits) = (Arc::new(Event::new()), Arc::new(Event::new()));
                let (own, tells) = (Arc::clone(&event), Arc::clone(&waits));
                let fiber = pool.rustfiber.spawn(move || {
                    tells.set();
                    own.wait();
                    Instant::now()
                });
                waits.wait();
                // The only worker starts it when the fiber waits.
                let points = Arc::new(AtomicUsize::new(0));
                let (started, counts) = (Arc::clone(&waits), Arc::clone(&points));
                let long = pool.rustfiber.spawn(move || {
                    started.set();
                    let start = Instant::now();
                    while start.elapsed() < LONG {
                        compute_10_us();
                        if has_points {
                            rustfiber::join(|| (), || counts.fetch_add(1, Ordering::Relaxed));
                        }
                    }
                });
                waits.wait();
                spin(WOKEN_AFTER);
                let woken = Instant::now();
                event.set();
                let runs = fiber.join().expect("no job panics");
                long.join().expect("no job panics");
                assert_eq!(points.load(Ordering::Relaxed) > 0, has_points);
                (runs - woken).as_secs_f64()
            };
            Run::of((0..times).map(latency).collect())
        }),
        System::measured("tokio", move || {
            let latency = |_| {
                let event = Arc::new(Notify::new());
                let own = Arc::clone(&event);
                let (sender, events) = mpsc::channel();
                let tells = sender.clone();
                let task = pool.tokio.spawn(async move {
                    tell(&tells);
                    own.notified().await;
                    Instant::now()
                });
                events.recv().expect("the task starts");
                let long = pool.tokio.spawn(async move {
                    tell(&sender);
                    let start = Instant::now();
                    while start.elapsed() < LONG {
                        compute_10_us();
                        if has_points {
                            tokio::task::yield_now().await;
                        }
                    }
                });
                events.recv().expect("the task starts");
                spin(WOKEN_AFTER);
                let woken = Instant::now();
                event.notify_one();
                pool.tokio.block_on(async {
                    let runs = task.await.expect("no task panics");
                    long.await.expect("no task panics");
                    (runs - woken).as_secs_f64()
                })
            };
            Run::of((0..times).map(latency).collect())
        }),
    ]
}
