//! Jobs with a handle: spawned, and waited for by whoever holds the handle.

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::thread;

use deque_scheduler::{Disposal, Job, Lifecycle};
use intrusive_waitlist::CompletionList;

use crate::dump::Site;
use crate::home::wake_all;
use crate::job::{JobHeader, JobKind};
use crate::latch::{self, Awaited, Wait};
use crate::panic::{PanicHandler, drop_quietly, handle_panic};
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
    /// Set with a result that is a panic: where it goes if nobody asks for it.
    panic_handler: UnsafeCell<Option<PanicHandler>>,
}

// SAFETY: `lifecycle` gives the closure to one claimant, and result and handler to the runner until
// it finishes, then to the handle or whoever disposes of them. All three types are `Send`.
unsafe impl<F: Send, R: Send> Send for SpawnJob<F, R> {}
// SAFETY: as above.
unsafe impl<F: Send, R: Send> Sync for SpawnJob<F, R> {}

impl<F: FnOnce() -> R + Send, R: Send> SpawnJob<F, R> {
    const KIND: &'static JobKind = &JobKind { run: Self::run, is_scopes: false };

    /// # Safety
    ///
    /// As for [`JobHeader::run`].
    unsafe fn run(header: NonNull<JobHeader>, worker: &Worker) {
        // SAFETY: the token holds a reference of its own, and came out once.
        let job = unsafe { Arc::from_raw(header.cast::<Self>().as_ptr()) };
        job.execute(&worker.shared);
        drop(job);
        worker.count_finished();
    }

    /// Runs the closure, unless somebody else has claimed it.
    fn execute(&self, shared: &Shared) {
        if !self.lifecycle.claim() {
            return;
        }
        // SAFETY: the claim gave the closure to this caller.
        let closure = unsafe { (*self.closure.get()).take() };
        let closure = closure.expect("a claimed job has its closure");
        let result = catch_unwind(AssertUnwindSafe(closure));
        if result.is_err() {
            // SAFETY: nobody reads the handler before `finish`.
            unsafe { (*self.panic_handler.get()).clone_from(&shared.panic_handler) };
        }
        // SAFETY: nobody reads the result before `finish`.
        unsafe { *self.result.get() = Some(result) };
        if self.lifecycle.finish() == Disposal::MyDuty {
            self.dispose();
        }
        wake_all(self.done.complete());
    }

    /// Disposes of the result that nobody will ask for: a panic goes to the runtime's handler.
    fn dispose(&self) {
        // SAFETY: the job has finished and the handle is gone: the caller is the last.
        let result = unsafe { (*self.result.get()).take() };
        // SAFETY: as above.
        let handler = unsafe { (*self.panic_handler.get()).take() };
        match (result, handler) {
            (Some(Err(payload)), Some(handler)) => handle_panic(&handler, payload),
            (result, _) => drop_quietly(result),
        }
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
/// alone; if the job panics, or has panicked, the runtime's panic handler gets the payload.
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
        let this_job = ptr::from_ref(self.job.header()).addr();
        let wait = Wait { what: Awaited::JoinHandle(this_job), site: Location::caller() };
        latch::wait(self.job.done(), &wait);
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
    let job = Arc::new(SpawnJob {
        // SAFETY: this is not a scope's.
        header: unsafe { JobHeader::new(SpawnJob::<F, R>::KIND, site) },
        lifecycle: Lifecycle::new(),
        done: CompletionList::new(),
        closure: UnsafeCell::new(Some(f)),
        result: UnsafeCell::new(None),
        panic_handler: UnsafeCell::new(None),
    });
    let token = NonNull::new(Arc::into_raw(Arc::clone(&job)).cast_mut());
    let token = token.expect("a reference is not null").cast();
    // SAFETY: the job is `Send` and `Sync`, and the token holds a reference of its own.
    shared.submit(unsafe { Job::new(token) });
    JoinHandle { job }
}
