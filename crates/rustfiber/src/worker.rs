//! A worker: an OS thread whose native stack is a switchboard between fibers.
//!
//! The scheduling loop runs *on a fiber* and calls jobs inline, so a job that never waits costs no
//! switch. When a job waits, its fiber (job, loop and all) suspends to the switchboard, which
//! resumes a ready fiber or another loop fiber. Fibers never leave their home worker.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use deque_scheduler::{Chain, Find, Job, WorkerQueues};
use fiber_stack::{Fiber, Resumed, StackCache, StackError, Suspender};
use fiber_sync::blocker;
use intrusive_waitlist::Registration;

use crate::block::BlockList;
use crate::blocker::Fibers;
use crate::clock::{now_ns, ticks};
use crate::error::FiberLimit;
use crate::home::{FiberRecord, Home, StartedJob};
use crate::job::JobHeader;
use crate::latch::{Awaited, Completion, Wait};
use crate::prefetch;
use crate::runtime::Shared;
use crate::stats::{Counts, add_one, raise};
use crate::timers::Timers;
use crate::trace::Recorder;

/// Loop fibers that stay suspended for the next job, at most.
const IDLE_FIBERS_MAX: usize = 2;

/// What the switchboard tells a fiber that it resumes.
pub(crate) enum Order {
    /// A loop fiber: run this job, then go on looking.
    Run(Job),
    /// What the fiber waited for has happened.
    GoOn,
    /// An idle loop fiber: return.
    Exit,
}

/// Why a fiber came back to the switchboard.
pub(crate) enum Why {
    /// It is registered with a waker, which will send it to the inbox.
    Waits,
    /// It lets others go first.
    Yields,
    /// It has run for long while woken fibers wait for the worker.
    GivesWay,
    /// Its loop has nothing to run.
    Idle,
}

/// How long a job that comes to scheduling points may keep woken fibers waiting.
const PATIENCE_NS: u64 = 100_000;

/// Jobs that a wait runs itself before it suspends, so that nothing else starves.
const INLINE_JOBS_MAX: usize = 64;

/// So many jobs that waits run count as one pick of the loop's.
const AWAITED_JOBS_PER_PICK: u32 = 16;

/// The part of its stack that a fiber may have used that runs the jobs that it waits for.
const INLINE_STACK_PART: usize = 8;

/// One wake of so many is timed, where a worker's job wakes a fiber: reading the clock twice costs
/// as much as the rest of a wake on the same worker, and a sixth of one on another.
const WAKES_PER_STAMP: u32 = 8;

/// Scheduling points between two looks at the clock while fibers wait.
const POINTS_PER_LOOK: u32 = 16;

thread_local! {
    static CURRENT: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// One worker; lives on its thread's native stack.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// This worker's part of `shared`.
    counts: NonNull<Counts>,
    pub(crate) queues: WorkerQueues,
    home: &'static Home,
    ready: RefCell<Chain<FiberRecord>>,
    /// Set when `ready` or `timers` get something, and cleared when a scheduling point finds
    /// neither: what joins read.
    may_have_to_give_way: Cell<bool>,
    pub(crate) timers: Timers,
    idle: RefCell<Vec<&'static FiberRecord>>,
    free_records: RefCell<Chain<FiberRecord>>,
    stacks: RefCell<StackCache>,
    pub(crate) blocks: BlockList,
    /// The fiber that runs now; none while the switchboard, or a job on the native stack, runs.
    pub(crate) current: Cell<Option<&'static FiberRecord>>,
    /// When a scheduling point first saw that woken fibers wait, by [`now_ns`]; zero: none has.
    waiting_since: Cell<u64>,
    /// Scheduling points until the next look at the clock.
    points_left: Cell<u32>,
    /// Wakes by its jobs, of which some are timed.
    wakes: Cell<u32>,
    /// Jobs that waits have run.
    awaited_jobs: Cell<u32>,
    /// Depth of `without_suspending`. While it is above zero no other fiber of this worker runs.
    no_suspend_depth: Cell<u32>,
    /// Why there was no stack for the last job that runs without a fiber.
    refusal: RefCell<Option<Arc<StackError>>>,
    trace: Recorder,
}

