//! Jobs with a handle: spawned, and waited for by whoever holds the handle.
//!
//! A job lies in a block of its own, which outlives its runtime if the handle does (rule 6). It has
//! two sides, the runner, who has the token, and the handle; `done` tells which of them is the last
//! to use the block, and that one frees it. No other word takes part.
//!
//! | `done` | the block holds | the runner | the handle |
//! |---|---|---|---|
//! | pending | the closure, nothing, the outcome, in turn | owns the content | uses `done` |
//! | detached | as above | owns all; disposes of the outcome and frees | has gone |
//! | done | the outcome | has gone | owns all; takes the outcome and frees |
//!
//! `done` leaves `pending` once: to `detached` by the handle's drop, or to `done` by the runner
//! when it has written the outcome. If that finds the handle there, it is the runner's last
//! touch of the block: a handle that sees `done`, or was woken by it, is alone with the block. If
//! it finds `detached`, the runner is. The handle waits as a fiber, as a thread, or as a task. The
//! states between, the proof and the models are intrusive-waitlist's (`JoinCell`).

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use deque_scheduler::Job;
use intrusive_waitlist::{Completed, Detach, JoinCell, Registration, Waiter};

use crate::block::Block;
use crate::dump::Site;
use crate::home::wake_all;
use crate::job::{JobHeader, JobKind};
use crate::latch::{self, Awaited, Completion, Wait};
use crate::panic::{PanicHandler, Payload, drop_quietly, handle_panic};
use crate::runtime::{Runtime, Shared, current_shared};
use crate::worker::Worker;

/// What the handle knows of a job, whatever its closure is.
#[repr(C)] // the header comes first
pub(crate) struct SpawnHeader {
    pub(crate) header: JobHeader,
    pub(crate) done: JoinCell,
}

impl SpawnHeader {
    pub(crate) fn new(header: JobHeader) -> Self {
        SpawnHeader { header, done: JoinCell::new() }
    }
}

/// A spawned job; see the module.
#[repr(C)] // the header comes first
struct SpawnJob<F, R> {
    header: SpawnHeader,
    content: Content<F, R>,
}

/// The closure until the job runs, the outcome when it has run.
#[repr(C)] // both begin where the union does
union Content<F, R> {
    closure: ManuallyDrop<F>,
    outcome: ManuallyDrop<Outcome<R>>,
}

pub(crate) type Outcome<R> = Result<R, Failure>;

/// A panic, and where it goes if nobody asks for it.
pub(crate) struct Failure {
    pub(crate) payload: Payload,
    pub(crate) handler: Option<PanicHandler>,
}

impl Failure {
    /// A panic of a job that runs on `worker`.
    pub(crate) fn on(worker: &Worker) -> impl Fn(Payload) -> Failure {
        |payload| Failure { payload, handler: worker.shared.panic_handler.clone() }
    }
}

impl<F: FnOnce() -> R + Send, R: Send> SpawnJob<F, R> {
    const KIND: &'static JobKind = &JobKind { run: Self::run, is_scopes: false };

    fn new(closure: F, site: Site) -> Self {
        SpawnJob {
            // SAFETY: this is not a scope's.
            header: SpawnHeader::new(unsafe { JobHeader::new(Self::KIND, site) }),
            content: Content { closure: ManuallyDrop::new(closure) },
        }
    }

    /// # Safety
    ///
    /// As for [`JobHeader::run`].
    unsafe fn run(header: NonNull<JobHeader>, worker: &Worker) {
        let job = header.cast::<Self>();
        // SAFETY: the block is there until the runner has completed it.
        let content = unsafe { &raw mut (*job.as_ptr()).content };
        // SAFETY: the token came out once, so the closure is there, and this caller's alone.
        let closure = unsafe { content.cast::<F>().read() };
        let outcome = catch_unwind(AssertUnwindSafe(closure)).map_err(Failure::on(worker));
        // SAFETY: the closure has been taken out, and nobody reads the outcome before completion.
        unsafe { content.cast::<Outcome<R>>().write(outcome) };
        // SAFETY: as above; shared, as the handle uses it too.
        let done = unsafe { &(*job.as_ptr()).header.done };
        // SAFETY: the job ran once.
        match unsafe { done.complete() } {
            // The job may be gone by now. No code of the user's runs until the worker has forgotten
            // its address, so it does not take another job there for this one.
            Completed::Woken(woken) => wake_all(woken),
            Completed::Task(waker) => {
                worker.forget_job(header.addr().get());
                wake_caught(waker, worker);
            }
            Completed::Detached(waker) => {
                drop_quietly(waker);
                // SAFETY: the outcome was written above, and the handle has gone.
                discard(unsafe { content.cast::<Outcome<R>>().read() });
                // SAFETY: the block was made by `spawn_on`, and this side is the last. It is freed
                // after the outcome, whose destructor may spawn: see above.
                unsafe { Block::from_raw(job) }.forget(Worker::current());
            }
        }
        worker.count_finished();
    }

