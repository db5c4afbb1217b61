//! What workers share, what each owns, and the order in which a worker takes its jobs.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::barrier::Barrier;
use crate::injector::{Hands, Injector};
use crate::job::Job;
use crate::observer::{Observed, Observer};
use crate::primitive::{AtomicBool, Backoff, Mutex, Ordering, spin_loop};
use crate::ring::{BATCH_MAX, Joins, Place, Push, Ring, Spawns, TakeBack, ThiefId, last_look};
use crate::sleep::{Awake, ParkSlot, Sleep};
use crate::stats::WorkerStats;
use crate::victims::{VictimError, check_victims};

/// Every this many picks, sources that the usual order could starve come first. Prime, so that it
/// does not beat with a program's own periods; 61 is also Go's and tokio's.
const FAIRNESS_PERIOD: u32 = 61;

/// Rounds of looking around before a worker parks; a round doubles its pause up to `PAUSES_MAX`.
const SEARCH_ROUNDS: u32 = 16;
const PAUSES_MAX: u32 = 64;

/// Room that each ring begins with. Few programs nest more joins, or spawn more before the jobs
/// run.
const RING_CAPACITY: usize = if cfg!(loom) { 8 } else { 256 };

/// What all workers of one pool share.
pub struct Scheduler {
    injector: Injector,
    /// Each worker's queues, as the others see them.
    rings: Box<[Rings]>,
    stats: Box<[CachePadded<WorkerStats>]>,
    sleep: Sleep,
    /// Held by a worker that goes through all queues; see [`WorkerQueues::take_anywhere`].
    sweep: Mutex<()>,
    /// Set meanwhile: nobody moves jobs from queue to queue.
    is_swept: AtomicBool,
    barrier: Barrier,
    /// False when there are more workers than CPUs: then spinning only takes time from the others.
    spins: bool,
}

/// One worker's queues, as the others see them.
struct Rings {
    joins: Arc<Ring>,
    spawns: Arc<Ring>,
    /// The worker has jobs in its hands that it moves to its own queue.
    is_moving: CachePadded<AtomicBool>,
}

impl Rings {
    /// Both rings; joins first, as a suspended fiber waits for each of them.
    fn both(&self) -> [&Ring; 2] {
        [&self.joins, &self.spawns]
    }
}

