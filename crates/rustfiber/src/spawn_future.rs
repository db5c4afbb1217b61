//! Futures as jobs: each poll is a job, which a wake from anywhere submits.
//!
//! A future lies in a block of its own, with the header of a spawned job: its handle is one of
//! those. Its state is deque-scheduler's [`TaskState`], which tells who submits the token, who
//! polls and who frees. The header's cell tells which of runner and handle is the last to use the
//! outcome, as for every spawned job; that one gives up the reference that they share.
//!
//! A future counts as one job of its runtime, from its making to its end, so the runtime outlives
//! it: whoever wakes an unfinished future finds the runtime there. Meanwhile it lies in a list of
//! that runtime, for dumps.

use std::error::Error;
use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use deque_scheduler::{AfterRun, Job, TaskRun, WakerDrop};
use intrusive_waitlist::Completed;

use crate::block::Block;
use crate::dump::Site;
use crate::home::wake_all;
use crate::job::{JobHeader, JobKind};
use crate::panic::{Payload, drop_quietly};
use crate::runtime::{Runtime, Shared, current_shared};
use crate::spawn::{Failure, JoinHandle, Outcome, SpawnHeader, discard, wake_caught};
use crate::unfinished::TaskHeader;
use crate::worker::Worker;

/// Spawns a future on the current runtime, or on the default one outside any worker. Its workers
/// poll it, as jobs: a poll may wait as any job may.
///
/// Each wake, from anywhere, has it polled once more; wakes during a poll together once. A panic is
/// its handle's, as a job's is. A future of which no waker is left can never go on: it is dropped,
/// and its handle returns [`Abandoned`].
///
/// An unfinished future is an unfinished job: the end of its runtime waits for it. If that may last
/// too long, use [`Runtime::shutdown`]. A future that waits for a wake is in
/// [`Runtime::dump`], and in the report of such a shutdown.
///
/// # Blocking
///
/// Does not block, and never suspends. A [`JoinHandle::join`] that must not suspend polls a future
/// that is about to be polled anyway, but one that waits for a wake needs another worker: on a
/// runtime's only worker, such a join lasts for ever.
///
/// # Examples
///
/// ```
/// use rustfiber::{spawn_future, sync::channel};
///
/// let (sender, receiver) = channel::bounded(1);
/// let total = spawn_future(async move {
///     let mut total = 0;
///     while let Ok(number) = receiver.recv_async().await {
///         total += number; // no thread and no fiber waits for the next
///     }
///     total
/// });
/// (1..=10).for_each(|number| sender.send(number).expect("somebody receives"));
/// drop(sender);
/// assert_eq!(total.join().expect("no panic"), 55);
/// ```
#[track_caller]
pub fn spawn_future<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_future_on(current_shared(), future, Location::caller())
}

impl Runtime {
    /// Spawns a future on this runtime; see [`spawn_future`].
    #[track_caller]
    pub fn spawn_future<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_future_on(&self.shared, future, Location::caller())
    }
}

fn spawn_future_on<F>(shared: &Arc<Shared>, future: F, site: Site) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let task = Task::new(future, Arc::downgrade(shared), site);
    let task = Block::new(task, Worker::current(), Some(&shared.blocks)).into_raw();
    // SAFETY: the task is new, and its runner unlinks it before it may be freed.
    unsafe { shared.unfinished.link(task.cast()) };
    // SAFETY: future and output are `Send`; the block stays until the task is complete, and has as
    // many tokens as its state says.
    shared.submit(unsafe { Job::new(task.cast()) });
    // SAFETY: the header is the task's, and `take` its own.
    unsafe { JoinHandle::new(task.cast(), Task::<F>::take) }
}

/// The error of a handle whose future was dropped unfinished, because no waker of it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Abandoned;

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the future was dropped unfinished: no waker of it was left, so it could never go on; \
             have whatever it waits for keep the waker of its last poll",
        )
    }
}

impl Error for Abandoned {}

/// A future as a job; see the module.
#[repr(C)] // the header comes first
struct Task<F: Future> {
    header: TaskHeader,
    runtime: Weak<Shared>,
    content: Content<F>,
}

/// The future until the task is complete, the outcome from then on.
#[repr(C)] // both begin where the union does
union Content<F: Future> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Outcome<F::Output>>,
}