    /// Takes the outcome out of a job, and frees it.
    ///
    /// # Safety
    ///
    /// The header is that of such a job in a block; it is done, and the caller, its handle, does
    /// not use it again.
    unsafe fn take(header: NonNull<SpawnHeader>) -> Outcome<R> {
        let job = header.cast::<Self>();
        // SAFETY: the runner has gone, and left the block to the handle.
        let content = unsafe { &raw const (*job.as_ptr()).content };
        // SAFETY: a job that is done has an outcome, which is taken once.
        let outcome = unsafe { content.cast::<Outcome<R>>().read() };
        // SAFETY: from `into_raw`, and this side is the last.
        unsafe { Block::from_raw(job) }.forget(Worker::current());
        outcome
    }
}

/// Wakes the task that waits for a job of `worker`'s.
pub(crate) fn wake_caught(waker: Waker, worker: &Worker) {
    let woken = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    discard(woken.map_err(Failure::on(worker)));
}

/// Disposes of an outcome that nobody will ask for: a panic goes to the runtime's handler.
pub(crate) fn discard<R>(outcome: Outcome<R>) {
    match outcome {
        Ok(result) => drop_quietly(result),
        Err(Failure { payload, handler: Some(handler) }) => {
            handle_panic(&handler, payload);
            drop_quietly(handler);
        }
        Err(Failure { payload, handler: None }) => drop_quietly(payload),
    }
}

/// The right to wait for a spawned job and to have its result: by [`JoinHandle::join`], or as a
/// future on any executor. Dropping it lets the job go on alone; if the job panics, or has
/// panicked, the runtime's panic handler gets the payload.
///
/// # Cancel safety
///
/// As a future, the handle loses nothing when a poll is not followed by another: it may be polled
/// elsewhere later, joined, or dropped.
///
/// # Examples
///
/// ```
/// use rustfiber::block_on; // or any other executor
///
/// let handles = [1, 2, 3].map(|n| rustfiber::spawn(move || n * n));
/// let total = block_on(async {
///     let mut total = 0;
///     for handle in handles {
///         total += handle.await.expect("no job panics");
///     }
///     total
/// });
/// assert_eq!(total, 14);
/// ```
pub struct JoinHandle<R> {
    /// The job, from which the handle detaches, or takes the outcome, once; then none.
    job: Option<NonNull<SpawnHeader>>,
    /// Takes the outcome out of the job, which is done, and gives up the handle's side of it.
    take: unsafe fn(NonNull<SpawnHeader>) -> Outcome<R>,
    /// The handle shares a place for an `R` with the runner. This also keeps it invariant, so that
    /// the result is of the very type that was `Send` when it was spawned.
    result: PhantomData<Arc<UnsafeCell<R>>>,
}

// SAFETY: the result is `Send`, as `spawn` demands, and comes out by value only; a shared handle
// only looks whether the job is done.
unsafe impl<R> Send for JoinHandle<R> {}
// SAFETY: as above.
unsafe impl<R> Sync for JoinHandle<R> {}

impl<R> JoinHandle<R> {
    /// Waits for the job and returns its result, also after its runtime is gone.
    ///
    /// # Errors
    ///
    /// The payload, if the job panicked.
    ///
    /// # Panics
    ///
    /// Panics with [`FiberLimit`](crate::FiberLimit)'s message if the caller has no fiber, because
    /// no stack was to be had, and the job is suspended on this very worker.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or blocks the plain thread. Where the caller must not suspend (inside
    /// [`without_suspending`](crate::without_suspending), or while panicking) it runs the job
    /// itself if nobody has started it, and otherwise blocks the thread; if the job is suspended on
    /// this very worker, which can now never resume it, the process aborts with a report.
    #[track_caller]
    pub fn join(self) -> thread::Result<R> {
        let done = self.done();
        if done.has_waker() {
            // SAFETY: the handle is the waiting side, and does nothing else meanwhile.
            drop_quietly(unsafe { done.withdraw() });
        }
        let this_job = self.job().addr().get();
        let wait = Wait { what: Awaited::JoinHandle(this_job), site: Location::caller() };
        latch::wait(done, &wait);
        // SAFETY: the job is done, and the handle is not used again.
        unsafe { ManuallyDrop::new(self).take() }
    }