impl Worker {
    /// Returns the worker of the calling thread.
    ///
    /// Fibers never change their thread, so the reference may be kept across a suspension; it must
    /// not outlive the job that asks.
    #[inline(always)]
    pub(crate) fn current<'job>() -> Option<&'job Worker> {
        let worker = CURRENT.get();
        // SAFETY: set by `run` for as long as the worker lives; all code that can ask while it is
        // set runs on this worker's thread, inside `run`.
        unsafe { worker.as_ref() }
    }

    /// Aborts if the worker has gone since the caller asked for it. That takes a frame that
    /// outlives its job: the frame of a coroutine that the job made and left to its thread's end.
    #[inline(always)]
    pub(crate) fn must_still_run(&self) {
        /// Seems to return; see `join_on`.
        #[cold]
        #[inline(never)]
        fn abort() {
            if black_box(true) {
                crate::panic::abort("a job was left half-way when its runtime ended, and went on");
            }
        }
        if !ptr::eq(CURRENT.get(), self) {
            abort();
        }
    }

    /// Submits a root job to this worker's own queue.
    #[inline(always)]
    pub(crate) fn submit(&self, job: Job) {
        self.counts().roots.add_submitted();
        self.queues.push_spawn(job);
    }

    /// Submits a job that has run before, and has been counted then.
    pub(crate) fn submit_again(&self, job: Job) {
        self.queues.push_spawn(job);
    }

    /// Counts a root job that has just ended here.
    #[inline(always)]
    pub(crate) fn count_finished(&self) {
        self.must_still_run();
        self.counts().roots.add_finished();
    }

    /// Works until the runtime ends.
    pub(crate) fn run(shared: Arc<Shared>, mut queues: WorkerQueues, home: &'static Home) {
        // SAFETY: this is the worker's thread, and `queues` stay in the worker, on its stack.
        let trace = unsafe { shared.tapes.recorder(&mut queues) };
        let worker = Worker {
            counts: NonNull::from(shared.counts(queues.index())),
            shared,
            queues,
            home,
            ready: RefCell::new(Chain::new()),
            may_have_to_give_way: Cell::new(false),
            timers: Timers::new(),
            idle: RefCell::new(Vec::with_capacity(IDLE_FIBERS_MAX)),
            free_records: RefCell::new(home.free_records()),
            stacks: RefCell::new(StackCache::new()),
            blocks: BlockList::new(),
            current: Cell::new(None),
            waiting_since: Cell::new(0),
            points_left: Cell::new(0),
            wakes: Cell::new(0),
            awaited_jobs: Cell::new(0),
            no_suspend_depth: Cell::new(0),
            refusal: RefCell::new(None),
            trace,
        };
        CURRENT.set(&raw const worker);
        let blocker = blocker::install(&Fibers);
        worker.switchboard();
        drop(blocker);
        CURRENT.set(ptr::null());
        worker.shared.stacks.flush(&mut worker.stacks.borrow_mut());
    }

    #[inline(always)]
    fn counts(&self) -> &Counts {
        // SAFETY: a part of `shared`, which the worker keeps.
        unsafe { self.counts.as_ref() }
    }

    /// The native stack's loop.
    fn switchboard(&self) {
        let mut somebody_yielded = false;
        loop {
            somebody_yielded = match self.pick(somebody_yielded) {
                Some(Pick::Fiber(fiber)) => self.resume(fiber, Order::GoOn),
                // A job that went ahead of the ready fibers goes behind them if it yields itself.
                Some(Pick::Job(job)) => self.start(job) && !somebody_yielded,
                None => break,
            };
        }
        for fiber in self.idle.take() {
            self.resume(fiber, Order::Exit);
        }
        // Whoever wakes it later would wake it into another runtime.
        if self.counts().fibers_in_use() != 0 {
            let dump = self.shared.dump();
            crate::panic::abort(&format!(
                "a runtime ended while a job of its was half-way: one that a join or a scope left \
                 behind, in a coroutine that never came back to it\n{dump}"
            ));
        }
    }

