//! What workers share, what each owns, and the order in which a worker takes its jobs.

use std::cell::Cell;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::injector::Injector;
use crate::job::Job;
use crate::observer::{Observed, Observer};
use crate::shared_deque::{OwnDeques, Stealers, TakeBack};
use crate::sleep::{Awake, ParkSlot, Sleep};
use crate::stats::WorkerStats;
use crate::victims::{VictimError, check_victims};

/// Every this many picks, sources that the usual order could starve come first. Prime, so that it
/// does not beat with a program's own periods; 61 is also Go's and tokio's.
const FAIRNESS_PERIOD: u32 = 61;

/// Rounds of looking around before a worker parks; a round doubles its pause up to `PAUSES_MAX`.
const SEARCH_ROUNDS: u32 = 16;
const PAUSES_MAX: u32 = 64;

/// What all workers of one pool share.
pub struct Scheduler {
    injector: Injector,
    stealers: Box<[CachePadded<Stealers>]>,
    stats: Box<[CachePadded<WorkerStats>]>,
    sleep: Sleep,
    /// Held by a worker that goes through all queues; see [`WorkerQueues::take_anywhere`].
    sweep: Mutex<()>,
    /// False when there are more workers than CPUs: then spinning only takes time from the others.
    spins: bool,
}

impl Scheduler {
    /// Creates the scheduler of `slots.len()` workers, and each worker's own part.
    ///
    /// `victims[i]` is the order in which worker `i` looks at the others when it steals. `spins`
    /// allows an idle worker a short spin (some microseconds) before it parks.
    ///
    /// # Errors
    ///
    /// When the victim orders are not permutations; see [`check_victims`].
    ///
    /// # Panics
    ///
    /// Panics if `slots` and `victims` differ in length.
    pub fn new(
        slots: Vec<Arc<ParkSlot>>,
        victims: Vec<Vec<usize>>,
        spins: bool,
    ) -> Result<(Arc<Scheduler>, Vec<WorkerQueues>), VictimError> {
        assert_eq!(slots.len(), victims.len(), "one park slot and one victim order a worker");
        check_victims(&victims)?;
        let deques: Vec<OwnDeques> = slots.iter().map(|_| OwnDeques::new()).collect();
        let scheduler = Arc::new(Scheduler {
            injector: Injector::new(),
            stealers: deques.iter().map(|own| CachePadded::new(own.stealers())).collect(),
            stats: slots.iter().map(|_| CachePadded::default()).collect(),
            sleep: Sleep::new(slots),
            sweep: Mutex::new(()),
            spins,
        });
        let workers = deques.into_iter().zip(victims).enumerate();
        let queues = workers.map(|(index, (own, victims))| WorkerQueues {
            own,
            index,
            victims: victims.into(),
            picks: Cell::new(0),
            fair_turn: Cell::new(FairTurn::Injector),
            observer: Observer::default(),
            scheduler: Arc::clone(&scheduler),
        });
        let queues = queues.collect();
        Ok((scheduler, queues))
    }

    /// Submits a job from outside the pool, and wakes a worker for it.
    ///
    /// # Blocking
    ///
    /// Never blocks. Allocates a block of memory for about every 60th job.
    pub fn inject(&self, job: Job) {
        self.injector.push(job);
        self.sleep.notify_job();
    }

    /// Tells whether a job was waiting in any queue at some moment during the call.
    #[must_use]
    pub fn has_jobs(&self) -> bool {
        !self.injector.is_empty() || self.stealers.iter().any(|stealers| !stealers.is_empty())
    }

    /// Returns where the workers sleep.
    #[must_use]
    pub fn sleep(&self) -> &Sleep {
        &self.sleep
    }

    /// Returns a worker's counts.
    #[must_use]
    pub fn stats(&self, worker: usize) -> &WorkerStats {
        &self.stats[worker]
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("sleep", &self.sleep).finish_non_exhaustive()
    }
}

