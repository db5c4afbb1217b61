//! Model checks of the sleep protocol and the inbox: each test is one claim of `sleep/README.md`.
//!
//! The queues under the workers are a plain count here: crossbeam's are not instrumented, and the
//! protocol asks nothing of them but that a push is visible to a look that a fence orders after it.

use std::ptr::NonNull;
use std::sync::Arc as StdArc;
use std::time::Instant;

use deque_scheduler::sleep::{Awake, GenericParker, ParkSlot, Sleep};
use deque_scheduler::{Batch, Inbox, Link, Linked};
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use loom::sync::atomic::{AtomicBool, AtomicUsize};
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::model;

/// A pool whose queue is a count of jobs.
struct Pool {
    sleep: Sleep,
    slots: Vec<StdArc<ParkSlot>>,
    jobs: AtomicUsize,
    ran: AtomicUsize,
    stop: AtomicBool,
    /// Raised after each job.
    progress: Notify,
}

impl Pool {
    fn new(workers: usize) -> Arc<Pool> {
        let slots: Vec<_> =
            (0..workers).map(|_| StdArc::new(ParkSlot::new(GenericParker::default()))).collect();
        Arc::new(Pool {
            sleep: Sleep::new(slots.clone()),
            slots,
            jobs: AtomicUsize::new(0),
            ran: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            progress: Notify::new(),
        })
    }

    fn push(&self) {
        self.jobs.fetch_add(1, Release);
        self.sleep.notify_job();
    }

    fn has_jobs(&self) -> bool {
        self.jobs.load(Relaxed) != 0
    }

    fn take(&self) -> bool {
        let mut jobs = self.jobs.load(Relaxed);
        while jobs != 0 {
            match self.jobs.compare_exchange(jobs, jobs - 1, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(seen) => jobs = seen,
            }
        }
        false
    }

    /// A worker that runs jobs with `run` until the pool stops.
    fn work(&self, me: usize, run: impl Fn(&Pool)) {
        self.sleep.start_search();
        loop {
            if self.stop.load(Relaxed) {
                return self.sleep.found(|| self.has_jobs());
            }
            if self.take() {
                self.sleep.found(|| self.has_jobs());
                run(self);
                self.sleep.start_search();
                continue;
            }
            match self.sleep.park(me, |_| self.has_jobs() || self.stop.load(Relaxed)) {
                Awake::Cancelled | Awake::ForAJob => {}
                Awake::ForItself | Awake::InTime => self.sleep.start_search(),
            }
        }
    }

    fn finish_job(&self) {
        self.ran.fetch_add(1, AcqRel);
        self.progress.notify();
    }

    /// Blocks until `count` jobs have run: a job that is never run is a deadlock, which loom
    /// reports.
    fn wait_for(&self, count: usize) {
        while self.ran.load(Acquire) < count {
            self.progress.wait();
        }
    }

    fn stop(&self) {
        self.stop.store(true, Relaxed);
        self.sleep.wake_all();
    }
}

fn spawn_workers(
    pool: &Arc<Pool>,
    run: impl Fn(&Pool) + Copy + 'static,
) -> Vec<thread::JoinHandle<()>> {
    let spawn = |me| {
        let pool = Arc::clone(pool);
        thread::spawn(move || pool.work(me, run))
    };
    (0..pool.slots.len()).map(spawn).collect()
}

