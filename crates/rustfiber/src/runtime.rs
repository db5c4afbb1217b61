//! The runtime: its workers, how work enters it, and how it ends.

use std::fmt;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use deque_scheduler::{End, Job, Scheduler};
use fiber_stack::StackPool;
use intrusive_waitlist::CompletionList;
use parking_lot::{Condvar, Mutex};

use crate::block::Depot;
use crate::builder::Builder;
use crate::dump::{Dump, Site};
use crate::error::{BuildError, ShutdownError};
use crate::home::{Home, wake_all};
use crate::job::StackJob;
use crate::latch::{self, Awaited, Wait};
use crate::panic::{PanicHandler, abort};
use crate::stats::{Counts, Stats};
use crate::trace;
use crate::unfinished::Unfinished;
use crate::worker::Worker;

/// What all workers and handles of a runtime share.
pub(crate) struct Shared {
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) stacks: StackPool,
    pub(crate) blocks: Depot,
    pub(crate) unfinished: Unfinished,
    pub(crate) panic_handler: Option<PanicHandler>,
    pub(crate) tapes: trace::Tapes,
    homes: Box<[&'static Home]>,
    counts: Box<[CachePadded<Counts>]>,
    end: End,
    exits: Exits,
}

/// Workers that have not returned yet, and who waits for them.
struct Exits {
    workers_left: Mutex<usize>,
    changed: Condvar,
    all: CompletionList,
}

impl Shared {
    pub(crate) fn new(
        scheduler: Arc<Scheduler>,
        stacks: StackPool,
        panic_handler: Option<PanicHandler>,
        homes: Vec<&'static Home>,
        tapes: trace::Tapes,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            scheduler,
            stacks,
            blocks: Depot::new(homes.len()),
            unfinished: Unfinished::new(homes.len()),
            panic_handler,
            tapes,
            counts: homes.iter().map(|_| CachePadded::default()).collect(),
            homes: homes.into(),
            end: End::new(),
            exits: Exits {
                workers_left: Mutex::new(0),
                changed: Condvar::new(),
                all: CompletionList::new(),
            },
        });
        let mut started = STARTED.lock();
        started.retain(|other| other.strong_count() != 0);
        started.push(Arc::downgrade(&shared));
        shared
    }

    pub(crate) fn counts(&self, worker: usize) -> &Counts {
        &self.counts[worker]
    }

    /// Submits a root job: to the calling worker's own queue if it is one of ours, else from
    /// outside.
    pub(crate) fn submit(&self, job: Job) {
        match Worker::current() {
            Some(worker) if ptr::eq(&raw const *worker.shared, self) => worker.submit(job),
            _ => {
                self.end.add_injected();
                self.scheduler.inject(job);
            }
        }
    }

    /// Submits, from outside, a job that has run before, and has been counted then.
    pub(crate) fn inject_again(&self, job: Job) {
        self.scheduler.inject(job);
    }

    /// Tells whether the workers are to return: the end was asked for, and all jobs have finished.
    pub(crate) fn has_ended(&self) -> bool {
        let roots = self.counts.iter().map(|counts| &counts.roots);
        self.end.has_come(roots, self.scheduler.sleep())
    }

    /// Begins the end: workers return once all jobs have finished.
    fn stop(&self) {
        self.end.ask(self.scheduler.sleep());
    }

    /// Counts a worker that is about to start.
    pub(crate) fn expect_worker(&self) {
        *self.exits.workers_left.lock() += 1;
    }

    /// Counts off a worker that will never start, or that has returned.
    pub(crate) fn count_exit(&self) {
        let mut left = self.exits.workers_left.lock();
        *left -= 1;
        let is_last = *left == 0;
        drop(left);
        if is_last {
            self.exits.changed.notify_all();
            wake_all(self.exits.all.complete());
        }
    }

    /// Waits until all workers have returned, or the time is up. True: they have.
    fn wait_for_exits(&self, timeout: Duration) -> bool {
        let mut left = self.exits.workers_left.lock();
        let is_left = |left: &mut usize| *left != 0;
        !self.exits.changed.wait_while_for(&mut left, is_left, timeout).timed_out() || *left == 0
    }

    pub(crate) fn dump(&self) -> Dump {
        // All fibers that wait for a mutex are kept waiting, so that a cycle of them is one.
        let (mut fibers, mut held) = (Vec::new(), Vec::new());
        for (worker, home) in self.homes.iter().enumerate() {
            home.dump(worker, &mut fibers, &mut held);
        }
        for fiber in &held {
            let holder = fiber
                .awaited_owner()
                .and_then(|address| held.iter().find(|other| other.stack.contains(&address)));
            fibers[fiber.index].held_by = holder.map(|holder| holder.index);
        }
        Dump { fibers, futures: self.unfinished.dump() }
    }

    fn stats(&self) -> Stats {
        let workers = self.counts.iter().enumerate();
        let read = |(index, counts): (usize, &CachePadded<Counts>)| {
            counts.read(self.scheduler.stats(index))
        };
        let parked = self.scheduler.sleep().parked_count();
        Stats {
            workers: workers.map(read).collect(),
            active_workers: self.counts.len().saturating_sub(parked),
        }
    }

    /// Runs `f` on a worker, and waits for it.
    fn run<F: FnOnce() -> R + Send, R: Send>(&self, f: F, site: Site) -> R {
        let job = StackJob::<F, R, true>::new(f, site);
        self.submit(job.token());
        let this_job = job.pointer().addr().get();
        latch::wait(&job.done, &Wait { what: Awaited::Run(this_job), site });
        // SAFETY: the job is done.
        unsafe { job.take_result() }.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Every worker had a part in `Shared`, so none of the homes is in use.
        self.homes.iter().for_each(|home| home.give_back());
    }
}