/// What [`WorkerQueues::find`] came back with.
#[must_use = "a job that is not run is lost"]
#[derive(Debug)]
pub enum Find {
    /// A job to run.
    Job(Job),
    /// The caller's condition held.
    Interrupted,
}

/// The source that comes first at the next fair pick.
#[derive(Clone, Copy)]
enum FairTurn {
    Injector,
    OldestOwn,
    Steal,
}

/// One worker's own part. Stays on that worker's thread while the worker runs.
pub struct WorkerQueues {
    own: OwnDeques,
    index: usize,
    victims: Box<[usize]>,
    picks: Cell<u32>,
    fair_turn: Cell<FairTurn>,
    observer: Observer,
    scheduler: Arc<Scheduler>,
}

impl WorkerQueues {
    /// Returns this worker's index.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns what the workers share.
    #[must_use]
    pub fn scheduler(&self) -> &Arc<Scheduler> {
        &self.scheduler
    }

    /// Sets what is told of this worker's steals and sleeps. It is called on the worker's thread,
    /// between its jobs, and must be quick. Needs the feature `observe`.
    #[cfg(feature = "observe")]
    pub fn set_observer(&mut self, observer: impl Fn(Observed) + Send + 'static) {
        self.observer = Observer::new(observer);
    }

    /// Pushes the second half of a `join`: a job whose memory the caller keeps until the job has
    /// run or [`WorkerQueues::take_back`] has returned it.
    #[inline]
    pub fn push_join(&self, job: Job) {
        self.own.push_join(job);
        self.scheduler.sleep.notify_job();
    }

    /// Takes back the join made from `job`. True: it is the caller's, and has not run.
    ///
    /// A buried job is found in time linear in the jobs above it, which belong to other fibers of
    /// this worker that suspended inside their own joins.
    #[inline]
    #[must_use]
    pub fn take_back(&self, job: NonNull<()>) -> bool {
        match self.own.take_back(job) {
            TakeBack::Top => true,
            TakeBack::Taken if self.own.is_empty() => false,
            // Others' jobs were out of sight for a moment; a thief may have parked over that.
            outcome => {
                self.scheduler.sleep.notify_job();
                outcome == TakeBack::Buried
            }
        }
    }

    /// Pushes a job that owns its memory.
    #[inline]
    pub fn push_spawn(&self, job: Job) {
        self.own.push_spawn(job);
        self.scheduler.sleep.notify_job();
    }

    /// Tells whether this worker's own queues are empty. Thieves may empty them at any time; nobody
    /// else fills them.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// Takes an unstarted spawned job for which `wanted` holds, wherever in the pool it lies.
    ///
    /// For whoever waits for that job and cannot leave the core to it. Looks at this worker's own
    /// queue first; else it goes through every queue, and leaves what it finds there with this
    /// worker. Sweeps take turns, so that no job is missed on its way through another sweep.
    #[cold]
    #[must_use]
    pub fn take_anywhere(&self, wanted: &dyn Fn(NonNull<()>) -> bool) -> Option<Job> {
        let _turn = self.scheduler.sweep.lock();
        let mut found = self.own.take_spawn_where(wanted);
        if found.is_none() {
            for &victim in &self.victims {
                let stealers = &self.scheduler.stealers[victim];
                std::iter::from_fn(|| stealers.steal_spawn())
                    .for_each(|job| self.own.push_spawn(job));
            }
            let injected = std::iter::from_fn(|| self.scheduler.injector.take());
            injected.for_each(|job| self.own.push_spawn(job));
            found = self.own.take_spawn_where(wanted);
        }
        // The jobs of others were out of sight for a moment; a thief may have parked over that.
        self.scheduler.sleep.notify_job();
        found
    }

