//! What a waker may touch after the runtime is gone: homes and fiber records. They are never freed;
//! later runtimes use them again.

use std::cell::{Cell, UnsafeCell};
use std::mem::{self, MaybeUninit};
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deque_scheduler::sleep::{GenericParker, ParkSlot};
use deque_scheduler::{Batch, Chain, Inbox, Link, Linked};
use fiber_stack::{Fiber, Suspender};
use fiber_sync::blocker::Owner;
use intrusive_waitlist::{FiberHandle, Waiter, WakeHandle, Woken};
use parking_lot::{Mutex, MutexGuard};

use crate::clock::ticks;
use crate::dump::{Activity, FiberDump};
use crate::job::JobId;
use crate::latch::Wait;
use crate::worker::{Order, Why, Worker};

/// One worker's address: where its fibers are sent when they are woken.
pub(crate) struct Home {
    pub(crate) inbox: Inbox<FiberRecord>,
    pub(crate) slot: Arc<ParkSlot>,
    /// Every record ever made for this home.
    records: Mutex<Vec<&'static FiberRecord>>,
}

static FREE_HOMES: Mutex<Vec<&'static Home>> = Mutex::new(Vec::new());

impl Home {
    /// Takes a home that no runtime uses, or makes one.
    pub(crate) fn take() -> &'static Home {
        let free = FREE_HOMES.lock().pop();
        free.unwrap_or_else(|| {
            Box::leak(Box::new(Home {
                inbox: Inbox::new(),
                slot: Arc::new(ParkSlot::new(GenericParker::default())),
                records: Mutex::new(Vec::new()),
            }))
        })
    }

    /// Gives the home to later runtimes. All its fibers have finished.
    pub(crate) fn give_back(&'static self) {
        FREE_HOMES.lock().push(self);
    }

    /// Returns the records of fibers that have finished, for a worker that starts.
    pub(crate) fn free_records(&'static self) -> Chain<FiberRecord> {
        let mut chain = Chain::new();
        for record in self.records.lock().iter() {
            // SAFETY: the worker that starts owns its home; no fiber of it is alive.
            unsafe { chain.push_back(NonNull::from(*record)) };
        }
        chain
    }

    /// Makes one more record.
    pub(crate) fn new_record(&'static self) -> &'static FiberRecord {
        let record: &'static FiberRecord = Box::leak(Box::new(FiberRecord {
            link: Link::new(),
            home: self,
            fiber: UnsafeCell::new(None),
            suspender: Cell::new(ptr::null()),
            job: Cell::new(ptr::null()),
            stack_part: Cell::new(0),
            suspended_at: Cell::new(ptr::null()),
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            activity: Activity::new(),
            awaits: Mutex::new(None),
            woken_at: AtomicU64::new(0),
        }));
        self.records.lock().push(record);
        record
    }

    /// Tells whether a job that `wait` is for has started on a fiber of this home, and so can go on
    /// only when its worker, the caller, switches to it.
    #[cold]
    pub(crate) fn has_started(&self, wait: &Wait) -> bool {
        let records = self.records.lock();
        records.iter().any(|record| record.jobs().any(|job| wait.is_for(&job)))
    }

    /// Returns what every fiber of this home does, and adds those that wait for a mutex, which go
    /// on waiting as long as the caller keeps what is added.
    pub(crate) fn dump<'home>(
        &'home self,
        worker: usize,
        fibers: &mut Vec<FiberDump>,
        held: &mut Vec<Held<'home>>,
    ) {
        for record in self.records.lock().iter() {
            let Some(dump) = record.activity.dump(worker) else { continue };
            let awaits = record.awaits.lock();
            let index = fibers.len();
            fibers.push(dump);
            held.push(Held { index, stack: record.activity.stack(), awaits });
        }
    }
}

/// The owner word of a mutex that a fiber waits for.
#[derive(Clone, Copy)]
pub(crate) struct AwaitedOwner(NonNull<Owner>);

// SAFETY: followed only under the lock of `awaits`, which the fiber needs to end its wait.
unsafe impl Send for AwaitedOwner {}

/// A fiber that begins and ends no wait for a mutex as long as this is there.
pub(crate) struct Held<'home> {
    /// Its place in the dump.
    pub(crate) index: usize,
    /// The addresses of its stack.
    pub(crate) stack: Range<usize>,
    awaits: MutexGuard<'home, Option<AwaitedOwner>>,
}

impl Held<'_> {
    /// Returns an address on the stack that has locked the mutex for which this fiber waits.
    pub(crate) fn awaited_owner(&self) -> Option<usize> {
        let AwaitedOwner(owner) = (*self.awaits)?;
        // SAFETY: the fiber has not ended its wait, and so borrows the mutex.
        unsafe { owner.as_ref() }.address()
    }
}

