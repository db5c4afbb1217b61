//! Models of `src/ring` together with `src/sleep`: no job is slept on, also a private one.
//!
//! The owner is the model's own thread, a worker like the others. After its pushes it sits in a
//! long job: what it has not published then is run only if somebody stays awake, or is woken, to
//! take it by force.

use std::sync::Arc as StdArc;

use deque_scheduler::Barrier;
use deque_scheduler::ring::{Joins, Place, Push, Ring, TakeBack, ThiefId, last_look};
use deque_scheduler::sleep::{Awake, GenericParker, ParkSlot, Sleep};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::thread;

use crate::ring::{number, token};
use crate::{Ran, model};

const JOBS: usize = 2;

/// An owner's ring, and workers that search it and sleep.
struct Pool {
    ring: StdArc<Ring>,
    /// The owner's is the last.
    slots: Vec<StdArc<ParkSlot>>,
    sleep: Sleep,
    /// Something is addressed to the owner.
    is_called: AtomicBool,
    stop: AtomicBool,
    ran: Ran,
}

impl Pool {
    /// Starts the workers, after `prepare` has had the owner to itself.
    fn run(
        workers: usize,
        barrier: fn() -> Barrier,
        prepare: impl Fn(&Joins),
        worker: impl Fn(&Pool, usize) + Copy + Send + 'static,
        owner: impl Fn(&Pool, &Joins),
    ) {
        let joins = Joins::new(4, barrier());
        prepare(&joins);
        let slots = (0..=workers).map(|_| StdArc::new(ParkSlot::new(GenericParker::default())));
        let slots: Vec<_> = slots.collect();
        let pool = Arc::new(Pool {
            ring: StdArc::clone(joins.ring()),
            sleep: Sleep::new(slots.clone()),
            slots,
            is_called: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            ran: Ran::new(JOBS),
        });
        let start = |me| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || worker(&pool, me))
        };
        let threads: Vec<_> = (0..workers).map(start).collect();
        owner(&pool, &joins);
        pool.stop.store(true, Relaxed);
        pool.sleep.wake_all();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    fn owner(&self) -> usize {
        self.slots.len() - 1
    }

    /// What the last searcher leaves behind when it has found something.
    fn leave(&self) -> bool {
        self.ring.ask();
        self.ring.has_jobs()
    }

    fn last_look(&self) -> bool {
        last_look(std::iter::once(&*self.ring))
    }

    fn push(&self, joins: &Joins, job: usize) -> Place {
        let (place, push) = joins.push(token(job));
        if push == Push::Published {
            self.sleep.notify_job();
        }
        place
    }

    fn finish(&self, job: usize) {
        self.ran.finish(job);
    }

    fn wait_for(&self, job: usize) {
        self.ran.wait_for(job);
    }

    /// Runs jobs until the pool stops.
    fn work(&self, me: usize) {
        // SAFETY: each worker has its own number.
        let id = unsafe { ThiefId::new(me as u32) };
        self.sleep.start_search();
        while !self.stop.load(Relaxed) {
            let mut hands = Vec::new();
            if self.ring.steal(1, &mut hands) == 0 {
                self.ring.ask();
                self.ring.force(&id, 1, &mut hands);
            }
            if let Some(job) = hands.pop() {
                self.sleep.found(|| self.leave());
                self.finish(number(job));
                self.sleep.start_search();
            } else {
                self.park(me);
                thread::yield_now();
            }
        }
        self.sleep.found(|| false);
    }

    /// Sleeps, and comes back as a searcher.
    fn park(&self, me: usize) {
        let look = |is_last| self.stop.load(Relaxed) || is_last && self.last_look();
        match self.sleep.park(me, look) {
            Awake::Cancelled | Awake::ForAJob => {}
            Awake::ForItself | Awake::InTime => self.sleep.start_search(),
        }
    }
}

fn asymmetric() -> Barrier {
    Barrier::of_this_process()
}

fn nothing(_: &Joins) {}

fn push_one(pool: &Pool, joins: &Joins) {
    let _open = pool.push(joins, 1);
    pool.wait_for(1);
}

fn one_push(workers: usize, preemptions: usize, barrier: fn() -> Barrier) {
    model(preemptions, move || Pool::run(workers, barrier, nothing, Pool::work, push_one));
}

#[test]
fn a_push_races_with_the_last_searcher_that_parks() {
    one_push(1, 4, asymmetric);
}

#[test]
fn a_push_races_with_the_last_searcher_that_parks_in_fenced_mode() {
    one_push(1, 4, Barrier::fenced);
}

#[test]
fn a_push_races_with_two_searchers_that_park() {
    one_push(2, 2, asymmetric);
}

