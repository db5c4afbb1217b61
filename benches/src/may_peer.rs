//! The workloads as may's users would write them. They run in a process of their own, because
//! may's workers cannot be stopped, and a coroutine that overflows its stack ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use may::coroutine::{JoinHandle, yield_now};
use may::go;
use may::sync::{Barrier, Semphore, SyncFlag, mpmc};

use crate::contention::Waits;
use crate::paired::Run;
use crate::suite::{self, CONTENDING, SHARERS, Size, Turns};

/// One of may's programs.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    /// The name of the workload.
    pub(crate) workload: &'static str,
    /// Workers; nothing for as many as CPUs.
    pub(crate) workers: Option<usize>,
    /// Runs it, and panics if the answer is wrong.
    pub(crate) run: fn(Size) -> Run,
}

pub(crate) const PROGRAMS: &[Program] = &[
    Program {
        workload: "fibers/yield",
        workers: Some(1),
        run: |size| yields(pick(size, 100_000, 500_000)),
    },
    Program {
        workload: "fibers/create",
        workers: Some(1),
        run: |size| create(pick(size, 10_000, 20_000)),
    },
    Program {
        workload: "fibers/ping-pong",
        workers: Some(1),
        run: |size| ping_pong(pick(size, 50_000, 100_000)),
    },
    Program {
        workload: "fibers/ring",
        workers: None,
        run: |size| ring(pick(size, 100_000, 200_000)),
    },
    Program {
        workload: "fibers/wake-1000",
        workers: Some(1),
        run: |size| wake(pick(size, 30, 100)),
    },
    Program {
        workload: "fibers/phases",
        workers: None,
        run: |size| phases(1000, pick(size, 50, 200)),
    },
    Program {
        workload: "sync/one-permit-fibers",
        workers: None,
        run: |size| one_permit(pick(size, 20, 100)),
    },
    Program {
        workload: "sync/channel-ping-pong",
        workers: Some(1),
        run: |size| channel_ping_pong(pick(size, 20_000, 100_000)),
    },
    CONTEND[0],
    CONTEND[1],
    CONTEND[2],
    CONTEND[3],
    CONTEND[4],
    CONTEND[5],
    Program {
        workload: "waking/idle",
        workers: None,
        run: |size| {
            crate::suite::submit(pick(size, 100, 300), |sender| {
                drop(go!(move || sender.send(Instant::now()).expect("somebody waits for it")));
            })
        },
    },
];

const CONTEND: [Program; 6] = {
    const fn program<const INDEX: usize>() -> Program {
        let run = |size| contend(CONTENDING[INDEX].0, pick(size, 2_000, 20_000));
        Program { workload: CONTENDING[INDEX].1, workers: None, run }
    }
    [program::<0>(), program::<1>(), program::<2>(), program::<3>(), program::<4>(), program::<5>()]
};

fn pick<T>(size: Size, quick: T, full: T) -> T {
    match size {
        Size::Quick => quick,
        Size::Full => full,
    }
}

/// Runs `f` as a coroutine, and returns its result with its time.
fn timed<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> (R, Run) {
    let start = Instant::now();
    let result = go!(f).join().expect("no coroutine panics");
    (result, Run::took(start.elapsed().as_secs_f64()))
}

fn join_all<R>(coroutines: Vec<JoinHandle<R>>) -> Vec<R> {
    let join = |coroutine: JoinHandle<R>| coroutine.join().expect("no coroutine panics");
    coroutines.into_iter().map(join).collect()
}

fn yields(each: u64) -> Run {
    let (yields, run) = timed(move || {
        let coroutine = |_| {
            go!(move || {
                (0..each).for_each(|_| yield_now());
                each
            })
        };
        join_all((0..2).map(coroutine).collect()).into_iter().sum::<u64>()
    });
    assert_eq!(yields, 2 * each);
    run
}

fn create(count: u64) -> Run {
    let one = |number| go!(move || number).join().expect("no coroutine panics");
    let (sum, run) = timed(move || (0..count).map(one).sum::<u64>());
    assert_eq!(sum, count * (count - 1) / 2);
    run
}

fn ping_pong(rounds: usize) -> Run {
    let (played, run) = timed(move || {
        let (ping, pong) = (Arc::new(Semphore::new(0)), Arc::new(Semphore::new(0)));
        let (other_ping, other_pong) = (Arc::clone(&ping), Arc::clone(&pong));
        let first = go!(move || {
            for _ in 0..rounds {
                ping.post();
                pong.wait();
            }
        });
        let second = go!(move || {
            let mut played = 0;
            for _ in 0..rounds {
                other_ping.wait();
                played += 1;
                other_pong.post();
            }
            played
        });
        first.join().expect("no coroutine panics");
        second.join().expect("no coroutine panics")
    });
    assert_eq!(played, rounds);
    run
}

