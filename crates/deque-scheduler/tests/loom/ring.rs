//! Models of `src/ring`: each job runs once, whatever its owner and the thieves do.
//!
//! Slots are cells whose accesses loom checks for races.

use std::ptr::NonNull;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use deque_scheduler::ring::{BATCH_MAX, Joins, Place, Push, Ring, Spawns, TakeBack, ThiefId};
use deque_scheduler::{Barrier, Job};
use loom::thread;

use crate::model;

/// Makes the token of the job with this number, from one on.
pub(crate) fn token(number: usize) -> Job {
    let pointer = NonNull::new(std::ptr::without_provenance_mut(number)).unwrap();
    // SAFETY: the pointer is only compared.
    unsafe { Job::new(pointer) }
}

pub(crate) fn number(job: Job) -> usize {
    job.into_pointer().addr().get()
}

/// Which jobs have run. Not loom's atomics: the log must order nothing.
#[derive(Clone)]
struct Log(StdArc<Vec<AtomicUsize>>);

impl Log {
    fn new(jobs: usize) -> Self {
        Log(StdArc::new((0..=jobs).map(|_| AtomicUsize::new(0)).collect()))
    }

    fn run(&self, job: usize) {
        assert_eq!(self.0[job].fetch_add(1, Relaxed), 0, "job {job} ran twice");
    }

    fn has_run(&self, job: usize) -> bool {
        self.0[job].load(Relaxed) == 1
    }

    fn assert_all_ran(&self) {
        let lost = (1..self.0.len()).find(|&job| !self.has_run(job));
        assert_eq!(lost, None, "a job is lost");
    }
}

struct Thief {
    ring: StdArc<Ring>,
    id: ThiefId,
    log: Log,
    hands: Vec<Job>,
}

impl Thief {
    fn ask(&self) {
        self.ring.ask();
    }

    fn steal(&mut self, max: usize) -> usize {
        let count = self.ring.steal(max, &mut self.hands);
        self.run_hands();
        count
    }

    fn force(&mut self, max: usize) -> usize {
        let count = self.ring.force(&self.id, max, &mut self.hands);
        self.run_hands();
        count
    }

    fn run_hands(&mut self) {
        self.hands.drain(..).for_each(|job| self.log.run(number(job)));
    }
}

/// Starts a thief of `ring`.
fn thief(
    number: u32,
    ring: &StdArc<Ring>,
    log: &Log,
    act: impl FnOnce(Thief) + 'static,
) -> thread::JoinHandle<()> {
    // SAFETY: each model gives its thieves numbers of their own.
    let id = unsafe { ThiefId::new(number) };
    let thief = Thief { ring: StdArc::clone(ring), id, log: log.clone(), hands: Vec::new() };
    thread::spawn(move || act(thief))
}

/// An owner of joins that writes down what it runs.
struct Fork {
    joins: Joins,
    log: Log,
}

impl Fork {
    fn new(capacity: usize, jobs: usize, barrier: Barrier) -> Self {
        Fork { joins: Joins::new(capacity, barrier), log: Log::new(jobs) }
    }

    fn thief(&self, number: u32, act: impl FnOnce(Thief) + 'static) -> thread::JoinHandle<()> {
        thief(number, self.joins.ring(), &self.log, act)
    }

    fn push(&self, job: usize) -> Place {
        self.joins.push(token(job)).0
    }

    fn take_back(&self, place: Place, job: usize) {
        // SAFETY: the models use places of this ring.
        if unsafe { self.joins.take_back(place) } == TakeBack::Mine {
            self.log.run(job);
        }
    }

    /// Takes one of the jobs that were handed over, as the loop on another fiber does.
    fn steal_own(&self) {
        let mut hands = Vec::new();
        self.joins.ring().steal(1, &mut hands);
        hands.drain(..).for_each(|job| self.log.run(number(job)));
    }

    /// Pushes and takes back one job.
    fn join(&self, job: usize) {
        let place = self.push(job);
        self.take_back(place, job);
    }

    /// Pushes the first `count` jobs, and takes them back.
    fn nest(&self, count: usize) {
        let places: Vec<_> = (1..=count).map(|job| (self.push(job), job)).collect();
        for (place, job) in places.into_iter().rev() {
            self.take_back(place, job);
        }
    }

    fn end(&self, thieves: impl IntoIterator<Item = thread::JoinHandle<()>>) {
        thieves.into_iter().for_each(|thief| thief.join().unwrap());
        self.log.assert_all_ran();
    }
}

fn asymmetric() -> Barrier {
    let barrier = Barrier::of_this_process();
    assert!(barrier.is_asymmetric());
    barrier
}

fn take_back_races_with_force(barrier: fn() -> Barrier) {
    model(None, move || {
        let fork = Fork::new(4, 1, barrier());
        let thief = fork.thief(0, |mut thief| _ = thief.force(1));
        fork.join(1);
        fork.end([thief]);
    });
}

#[test]
fn a_join_is_taken_back_or_forced() {
    take_back_races_with_force(asymmetric);
}

