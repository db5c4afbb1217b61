//! What can go wrong when a runtime starts, and when a job waits without a fiber.

use std::error::Error;
use std::{fmt, io};

use fiber_stack::StackError;

use crate::runtime::WORKERS_MAX;

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
    Stack(StackError),
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
            BuildError::Stack(error) => error.fmt(f),
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
            BuildError::WorkerCount { .. } => None,
            BuildError::Stack(error) => Some(error),
            BuildError::Thread { source, .. } => Some(source),
        }
    }
}
