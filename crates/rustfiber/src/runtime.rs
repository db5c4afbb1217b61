//! The runtime: its workers, how work enters it, and how it ends.

use std::fmt;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use crossbeam_utils::CachePadded;
use deque_scheduler::{Job, Scheduler};
use fiber_stack::{StackPool, StackSize};

use crate::error::BuildError;
use crate::home::Home;
use crate::job::StackJob;
use crate::latch;
use crate::worker::Worker;

/// Workers of one runtime, at most.
pub(crate) const WORKERS_MAX: usize = 1024;

/// What all workers and handles of a runtime share.
pub(crate) struct Shared {
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) stacks: StackPool,
    counts: Box<[CachePadded<RootCounts>]>,
    injected: CachePadded<AtomicU64>,
    stopping: AtomicBool,
    ended: AtomicBool,
}

/// Root jobs (all but the halves of joins) of one worker; each word has one writer.
#[derive(Default)]
struct RootCounts {
    spawned: AtomicU64,
    finished: AtomicU64,
}

impl Shared {
    /// Submits a root job: to the calling worker's own queue if it is one of ours, else from
    /// outside.
    pub(crate) fn submit(&self, job: Job) {
        match Worker::current() {
            Some(worker) if ptr::eq(&raw const *worker.shared, self) => {
                let spawned = &self.counts[worker.queues.index()].spawned;
                // ORDERING: Release, with the Acquire in `is_quiescent`: counted before it can
                // finish.
                spawned.store(spawned.load(Ordering::Relaxed) + 1, Ordering::Release);
                worker.queues.push_spawn(job);
            }
            _ => {
                // ORDERING: Release, as above.
                self.injected.fetch_add(1, Ordering::Release);
                self.scheduler.inject(job);
            }
        }
    }

    /// Counts a root job that has finished on `worker`, which calls this.
    pub(crate) fn count_finished(&self, worker: usize) {
        let finished = &self.counts[worker].finished;
        // ORDERING: Release, with the Acquire in `is_quiescent`: passes on what the job spawned.
        finished.store(finished.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Tells whether every root job has finished. Stable once true, as only jobs spawn by then.
    ///
    /// The finished counts are read before the spawned ones: both only grow, and no job finishes
    /// before it is counted as spawned, so equality means that both had met between the readings.
    fn is_quiescent(&self) -> bool {
        let sum = |pick: fn(&RootCounts) -> &AtomicU64| -> u64 {
            // ORDERING: Acquire, pairs with the Release of each count's writer.
            self.counts.iter().map(|counts| pick(counts).load(Ordering::Acquire)).sum()
        };
        let finished = sum(|counts| &counts.finished);
        // ORDERING: Acquire, as above.
        let spawned = sum(|counts| &counts.spawned) + self.injected.load(Ordering::Acquire);
        finished == spawned
    }

    /// Tells whether the workers are to return: the end was asked for, and all jobs have finished.
    pub(crate) fn has_ended(&self) -> bool {
        if !self.stopping.load(Ordering::Relaxed) {
            return false;
        }
        if !self.ended.load(Ordering::Relaxed) {
            if !self.is_quiescent() {
                return false;
            }
            self.ended.store(true, Ordering::Relaxed);
            self.scheduler.sleep().wake_all();
        }
        true
    }

    /// Runs `f` on a worker, and waits for it.
    pub(crate) fn run<F: FnOnce() -> R + Send, R: Send>(&self, f: F) -> R {
        let job = StackJob::new(f, true);
        self.submit(job.token());
        let this_job = job.pointer().addr();
        latch::wait(&job.done, &|header| ptr::from_ref(header).addr() == this_job.get());
        job.into_result().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }
}

/// A pool of workers that run jobs on fibers.
///
/// Dropping it waits until every job has finished; inside one of its own jobs, the drop begins the
/// shutdown and returns.
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Runtime {
    /// Starts a runtime with one worker for each CPU that the process may use.
    ///
    /// # Errors
    ///
    /// When the system refuses threads.
    pub fn new() -> Result<Runtime, BuildError> {
        let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with_workers(workers)
    }

    /// Starts a runtime with `workers` workers (1 to 1024).
    ///
    /// # Errors
    ///
    /// When `workers` is out of range, and when the system refuses threads.
    pub fn with_workers(workers: usize) -> Result<Runtime, BuildError> {
        let size = StackSize::new(StackSize::DEFAULT_BYTES).map_err(BuildError::Stack)?;
        Self::start(workers, size)
    }

    fn start(workers: usize, size: StackSize) -> Result<Runtime, BuildError> {
        if !(1..=WORKERS_MAX).contains(&workers) {
            return Err(BuildError::WorkerCount { asked: workers });
        }
        let homes: Vec<&'static Home> = (0..workers).map(|_| Home::take()).collect();
        let slots = homes.iter().map(|home| Arc::clone(&home.slot)).collect();
        let victims = (0..workers).map(|me| (1..workers).map(|d| (me + d) % workers).collect());
        let spins = workers <= thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let (scheduler, queues) = Scheduler::new(slots, victims.collect(), spins)
            .expect("each worker's victims are the others, in a circle");
        let shared = Arc::new(Shared {
            scheduler,
            stacks: StackPool::new(size, None),
            counts: (0..workers).map(|_| CachePadded::default()).collect(),
            injected: CachePadded::new(AtomicU64::new(0)),
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let mut runtime = Runtime { shared, threads: Vec::with_capacity(workers) };
        for (queues, home) in queues.into_iter().zip(homes) {
            let shared = Arc::clone(&runtime.shared);
            let name = format!("rustfiber-{}", queues.index());
            let builder = thread::Builder::new().name(name).stack_size(size.bytes());
            match builder.spawn(move || Worker::run(shared, queues, home)) {
                Ok(thread) => runtime.threads.push(thread),
                Err(source) => {
                    let started = runtime.threads.len();
                    return Err(BuildError::Thread { asked: workers, started, source });
                }
            }
        }
        Ok(runtime)
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
    pub fn run<F: FnOnce() -> R + Send, R: Send>(&self, f: F) -> R {
        match Worker::current() {
            Some(worker) if Arc::ptr_eq(&worker.shared, &self.shared) => f(),
            _ => self.shared.run(f),
        }
    }

    /// Returns the number of workers.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.shared.counts.len()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.worker_count()).finish_non_exhaustive()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // ORDERING: Relaxed; `wake_all` fences between this and the look at who is parked.
        // PROGRESS: a worker that parks sees the flag in its last look, or is woken.
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.scheduler.sleep().wake_all();
        if Worker::current().is_some_and(|worker| Arc::ptr_eq(&worker.shared, &self.shared)) {
            return; // inside an own job: the threads end on their own when it has
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                crate::panic::abort("a worker's thread panicked");
            }
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

/// Returns what the calling worker's runtime shares, or the default runtime's.
pub(crate) fn current_shared() -> Arc<Shared> {
    let worker = Worker::current();
    worker.map_or_else(|| default_runtime().shared.clone(), |worker| worker.shared.clone())
}