#[test]
fn a_join_is_taken_back_or_forced_in_fenced_mode() {
    take_back_races_with_force(Barrier::fenced);
}

/// The thief that looked at one job must not commit to the next at the same index.
#[test]
fn an_index_is_used_again_beside_a_forced_take() {
    model(4, || {
        let fork = Fork::new(4, 3, asymmetric());
        let thief = fork.thief(0, |mut thief| _ = thief.force(1));
        (1..=3).for_each(|job| fork.join(job));
        fork.end([thief]);
    });
}

#[test]
fn nested_joins_are_forced_and_stolen() {
    model(4, || {
        let fork = Fork::new(4, 3, asymmetric());
        let thief = fork.thief(0, |mut thief| {
            thief.force(1);
            thief.steal(1);
        });
        fork.nest(3);
        fork.end([thief]);
    });
}

#[test]
fn the_owner_takes_the_lock_over_from_one_of_two_forced_takes() {
    model(3, || {
        let fork = Fork::new(4, 2, asymmetric());
        let thieves = [0, 1].map(|number| fork.thief(number, |mut thief| _ = thief.force(1)));
        fork.nest(2);
        fork.end(thieves);
    });
}

/// The owner cancels one forced take; when the lock is free again, another begins.
#[test]
fn a_cancelled_forced_take_is_not_taken_for_another() {
    model(3, || {
        let fork = Fork::new(4, 2, asymmetric());
        let thieves = [0, 1].map(|number| fork.thief(number, |mut thief| _ = thief.force(1)));
        (1..=2).for_each(|job| fork.join(job));
        fork.end(thieves);
    });
}

fn a_demand_is_answered(preemptions: usize, barrier: fn() -> Barrier) {
    model(preemptions, move || {
        let fork = Fork::new(4, 2, barrier());
        let thief = fork.thief(0, |mut thief| {
            thief.ask();
            if thief.steal(1) == 0 {
                thief.force(1);
            }
            thief.steal(1);
        });
        fork.nest(2);
        fork.end([thief]);
    });
}

#[test]
fn a_push_answers_a_demand() {
    a_demand_is_answered(4, asymmetric);
}

#[test]
fn a_push_answers_a_demand_in_fenced_mode() {
    a_demand_is_answered(4, Barrier::fenced);
}

/// A raise that comes late must not lower the limit below jobs that are public by then.
#[test]
fn a_late_raise_never_lowers_the_limit() {
    model(4, || {
        let fork = Fork::new(4, 2, asymmetric());
        let thief = fork.thief(0, |mut thief| {
            thief.force(1);
            thief.steal(1);
        });
        let (first, second) = (fork.push(1), fork.push(2));
        let _ = fork.joins.hand_over();
        fork.steal_own();
        fork.take_back(second, 2);
        fork.take_back(first, 1);
        fork.end([thief]);
    });
}

/// One fiber suspends, a second pushes above it and suspends, the first goes on.
#[test]
fn a_buried_join_is_claimed_in_place() {
    model(3, || {
        let fork = Fork::new(4, 3, asymmetric());
        let thief = fork.thief(0, |mut thief| {
            thief.steal(1);
            thief.steal(1);
            thief.force(1);
        });
        let first = fork.push(1);
        let _ = fork.joins.hand_over();
        let second = fork.push(2);
        let _ = fork.joins.hand_over();
        fork.take_back(first, 1);
        fork.join(3);
        fork.take_back(second, 2);
        fork.end([thief]);
    });
}

/// A job makes a fiber of its own, which suspends inside a join: nobody hands that join over, and
/// it lies above the job's when the job's join returns. Its place stays its own.
#[test]
fn a_private_join_is_claimed_below_another() {
    model(3, || {
        let fork = Fork::new(4, 4, asymmetric());
        let thief = fork.thief(0, |mut thief| {
            thief.force(1);
            thief.steal(1);
            thief.steal(1);
        });
        let (outer, inner) = (fork.push(1), fork.push(2));
        fork.take_back(outer, 1);
        let (third, fourth) = (fork.push(3), fork.push(4));
        let _ = fork.joins.hand_over();
        fork.take_back(inner, 2);
        fork.take_back(fourth, 4);
        fork.take_back(third, 3);
        fork.end([thief]);
    });
}

/// The loop takes a suspended fiber's join and runs it; what that pushes must not come to lie in
/// the place of the open join.
#[test]
fn an_open_joins_place_is_not_used_again() {
    model(3, || {
        let fork = Fork::new(4, 3, asymmetric());
        let thief = fork.thief(0, |mut thief| {
            thief.steal(1);
            thief.force(1);
        });
        let first = fork.push(1);
        let _ = fork.joins.hand_over();
        fork.steal_own();
        let (second, third) = (fork.push(2), fork.push(3));
        let _ = fork.joins.hand_over();
        fork.take_back(first, 1);
        fork.take_back(third, 3);
        fork.take_back(second, 2);
        fork.end([thief]);
    });
}