    /// Chooses what to do next; nothing once the runtime has ended.
    fn pick(&self, somebody_yielded: bool) -> Option<Pick> {
        if somebody_yielded && let Some(job) = self.queues.next_near() {
            return Some(Pick::Job(job));
        }
        loop {
            if let Some(job) = self.fair_job() {
                return Some(Pick::Job(job));
            }
            if let Some(fiber) = self.next_ready() {
                return Some(Pick::Fiber(fiber));
            }
            if let Some(job) = self.queues.next() {
                return Some(Pick::Job(job));
            }
            self.poll_timers();
            if let Some(fiber) = self.next_ready() {
                return Some(Pick::Fiber(fiber));
            }
            match self.queues.find_until(self.timers.next(), || self.is_called()) {
                Find::Job(job) => return Some(Pick::Job(job)),
                Find::Interrupted if self.home.inbox.is_empty() => return None,
                Find::Interrupted => {}
                Find::InTime => self.poll_timers(),
            }
        }
    }

    /// Every 61st pick, a job from a source that the usual order could starve.
    fn fair_job(&self) -> Option<Job> {
        if self.queues.is_fair_pick() {
            self.poll_timers();
            self.queues.next_fair()
        } else {
            None
        }
    }

    /// Tells whether something waits for this worker alone: a woken fiber, or the end.
    fn is_called(&self) -> bool {
        !self.home.inbox.is_empty() || self.shared.has_ended()
    }

    /// Tells whether fibers of `home` run on this worker.
    pub(crate) fn is_at(&self, home: &Home) -> bool {
        ptr::eq(self.home, home)
    }

    /// Lets a fiber of this worker's go on when its turn comes. Whoever calls this runs on the
    /// worker, so there is nobody to wake.
    ///
    /// # Safety
    ///
    /// The fiber is suspended, or about to be, and in no queue.
    pub(crate) unsafe fn push_ready(&self, record: NonNull<FiberRecord>) {
        // SAFETY: the caller keeps the contract.
        unsafe { self.ready.borrow_mut().push_back(record) };
        self.may_have_to_give_way();
    }

    /// Has the next scheduling points look whether others wait for this worker.
    #[inline(always)]
    pub(crate) fn may_have_to_give_way(&self) {
        self.may_have_to_give_way.set(true);
    }

    /// Returns the time for a wake by this worker's jobs, or zero: not to be measured.
    #[inline]
    pub(crate) fn stamp_of_wake(&self) -> u64 {
        let wakes = self.wakes.get();
        self.wakes.set(wakes.wrapping_add(1));
        if wakes.is_multiple_of(WAKES_PER_STAMP) { ticks() } else { 0 }
    }