    /// Counts one pick of anything. True, every 61st time: sources that the usual order could
    /// starve come first, so ask [`WorkerQueues::next_fair`] before anything else.
    #[inline]
    #[must_use]
    pub fn is_fair_pick(&self) -> bool {
        let picks = self.picks.get() + 1;
        let is_fair = picks == FAIRNESS_PERIOD;
        self.picks.set(if is_fair { 0 } else { picks });
        is_fair
    }

    /// Takes a job in the usual order: own newest, stealing, injector.
    #[inline]
    #[must_use]
    pub fn next(&self) -> Option<Job> {
        self.own.pop().or_else(|| self.next_from_others())
    }

    /// Takes an own job or an injected one; does not steal.
    #[inline]
    #[must_use]
    pub fn next_near(&self) -> Option<Job> {
        self.own.pop().or_else(|| self.scheduler.injector.take())
    }

    /// Takes a job in the fair order: in turn, the injector, the oldest own job or the steal side
    /// comes first.
    #[cold]
    #[must_use]
    pub fn next_fair(&self) -> Option<Job> {
        let turn = self.fair_turn.get();
        let (first, next_turn) = match turn {
            FairTurn::Injector => (self.scheduler.injector.take(), FairTurn::OldestOwn),
            FairTurn::OldestOwn => (self.own_stealers().steal(), FairTurn::Steal),
            FairTurn::Steal => (self.steal(), FairTurn::Injector),
        };
        self.fair_turn.set(next_turn);
        first.or_else(|| self.next())
    }

    /// Takes a job from the injector or from another worker.
    #[cold]
    fn next_from_others(&self) -> Option<Job> {
        self.steal().or_else(|| self.scheduler.injector.take())
    }

    fn steal(&self) -> Option<Job> {
        let mut victims = self.victims.iter();
        let job = victims.find_map(|&victim| {
            let job = self.scheduler.stealers[victim].steal();
            job.inspect(|_| self.observer.tell(Observed::Steal { victim }))
        });
        if job.is_some() {
            self.stats().add_steal();
        }
        job
    }

    /// Looks for a job until there is one or `interrupted` holds; sleeps when there is neither.
    ///
    /// `interrupted` must cover everything that [`ParkSlot::wake`] is called for; it is asked
    /// often, and once more after the worker has announced that it sleeps.
    ///
    /// # Blocking
    ///
    /// Parks the OS thread while there is nothing to do.
    pub fn find(&self, interrupted: impl Fn() -> bool) -> Find {
        let scheduler = &*self.scheduler;
        scheduler.sleep.start_search();
        loop {
            if let Some(found) = self.search(&interrupted) {
                scheduler.sleep.found(|| scheduler.has_jobs());
                return found;
            }
            self.stats().add_park();
            let look = |_| interrupted() || scheduler.has_jobs();
            self.observer.tell(Observed::Park);
            let awake = scheduler.sleep.park(self.index, look);
            self.observer.tell(Observed::Unpark);
            match awake {
                Awake::Cancelled => {}
                Awake::ForAJob => self.stats().add_wake(),
                Awake::ForItself => {
                    self.stats().add_wake();
                    if interrupted() {
                        return Find::Interrupted;
                    }
                    scheduler.sleep.start_search();
                }
            }
        }
    }

    /// Looks everywhere, for a short while.
    fn search(&self, interrupted: &impl Fn() -> bool) -> Option<Find> {
        let rounds = if self.scheduler.spins { SEARCH_ROUNDS } else { 1 };
        for round in 0..rounds {
            if interrupted() {
                return Some(Find::Interrupted);
            }
            if let Some(job) = self.next() {
                return Some(Find::Job(job));
            }
            for _ in 0..PAUSES_MAX.min(1 << round) {
                std::hint::spin_loop();
            }
        }
        None
    }

    fn own_stealers(&self) -> &Stealers {
        &self.scheduler.stealers[self.index]
    }

    fn stats(&self) -> &WorkerStats {
        &self.scheduler.stats[self.index]
    }
}

impl fmt::Debug for WorkerQueues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerQueues").field("index", &self.index).finish_non_exhaustive()
    }
}