/// What the runtime knows of one fiber.
pub(crate) struct FiberRecord {
    link: Link<FiberRecord>,
    pub(crate) home: &'static Home,
    /// The home worker's alone.
    pub(crate) fiber: UnsafeCell<Option<Fiber<Order, Why, ()>>>,
    /// The home worker's alone; valid while the fiber has started and not finished.
    pub(crate) suspender: Cell<*const Suspender<Order, Why>>,
    /// The home worker's alone: the jobs that the fiber has started, the innermost first; null if
    /// it has none.
    pub(crate) job: Cell<*const StartedJob>,
    /// The home worker's alone: the address above which a wait may run jobs on the fiber's stack.
    pub(crate) stack_part: Cell<usize>,
    /// The home worker's alone: an address among the newest words of the suspended fiber's stack.
    pub(crate) suspended_at: Cell<*const u8>,
    /// The home worker's, and between registration and notification the wait list's.
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
    pub(crate) activity: Activity,
    /// Who has the mutex for which the fiber waits. Locked to begin and to end such a wait, and by
    /// a dump, which thus finds the mutex there.
    awaits: Mutex<Option<AwaitedOwner>>,
    /// When the fiber was woken, by [`ticks`]; zero if nobody asks. The waker's, until the fiber is
    /// in the inbox; then the home worker's.
    pub(crate) woken_at: AtomicU64,
}

// SAFETY: other threads touch `home`, the atomics and, through the protocols of inbox and wait
// list, `link` and `waiter`; the rest is the home worker's alone.
unsafe impl Sync for FiberRecord {}
// SAFETY: as above.
unsafe impl Send for FiberRecord {}

// SAFETY: `link` is a plain field that only the queues write.
unsafe impl Linked for FiberRecord {
    fn link(&self) -> &Link<FiberRecord> {
        &self.link
    }
}

/// A job that a fiber has started, in the frame that runs it: a member of its record's list.
///
/// Jobs of one fiber need not end in the reverse order of their starts: one may run inside a fiber
/// that another has made, and that is resumed elsewhere. So each takes itself out.
pub(crate) struct StartedJob {
    id: Cell<JobId>,
    /// The job inside which this one runs, or null.
    outer: Cell<*const StartedJob>,
    /// The job that runs inside this one, or null.
    inner: Cell<*const StartedJob>,
}

impl StartedJob {
    pub(crate) fn new(id: JobId) -> Self {
        StartedJob {
            id: Cell::new(id),
            outer: Cell::new(ptr::null()),
            inner: Cell::new(ptr::null()),
        }
    }
}

impl FiberRecord {
    /// Returns the jobs that the fiber has started, the innermost first. The home worker's alone.
    fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.started_jobs().map(|job| job.id.get())
    }

    fn started_jobs(&self) -> impl Iterator<Item = &StartedJob> {
        let mut next = self.job.get();
        std::iter::from_fn(move || {
            // SAFETY: the frame of a started job lies on a stack that is not freed, and the worker
            // takes the job out before the frame ends.
            let job = unsafe { next.as_ref() }?;
            next = job.outer.get();
            Some(job)
        })
    }

    /// Forgets the address of a job that has ended, but is still in the list. The home worker's
    /// alone.
    pub(crate) fn forget_job(&self, address: usize) {
        let known = self.started_jobs().find(|job| job.id.get().address == address);
        known.inspect(|job| job.id.set(JobId { address: 0, owners: [0; 2] }));
    }

    /// Puts a job that starts into the list.
    ///
    /// # Safety
    ///
    /// The caller is the home worker, and takes the job out before its frame ends.
    pub(crate) unsafe fn link(&self, job: &StartedJob) {
        let outer = self.job.replace(job);
        job.outer.set(outer);
        // SAFETY: jobs in the list are alive.
        if let Some(outer) = unsafe { outer.as_ref() } {
            outer.inner.set(job);
        }
    }

    /// Takes a job that has ended out of the list.
    ///
    /// # Safety
    ///
    /// The caller is the home worker, and has put the job in.
    pub(crate) unsafe fn unlink(&self, job: &StartedJob) {
        let (outer, inner) = (job.outer.get(), job.inner.get());
        // SAFETY: jobs in the list are alive.
        match unsafe { inner.as_ref() } {
            Some(inner) => inner.outer.set(outer),
            None => self.job.set(outer),
        }
        // SAFETY: as above.
        if let Some(outer) = unsafe { outer.as_ref() } {
            outer.inner.set(inner);
        }
    }

    /// Notes whose mutex the fiber waits for, or no longer does.
    pub(crate) fn set_awaited(&self, owner: Option<&Owner>) {
        *self.awaits.lock() = owner.map(|owner| AwaitedOwner(NonNull::from(owner)));
    }

    /// Returns the handle by which a wait list wakes this fiber.
    pub(crate) fn handle(&'static self) -> FiberHandle {
        // SAFETY: records and homes are never freed, so `wake_fiber` may be called at any time; a
        // registration is followed by one suspension, so it is called once for each.
        unsafe { FiberHandle::new(NonNull::from(self).cast(), wake_fiber) }
    }

    /// Returns a waiter for the fiber's next wait.
    ///
    /// It lies here, and not in the frame that waits, because whoever wakes many fibers goes
    /// through their waiters: those would be on as many stacks, each a page of its own.
    ///
    /// # Safety
    ///
    /// The caller is the home worker, and the fiber's last waiter is in no list: it has been
    /// notified, or was never registered.
    #[inline(always)]
    pub(crate) unsafe fn new_waiter(&'static self) -> &'static Waiter {
        // SAFETY: nobody else has the last waiter, and so nobody the cell. It is not dropped: what
        // it may hold is a handle to this fiber, which owns nothing.
        unsafe { &mut *self.waiter.get() }.write(Waiter::fiber(self.handle()))
    }

    /// Notes that the fiber can go on. The waker's, before the push.
    pub(crate) fn set_woken(&self, now: u64) {
        // ORDERING: Relaxed; the inbox publishes it to the home worker.
        self.woken_at.store(now, Ordering::Relaxed);
        self.activity.set_ready();
    }
}

