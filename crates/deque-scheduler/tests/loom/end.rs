//! Models of `src/end.rs`: workers leave when all jobs have finished, and not before.
//!
//! A queue of one job is a flag here, which passes on what its pusher has done.

use std::sync::Arc as StdArc;

use deque_scheduler::sleep::{Awake, GenericParker, ParkSlot, Sleep};
use deque_scheduler::{End, JobCounts};
use loom::sync::Arc;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use loom::thread;

use crate::model;

struct Pool {
    end: End,
    counts: Vec<JobCounts>,
    sleep: Sleep,
    /// A job lies in the queue.
    has_job: AtomicBool,
    /// It has run.
    has_run: AtomicBool,
}

impl Pool {
    fn new(workers: usize) -> Arc<Pool> {
        let slots = (0..workers).map(|_| StdArc::new(ParkSlot::new(GenericParker::default())));
        Arc::new(Pool {
            end: End::new(),
            counts: (0..workers).map(|_| JobCounts::default()).collect(),
            sleep: Sleep::new(slots.collect()),
            has_job: AtomicBool::new(false),
            has_run: AtomicBool::new(false),
        })
    }

    fn has_ended(&self) -> bool {
        self.end.has_come(self.counts.iter(), &self.sleep)
    }

    fn push(&self) {
        self.has_job.store(true, Release);
        self.sleep.notify_job();
    }

    /// Runs the job, if it is there, as a worker.
    fn try_run(&self, me: usize) {
        if self.has_job.load(Relaxed) && self.has_job.swap(false, AcqRel) {
            self.has_run.store(true, Relaxed);
            self.counts[me].add_finished();
        }
    }

    /// Sleeps until the end has come.
    fn leave(&self, me: usize) {
        self.sleep.start_search();
        loop {
            if self.has_ended() {
                return self.sleep.found(|| false);
            }
            match self.sleep.park(me, |_| self.has_ended()) {
                Awake::Cancelled | Awake::ForAJob => {}
                Awake::ForItself | Awake::InTime => self.sleep.start_search(),
            }
        }
    }
}

/// Whoever sees that the end was asked for sees what was injected before.
#[test]
fn an_injected_job_is_not_left_behind() {
    model(4, || {
        let pool = Pool::new(1);
        let worker = {
            let pool = pool.clone();
            thread::spawn(move || {
                while !pool.has_ended() {
                    pool.try_run(0);
                    thread::yield_now();
                }
                assert!(pool.has_run.load(Relaxed), "the pool has ended, and a job has not run");
            })
        };
        pool.end.add_injected();
        pool.has_job.store(true, Release);
        pool.end.ask(&pool.sleep);
        worker.join().unwrap();
    });
}

/// A job submits another one, which ends on another worker before the first one does.
#[test]
fn a_job_that_a_job_submits_is_not_left_behind() {
    model(3, || {
        let pool = Pool::new(2);
        pool.end.add_injected();
        pool.end.ask(&pool.sleep);
        let has_ended = Arc::new(AtomicBool::new(false));
        let parent = {
            let (pool, has_ended) = (pool.clone(), has_ended.clone());
            thread::spawn(move || {
                pool.counts[0].add_submitted();
                pool.push();
                has_ended.store(true, Relaxed);
                pool.counts[0].add_finished();
            })
        };
        let thief = {
            let pool = pool.clone();
            thread::spawn(move || pool.try_run(1))
        };
        thread::yield_now(); // the others may have come to any point
        if pool.has_ended() {
            let jobs = [has_ended.load(Relaxed), pool.has_run.load(Relaxed)];
            assert_eq!(jobs, [true; 2], "the pool has ended, and a job has not");
        }
        parent.join().unwrap();
        thief.join().unwrap();
    });
}

/// Two workers finish the last two jobs at once, and sleep; the end is asked for meanwhile. Who is
/// left asleep is a deadlock, which loom reports.
#[test]
fn all_workers_leave() {
    model(2, || {
        let pool = Pool::new(2);
        (0..2).for_each(|_| pool.end.add_injected());
        let workers = [0, 1].map(|me| {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.counts[me].add_finished();
                pool.leave(me);
            })
        });
        pool.end.ask(&pool.sleep);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