impl Scheduler {
    /// Creates the scheduler of `slots.len()` workers, and each worker's own part.
    ///
    /// `victims[i]` is the order in which worker `i` looks at the others when it steals. `spins`
    /// allows an idle worker a short spin (some microseconds) before it parks. `barrier` is chosen
    /// before the workers' threads start.
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
        barrier: Barrier,
    ) -> Result<(Arc<Scheduler>, Vec<WorkerQueues>), VictimError> {
        assert_eq!(slots.len(), victims.len(), "one park slot and one victim order a worker");
        check_victims(&victims)?;
        let new_rings =
            || (Joins::new(RING_CAPACITY, barrier), Spawns::new(RING_CAPACITY, barrier));
        let owned: Vec<(Joins, Spawns)> = slots.iter().map(|_| new_rings()).collect();
        let as_others_see = |(joins, spawns): &(Joins, Spawns)| Rings {
            joins: Arc::clone(joins.ring()),
            spawns: Arc::clone(spawns.ring()),
            is_moving: CachePadded::default(),
        };
        let scheduler = Arc::new(Scheduler {
            injector: Injector::new(),
            rings: owned.iter().map(as_others_see).collect(),
            stats: slots.iter().map(|_| CachePadded::default()).collect(),
            sleep: Sleep::new(slots),
            sweep: Mutex::new(()),
            is_swept: AtomicBool::new(false),
            barrier,
            spins,
        });
        let workers = owned.into_iter().zip(victims).enumerate();
        let queues = workers.map(|(index, ((joins, spawns), victims))| WorkerQueues {
            joins,
            spawns,
            index,
            // SAFETY: no other worker of these rings has this index.
            thief: unsafe { ThiefId::new(index as u32) },
            loot: RefCell::new(Vec::with_capacity(BATCH_MAX)),
            hands: Hands::new(),
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

    /// Every worker's rings.
    fn all_rings(&self) -> impl Iterator<Item = &Ring> + Clone {
        self.rings.iter().flat_map(Rings::both)
    }

    /// The last parker's look at everything that anybody could run.
    fn has_jobs_for_sure(&self) -> bool {
        last_look(self.all_rings()) || !self.injector.is_empty()
    }

    /// What the last searcher leaves behind when it has found something: closed gates. Tells
    /// whether there are more jobs, as far as it can see.
    fn leave(&self) -> bool {
        self.all_rings().for_each(Ring::ask);
        self.all_rings().any(Ring::has_jobs) || !self.injector.is_empty()
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
    /// The deadline has come; see [`WorkerQueues::find_until`].
    InTime,
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
    joins: Joins,
    spawns: Spawns,
    index: usize,
    thief: ThiefId,
    /// Where queues put what is taken from them; empty between calls.
    loot: RefCell<Vec<Job>>,
    hands: Hands,
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
    #[inline(always)]
    pub fn push_join(&self, job: Job) -> Place {
        let (place, push) = self.joins.push(job);
        self.tell_of(push);
        place
    }

    /// Takes a join's job back.
    ///
    /// # Safety
    ///
    /// The place comes from [`WorkerQueues::push_join`] on this worker.
    #[inline(always)]
    pub unsafe fn take_back(&self, place: Place) -> TakeBack {
        // SAFETY: the caller vouches.
        unsafe { self.joins.take_back(place) }
    }

    /// Makes the jobs of all open joins public. Call it before another fiber of this worker runs:
    /// they belong to the fiber that runs now, and nobody else would take them.
    #[inline]
    pub fn hand_over_joins(&self) {
        self.tell_of(self.joins.hand_over());
    }

    /// Makes all jobs public. Call it before the worker blocks for something that is not a job.
    pub fn hand_over(&self) {
        self.hand_over_joins();
        self.tell_of(self.spawns.hand_over());
    }

    /// Pushes a job that owns its memory.
    #[inline]
    pub fn push_spawn(&self, job: Job) {
        self.tell_of(self.spawns.push(job));
    }

    /// Publishes jobs if another worker is hungry. Call it now and then while no job is pushed.
    #[inline]
    pub fn serve(&self) {
        self.tell_of(self.joins.serve());
        self.tell_of(self.spawns.serve());
    }

    /// Wakes somebody for jobs that became public.
    #[inline(always)]
    fn tell_of(&self, push: Push) {
        if push == Push::Published {
            self.notify();
        }
    }

    #[cold]
    #[inline(never)]
    fn notify(&self) {
        self.scheduler.sleep.notify_job();
    }

    /// Tells whether this worker's own queues are empty. Thieves may empty them at any time; nobody
    /// else fills them.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.joins.ring().has_jobs() && !self.spawns.ring().has_jobs()
    }

    /// Takes this worker's newest spawned job, if `wanted` holds for it.
    #[inline]
    #[must_use]
    pub fn take_newest_if(&self, wanted: impl FnOnce(NonNull<()>) -> bool) -> Option<Job> {
        // Taken first: a job that is still in the queue may be taken, run and freed by a thief.
        let newest = self.move_jobs(|| {
            let job = self.spawns.pop()?;
            if wanted(job.pointer()) {
                return Some(job);
            }
            self.push_spawn(job);
            None
        });
        newest.flatten()
    }

    /// Takes an unstarted spawned job for which `wanted` holds, wherever in the pool it lies.
    ///
    /// For whoever waits for that job and cannot leave the core to it. Looks at this worker's own
    /// queue first; else it goes through what the other queues hold when it comes to them, and
    /// leaves it with this worker. Sweeps take turns, so that no job is missed on its way through
    /// another sweep.
    #[cold]
    #[must_use]
    pub fn take_anywhere(&self, wanted: &dyn Fn(NonNull<()>) -> bool) -> Option<Job> {
        let _turn = self.scheduler.sweep.lock();
        let own = self.spawns.take_where(wanted);
        if own.is_some() {
            return own;
        }
        self.scheduler.sleep.start_search();
        self.scheduler.is_swept.store(true, Ordering::Relaxed);
        // S3. Pairs with the cheap side in `move_jobs`: either this sees a worker's flag, and waits
        // until its jobs are in a queue, or the worker sees that it must not move any.
        self.scheduler.barrier.heavy();
        for &victim in &self.victims {
            let backoff = Backoff::new();
            // ORDERING: Acquire, pairs with the Release in `move_jobs`.
            while self.scheduler.rings[victim].is_moving.load(Ordering::Acquire) {
                // PROGRESS: that worker pushes some jobs, and waits for nothing meanwhile.
                backoff.snooze();
            }
        }
        for &victim in &self.victims {
            self.take_all_spawns(victim);
        }
        for _ in 0..self.scheduler.injector.len() {
            self.scheduler.injector.take().into_iter().for_each(|job| self.push_spawn(job));
        }
        let found = self.spawns.take_where(wanted);
        // ORDERING: Release, so that it does not come before the sweep.
        self.scheduler.is_swept.store(false, Ordering::Release);
        self.end_search();
        found
    }

    /// Moves to this worker what `victim` has when this begins. The caller is a searcher.
    fn take_all_spawns(&self, victim: usize) {
        let ring = &*self.scheduler.rings[victim].spawns;
        let (mut loot, end, backoff) = (self.loot.borrow_mut(), ring.end(), Backoff::new());
        while ring.has_jobs_below(end) {
            if ring.steal(BATCH_MAX, &mut loot) + ring.force(&self.thief, BATCH_MAX, &mut loot) == 0
            {
                // PROGRESS: somebody else has the lock, which is held for some copied words; or the
                // victim has cancelled the forced take, to publish or to take jobs itself.
                backoff.snooze();
            }
            loot.drain(..).for_each(|job| self.push_spawn(job));
        }
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

    /// Counts one pick that nothing near was there for. True, every 61st time: the next pick is a
    /// fair one.
    #[inline]
    #[must_use]
    pub fn is_next_fair(&self) -> bool {
        let is_fair = self.is_fair_pick();
        if is_fair {
            self.picks.set(FAIRNESS_PERIOD - 1);
        }
        is_fair
    }

    /// Tells whether [`WorkerQueues::next_near`] may find a job.
    #[inline]
    #[must_use]
    pub fn has_near(&self) -> bool {
        !self.is_empty() || !self.scheduler.injector.is_empty()
    }

    /// Takes an own job, the newest first, or an injected one. None also when another worker may
    /// have one to steal, which comes before injected ones: that takes [`WorkerQueues::find`].
    #[inline]
    #[must_use]
    pub fn next(&self) -> Option<Job> {
        self.next_own().or_else(|| if self.can_steal() { None } else { self.next_injected() })
    }

    /// Takes an own job or an injected one, whatever others have.
    #[inline]
    #[must_use]
    pub fn next_near(&self) -> Option<Job> {
        self.next_own().or_else(|| self.next_injected())
    }

    /// Takes a job in the fair order: in turn, the injector, the oldest own job or the steal side
    /// comes first.
    #[cold]
    #[must_use]
    pub fn next_fair(&self) -> Option<Job> {
        let turn = self.fair_turn.get();
        let (first, next_turn) = match turn {
            FairTurn::Injector => (self.scheduler.injector.take(), FairTurn::OldestOwn),
            FairTurn::OldestOwn => {
                (self.next_handed_over().or_else(|| self.spawns.take_oldest()), FairTurn::Steal)
            }
            FairTurn::Steal => {
                self.scheduler.sleep.start_search();
                // By force only where there is nothing else to do: that interrupts others.
                let by_force = || if self.has_near() { None } else { self.take_by_force() };
                let stolen = self.steal().or_else(by_force);
                self.end_search();
                (stolen, FairTurn::Injector)
            }
        };
        self.fair_turn.set(next_turn);
        first.or_else(|| self.next())
    }

    #[inline]
    fn next_own(&self) -> Option<Job> {
        self.next_handed_over().or_else(|| self.spawns.pop())
    }

    /// Takes a job that a suspended fiber of this worker has left, as a thief would.
    #[inline]
    fn next_handed_over(&self) -> Option<Job> {
        let ring = self.joins.ring();
        if ring.has_public() { self.take_one(ring) } else { None }
    }

    /// Takes the job that was injected first, and with it some for later: whoever submits and who
    /// runs then meet at the queue less often.
    fn next_injected(&self) -> Option<Job> {
        let injector = &self.scheduler.injector;
        if injector.is_empty() {
            return None;
        }
        let first = self.move_jobs(|| {
            let mut loot = self.loot.borrow_mut();
            let first = injector.take_batch(&self.hands, BATCH_MAX, &mut loot);
            // The oldest comes out first, as the newest of the own ones does.
            loot.drain(..).rev().for_each(|job| self.push_spawn(job));
            first
        });
        first.unwrap_or_else(|| injector.take())
    }

    /// Tells whether another worker has public jobs, as far as this one can see.
    fn can_steal(&self) -> bool {
        let rings = self.victims.iter().flat_map(|&victim| self.scheduler.rings[victim].both());
        rings.into_iter().any(Ring::has_public)
    }

    /// Takes a public job; if nobody has any, asks for some. The caller is a searcher.
    fn steal(&self) -> Option<Job> {
        let stolen = self.first_of_victims(|rings| {
            self.take_one(&rings.joins).or_else(|| self.steal_spawns(&rings.spawns))
        });
        if stolen.is_none() {
            let rings = self.victims.iter().flat_map(|&victim| self.scheduler.rings[victim].both());
            rings.for_each(Ring::ask);
        }
        stolen
    }

    /// Takes half of the public jobs: the oldest to be run at once, the others for later.
    fn steal_spawns(&self, ring: &Ring) -> Option<Job> {
        if !ring.has_public() {
            return None;
        }
        let first = self.move_jobs(|| {
            let mut loot = self.loot.borrow_mut();
            ring.steal(BATCH_MAX, &mut loot);
            let mut jobs = loot.drain(..);
            let first = jobs.next();
            // Not through `push_spawn`: a searcher wakes nobody, and looks around when it ends.
            jobs.for_each(|job| _ = self.spawns.push(job));
            first
        });
        first.unwrap_or_else(|| self.take_one(ring))
    }

    /// Calls `f`, which may have jobs in its hands for a moment that are neither in a queue nor
    /// started. Not while somebody sweeps all queues, who would miss them.
    #[inline]
    fn move_jobs<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let is_moving = &self.scheduler.rings[self.index].is_moving;
        is_moving.store(true, Ordering::Relaxed);
        // M2. Pairs with the dear side in `take_anywhere`; the steps are in the crate's README.
        self.scheduler.barrier.light_or_fence();
        let is_swept = self.scheduler.is_swept.load(Ordering::Relaxed);
        let result = (!is_swept).then(f);
        // ORDERING: Release, pairs with the Acquire in `take_anywhere`: the jobs are in a queue.
        is_moving.store(false, Ordering::Release);
        result
    }

    /// Takes one private job of an owner that has not answered. The caller is a searcher.
    #[cold]
    fn take_by_force(&self) -> Option<Job> {
        self.first_of_victims(|rings| {
            rings.both().into_iter().find_map(|ring| {
                let mut loot = self.loot.borrow_mut();
                if ring.has_jobs() {
                    ring.force(&self.thief, 1, &mut loot);
                }
                loot.pop()
            })
        })
    }

    fn first_of_victims(&self, take: impl Fn(&Rings) -> Option<Job>) -> Option<Job> {
        for &victim in &self.victims {
            if let Some(job) = take(&self.scheduler.rings[victim]) {
                self.stats().add_steal();
                self.observer.tell(Observed::Steal { victim });
                return Some(job);
            }
        }
        None
    }

    /// Takes the oldest public job.
    fn take_one(&self, ring: &Ring) -> Option<Job> {
        let mut loot = self.loot.borrow_mut();
        ring.steal(1, &mut loot);
        loot.pop()
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
        self.find_until(None, interrupted)
    }

    /// As [`WorkerQueues::find`], and returns [`Find::InTime`] at the deadline, if there is one.
    ///
    /// # Blocking
    ///
    /// As [`WorkerQueues::find`], at most until about the deadline.
    pub fn find_until(&self, deadline: Option<Instant>, interrupted: impl Fn() -> bool) -> Find {
        let scheduler = &*self.scheduler;
        // PROGRESS: a join that a fiber of a job's own making has left open is private still; the
        // last look would see it, and the search would not.
        self.hand_over_joins();
        scheduler.sleep.start_search();
        loop {
            if let Some(found) = self.search(&interrupted) {
                self.end_search();
                return found;
            }
            self.stats().add_park();
            let look = |is_last| interrupted() || is_last && scheduler.has_jobs_for_sure();
            self.observer.tell(Observed::Park);
            let awake = scheduler.sleep.park_until(self.index, deadline, look);
            self.observer.tell(Observed::Unpark);
            match awake {
                Awake::Cancelled => {}
                Awake::InTime => return Find::InTime,
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
            let job = self.next_own().or_else(|| self.steal()).or_else(|| self.next_injected());
            if let Some(job) = job {
                return Some(Find::Job(job));
            }
            // What is for this worker alone is seen at once: nobody else looks there, so looking
            // costs nobody a miss.
            for _ in 0..PAUSES_MAX.min(1 << round) {
                spin_loop();
                if interrupted() {
                    return Some(Find::Interrupted);
                }
            }
        }
        self.take_by_force().map(Find::Job)
    }

    /// Ends a search that was not in vain, or that others go on with.
    fn end_search(&self) {
        self.scheduler.sleep.found(|| self.scheduler.leave());
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