impl<F> Task<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    const KIND: &'static JobKind = &JobKind { run: Self::run, is_scopes: false };
    const WAKER: &'static RawWakerVTable =
        &RawWakerVTable::new(Self::clone_waker, Self::wake, Self::wake_by_ref, Self::drop_waker);

    fn new(future: F, runtime: Weak<Shared>, site: Site) -> Self {
        Task {
            // SAFETY: this is not a scope's.
            header: TaskHeader::new(unsafe { JobHeader::new(Self::KIND, site) }),
            runtime,
            content: Content { future: ManuallyDrop::new(future) },
        }
    }

    /// # Safety
    ///
    /// As for [`JobHeader::run`], once for each token.
    unsafe fn run(header: NonNull<JobHeader>, worker: &Worker) {
        let this = header.cast::<Self>();
        // SAFETY: a task stays until it is complete and all references are gone.
        let state = unsafe { &(*this.as_ptr()).header.state };
        let outcome = match state.begin_run() {
            TaskRun::Abandoned => Err(None),
            // SAFETY: the token is this caller's, and so the future is.
            TaskRun::Run => match unsafe { Self::poll(this) } {
                Ok(Poll::Ready(output)) => Ok(output),
                Err(payload) => Err(Some(payload)),
                Ok(Poll::Pending) => match state.end_run() {
                    AfterRun::Idle => return,
                    AfterRun::Again => {
                        // SAFETY: future and output are `Send`; the task is the runner's to submit.
                        let token = unsafe { Job::new(this.cast()) };
                        return worker.submit_again(token);
                    }
                    AfterRun::Abandoned => Err(None),
                },
            },
        };
        // SAFETY: the task is this runner's, and was not complete.
        unsafe { Self::complete(this, outcome, worker) };
        worker.count_finished();
    }

    /// # Safety
    ///
    /// The caller is the task's runner, and the task is not complete.
    unsafe fn poll(this: NonNull<Self>) -> Result<Poll<F::Output>, Payload> {
        // SAFETY: the task stays until it is complete.
        let content = unsafe { &raw mut (*this.as_ptr()).content };
        // SAFETY: the runner has the future to itself.
        let future = unsafe { &mut *content.cast::<F>() };
        // SAFETY: the future stays where it is until it is dropped there.
        let future = unsafe { Pin::new_unchecked(future) };
        // The runner keeps the task alive, so its waker need not: it is not dropped.
        // SAFETY: the functions of the table keep the contract of wakers.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(Self::raw_waker(this)) });
        let mut context = Context::from_waker(&waker);
        catch_unwind(AssertUnwindSafe(|| future.poll(&mut context)))
    }

    /// Drops the future, and passes the outcome on. An error without a panic: abandoned.
    ///
    /// # Safety
    ///
    /// As for [`Task::poll`].
    unsafe fn complete(
        this: NonNull<Self>,
        outcome: Result<F::Output, Option<Payload>>,
        worker: &Worker,
    ) {
        let task = this.as_ptr();
        // From here on, wakes do nothing: they may come from the future's own destructor.
        // SAFETY: the task stays until its header is complete. Others use its state, so no
        // reference to the whole is made.
        unsafe { &(*task).header.state }.complete();
        // SAFETY: linked when it was made; its runner, a worker of its runtime, completes it once.
        unsafe { worker.shared.unfinished.unlink(this.cast()) };
        // SAFETY: as above; only the runner uses the content.
        let content = unsafe { &raw mut (*task).content };
        let drop_future = || {
            // SAFETY: the future is there, is not used again, and has not been moved.
            unsafe { ptr::drop_in_place(content.cast::<F>()) };
        };
        let dropped = catch_unwind(AssertUnwindSafe(drop_future));
        let outcome = match (outcome, dropped) {
            (outcome, Err(payload)) => {
                drop_quietly(outcome);
                Err(Failure::on(worker)(payload))
            }
            (Ok(output), Ok(())) => Ok(output),
            (Err(Some(payload)), Ok(())) => Err(Failure::on(worker)(payload)),
            (Err(None), Ok(())) => Err(Failure { payload: Box::new(Abandoned), handler: None }),
        };
        // SAFETY: the future has been dropped, and nobody reads the outcome before completion.
        unsafe { content.cast::<Outcome<F::Output>>().write(outcome) };
        // SAFETY: as above; shared, as the handle uses it too.
        let done = unsafe { &(*task).header.spawned.done };
        // SAFETY: the task is completed once. If the handle is there, this runner does not use the
        // task from here on.
        let completed = unsafe { done.complete() };
        // See `SpawnJob::run` for when the user's code may run.
        match completed {
            Completed::Woken(woken) => wake_all(woken),
            Completed::Task(waker) => {
                worker.forget_job(this.addr().get());
                wake_caught(waker, worker);
            }
            Completed::Detached(waker) => {
                worker.forget_job(this.addr().get());
                drop_quietly(waker);
                // SAFETY: the outcome was written above, and the handle has gone.
                discard(unsafe { Self::take(this.cast()) });
            }
        }
    }

    /// Takes the outcome out of a task, and gives up the reference that runner and handle share.
    ///
    /// # Safety
    ///
    /// The header is that of such a task; it is complete, and the caller, the last of its runner
    /// and its handle, does not use it again.
    unsafe fn take(header: NonNull<SpawnHeader>) -> Outcome<F::Output> {
        let this = header.cast::<Self>();
        // SAFETY: the reference of runner and handle keeps the task.
        let content = unsafe { &raw const (*this.as_ptr()).content };
        // SAFETY: a task that is complete has an outcome, which is taken once.
        let outcome = unsafe { content.cast::<Outcome<F::Output>>().read() };
        // SAFETY: the reference is the caller's.
        if unsafe { &(*this.as_ptr()).header.state }.drop_waiting_side() {
            // SAFETY: it was the last.
            unsafe { Self::free(this) };
        }
        outcome
    }

    /// # Safety
    ///
    /// The caller gave up the last reference, and the outcome has been taken.
    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: nobody else has a reference.
        let runtime = unsafe { &raw mut (*this.as_ptr()).runtime };
        // SAFETY: dropped once.
        unsafe { ptr::drop_in_place(runtime) };
        // SAFETY: from `into_raw`; nothing in it is used again.
        unsafe { Block::from_raw(this) }.forget(Worker::current());
    }

    fn raw_waker(this: NonNull<Self>) -> RawWaker {
        RawWaker::new(this.as_ptr().cast_const().cast(), Self::WAKER)
    }

    /// # Safety
    ///
    /// `data` is of a waker, or of the one that a poll has.
    unsafe fn of_waker(data: *const ()) -> NonNull<Self> {
        // SAFETY: from `raw_waker`.
        unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
    }

    /// # Safety
    ///
    /// As for [`Task::of_waker`].
    unsafe fn clone_waker(data: *const ()) -> RawWaker {
        // SAFETY: the caller keeps the contract.
        let this = unsafe { Self::of_waker(data) };
        // SAFETY: the waker's reference, or the runner, keeps the task.
        unsafe { &(*this.as_ptr()).header.state }.add_waker();
        Self::raw_waker(this)
    }

    /// # Safety
    ///
    /// As for [`Task::of_waker`]; the waker is not used again.
    unsafe fn wake(data: *const ()) {
        // SAFETY: the caller keeps the contract.
        unsafe { Self::wake_by_ref(data) };
        // SAFETY: as above.
        unsafe { Self::drop_waker(data) };
    }

    /// # Safety
    ///
    /// As for [`Task::of_waker`].
    unsafe fn wake_by_ref(data: *const ()) {
        // SAFETY: the caller keeps the contract.
        let this = unsafe { Self::of_waker(data) };
        // SAFETY: as in `clone_waker`.
        if unsafe { &(*this.as_ptr()).header.state }.wake() {
            // SAFETY: the caller is to submit.
            unsafe { Self::submit(this) };
        }
    }

    /// # Safety
    ///
    /// As for [`Task::wake`].
    unsafe fn drop_waker(data: *const ()) {
        // SAFETY: the caller keeps the contract.
        let this = unsafe { Self::of_waker(data) };
        // SAFETY: the reference that is given up kept the task until here.
        match unsafe { &(*this.as_ptr()).header.state }.drop_waker() {
            WakerDrop::Nothing => (),
            // SAFETY: the caller is to submit.
            WakerDrop::Submit => unsafe { Self::submit(this) },
            // SAFETY: it was the last; a task without the reference of its waiting side has had its
            // outcome taken.
            WakerDrop::Free => unsafe { Self::free(this) },
        }
    }

    /// # Safety
    ///
    /// The task's state says that the caller is to submit it.
    unsafe fn submit(this: NonNull<Self>) {
        // SAFETY: nobody else takes the task further before it is submitted.
        let runtime = unsafe { &(*this.as_ptr()).runtime };
        // SAFETY: future and output are `Send`.
        let token = unsafe { Job::new(this.cast()) };
        match Worker::current() {
            Some(worker) if ptr::eq(&raw const *worker.shared, runtime.as_ptr()) => {
                worker.submit_again(token);
            }
            _ => {
                let runtime = runtime.upgrade();
                runtime.expect("a runtime outlives its unfinished futures").inject_again(token);
            }
        }
    }
}