#[test]
fn growth_keeps_every_job() {
    model(4, || {
        let fork = Fork::new(2, 3, asymmetric());
        let thief = fork.thief(0, |mut thief| {
            thief.ask();
            thief.steal(1);
            thief.force(1);
        });
        fork.nest(3);
        fork.end([thief]);
    });
}

fn spawned_jobs_run_once(preemptions: usize, barrier: fn() -> Barrier) {
    model(preemptions, move || {
        let (spawns, log) = (Spawns::new(4, barrier()), Log::new(3));
        let thief = thief(0, spawns.ring(), &log, |mut thief| {
            thief.ask();
            if thief.steal(BATCH_MAX) == 0 {
                thief.force(BATCH_MAX);
            }
        });
        (1..=3).for_each(|job| _ = spawns.push(token(job)));
        let run_all = || {
            while let Some(job) = spawns.pop() {
                log.run(number(job));
                let _ = spawns.serve();
            }
        };
        run_all();
        thief.join().unwrap();
        run_all();
        log.assert_all_ran();
    });
}

#[test]
fn spawned_jobs_are_popped_or_stolen_in_bulk() {
    spawned_jobs_run_once(3, asymmetric);
}

#[test]
fn spawned_jobs_are_popped_or_stolen_in_bulk_in_fenced_mode() {
    spawned_jobs_run_once(3, Barrier::fenced);
}

/// What was made public comes back, in a batch, unless a thief has it.
#[test]
fn public_spawned_jobs_are_taken_back() {
    model(4, || {
        let (spawns, log) = (Spawns::new(4, asymmetric()), Log::new(3));
        let thief = thief(0, spawns.ring(), &log, |mut thief| {
            thief.steal(BATCH_MAX);
            thief.force(BATCH_MAX);
        });
        (1..=3).for_each(|job| _ = spawns.push(token(job)));
        assert_eq!(spawns.hand_over(), Push::Published);
        while let Some(job) = spawns.pop() {
            log.run(number(job));
        }
        thief.join().unwrap();
        while let Some(job) = spawns.pop() {
            log.run(number(job));
        }
        log.assert_all_ran();
    });
}

/// Three jobs, of which the owner takes two with `take`, beside a thief of public and private ones.
fn owner_takes(take: fn(&Spawns) -> Option<Job>) {
    model(4, move || {
        let (spawns, log) = (Spawns::new(4, asymmetric()), Log::new(3));
        let thief = thief(0, spawns.ring(), &log, |mut thief| {
            thief.force(BATCH_MAX);
            thief.steal(BATCH_MAX);
        });
        (1..=3).for_each(|job| _ = spawns.push(token(job)));
        let run = |job: Option<Job>| job.into_iter().for_each(|job| log.run(number(job)));
        (1..=2).for_each(|_| run(take(&spawns)));
        run(spawns.pop());
        thief.join().unwrap();
        while spawns.ring().has_jobs() {
            run(spawns.pop());
        }
        log.assert_all_ran();
    });
}

#[test]
fn the_oldest_job_is_taken_beside_a_thief() {
    owner_takes(Spawns::take_oldest);
}

#[test]
fn a_wanted_job_is_taken_beside_a_thief() {
    owner_takes(|spawns| spawns.take_where(&|job| job.addr().get() <= 2));
}

/// One worker's two rings, and a thief of both.
#[test]
fn joins_and_spawns_of_one_worker_do_not_disturb_each_other() {
    model(4, || {
        let fork = Fork::new(2, 2, asymmetric());
        let spawns = Spawns::new(2, asymmetric());
        let from_spawns = StdArc::clone(spawns.ring());
        let thief = fork.thief(0, move |mut thief| {
            let from_joins = StdArc::clone(&thief.ring);
            for ring in [from_joins, from_spawns] {
                thief.ring = ring;
                if thief.steal(1) == 0 {
                    thief.force(1);
                }
            }
        });
        let _ = spawns.push(token(2));
        fork.join(1);
        spawns.pop().into_iter().for_each(|job| fork.log.run(number(job)));
        thief.join().unwrap();
        spawns.pop().into_iter().for_each(|job| fork.log.run(number(job)));
        fork.log.assert_all_ran();
    });
}

/// Two workers, each an owner and the other's thief.
#[test]
fn two_owners_rob_each_other() {
    fn work(fork: &Fork, job: usize, other: StdArc<Ring>) {
        let place = fork.push(job);
        // SAFETY: the two workers' jobs have different numbers.
        let id = unsafe { ThiefId::new(job as u32) };
        let log = fork.log.clone();
        let mut thief = Thief { ring: other, id, log, hands: Vec::new() };
        thief.ask();
        if thief.steal(1) == 0 {
            thief.force(1);
        }
        fork.take_back(place, job);
    }
    model(4, || {
        let here = Fork::new(2, 2, asymmetric());
        let there = Fork { joins: Joins::new(2, asymmetric()), log: here.log.clone() };
        let [ring_here, ring_there] = [&here, &there].map(|fork| StdArc::clone(fork.joins.ring()));
        let worker = thread::spawn(move || work(&there, 1, ring_here));
        work(&here, 2, ring_there);
        here.end([worker]);
    });
}
