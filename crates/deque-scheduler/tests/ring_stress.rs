//! The rings on real threads: random steps of an owner and of thieves, with an oracle.
#![cfg(not(loom))]

use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

use deque_scheduler::ring::{BATCH_MAX, Joins, Place, Ring, Spawns, TakeBack, ThiefId};
use deque_scheduler::{Barrier, Job};
use fastrand::Rng;
use test_support::seed;

const JOBS: usize = 100_000;
const THIEVES: u32 = 3;

/// How often each job has run.
struct Log(Vec<AtomicU8>);

impl Log {
    fn new() -> Self {
        Log((0..JOBS).map(|_| AtomicU8::new(0)).collect())
    }

    fn run(&self, job: usize) {
        assert_eq!(self.0[job].fetch_add(1, Ordering::Relaxed), 0, "job {job} ran twice");
    }

    fn run_all(&self, jobs: &mut Vec<Job>) {
        jobs.drain(..).for_each(|job| self.run(job.into_pointer().addr().get() - 1));
    }

    fn assert_all_ran(&self) {
        let lost = self.0.iter().position(|count| count.load(Ordering::Relaxed) != 1);
        assert_eq!(lost, None, "a job is lost");
    }
}

fn token(job: usize) -> Job {
    let number = NonZero::new(job + 1).unwrap();
    // SAFETY: the pointer is only compared.
    unsafe { Job::new(NonNull::without_provenance(number)) }
}

/// Runs `own` beside thieves of `ring`, which go on until it returns.
fn beside_thieves(ring: &Ring, log: &Log, seed: u64, own: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    let rob = |number| {
        let mut random = Rng::with_seed(seed + u64::from(number) + 1);
        // SAFETY: each thief has its own number.
        let id = unsafe { ThiefId::new(number) };
        let mut hands = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let max = if random.u64(..2) == 0 { 1 } else { BATCH_MAX };
            match random.u64(..8) {
                0..=3 => _ = ring.steal(max, &mut hands),
                4..=6 => ring.ask(),
                _ => _ = ring.force(&id, max, &mut hands),
            }
            log.run_all(&mut hands);
            (0..random.u64(..64)).for_each(|_| std::hint::spin_loop());
        }
    };
    thread::scope(|s| {
        let thieves: Vec<_> = (0..THIEVES).map(|number| s.spawn(move || rob(number))).collect();
        own();
        stop.store(true, Ordering::Relaxed);
        thieves.into_iter().for_each(|thief| thief.join().unwrap());
    });
}

/// Fibers of one worker, each with its open joins, that take turns, and steal from their own ring.
fn joins_run_once(barrier: Barrier) {
    const FIBERS: usize = 4;
    const DEPTH_MAX: usize = 20;
    let seed = seed();
    let (joins, log, mut random) = (Joins::new(2, barrier), Log::new(), Rng::with_seed(seed));
    let take_back = |(place, job): (Place, usize)| {
        // SAFETY: the place comes from this ring.
        if unsafe { joins.take_back(place) } == TakeBack::Mine {
            log.run(job);
        }
    };
    beside_thieves(joins.ring(), &log, seed, || {
        let mut open: [Vec<(Place, usize)>; FIBERS] = Default::default();
        let (mut pushed, mut running, mut hands) = (0, 0, Vec::new());
        while pushed < JOBS {
            let fiber = &mut open[running];
            match random.u64(..100) {
                0..=1 => {
                    let _ = joins.hand_over();
                    running = random.usize(..FIBERS);
                }
                2 => {
                    let _ = joins.hand_over();
                    joins.ring().steal(1, &mut hands);
                    log.run_all(&mut hands);
                }
                // A fiber that a job has made suspends inside a join: nobody hands that over.
                3 if fiber.len() > 1 => {
                    let below = fiber.swap_remove(fiber.len() - 2);
                    take_back(below);
                }
                4..52 if fiber.len() < DEPTH_MAX => {
                    fiber.push((joins.push(token(pushed)).0, pushed));
                    pushed += 1;
                }
                _ => fiber.pop().into_iter().for_each(take_back),
            }
        }
        for fiber in open {
            let _ = joins.hand_over();
            fiber.into_iter().rev().for_each(take_back);
        }
    });
    log.assert_all_ran();
}

#[test]
fn joins_of_several_fibers_run_once() {
    joins_run_once(Barrier::of_this_process());
}

#[test]
fn joins_of_several_fibers_run_once_in_fenced_mode() {
    joins_run_once(Barrier::fenced());
}

fn spawned_jobs_run_once(barrier: Barrier) {
    let seed = seed();
    let (spawns, log, mut random) = (Spawns::new(2, barrier), Log::new(), Rng::with_seed(seed));
    let pop = || {
        let job = spawns.pop();
        let has_one = job.is_some();
        log.run_all(&mut Vec::from_iter(job));
        has_one
    };
    beside_thieves(spawns.ring(), &log, seed, || {
        let mut pushed = 0;
        while pushed < JOBS {
            match random.u64(..100) {
                0 => _ = spawns.hand_over(),
                1..=5 => _ = spawns.serve(),
                6..=52 => {
                    let _ = spawns.push(token(pushed));
                    pushed += 1;
                }
                _ => _ = pop(),
            }
        }
        while pop() {}
    });
    assert!(!pop(), "the owner found nothing when the ring was not empty");
    log.assert_all_ran();
}

#[test]
fn spawned_jobs_run_once_on_real_threads() {
    spawned_jobs_run_once(Barrier::of_this_process());
}

#[test]
fn spawned_jobs_run_once_on_real_threads_in_fenced_mode() {
    spawned_jobs_run_once(Barrier::fenced());
}

/// An owner that sits in a long job publishes nothing, and answers nobody.
#[test]
fn a_private_job_is_taken_by_force() {
    for barrier in [Barrier::of_this_process(), Barrier::fenced()] {
        let joins = Joins::new(4, barrier);
        let places: Vec<_> = (0..3).map(|job| joins.push(token(job)).0).collect();
        let ring = Arc::clone(joins.ring());
        let rob = move || {
            // SAFETY: the only thief.
            let (id, mut hands) = (unsafe { ThiefId::new(0) }, Vec::new());
            assert_eq!(ring.steal(1, &mut hands), 0, "nothing is public");
            assert_eq!(ring.force(&id, 1, &mut hands), 1);
            hands
        };
        assert_eq!(thread::spawn(rob).join().unwrap(), [token(0)], "the oldest");
        let back = places.into_iter().rev().map(|place| {
            // SAFETY: the places come from this ring.
            unsafe { joins.take_back(place) }
        });
        let back: Vec<_> = back.collect();
        assert_eq!(back, [TakeBack::Mine, TakeBack::Mine, TakeBack::Stolen]);
    }
}
