//! Models of the whole scheduler: jobs on their way between workers, beside sweeps and sleepers.
//!
//! Each ring begins with room for eight jobs here. The injector is crossbeam's, and one step to
//! loom.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc as StdArc;

use deque_scheduler::sleep::{GenericParker, ParkSlot};
use deque_scheduler::{Barrier, Find, Scheduler, WorkerQueues};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

use crate::ring::{number, token};
use crate::{Ran, model};

/// Makes a pool in which each worker steals from the others in order.
fn pool<const WORKERS: usize>(barrier: Barrier) -> (StdArc<Scheduler>, [WorkerQueues; WORKERS]) {
    let slots = (0..WORKERS).map(|_| StdArc::new(ParkSlot::new(GenericParker::default())));
    let victims = |me| (0..WORKERS).filter(|&victim| victim != me).collect();
    let victims = (0..WORKERS).map(victims).collect();
    let (scheduler, workers) = Scheduler::new(slots.collect(), victims, false, barrier).unwrap();
    (scheduler, workers.try_into().unwrap())
}

fn is_number(wanted: usize) -> impl Fn(NonNull<()>) -> bool {
    move |job| job.addr().get() == wanted
}

/// Makes the first `count` jobs a worker's, and public.
fn publish(worker: &WorkerQueues, count: usize) {
    (1..=count).for_each(|job| worker.push_spawn(token(job)));
    worker.hand_over();
}

/// Takes the job that a search comes upon first.
fn find(worker: &WorkerQueues) -> usize {
    match worker.find(|| false) {
        Find::Job(job) => number(job),
        Find::Interrupted | Find::InTime => unreachable!("nobody interrupts"),
    }
}

/// A thief takes a batch of two, runs the older job and keeps the other for later. Whoever waits
/// for that one takes it, wherever it lies: what the thief runs may be long.
fn sweep_beside_a_batch(barrier: fn() -> Barrier) {
    model(2, move || {
        let (_, [sweeper, thief, owner]) = pool(barrier());
        publish(&owner, 3);
        let thief = thread::spawn(move || (find(&thief), thief));
        let taken = sweeper.take_anywhere(&is_number(2)).map(number);
        let (started, _queues) = thief.join().unwrap();
        assert_eq!(taken, (started != 2).then_some(2), "a job was missed on its way");
    });
}

#[test]
fn a_sweep_misses_no_job_of_a_batch() {
    sweep_beside_a_batch(Barrier::of_this_process);
}

#[test]
fn a_sweep_misses_no_job_of_a_batch_in_fenced_mode() {
    sweep_beside_a_batch(Barrier::fenced);
}

/// A wait takes its worker's newest job up to look at it, and puts it back.
#[test]
fn a_sweep_misses_no_job_that_its_worker_looks_at() {
    model(3, || {
        let (_, [sweeper, owner]) = pool(Barrier::of_this_process());
        owner.push_spawn(token(1));
        let owner = thread::spawn(move || {
            assert_eq!(owner.take_newest_if(is_number(2)), None);
            owner
        });
        assert_eq!(sweeper.take_anywhere(&is_number(1)).map(number), Some(1));
        let _queues = owner.join().unwrap();
    });
}

/// What one sweep has in its hands, another would miss.
#[test]
fn two_sweeps_take_turns() {
    model(2, || {
        let (_, [sweeper, other, owner]) = pool(Barrier::of_this_process());
        publish(&owner, 2);
        let other = thread::spawn(move || {
            assert_eq!(other.take_anywhere(&is_number(2)).map(number), Some(2));
            other
        });
        assert_eq!(sweeper.take_anywhere(&is_number(1)).map(number), Some(1));
        let _queues = other.join().unwrap();
    });
}

/// The owner takes a job, a thief a batch, and a sweep the rest: each job comes out once.
#[test]
fn jobs_that_are_moved_are_neither_lost_nor_doubled() {
    model(2, || {
        let (_, [sweeper, thief, owner]) = pool(Barrier::of_this_process());
        publish(&owner, 3);
        let thief = thread::spawn(move || (find(&thief), thief));
        let mut jobs = Vec::from_iter(owner.next_near().map(number));
        assert_eq!(sweeper.take_anywhere(&|_| false), None);
        let (found, thief) = thief.join().unwrap();
        jobs.push(found);
        for worker in [sweeper, thief, owner] {
            jobs.extend(std::iter::from_fn(|| worker.next_near().map(number)));
        }
        jobs.sort_unstable();
        assert_eq!(jobs, [1, 2, 3]);
    });
}

/// Workers that run jobs until they are stopped.
struct Pool {
    scheduler: StdArc<Scheduler>,
    ran: Ran,
    stop: AtomicBool,
}

impl Pool {
    fn new(scheduler: StdArc<Scheduler>, jobs: usize) -> Arc<Self> {
        Arc::new(Pool { scheduler, ran: Ran::new(jobs), stop: AtomicBool::new(false) })
    }

    /// Starts a worker.
    fn start(
        pool: &Arc<Pool>,
        worker: WorkerQueues,
        run: impl Fn(&Pool, usize) + 'static,
    ) -> thread::JoinHandle<()> {
        let pool = Arc::clone(pool);
        thread::spawn(move || {
            while let Find::Job(job) = worker.find(|| pool.stop.load(Relaxed)) {
                run(&pool, number(job));
            }
        })
    }

    fn end(&self, threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
        self.stop.store(true, Relaxed);
        self.scheduler.sleep().wake_all();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// A worker has two jobs that need each other, and may be the last searcher when it finds one.
#[test]
fn a_finder_hands_on_what_is_private() {
    fn run(pool: &Pool, job: usize) {
        pool.ran.finish(job);
        pool.ran.wait_for(3 - job);
    }
    model(2, || {
        let (scheduler, [sleeper, finder]) = pool(Barrier::of_this_process());
        let pool = Pool::new(scheduler, 2);
        let sleeper = Pool::start(&pool, sleeper, run);
        (1..=2).for_each(|job| finder.push_spawn(token(job)));
        run(&pool, find(&finder));
        pool.end([sleeper]);
    });
}

/// Whoever sleeps has counted on a searcher, which finds the only job, and makes another one.
#[test]
fn what_a_finder_makes_next_is_seen() {
    model(2, || {
        let (scheduler, [sleeper, finder]) = pool(Barrier::of_this_process());
        let pool = Pool::new(scheduler, 2);
        let sleeper = Pool::start(&pool, sleeper, |pool, job| pool.ran.finish(job));
        finder.push_spawn(token(1));
        let has_looked = Cell::new(false);
        if let Find::Job(job) = finder.find(|| has_looked.replace(true)) {
            pool.ran.finish(number(job));
        }
        finder.push_spawn(token(2));
        (1..=2).for_each(|job| pool.ran.wait_for(job));
        pool.end([sleeper]);
    });
}
