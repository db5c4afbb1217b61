//! What a runtime is made of: checked first, then started.

use std::any::Any;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;

use deque_scheduler::{Barrier, Scheduler};
use fiber_stack::{StackCache, StackPool, StackSize};
use topology::{CpuSet, PinError, Topology, pin_current_thread, placement, steal_order};

use crate::clock;
use crate::error::BuildError;
use crate::home::Home;
use crate::panic::{PanicHandler, abort};
use crate::runtime::{Runtime, Shared};
use crate::trace;
use crate::worker::Worker;

/// Workers of one runtime, at most.
pub(crate) const WORKERS_MAX: usize = 1024;

/// Where workers are pinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinningStrategy {
    /// Nowhere: the system moves the threads as it likes.
    None,
    /// Each worker on a CPU of its own, first threads of the cores of one cache domain first; with
    /// more workers than CPUs, several share one.
    Cores,
    /// For now like `None`. Tiers of CPUs, opened by demand, are to come.
    #[default]
    TieredSpillover,
}

/// Makes a [`Runtime`].
///
/// # Examples
///
/// ```
/// use rustfiber::{PinningStrategy, Runtime};
///
/// let runtime = Runtime::builder()
///     .workers(2)
///     .stack_size(256 * 1024)
///     .pinning(PinningStrategy::None)
///     .thread_name("engine")
///     .panic_handler(|_payload| eprintln!("a job that nobody waited for panicked"))
///     .build()?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # Ok::<(), rustfiber::BuildError>(())
/// ```
#[derive(Default)]
#[must_use = "a builder starts nothing until `build`"]
pub struct Builder {
    workers: Option<usize>,
    stack_bytes: Option<usize>,
    max_fibers: Option<usize>,
    pinning: PinningStrategy,
    is_fenced: bool,
    topology: Option<Topology>,
    thread_name: Option<String>,
    panic_handler: Option<PanicHandler>,
    trace: trace::Settings,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets the number of workers: 1 to 1024. Default: as many as
    /// [`std::thread::available_parallelism`] tells.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count);
        self
    }

    /// Sets the size of each fiber's stack, and of the workers' own: 64 KiB to 1 GiB, rounded up
    /// to whole pages. Default: 1 MiB. Memory is used only as far down as a job has gone.
    ///
    /// A job may begin on the stack of one that waits for it, of which at most an eighth is used
    /// then.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_bytes = Some(bytes);
        self
    }

    /// Sets how many fibers may exist at once, at least 1. Default: as many as the system allows,
    /// on Linux about 32 000 to a process.
    ///
    /// At the limit no job is lost: it runs on its worker's own stack, where it cannot suspend
    /// ([`FiberLimit`](crate::FiberLimit)). Each worker but one may keep 16 stacks of finished
    /// fibers beyond the limit.
    pub fn max_fibers(mut self, count: usize) -> Self {
        self.max_fibers = Some(count);
        self
    }

    /// Sets where workers are pinned. Default: [`PinningStrategy::TieredSpillover`].
    pub fn pinning(mut self, strategy: PinningStrategy) -> Self {
        self.pinning = strategy;
        self
    }

    /// Lets each push and pop of a job fence, so that no worker ever interrupts another. Default:
    /// only where the system has no call for it (`membarrier` on Linux, from 4.14 on;
    /// `FlushProcessWriteBuffers` on Windows).
    ///
    /// A worker that has nothing to do takes jobs by force from one that sits in a long job. For
    /// that it interrupts the process's running threads for some microseconds. Where one of them
    /// must not be interrupted, say one that plays sound, fences are the price, some nanoseconds a
    /// job.
    pub fn fenced(mut self, yes: bool) -> Self {
        self.is_fenced = yes;
        self
    }

    /// Sets what is known of the machine. Default: what [`Topology::detect`] finds out, as seen by
    /// the thread that calls [`Builder::build`].
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = Some(topology);
        self
    }

    /// Sets the name of the workers' threads, which is followed by `-` and the worker's index.
    /// Default: `rustfiber`. Linux shows the first 15 bytes.
    pub fn thread_name(mut self, name: &str) -> Self {
        self.thread_name = Some(name.to_owned());
        self
    }

    /// Sets what is done with the panic of a spawned job whose [`JoinHandle`](crate::JoinHandle)
    /// has been dropped. Default: nothing, as with [`std::thread`], after the panic hook has
    /// printed its message.
    ///
    /// The handler is called by the worker, or by the thread that drops the handle of a job that
    /// has panicked before. If it panics itself, the process aborts.
    pub fn panic_handler<H>(mut self, handler: H) -> Self
    where
        H: Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    {
        self.panic_handler = Some(Arc::new(handler));
        self
    }

    /// Sets how many events each worker has room for in its trace: 1 to 16 777 216. Default:
    /// 65 536. Needs the feature `trace`.
    ///
    /// An event takes 40 bytes, which the worker allocates when it starts. A job makes two, and two
    /// more each time that it suspends. What comes when the room is full is counted, not recorded;
    /// so is all that a worker does to which the system refuses the memory.
    #[cfg(feature = "trace")]
    pub fn trace_events(mut self, count: usize) -> Self {
        self.trace.events = count;
        self
    }

    /// Starts the runtime. All values are checked before the system is asked for anything.
    ///
    /// # Errors
    ///
    /// When a value is out of range, when the system refuses a thread, and when a worker cannot be
    /// pinned. Workers that had started are stopped again.
    ///
    /// # Blocking
    ///
    /// Waits until all workers are pinned, if they are to be.
    pub fn build(self) -> Result<Runtime, BuildError> {
        clock::start();
        let size = StackSize::new(self.stack_bytes.unwrap_or(StackSize::DEFAULT_BYTES));
        let size = size.map_err(BuildError::StackSize)?;
        let cpus = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = self.workers.unwrap_or_else(|| cpus().min(WORKERS_MAX));
        if !(1..=WORKERS_MAX).contains(&workers) {
            return Err(BuildError::WorkerCount { asked: workers });
        }
        if self.max_fibers == Some(0) {
            return Err(BuildError::NoFibers);
        }
        let name = self.thread_name.unwrap_or_else(|| String::from("rustfiber"));
        if name.contains('\0') {
            return Err(BuildError::ThreadName { asked: name });
        }

        self.trace.check()?;

        let topology = self.topology.map_or_else(Topology::detect, Ok);
        let pins = match (self.pinning, &topology) {
            (PinningStrategy::None | PinningStrategy::TieredSpillover, _) => vec![None; workers],
            (PinningStrategy::Cores, Ok(topology)) => {
                let cpus = placement(topology, workers).into_iter();
                cpus.map(|cpu| Some(CpuSet::from([cpu]))).collect()
            }
            (PinningStrategy::Cores, Err(_)) => {
                return Err(BuildError::Topology(topology.expect_err("matched")));
            }
        };
        let victims = match &topology {
            Ok(topology) => steal_order(topology, &pins),
            // Where the machine is unknown, all are equally near.
            Err(_) => circle(workers),
        };
        // A worker may keep some stacks of finished fibers that the others could not use.
        let idle = (workers - 1) * StackCache::CAPACITY;
        let stacks = StackPool::new(size, self.max_fibers.map(|count| count.saturating_add(idle)));
        let homes: Vec<&'static Home> = (0..workers).map(|_| Home::take()).collect();
        let slots = homes.iter().map(|home| Arc::clone(&home.slot)).collect();
        // Before the threads start.
        let barrier = if self.is_fenced { Barrier::fenced() } else { Barrier::of_this_process() };
        let (scheduler, queues) = Scheduler::new(slots, victims, workers <= cpus(), barrier)
            .expect("a steal order names each other worker once");
        let tapes = self.trace.tapes(&pins);
        let shared = Shared::new(scheduler, stacks, self.panic_handler, homes.clone(), tapes);
        let mut crew = Crew { runtime: Runtime::from_parts(shared, Vec::new()), name, size };
        let (report, reports) = mpsc::channel();
        for ((queues, home), pin) in queues.into_iter().zip(homes).zip(pins) {
            let index = queues.index();
            let report = pin.is_some().then(|| report.clone());
            let work = move |shared| {
                if let (Some(pin), Some(report)) = (pin, report) {
                    let outcome = pin_current_thread(&pin);
                    // The builder is gone only if a later thread was refused.
                    let _ = report.send((index, outcome));
                }
                Worker::run(shared, queues, home);
            };
            crew.start(index, workers, work)?;
        }
        drop(report);
        crew.check_pins(reports)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("stack_bytes", &self.stack_bytes)
            .field("max_fibers", &self.max_fibers)
            .field("pinning", &self.pinning)
            .field("is_fenced", &self.is_fenced)
            .field("thread_name", &self.thread_name)
            .finish_non_exhaustive()
    }
}