fn ring(hops: usize) -> Run {
    const RING: usize = 503;
    let (hopped, run) = timed(move || {
        let places: Arc<Vec<Semphore>> = Arc::new((0..RING).map(|_| Semphore::new(0)).collect());
        let coroutine = |place: usize| {
            let places = Arc::clone(&places);
            go!(move || {
                let visits = hops / RING + usize::from(place < hops % RING);
                for _ in 0..visits {
                    places[place].wait();
                    places[(place + 1) % RING].post();
                }
                visits
            })
        };
        let coroutines = (0..RING).map(coroutine).collect();
        places[0].post();
        join_all(coroutines).into_iter().sum::<usize>()
    });
    assert_eq!(hopped, hops);
    run
}

fn wake(times: usize) -> Run {
    const WOKEN: usize = 1000;
    let once = || {
        let (open, there) = (Arc::new(SyncFlag::new()), Arc::new(Semphore::new(0)));
        let coroutine = |_| {
            let (open, there) = (Arc::clone(&open), Arc::clone(&there));
            go!(move || {
                there.post();
                open.wait();
            })
        };
        let coroutines: Vec<_> = (0..WOKEN).map(coroutine).collect();
        (0..WOKEN).for_each(|_| there.wait());
        let start = Instant::now();
        open.fire();
        assert_eq!(join_all(coroutines).len(), WOKEN);
        start.elapsed().as_secs_f64()
    };
    let (seconds, _) = timed(move || (0..times).map(|_| once()).sum::<f64>());
    Run::took(seconds)
}

fn phases(coroutines: usize, phases: usize) -> Run {
    let (done, run) = timed(move || {
        let (barrier, done) = (Arc::new(Barrier::new(coroutines)), Arc::new(AtomicU64::new(0)));
        let coroutine = |_| {
            let (barrier, done) = (Arc::clone(&barrier), Arc::clone(&done));
            go!(move || {
                for _ in 0..phases {
                    done.fetch_add(1, Ordering::Relaxed);
                    barrier.wait();
                }
            })
        };
        join_all((0..coroutines).map(coroutine).collect());
        done.load(Ordering::Relaxed)
    });
    assert_eq!(done, (coroutines * phases) as u64);
    run
}

fn one_permit(turns: usize) -> Run {
    let (taken, run) = timed(move || {
        let shared = Arc::new((Semphore::new(1), Turns::default()));
        let coroutine = |_| {
            let shared = Arc::clone(&shared);
            go!(move || {
                let (permit, taken) = &*shared;
                for _ in 0..turns {
                    permit.wait();
                    let before = taken.begin();
                    yield_now();
                    taken.end(before);
                    permit.post();
                }
            })
        };
        join_all((0..SHARERS).map(coroutine).collect());
        shared.1.taken()
    });
    assert_eq!(taken, SHARERS * turns);
    run
}

fn channel_ping_pong(rounds: usize) -> Run {
    let (sum, run) = timed(move || {
        let (ping, pinged) = mpmc::channel();
        let (pong, ponged) = mpmc::channel();
        let echo = go!(move || {
            while let Ok(number) = pinged.recv() {
                pong.send(number).expect("it is received");
            }
        });
        let play = go!(move || {
            let turn = |number| {
                ping.send(number).expect("it is received");
                ponged.recv().expect("it is sent")
            };
            (0..rounds).map(turn).sum::<usize>()
        });
        let sum = play.join().expect("no coroutine panics");
        echo.join().expect("no coroutine panics");
        sum
    });
    assert_eq!(sum, rounds * (rounds - 1) / 2);
    run
}

fn contend(contenders: usize, all: usize) -> Run {
    suite::contend(contenders, all, |turns| {
        let shared = Arc::new((Semphore::new(1), Turns::default()));
        let coroutine = |_| {
            let shared = Arc::clone(&shared);
            go!(move || {
                let (permit, taken) = &*shared;
                let mut waits = Waits::of(turns);
                for _ in 0..turns {
                    let begin = Instant::now();
                    permit.wait();
                    waits.end(begin);
                    let before = taken.begin();
                    yield_now();
                    taken.end(before);
                    permit.post();
                }
                waits
            })
        };
        let waits = join_all((0..contenders).map(coroutine).collect());
        (waits, shared.1.taken())
    })
}
