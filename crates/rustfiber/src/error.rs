//! What can go wrong when a runtime starts and ends, and when a job waits without a fiber.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use fiber_stack::StackError;
use topology::{DetectError, PinError};

use crate::builder::WORKERS_MAX;
use crate::dump::Dump;

/// Why a runtime did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The number of workers is out of range.
    WorkerCount {
        /// What was asked for.
        asked: usize,
    },
    /// The stack size is out of range.
    StackSize(StackError),
    /// No fiber at all was to be allowed.
    NoFibers,
    /// The name of the threads holds a zero byte.
    ThreadName {
        /// What was asked for.
        asked: String,
    },
    /// The room for a trace is out of range. Needs the feature `trace`.
    #[cfg(feature = "trace")]
    TraceEvents {
        /// What was asked for.
        asked: usize,
    },
    /// The workers were to be pinned, but the machine's CPUs are not known.
    Topology(DetectError),
    /// A worker could not be pinned.
    Pin {
        /// The worker's index.
        worker: usize,
        /// Why not.
        source: PinError,
    },
    /// The system refused a thread.
    Thread {
        /// Workers asked for.
        asked: usize,
        /// Workers that had started, and were stopped again.
        started: usize,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::WorkerCount { asked } => write!(
                f,
                "{asked} workers asked for, but a runtime has 1 to {WORKERS_MAX}; one for each \
                 CPU is usual"
            ),
            BuildError::StackSize(error) => error.fmt(f),
            BuildError::NoFibers => f.write_str(
                "at most 0 fibers asked for, but jobs need at least 1; leave the limit out for as \
                 many as the system allows",
            ),
            BuildError::ThreadName { asked } => {
                write!(f, "thread name {asked:?} holds a zero byte; choose one without")
            }
            #[cfg(feature = "trace")]
            BuildError::TraceEvents { asked } => write!(
                f,
                "room for {asked} trace events asked for, but a worker has room for 1 to {}; leave \
                 it out for the default",
                crate::trace::EVENTS_MAX
            ),
            BuildError::Topology(_) => f.write_str(
                "the machine's CPUs could not be found out, so no worker can be pinned; choose \
                 `PinningStrategy::None`, or describe them with `Builder::topology`",
            ),
            BuildError::Pin { worker, .. } => write!(
                f,
                "worker {worker} could not be pinned; choose `PinningStrategy::None`, or a \
                 topology of this machine"
            ),
            BuildError::Thread { asked, started, .. } => write!(
                f,
                "the system refused thread {} of {asked}; raise the limit on threads \
                 (`ulimit -u`, the cgroup's pids.max) or on memory, or ask for fewer workers",
                started + 1
            ),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BuildError::WorkerCount { .. }
            | BuildError::NoFibers
            | BuildError::ThreadName { .. } => None,
            #[cfg(feature = "trace")]
            BuildError::TraceEvents { .. } => None,
            BuildError::StackSize(error) => Some(error),
            BuildError::Topology(error) => Some(error),
            BuildError::Pin { source, .. } => Some(source),
            BuildError::Thread { source, .. } => Some(source),
        }
    }
}

/// Why [`Runtime::shutdown`](crate::Runtime::shutdown) returned before the end of all jobs.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Jobs were still there when the time was up. They go on, on threads of their own.
    TimedOut {
        /// How long was waited.
        timeout: Duration,
        /// What every fiber was doing, and which futures were waiting.
        dump: Dump,
    },
    /// A job of the runtime asked for the end, and is itself still running.
    InsideOwnJob,
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShutdownError::TimedOut { timeout, dump } => write!(
                f,
                "the runtime's jobs had not ended after {timeout:?}; left running:\n{dump}"
            ),
            ShutdownError::InsideOwnJob => f.write_str(
                "the shutdown was asked for by a job of the runtime itself; it has begun, and ends \
                 when this job and all others have ended",
            ),
        }
    }
}

impl Error for ShutdownError {}

/// Says that a job has no fiber to wait with, because no stack was to be had when it started.
///
/// Such a job runs on its worker's own stack. It may still use `join`, `scope` and
/// `JoinHandle::join`, which run their own unstarted jobs in place.
#[derive(Clone, Debug)]
pub struct FiberLimit {
    pub(crate) refusal: Arc<StackError>,
}

impl fmt::Display for FiberLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this job got no fiber, so it cannot wait: {}", self.refusal)
    }
}

impl Error for FiberLimit {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.refusal)
    }
}
