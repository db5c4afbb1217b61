//! Jobs with a handle: spawned, and waited for by whoever holds the handle.

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;

use deque_scheduler::{Disposal, Job, Lifecycle};
use intrusive_waitlist::CompletionList;

use crate::home::wake_all;
use crate::job::JobHeader;
use crate::latch;
use crate::panic::drop_quietly;
use crate::runtime::{Runtime, Shared, current_shared};
use crate::worker::Worker;

/// A spawned job, kept alive by its token and its handle, each with a reference of its own; so a
/// handle may be used after its runtime is gone (rule 6).
#[repr(C)] // the header comes first
struct SpawnJob<F, R> {
    header: JobHeader,
    lifecycle: Lifecycle,
    done: CompletionList,
    closure: UnsafeCell<Option<F>>,
    result: UnsafeCell<Option<thread::Result<R>>>,
}

// SAFETY: `lifecycle` gives the closure to one claimant, and the result to the runner until it
// finishes, then to the handle or whoever disposes of it. Both types are `Send`.
unsafe impl<F: Send, R: Send> Send for SpawnJob<F, R> {}
// SAFETY: as above.
unsafe impl<F: Send, R: Send> Sync for SpawnJob<F, R> {}

impl<F: FnOnce() -> R + Send, R: Send> SpawnJob<F, R> {
    /// # Safety
    ///
    /// As for [`JobHeader::run`].
    unsafe fn run(header: NonNull<JobHeader>, worker: &Worker) {
        // SAFETY: the token holds a reference of its own, and came out once.
        let job = unsafe { Arc::from_raw(header.cast::<Self>().as_ptr()) };
        job.execute();
        drop(job);
        worker.shared.count_finished(worker.queues.index());
    }

    /// Runs the closure, unless somebody else has claimed it.
    fn execute(&self) {
        if !self.lifecycle.claim() {
            return;
        }
        // SAFETY: the claim gave the closure to this caller.
        let closure = unsafe { (*self.closure.get()).take() };
        let closure = closure.expect("a claimed job has its closure");
        let result = catch_unwind(AssertUnwindSafe(closure));
        // SAFETY: nobody reads the result before `finish`.
        unsafe { *self.result.get() = Some(result) };
        if self.lifecycle.finish() == Disposal::MyDuty {
            self.dispose();
        }
        wake_all(self.done.complete());
    }

    /// Drops the result that nobody will ask for.
    fn dispose(&self) {
        // SAFETY: the job has finished and the handle is gone: the caller is the last.
        let result = unsafe { (*self.result.get()).take() };
        drop_quietly(result);
    }
}

/// What a handle needs of its job, whatever its closure is.
trait Spawned<R>: Send + Sync {
    fn header(&self) -> &JobHeader;
    fn done(&self) -> &CompletionList;
    fn take_result(&self) -> Option<thread::Result<R>>;
    fn detach(&self);
}

impl<F: FnOnce() -> R + Send, R: Send> Spawned<R> for SpawnJob<F, R> {
    fn header(&self) -> &JobHeader {
        &self.header
    }

    fn done(&self) -> &CompletionList {
        &self.done
    }

    fn take_result(&self) -> Option<thread::Result<R>> {
        // SAFETY: the handle calls this when the job is done, once.
        unsafe { (*self.result.get()).take() }
    }

    fn detach(&self) {
        if self.lifecycle.detach() == Disposal::MyDuty {
            self.dispose();
        }
    }
}

/// The right to wait for a spawned job and to have its result. Dropping it lets the job go on
/// alone.
pub struct JoinHandle<R> {
    job: Arc<dyn Spawned<R>>,
}

impl<R> JoinHandle<R> {
    /// Waits for the job and returns its result, also after its runtime is gone.
    ///
    /// # Errors
    ///
    /// The payload, if the job panicked.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or blocks the plain thread.
    pub fn join(self) -> thread::Result<R> {
        let this_job = std::ptr::from_ref(self.job.header());
        latch::wait(self.job.done(), &|header| std::ptr::eq(header, this_job));
        self.job.take_result().expect("a job that is done has a result until its handle takes it")
    }

    /// Tells whether the job has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.job.done().is_done()
    }
}

impl<R> Drop for JoinHandle<R> {
    fn drop(&mut self) {
        self.job.detach();
    }
}

impl<R> fmt::Debug for JoinHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("is_finished", &self.is_finished()).finish()
    }
}

/// Spawns a job on the current runtime, or on the default one outside any worker.
pub fn spawn<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    spawn_on(&current_shared(), f)
}

impl Runtime {
    /// Spawns a job on this runtime.
    pub fn spawn<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        spawn_on(&self.shared, f)
    }
}

fn spawn_on<F, R>(shared: &Shared, f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let job = Arc::new(SpawnJob {
        header: JobHeader::new(SpawnJob::<F, R>::run, [0; 2]),
        lifecycle: Lifecycle::new(),
        done: CompletionList::new(),
        closure: UnsafeCell::new(Some(f)),
        result: UnsafeCell::new(None),
    });
    let token = NonNull::new(Arc::into_raw(Arc::clone(&job)).cast_mut());
    let token = token.expect("a reference is not null").cast();
    // SAFETY: the job is `Send` and `Sync`, and the token holds a reference of its own.
    shared.submit(unsafe { Job::new(token) });
    JoinHandle { job }
}