/// A pool of workers that run jobs on fibers.
///
/// Dropping it waits until every job has finished; inside one of its own jobs, the drop begins the
/// shutdown and returns.
///
/// # Examples
///
/// ```
/// use rustfiber::Runtime;
///
/// let runtime = Runtime::new()?;
/// let text = String::from("borrowed");
/// assert_eq!(runtime.run(|| text.len()), 8);
/// # Ok::<(), rustfiber::BuildError>(())
/// ```
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
    /// Empty once the workers are left to themselves.
    threads: Vec<thread::JoinHandle<()>>,
}

impl Runtime {
    /// Starts a runtime with one worker for each CPU that the process may use.
    ///
    /// # Errors
    ///
    /// When the system refuses threads.
    pub fn new() -> Result<Runtime, BuildError> {
        Self::builder().build()
    }

    /// Returns a builder, for a runtime that differs from the default.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn from_parts(shared: Arc<Shared>, threads: Vec<thread::JoinHandle<()>>) -> Self {
        Runtime { shared, threads }
    }

    pub(crate) fn push_thread(&mut self, thread: thread::JoinHandle<()>) {
        self.threads.push(thread);
    }

    /// Runs `f` on a worker and returns what it returns. Inside a job of this runtime, `f` is
    /// called at once.
    ///
    /// # Panics
    ///
    /// With the panic of `f`.
    ///
    /// # Blocking
    ///
    /// Blocks the calling thread, or suspends the calling job of another runtime.
    #[track_caller]
    pub fn run<F: FnOnce() -> R + Send, R: Send>(&self, f: F) -> R {
        match Worker::current() {
            Some(worker) if Arc::ptr_eq(&worker.shared, &self.shared) => f(),
            _ => self.shared.run(f, Location::caller()),
        }
    }

    /// Returns the number of workers.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.shared.counts.len()
    }

    /// Returns what the workers have done so far. Costs them nothing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Returns what every fiber does now, and where, and which futures wait. Costs fibers nothing;
    /// while futures are looked through, others are neither spawned nor end.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustfiber::Runtime::new()?;
    /// println!("{}", runtime.dump());
    /// # Ok::<(), rustfiber::BuildError>(())
    /// ```
    #[must_use]
    pub fn dump(&self) -> Dump {
        self.shared.dump()
    }

    /// Returns what the workers have recorded since they started. They go on recording; what they
    /// do during the call may be in it or not, and so may the end of a job whose result has just
    /// been returned. Needs the feature `trace`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::{fs::File, io::BufWriter};
    ///
    /// let runtime = rustfiber::Runtime::new()?;
    /// runtime.run(|| rustfiber::scope(|s| (0..100).for_each(|_| s.spawn(|| ()))));
    /// // Open it at https://ui.perfetto.dev.
    /// runtime.trace().write_chrome(BufWriter::new(File::create("trace.json")?))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn trace(&self) -> trace::Trace {
        self.shared.tapes.read()
    }

    /// Waits until all jobs have finished, at most for `timeout`, and ends the runtime.
    ///
    /// # Errors
    ///
    /// When the time is up: the error tells what every fiber was doing, and which
    /// futures wait. The jobs then go on, on
    /// threads of their own, and whatever they use stays. Also inside a job of this runtime, which
    /// cannot wait for its own end: then the shutdown has begun.
    ///
    /// # Blocking
    ///
    /// Blocks the calling thread, also where it is a worker of another runtime.
    pub fn shutdown(mut self, timeout: Duration) -> Result<(), ShutdownError> {
        self.shared.stop();
        if self.is_current() {
            return Err(ShutdownError::InsideOwnJob);
        }
        if self.shared.wait_for_exits(timeout) {
            return Ok(());
        }
        self.threads.clear(); // detaches them
        Err(ShutdownError::TimedOut { timeout, dump: self.dump() })
    }

    /// Tells whether the caller is one of this runtime's jobs.
    fn is_current(&self) -> bool {
        Worker::current().is_some_and(|worker| Arc::ptr_eq(&worker.shared, &self.shared))
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.worker_count()).finish_non_exhaustive()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.stop();
        if self.threads.is_empty() || self.is_current() {
            return; // the threads end on their own when their jobs have
        }
        let wait = Wait { what: Awaited::RuntimeEnd, site: Location::caller() };
        latch::wait(&self.shared.exits.all, &wait);
        for thread in self.threads.drain(..) {
            thread.join().expect("a worker that panics aborts the process");
        }
    }
}