/// The workers of a runtime that starts; dropping it on an error stops them again.
struct Crew {
    runtime: Runtime,
    name: String,
    size: StackSize,
}

impl Crew {
    fn start(
        &mut self,
        index: usize,
        asked: usize,
        work: impl FnOnce(Arc<Shared>) + Send + 'static,
    ) -> Result<(), BuildError> {
        let shared = Arc::clone(&self.runtime.shared);
        shared.expect_worker();
        let builder = thread::Builder::new().name(format!("{}-{index}", self.name));
        let spawned = builder.stack_size(self.size.bytes()).spawn(move || {
            let its_own = Arc::clone(&shared);
            if catch_unwind(AssertUnwindSafe(|| work(its_own))).is_err() {
                abort("a worker panicked outside of any job");
            }
            shared.count_exit();
        });
        match spawned {
            Ok(thread) => self.runtime.push_thread(thread),
            Err(source) => {
                self.runtime.shared.count_exit();
                return Err(BuildError::Thread { asked, started: index, source });
            }
        }
        Ok(())
    }

    /// Returns the runtime, if every worker that was to be pinned is.
    fn check_pins(
        self,
        reports: mpsc::Receiver<(usize, Result<(), PinError>)>,
    ) -> Result<Runtime, BuildError> {
        for (worker, outcome) in reports {
            outcome.map_err(|source| BuildError::Pin { worker, source })?;
        }
        Ok(self.runtime)
    }
}

/// Everybody steals from the next ones first.
fn circle(workers: usize) -> Vec<Vec<usize>> {
    (0..workers).map(|me| (1..workers).map(|step| (me + step) % workers).collect()).collect()
}