/// Sends a suspended fiber to its home worker; there, it only queues up.
///
/// # Safety
///
/// `fiber` is a record that is suspended (or about to be) after one registration, and in no queue.
unsafe fn wake_fiber(fiber: NonNull<()>) {
    let record = fiber.cast::<FiberRecord>();
    // SAFETY: records are never freed.
    let woken = unsafe { record.as_ref() };
    let home = woken.home;
    match Worker::current() {
        Some(worker) if worker.is_at(home) => {
            woken.set_woken(worker.stamp_of_wake());
            // SAFETY: the caller owns the record's place in a queue.
            unsafe { worker.push_ready(record) };
        }
        worker => {
            woken.set_woken(worker.map_or_else(ticks, Worker::stamp_of_wake));
            // SAFETY: as above.
            home.inbox.push(unsafe { Batch::of(record) });
            home.slot.wake();
        }
    }
}

/// Wakes everybody claimed by a completion: one push and one unpark for each home worker, and
/// neither for the fibers of the caller's own.
#[inline(always)]
pub(crate) fn wake_all(woken: Woken) {
    if woken.is_empty() {
        mem::forget(woken); // nothing to drop, and so no call for it
    } else {
        wake_some(woken);
    }
}

#[inline(never)]
fn wake_some(mut woken: Woken) {
    let here = Worker::current();
    let stamp = here.map_or(0, Worker::stamp_of_wake);
    for handle in woken.by_ref() {
        if let Err(elsewhere) = wake_here(handle, here, stamp) {
            return wake_elsewhere(elsewhere, woken, here);
        }
    }
}

/// Wakes a fiber of `here`; hands back what is none.
fn wake_here(handle: WakeHandle, here: Option<&Worker>, stamp: u64) -> Result<(), WakeHandle> {
    let (WakeHandle::Fiber(fiber), Some(worker)) = (&handle, here) else { return Err(handle) };
    let record = fiber.fiber().cast::<FiberRecord>();
    // SAFETY: every fiber handle in this process's lists was made by `FiberRecord::handle`.
    let woken = unsafe { record.as_ref() };
    if !worker.is_at(woken.home) {
        return Err(handle);
    }
    woken.set_woken(stamp);
    // SAFETY: the claim passed the suspended fiber to this waker, once.
    unsafe { worker.push_ready(record) };
    Ok(())
}

/// Homes that one batch wake keeps apart; more are flushed early.
const GROUPS: usize = 8;

/// Goes on with [`wake_all`] from the first that is no fiber of the caller's worker.
#[cold]
fn wake_elsewhere(first: WakeHandle, rest: Woken, here: Option<&Worker>) {
    let now = ticks();
    let mut groups: [Option<(&'static Home, Batch<FiberRecord>)>; GROUPS] = Default::default();
    let mut evict = 0;
    let elsewhere =
        std::iter::once(first).chain(rest.filter_map(|handle| wake_here(handle, here, now).err()));
    for handle in elsewhere {
        let WakeHandle::Fiber(fiber) = handle else {
            handle.wake();
            continue;
        };
        let record = fiber.fiber().cast::<FiberRecord>();
        // SAFETY: as in `wake_here`.
        let woken = unsafe { record.as_ref() };
        woken.set_woken(now);
        let home = woken.home;
        let same = |group: &Option<(&Home, _)>| {
            group.as_ref().is_none_or(|(other, _)| ptr::eq(*other, home))
        };
        let place = groups.iter().position(same).unwrap_or_else(|| {
            evict = (evict + 1) % GROUPS;
            evict
        });
        if !same(&groups[place]) {
            flush(groups[place].take());
        }
        let (_, batch) = groups[place].get_or_insert_with(|| (home, Batch::new()));
        // SAFETY: as in `wake_here`.
        unsafe { batch.add(record) };
    }
    groups.into_iter().for_each(flush);
}

fn flush(group: Option<(&'static Home, Batch<FiberRecord>)>) {
    if let Some((home, batch)) = group {
        home.inbox.push(batch);
        home.slot.wake();
    }
}