fn jobs_race(workers: usize, jobs: usize, preemptions: usize) {
    model(preemptions, move || {
        let pool = Pool::new(workers);
        let threads = spawn_workers(&pool, Pool::finish_job);
        (0..jobs).for_each(|_| pool.push());
        pool.wait_for(jobs);
        pool.stop();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn job_races_with_park() {
    jobs_race(1, 1, 4);
}

#[test]
fn two_jobs_race_with_one_searcher() {
    jobs_race(1, 2, 3);
}

#[test]
fn job_races_with_two_parkers() {
    jobs_race(2, 1, 2);
}

/// A searcher has taken a long job, and a pusher may still count on it.
#[test]
fn last_searcher_hands_on() {
    model(3, || {
        let pool = Pool::new(1);
        pool.sleep.start_search();
        let threads = spawn_workers(&pool, Pool::finish_job);
        let pusher = {
            let pool = pool.clone();
            thread::spawn(move || pool.push())
        };
        pool.sleep.found(|| pool.has_jobs());
        // The long job goes on until somebody else has run the pushed one.
        pool.wait_for(1);
        pool.stop();
        pusher.join().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// The last searcher is woken for itself when it has announced that it parks, and a pusher has
/// counted on it. Another worker must run the job, as this one has something to do.
#[test]
fn the_last_searcher_is_called_away() {
    model(3, || {
        let pool = Pool::new(2);
        let is_called = Arc::new(AtomicBool::new(false));
        let (here, call, there) = (pool.clone(), is_called.clone(), pool.clone());
        let called = thread::spawn(move || {
            let (pool, is_called) = (here, call);
            pool.sleep.start_search();
            let look = |is_last| is_called.load(Relaxed) || is_last && pool.has_jobs();
            match pool.sleep.park(0, look) {
                Awake::ForItself | Awake::InTime => {}
                Awake::Cancelled | Awake::ForAJob => pool.sleep.found(|| pool.has_jobs()),
            }
            pool.wait_for(1);
        });
        let other = thread::spawn(move || there.work(1, Pool::finish_job));
        pool.push();
        is_called.store(true, Relaxed);
        pool.slots[0].wake();
        called.join().unwrap();
        pool.stop();
        other.join().unwrap();
    });
}

/// A worker wakes for itself while the last searcher finds something, and may take it for parked.
/// Then nobody is woken for what the worker pushes, so it must see that its gate is closed. The
/// model's gate is a plain flag: a ring's push has a barrier, which is a fence to loom.
#[test]
fn a_worker_that_wakes_for_itself_sees_its_gate_closed() {
    const SLEEPER: usize = 0;
    const WORKER: usize = 1;
    const FINDER: usize = 2;
    model(3, || {
        let pool = Pool::new(FINDER + 1);
        let [is_called, is_closed] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        pool.sleep.start_search();
        let sleeper = {
            let pool = pool.clone();
            thread::spawn(move || {
                let mut has_looked = false;
                pool.sleep.start_search();
                let awake = pool.sleep.park(SLEEPER, |is_last| {
                    has_looked = is_last;
                    pool.stop.load(Relaxed)
                });
                if awake != Awake::ForItself {
                    pool.sleep.found(|| false);
                }
                has_looked || awake == Awake::ForAJob
            })
        };
        let worker = {
            let (pool, is_called, is_closed) = (pool.clone(), is_called.clone(), is_closed.clone());
            thread::spawn(move || {
                let close = || is_closed.store(true, Relaxed);
                pool.sleep.start_search();
                let awake = pool.sleep.park(WORKER, |is_last| {
                    if is_last {
                        close();
                    }
                    is_called.load(Relaxed)
                });
                if awake != Awake::ForItself {
                    pool.sleep.found(|| {
                        close();
                        false
                    });
                }
                is_closed.load(Relaxed)
            })
        };
        is_called.store(true, Relaxed);
        pool.slots[WORKER].wake();
        pool.sleep.found(|| {
            is_closed.store(true, Relaxed);
            false
        });
        let is_seen = worker.join().unwrap();
        pool.stop();
        let has_looked = sleeper.join().unwrap();
        assert!(is_seen || has_looked, "what the worker pushes now, nobody sees");
    });
}

struct Node {
    link: Link<Node>,
    value: usize,
}

// SAFETY: `link` is a plain field.
unsafe impl Linked for Node {
    fn link(&self) -> &Link<Node> {
        &self.link
    }
}

// SAFETY: nodes pass from pusher to owner; loom checks the links.
unsafe impl Send for Node {}

fn node(value: usize) -> NonNull<Node> {
    NonNull::from(Box::leak(Box::new(Node { link: Link::new(), value })))
}

/// Empties the inbox and returns the values, in order.
fn take_values(inbox: &Inbox<Node>) -> Vec<usize> {
    let mut chain = inbox.take();
    let nodes = std::iter::from_fn(|| chain.pop_front());
    let nodes = nodes.map(|node| {
        // SAFETY: made by `node`; the owner took it, once.
        unsafe { Box::from_raw(node.as_ptr()) }
    });
    nodes.map(|node| node.value).collect()
}

#[test]
fn inbox_races_with_park() {
    model(4, || {
        let pool = Pool::new(1);
        let inbox = Arc::new(Inbox::new());
        let worker = {
            let (pool, inbox) = (pool.clone(), inbox.clone());
            thread::spawn(move || {
                let mut received = Vec::new();
                while received.len() < 2 {
                    pool.sleep.start_search();
                    if inbox.is_empty() {
                        match pool.sleep.park(0, |_| !inbox.is_empty()) {
                            Awake::ForItself | Awake::InTime => {}
                            Awake::Cancelled | Awake::ForAJob => pool.sleep.found(|| false),
                        }
                    } else {
                        pool.sleep.found(|| false);
                    }
                    received.extend(take_values(&inbox));
                }
                received
            })
        };
        for value in [1, 2] {
            // SAFETY: fresh nodes.
            inbox.push(unsafe { Batch::of(node(value)) });
            pool.slots[0].wake();
        }
        assert_eq!(worker.join().unwrap(), [1, 2]);
    });
}

/// One wake is spent on the inbox, the other on the job: the worker must see both.
#[test]
fn inbox_and_job_race_for_one_sleeper() {
    model(3, || {
        let pool = Pool::new(1);
        let inbox = Arc::new(Inbox::new());
        let worker = {
            let (pool, inbox) = (pool.clone(), inbox.clone());
            thread::spawn(move || {
                let (mut received, mut ran) = (0, 0);
                pool.sleep.start_search();
                while (received, ran) != (1, 1) {
                    if !inbox.is_empty() {
                        received += take_values(&inbox).len();
                    } else if pool.take() {
                        ran += 1;
                    } else {
                        match pool.sleep.park(0, |_| !inbox.is_empty() || pool.has_jobs()) {
                            Awake::Cancelled | Awake::ForAJob => {}
                            Awake::ForItself | Awake::InTime => pool.sleep.start_search(),
                        }
                    }
                }
                pool.sleep.found(|| false);
            })
        };
        let pusher = {
            let pool = pool.clone();
            thread::spawn(move || pool.push())
        };
        // SAFETY: a fresh node.
        inbox.push(unsafe { Batch::of(node(1)) });
        pool.slots[0].wake();
        pusher.join().unwrap();
        worker.join().unwrap();
    });
}

/// A deadline that has come, also while the worker is being woken. There is no time in a model:
/// the order in which loom runs the threads tells when a deadline comes.
fn now() -> Option<Instant> {
    Some(Instant::now())
}

/// A worker that is being woken for a job when its deadline comes is counted as a searcher once.
/// Were it twice, the second job would find a searcher that there is not.
#[test]
fn a_deadline_races_with_jobs() {
    model(3, || {
        let pool = Pool::new(1);
        let worker = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.sleep.start_search();
                match pool.sleep.park_until(0, now(), |_| pool.has_jobs()) {
                    Awake::Cancelled | Awake::ForAJob => pool.sleep.found(|| pool.has_jobs()),
                    Awake::ForItself | Awake::InTime => {}
                }
                pool.work(0, Pool::finish_job);
            })
        };
        pool.push();
        pool.wait_for(1);
        pool.push();
        pool.wait_for(2);
        pool.stop();
        worker.join().unwrap();
    });
}

#[test]
fn a_deadline_races_with_the_inbox() {
    model(4, || {
        let pool = Pool::new(1);
        let inbox = Arc::new(Inbox::new());
        let worker = {
            let (pool, inbox) = (pool.clone(), inbox.clone());
            thread::spawn(move || {
                let mut deadline = now();
                let mut received = Vec::new();
                while received.len() < 2 {
                    pool.sleep.start_search();
                    match pool.sleep.park_until(0, deadline.take(), |_| !inbox.is_empty()) {
                        Awake::ForItself | Awake::InTime => {}
                        Awake::Cancelled | Awake::ForAJob => pool.sleep.found(|| false),
                    }
                    received.extend(take_values(&inbox));
                }
                received
            })
        };
        for value in [1, 2] {
            // SAFETY: fresh nodes.
            inbox.push(unsafe { Batch::of(node(value)) });
            pool.slots[0].wake();
        }
        assert_eq!(worker.join().unwrap(), [1, 2]);
    });
}

/// A worker whose deadline comes has something of its own to do, perhaps for long.
#[test]
fn a_job_goes_past_a_worker_whose_deadline_comes() {
    model(3, || {
        let pool = Pool::new(2);
        let busy = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.sleep.start_search();
                match pool.sleep.park_until(0, now(), |_| pool.has_jobs()) {
                    Awake::Cancelled | Awake::ForAJob => {
                        if pool.take() {
                            pool.finish_job();
                        }
                        pool.sleep.found(|| pool.has_jobs());
                    }
                    Awake::ForItself | Awake::InTime => {}
                }
                pool.wait_for(1);
            })
        };
        let other = {
            let pool = pool.clone();
            thread::spawn(move || pool.work(1, Pool::finish_job))
        };
        pool.push();
        busy.join().unwrap();
        pool.stop();
        other.join().unwrap();
    });
}

#[test]
fn inbox_passes_nodes_in_order() {
    model(4, || {
        let inbox = Arc::new(Inbox::new());
        let pushers: Vec<_> = [[1, 2], [3, 4]]
            .into_iter()
            .map(|values| {
                let inbox = inbox.clone();
                thread::spawn(move || {
                    let mut batch = Batch::new();
                    for value in values {
                        // SAFETY: a fresh node.
                        unsafe { batch.add(node(value)) };
                    }
                    inbox.push(batch);
                })
            })
            .collect();
        // Not by joining the pushers: that alone would pass their nodes on.
        let mut received = Vec::new();
        while received.len() < 4 {
            received.extend(take_values(&inbox));
            thread::yield_now();
        }
        pushers.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(received == [1, 2, 3, 4] || received == [3, 4, 1, 2], "{received:?}");
    });
}