    /// Tells whether the job has ended.
    ///
    /// # Panics
    ///
    /// Panics if the handle, as a future, has returned the result.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.done().is_done()
    }

    /// # Safety
    ///
    /// The handle is that of a job whose header this is, and which nothing else waits for. `take`
    /// may be called once, when the job is done.
    pub(crate) unsafe fn new(
        job: NonNull<SpawnHeader>,
        take: unsafe fn(NonNull<SpawnHeader>) -> Outcome<R>,
    ) -> Self {
        JoinHandle { job: Some(job), take, result: PhantomData }
    }

    #[inline(always)]
    fn job(&self) -> NonNull<SpawnHeader> {
        self.job.expect("`JoinHandle` contract: used after it has returned its result")
    }

    fn done(&self) -> &JoinCell {
        // SAFETY: the job stays until its handle has detached from it, or has seen it done.
        unsafe { &(*self.job().as_ptr()).done }
    }

    /// # Safety
    ///
    /// The job is done, and the handle is not used again.
    #[inline(always)]
    unsafe fn take(&self) -> thread::Result<R> {
        // SAFETY: `new` paired both; the caller calls this once.
        let outcome = unsafe { (self.take)(self.job()) };
        outcome.map_err(|Failure { payload, handler }| {
            drop_quietly(handler);
            payload
        })
    }
}

/// For a handle that has withdrawn its waker.
impl Completion for JoinCell {
    #[inline(always)]
    fn is_done(&self) -> bool {
        self.is_done()
    }

    // SAFETY: the trait's contract is the list's own; the handle has withdrawn its waker.
    unsafe fn register(&self, waiter: &Waiter) -> Registration {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.register(waiter) }
    }

    fn wait_thread(&self) {
        // SAFETY: only `JoinHandle::join` waits, as the handle, which has withdrawn its waker.
        unsafe { self.wait_thread() };
    }
}

impl<R> Future for JoinHandle<R> {
    type Output = thread::Result<R>;

    /// Returns what [`JoinHandle::join`] returns.
    ///
    /// # Panics
    ///
    /// Panics if it has returned that before.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<thread::Result<R>> {
        // SAFETY: the handle is the waiting side, and the caller has it to itself.
        ready!(unsafe { self.done().poll(context.waker()) });
        // SAFETY: the job is done, and forgotten below.
        let result = unsafe { self.take() };
        self.job = None;
        Poll::Ready(result)
    }
}

impl<R> Drop for JoinHandle<R> {
    fn drop(&mut self) {
        let Some(job) = self.job else { return };
        let done = self.done();
        loop {
            // SAFETY: nobody waits but in `join`, which has returned or not begun to, and the
            // handle is used no more if it detaches.
            match unsafe { done.detach() } {
                Detach::Detached => return,
                // SAFETY: as in `join`.
                Detach::AlreadyDone => return discard(unsafe { (self.take)(job) }),
                // SAFETY: as above.
                Detach::HasWaker => drop_quietly(unsafe { done.withdraw() }),
            }
        }
    }
}

impl<R> fmt::Debug for JoinHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_finished = self.job.is_none() || self.is_finished();
        f.debug_struct("JoinHandle").field("is_finished", &is_finished).finish()
    }
}

/// Spawns a job on the current runtime, or on the default one outside any worker.
///
/// # Blocking
///
/// Does not block, and never suspends.
///
/// # Examples
///
/// ```
/// let answer = rustfiber::spawn(|| 6 * 7);
/// assert_eq!(answer.join().expect("the job does not panic"), 42);
/// ```
#[track_caller]
pub fn spawn<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    spawn_on(current_shared(), f, Location::caller())
}

impl Runtime {
    /// Spawns a job on this runtime.
    #[track_caller]
    pub fn spawn<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        spawn_on(&self.shared, f, Location::caller())
    }
}

fn spawn_on<F, R>(shared: &Shared, f: F, site: Site) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let job =
        Block::new(SpawnJob::new(f, site), Worker::current(), Some(&shared.blocks)).into_raw();
    // SAFETY: closure and result are `Send`; the block stays until the job has run.
    shared.submit(unsafe { Job::new(job.cast()) });
    // SAFETY: the header is the job's, and `take` its own.
    unsafe { JoinHandle::new(job.cast(), SpawnJob::<F, R>::take) }
}