/// The runtime of the free functions outside any worker; started when first needed, never dropped.
pub(crate) fn default_runtime() -> &'static Runtime {
    static DEFAULT: OnceLock<Runtime> = OnceLock::new();
    DEFAULT.get_or_init(|| match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => panic!("the default runtime could not start: {error}"),
    })
}

/// Every runtime that has started, until another one starts after its end.
static STARTED: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// A runtime that may have ended.
#[derive(Clone, Copy)]
pub(crate) struct SharedPointer(NonNull<Shared>);

// SAFETY: compared from any thread; followed only where the runtime is known to be there.
unsafe impl Send for SharedPointer {}
// SAFETY: as above.
unsafe impl Sync for SharedPointer {}

impl SharedPointer {
    /// Points to the calling worker's runtime, or to the default one.
    pub(crate) fn current() -> Self {
        SharedPointer(NonNull::from(&**current_shared()))
    }

    /// Calls `f` with what the runtime shares; aborts if it has ended.
    ///
    /// It has not, as long as jobs of its run. A frame that asks may outlive them all the same: the
    /// frame of a fiber that a job made and left to its thread's end.
    #[inline]
    pub(crate) fn with<R>(self, f: impl FnOnce(&Shared) -> R) -> R {
        match Worker::current() {
            Some(worker) if ptr::eq(&raw const *worker.shared, self.0.as_ptr()) => {
                f(&worker.shared)
            }
            _ => f(&self.find()),
        }
    }

    #[cold]
    fn find(self) -> Arc<Shared> {
        let is_it = |shared: &&Weak<Shared>| ptr::eq(shared.as_ptr(), self.0.as_ptr());
        let found = STARTED.lock().iter().find(is_it).and_then(Weak::upgrade);
        let found = found.filter(|shared| !shared.has_ended());
        found.unwrap_or_else(|| abort("a scope was left open when its runtime ended, and spawned"))
    }
}

/// Returns what the calling worker's runtime shares, or the default runtime's. Inside a job it
/// lives at least as long as that job.
pub(crate) fn current_shared<'job>() -> &'job Arc<Shared> {
    match Worker::current() {
        Some(worker) => &worker.shared,
        None => &default_runtime().shared,
    }
}