    fn next_ready(&self) -> Option<&'static FiberRecord> {
        self.waiting_since.set(0);
        self.points_left.set(0);
        let mut ready = self.ready.borrow_mut();
        ready.append(self.home.inbox.take());
        // SAFETY: records are never freed.
        let next = ready.pop_front().map(|record| unsafe { &*record.as_ptr() });
        // Of two or three fibers that take turns, the caches know everything.
        if let Some(after) = ready.first_of_several() {
            // SAFETY: as above.
            let after = unsafe { after.as_ref() };
            prefetch::stack(after.suspended_at.get(), after.suspender.get().cast());
        }
        next
    }

    /// Runs a job on a loop fiber; on the native stack when there is no stack for one.
    #[inline(never)] // the switchboard has one switch in line
    fn start(&self, job: Job) -> bool {
        match self.loop_fiber() {
            Some(fiber) => self.resume(fiber, Order::Run(job)),
            None => {
                self.run_job(job);
                false
            }
        }
    }

    /// Returns an idle loop fiber, or makes one.
    fn loop_fiber(&self) -> Option<&'static FiberRecord> {
        if let Some(fiber) = self.idle.borrow_mut().pop() {
            return Some(fiber);
        }
        let stack = match self.shared.stacks.take(&mut self.stacks.borrow_mut()) {
            Ok(stack) => stack,
            Err(refusal) => {
                self.refusal.replace(Some(Arc::new(refusal)));
                return None;
            }
        };
        let free = self.free_records.borrow_mut().pop_front();
        let record = match free {
            // SAFETY: records are never freed.
            Some(free) => unsafe { &*free.as_ptr() },
            None => self.home.new_record(),
        };
        let fiber = Fiber::new(stack, |suspender: &Suspender<Order, Why>, order| {
            loop_on_fiber(suspender, order);
        });
        let (stack, bytes) = (fiber.stack(), fiber.stack().size().bytes());
        record.stack_part.set(stack.lowest() + bytes - bytes / INLINE_STACK_PART);
        record.activity.set_stack(stack.lowest(), bytes);
        // SAFETY: the record is free, and this worker's.
        unsafe { *record.fiber.get() = Some(fiber) };
        self.counts().add_fiber();
        Some(record)
    }

    /// Switches to a fiber until it comes back. True: it yielded.
    #[inline(always)] // the switchboard, too, returns from no frame after a switch
    fn resume(&self, record: &'static FiberRecord, order: Order) -> bool {
        if matches!(order, Order::GoOn) {
            self.note_resumption(record);
        }
        record.activity.set_running();
        self.current.set(Some(record));
        // SAFETY: only this worker touches the cell, and never while the fiber runs.
        let fiber = unsafe { (*record.fiber.get()).as_mut() };
        let came_back = fiber.expect("a fiber that is resumed exists").resume(order);
        self.current.set(None);
        match came_back {
            Resumed::Suspended(Why::Waits) => {
                add_one(&self.counts().suspensions, Ordering::Relaxed)
            }
            Resumed::Suspended(Why::Idle) => {
                record.activity.set_idle();
                self.idle.borrow_mut().push(record);
            }
            Resumed::Suspended(why @ (Why::Yields | Why::GivesWay)) => {
                add_one(&self.counts().suspensions, Ordering::Relaxed);
                record.activity.set_ready();
                let mut ready = self.ready.borrow_mut();
                ready.append(self.home.inbox.take());
                // SAFETY: the fiber is suspended and in no queue.
                unsafe { ready.push_back(NonNull::from(record)) };
                self.may_have_to_give_way();
                return matches!(why, Why::Yields);
            }
            Resumed::Finished(Ok(())) => self.recycle(record),
            Resumed::Finished(Err(_)) => crate::panic::abort("a panic left a job's catch"),
        }
        false
    }

    /// Counts, and keeps the longest time that a woken fiber had to wait for its worker.
    fn note_resumption(&self, record: &FiberRecord) {
        let counts = self.counts();
        add_one(&counts.resumptions, Ordering::Relaxed);
        // ORDERING: Relaxed; the inbox published it. Zero: nobody asks how long it waited.
        let woken_at = record.woken_at.load(Ordering::Relaxed);
        if woken_at != 0 {
            record.woken_at.store(0, Ordering::Relaxed);
            raise(&counts.ready_delay_max, ticks().saturating_sub(woken_at));
        }
    }

    #[cold]
    fn recycle(&self, record: &'static FiberRecord) {
        // SAFETY: only this worker touches the cell; the fiber has finished.
        let fiber = unsafe { (*record.fiber.get()).take() };
        let stack = fiber.expect("a fiber that finished exists").into_stack();
        self.shared.stacks.give_back(&mut self.stacks.borrow_mut(), stack);
        record.activity.set_unused();
        add_one(&self.counts().fibers_ended, Ordering::Relaxed);
        // SAFETY: the record is in no queue.
        unsafe { self.free_records.borrow_mut().push_back(NonNull::from(record)) };
    }

    /// Runs a job from a queue on the present stack.
    fn run_job(&self, job: Job) {
        self.queues.serve();
        add_one(&self.counts().jobs, Ordering::Relaxed);
        let header = job.into_pointer().cast::<JobHeader>();
        // SAFETY: every token in these queues was made from a live job.
        let id = unsafe { JobHeader::id(header) };
        // SAFETY: as above.
        let site = unsafe { header.as_ref() }.site();
        let record = self.current.get();
        let started = StartedJob::new(id);
        // SAFETY: this is the home worker; taken out below, which no panic of the job's jumps over.
        record.inspect(|record| unsafe { record.link(&started) });
        let outer_site = record.and_then(|record| record.activity.replace_site(Some(site)));
        let run = self.trace.job_begins(site);
        // SAFETY: the token came out once.
        unsafe { JobHeader::run(header, self) };
        self.trace.job_ends(run);
        if let Some(record) = record {
            // SAFETY: put in above.
            unsafe { record.unlink(&started) };
            record.activity.replace_site(outer_site);
        }
    }

    /// Forgets the address of the running job, whose memory is gone: another may come to lie there.
    pub(crate) fn forget_job(&self, address: usize) {
        self.current.get().inspect(|record| record.forget_job(address));
    }

    pub(crate) fn index(&self) -> usize {
        self.queues.index()
    }

    /// Tells whether a thief that came to this worker would leave with nothing.
    pub(crate) fn has_nothing_to_steal(&self) -> bool {
        self.queues.is_empty()
    }

    /// Tells whether a wait may suspend: on a fiber, not while panicking (rule 1), not inside
    /// `without_suspending` (rule 11), and not inside a fiber that the job itself has made: only
    /// that one's maker can suspend it.
    #[inline(always)]
    pub(crate) fn can_suspend(&self) -> bool {
        let Some(record) = self.current.get() else { return false };
        self.no_suspend_depth.get() == 0
            && !thread::panicking()
            && suspender_of(record).is_running()
    }

    /// Tells whether the running job has no fiber, because no stack was to be had.
    fn is_out_of_fibers(&self) -> bool {
        self.current.get().is_none() && self.no_suspend_depth.get() == 0 && !thread::panicking()
    }

    /// Returns why the running job has no fiber; nothing if it has one.
    pub(crate) fn fiber_limit(&self) -> Option<FiberLimit> {
        let refusal = self.refusal.borrow().clone().filter(|_| self.is_out_of_fibers());
        refusal.map(|refusal| FiberLimit { refusal })
    }

    /// Waits until `completion` is done, as a fiber that can suspend. Runs awaited jobs first.
    #[inline(always)]
    pub(crate) fn run_or_suspend_until(&self, completion: &impl Completion, wait: &Wait) {
        if self.queues.is_empty() || !self.run_awaited(completion, wait) {
            self.suspend_until(completion, wait);
        }
    }

    /// As long as the newest jobs of this worker are what the running fiber waits for, runs them on
    /// its stack, which saves a switch to another fiber and back. True: nothing is left to wait
    /// for.
    #[inline(never)]
    fn run_awaited(&self, completion: &impl Completion, wait: &Wait) -> bool {
        let is_wanted = |job: NonNull<()>| {
            // SAFETY: every token in these queues was made from a live job.
            wait.is_for(&unsafe { JobHeader::id(job.cast()) })
        };
        for _ in 0..INLINE_JOBS_MAX {
            if !wait.is_for_jobs() || self.has_ready() || !self.has_room() {
                return false;
            }
            // Older jobs, and others', get their turn, if less often than between the loop's picks.
            let jobs = self.awaited_jobs.get().wrapping_add(1);
            self.awaited_jobs.set(jobs);
            if jobs.is_multiple_of(AWAITED_JOBS_PER_PICK) && self.queues.is_next_fair() {
                return false;
            }
            let Some(job) = self.queues.take_newest_if(is_wanted) else { return false };
            self.run_job(job);
            if completion.is_done() {
                return true;
            }
        }
        false
    }

    /// Tells whether the running fiber's stack is almost unused, so that a job may be run on it as
    /// on one of its own.
    fn has_room(&self) -> bool {
        let here = 0_u8;
        let part = self.current.get().map(|record| record.stack_part.get());
        part.is_some_and(|part| (&raw const here).addr() > part)
    }

    /// Suspends the running fiber until `completion` is done. It must be able to suspend.
    #[inline(always)]
    pub(crate) fn suspend_until(&self, completion: &impl Completion, wait: &Wait) {
        let record = self.current.get().expect("a fiber that suspends runs");
        record.activity.set_waiting(wait);
        // SAFETY: a fiber's waits come one after the other, and end as below: notified, or not
        // registered.
        let waiter = unsafe { record.new_waiter() };
        // SAFETY: the waiter stays where it is until it is notified, and this frame, which borrows
        // the completion, cannot unwind before.
        if unsafe { completion.register(waiter) } == Registration::AlreadyDone {
            record.activity.set_running();
            return;
        }
        self.suspend_registered(record, wait, || waiter.is_notified().then_some(()));
    }

    /// Suspends the running fiber, which has registered a waiter, until `outcome` is there.
    ///
    /// Rule 5: even if the waiter has been notified by now, its waker is about to put the fiber
    /// into the inbox, so the fiber must be suspended, or soon suspend, to be taken out of it.
    #[inline(always)]
    pub(crate) fn suspend_registered<R>(
        &self,
        record: &FiberRecord,
        wait: &Wait,
        outcome: impl Fn() -> Option<R>,
    ) -> R {
        loop {
            // PROGRESS: the claimant sends this fiber to its inbox once.
            let suspension = self.trace.suspends(Some(wait));
            self.queues.hand_over_joins();
            suspend(record, Why::Waits);
            self.trace.resumes(suspension);
            if let Some(outcome) = outcome() {
                return outcome;
            }
        }
    }

    /// A scheduling point of a job that may be long: lets woken fibers go first if they have waited
    /// for some time.
    #[inline(always)]
    pub(crate) fn give_way(&self) {
        if self.may_have_to_give_way.get() || !self.home.inbox.is_empty() {
            self.give_way_to_waiting();
        }
    }

    /// Tells whether a fiber of this worker's could go on.
    #[inline(always)]
    fn has_ready(&self) -> bool {
        // SAFETY: only this thread has access, and nothing of this worker's runs beside the caller.
        let ready = unsafe { &*self.ready.as_ptr() };
        !self.home.inbox.is_empty() || !ready.is_empty()
    }

    /// A scheduling point of a job that may push nothing for long: gives way, and lets hungry
    /// workers have what is there.
    pub(crate) fn between_runs(&self) {
        self.give_way();
        self.queues.serve();
    }

    #[cold]
    #[inline(never)]
    fn give_way_to_waiting(&self) {
        match self.points_left.get() {
            0 => self.points_left.set(POINTS_PER_LOOK),
            left => return self.points_left.set(left - 1),
        }
        self.poll_timers();
        if !self.has_ready() {
            self.may_have_to_give_way.set(self.timers.next().is_some());
            return;
        }
        let (now, since) = (now_ns(), self.waiting_since.get());
        if since == 0 {
            self.waiting_since.set(now);
        } else if now - since > PATIENCE_NS && self.can_suspend() {
            self.suspend_as_ready(Why::GivesWay);
        }
    }

    /// Lets ready fibers and one unstarted job go first.
    #[inline(always)]
    pub(crate) fn yield_now(&self) {
        let somebody_waits = self.has_ready() || self.queues.has_near();
        // Now and then also what others have, as it may be what the caller waits for.
        if somebody_waits || self.queues.is_next_fair() {
            self.suspend_as_ready(Why::Yields);
        }
    }

    /// Suspends the running fiber, which is ready to go on. It must be able to suspend.
    #[inline(always)]
    fn suspend_as_ready(&self, why: Why) {
        let record = self.current.get().expect("a fiber that suspends runs");
        let suspension = self.trace.suspends(None);
        self.queues.hand_over_joins();
        suspend(record, why);
        self.trace.resumes(suspension);
    }

    /// Runs `f` with suspension forbidden.
    pub(crate) fn without_suspending<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Does nothing if the worker has gone: a fiber that the job made, and left suspended
        /// inside `f`, may be resumed by a thread-local's destructor.
        struct Depth(*const Worker);
        impl Drop for Depth {
            fn drop(&mut self) {
                if let Some(worker) = Worker::current()
                    && ptr::eq(worker, self.0)
                {
                    worker.no_suspend_depth.set(worker.no_suspend_depth.get() - 1);
                }
            }
        }
        self.no_suspend_depth.set(self.no_suspend_depth.get() + 1);
        let _depth = Depth(self);
        f()
    }

    /// Runs the unstarted jobs that `wait` is for, then blocks the thread until `completion` is
    /// done: the wait of a job that must not suspend.
    ///
    /// Aborts if one of the jobs is suspended on this worker, which would never resume it.
    pub(crate) fn help_until(&self, completion: &impl Completion, wait: &Wait) {
        let is_wanted = |job: NonNull<()>| {
            // SAFETY: every token in these queues was made from a live job.
            wait.is_for(&unsafe { JobHeader::id(job.cast()) })
        };
        while wait.is_for_jobs()
            && !completion.is_done()
            && let Some(job) = self.queues.take_anywhere(&is_wanted)
        {
            self.run_job(job);
        }
        if completion.is_done() {
            return;
        }
        if self.home.has_started(wait) {
            // Only a wait that owns nothing of its jobs may unwind: a scope, or a join, would take
            // from jobs that still run what they borrow.
            if let (Awaited::JoinHandle(_), Some(limit)) = (&wait.what, self.fiber_limit()) {
                panic!("FiberLimit: {limit}");
            }
            self.abort_deadlocked(wait);
        }
        self.block_thread(wait, || completion.wait_thread());
    }

    /// Calls `block`, which blocks the thread; others may have this worker's jobs meanwhile.
    pub(crate) fn block_thread<R>(&self, wait: &Wait, block: impl FnOnce() -> R) -> R {
        self.queues.hand_over();
        self.trace.blocks(wait);
        let result = block();
        self.trace.unblocks();
        result
    }

    /// Ends the process: the wait would last for ever, and can neither return nor unwind.
    #[cold]
    fn abort_deadlocked(&self, wait: &Wait) -> ! {
        let why = if thread::panicking() {
            "a thread that panics must not suspend"
        } else if self.no_suspend_depth.get() != 0 {
            "inside `without_suspending`"
        } else if self.current.get().is_none() {
            "there was no stack for a fiber"
        } else {
            "inside a fiber that the job has made"
        };
        crate::panic::abort(&format!(
            "the wait at {} for {} would never end: the job it waits for has started on this very \
             worker, which cannot switch to it ({why})\n{}",
            wait.site,
            wait.kind(),
            self.shared.dump()
        ))
    }
}