/// Whoever opens the gate without publishing loses the second job.
#[test]
fn two_pushes_race_with_a_searcher_that_parks() {
    model(4, || {
        Pool::run(1, asymmetric, nothing, Pool::work, |pool, joins| {
            let _open = [1, 2].map(|job| pool.push(joins, job));
            [1, 2].into_iter().for_each(|job| pool.wait_for(job));
        });
    });
}

/// Pushes a job, takes it back, and leaves another to the workers.
fn join_then_push(pool: &Pool, joins: &Joins) {
    let place = pool.push(joins, 1);
    // SAFETY: the place comes from this ring.
    if unsafe { joins.take_back(place) } == TakeBack::Mine {
        pool.finish(1);
    }
    let _open = pool.push(joins, 2);
    [1, 2].into_iter().for_each(|job| pool.wait_for(job));
}

/// The gate is due for more room; that must not erase a demand.
#[test]
fn a_refresh_of_the_gate_keeps_a_demand() {
    fn move_to_the_gate(joins: &Joins) {
        for _ in 0..3 {
            let _ = (joins.push(token(9)), joins.hand_over());
            assert_eq!(joins.ring().steal(1, &mut Vec::new()), 1);
        }
    }
    model(3, || Pool::run(1, asymmetric, move_to_the_gate, Pool::work, join_then_push));
}

/// A worker that parks before it has searched.
fn park_and_work(pool: &Pool, me: usize) {
    pool.sleep.start_search();
    pool.park(me);
    pool.sleep.found(|| false);
    pool.work(me);
}

/// The gate is open until the worker's last look closes it.
#[test]
fn a_push_races_with_a_last_look() {
    model(4, || Pool::run(1, asymmetric, nothing, park_and_work, push_one));
}

/// The gate is closed already; a worker that parks closes it again while the owner opens it.
#[test]
fn an_owner_opens_a_gate_that_is_being_closed() {
    let ask = |joins: &Joins| joins.ring().ask();
    model(2, move || Pool::run(1, asymmetric, ask, park_and_work, join_then_push));
}

/// Opens the gate, which an earlier demand had closed.
fn open_the_gate(joins: &Joins) {
    joins.ring().ask();
    assert_eq!(joins.push(token(1)).1, Push::Published);
    assert_eq!(joins.ring().steal(1, &mut Vec::new()), 1);
}

/// A searcher has found a job that ends only when somebody else has run the next one, which the
/// owner, who is awake, leaves private behind an open gate. The other searcher asked before the
/// gate was opened; it may have parked, and counted on the first.
#[test]
fn the_last_searcher_wakes_another_for_what_is_private() {
    fn worker(pool: &Pool, me: usize) {
        if me == 1 {
            return park_and_work(pool, me);
        }
        pool.sleep.start_search();
        pool.sleep.found(|| pool.leave()); // the first job
        pool.wait_for(2);
        pool.finish(1);
    }
    model(3, || {
        Pool::run(2, asymmetric, open_the_gate, worker, |pool, joins| {
            let _open = pool.push(joins, 2);
            [1, 2].into_iter().for_each(|job| pool.wait_for(job));
        });
    });
}

/// The owner is woken for itself while the last searcher finds something, and takes it for parked.
/// Nobody is woken for what the owner pushes then, so it must meet a closed gate.
#[test]
fn an_owner_that_wakes_for_itself_meets_a_closed_gate() {
    fn worker(pool: &Pool, me: usize) {
        if me == 1 {
            return park_and_work(pool, me);
        }
        pool.sleep.start_search();
        pool.is_called.store(true, Relaxed);
        pool.slots[pool.owner()].wake();
        pool.sleep.found(|| pool.leave());
    }
    model(2, || {
        Pool::run(2, asymmetric, open_the_gate, worker, |pool, joins| {
            pool.sleep.start_search();
            let look = |is_last| pool.is_called.load(Relaxed) || is_last && pool.last_look();
            let awake = pool.sleep.park(pool.owner(), look);
            if awake != Awake::ForItself {
                pool.sleep.found(|| pool.leave());
            }
            let _open = pool.push(joins, 2);
            pool.wait_for(2);
        });
    });
}

/// The last searcher counts on its own gate as well.
#[test]
fn a_finder_meets_its_own_closed_gate() {
    model(3, || {
        Pool::run(1, asymmetric, open_the_gate, park_and_work, |pool, joins| {
            pool.sleep.start_search();
            pool.sleep.found(|| pool.leave());
            let _open = pool.push(joins, 2);
            pool.wait_for(2);
        });
    });
}