/// What the switchboard does next.
enum Pick {
    Fiber(&'static FiberRecord),
    Job(Job),
}

/// Suspends the running fiber to its switchboard.
///
/// What calls this is inlined as far as it goes: each frame that a fiber returns from after a
/// switch costs a mispredicted return, as the processor's stack of returns is the switchboard's.
#[inline(always)]
fn suspend(record: &FiberRecord, why: Why) -> Order {
    let here = 0_u8;
    record.suspended_at.set(&raw const here);
    suspender_of(record).suspend(why)
}

/// Returns the suspender of the fiber whose job is running.
#[inline(always)]
fn suspender_of(record: &FiberRecord) -> &Suspender<Order, Why> {
    // SAFETY: set by the fiber's own loop, which is below the running job.
    unsafe { &*record.suspender.get() }
}

/// The scheduling loop, as it runs on a fiber: jobs are called inline.
fn loop_on_fiber(suspender: &Suspender<Order, Why>, first: Order) {
    let worker = Worker::current().expect("loop fibers run on workers");
    let record = worker.current.get().expect("a loop fiber runs");
    record.suspender.set(suspender);
    let mut order = first;
    loop {
        match order {
            Order::Run(job) => worker.run_job(job),
            Order::GoOn => {}
            Order::Exit => return,
        }
        order = match worker.next_inline() {
            Some(job) => Order::Run(job),
            None if worker.idle.borrow().len() < IDLE_FIBERS_MAX => suspender.suspend(Why::Idle),
            None => return,
        };
    }
}

impl Worker {
    /// Chooses a job for the loop on the running fiber. None: the switchboard has something to do.
    fn next_inline(&self) -> Option<Job> {
        if let Some(job) = self.fair_job() {
            return Some(job);
        }
        if !self.home.inbox.is_empty() || !self.ready.borrow().is_empty() {
            return None;
        }
        if let Some(job) = self.queues.next() {
            return Some(job);
        }
        match self.queues.find_until(self.timers.next(), || self.is_called()) {
            Find::Job(job) => Some(job),
            Find::Interrupted | Find::InTime => None,
        }
    }
}
