//! Which CPUs a thread runs on: asking and telling the operating system.

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "affinity/linux.rs"]
mod platform;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "affinity/other.rs"]
mod platform;

use std::error::Error;
use std::fmt;
use std::io;

use crate::cpu_set::CpuSet;

/// Pins the calling thread to `cpus`: from now on it runs on these CPUs only, and so do threads
/// that it spawns later.
///
/// On Linux any set of the CPUs that the process's cpuset allows will do, also beyond CPU 1023,
/// and a thread can be pinned again. The kernel drops other CPUs of a set without a word; here
/// that is an error. Elsewhere a thread can be pinned to one CPU at most: on Windows one of the
/// process's own group of 64, on macOS none at all.
///
/// [`std::thread::available_parallelism`] and [`Topology::detect`](crate::Topology::detect) see
/// only the pinned CPUs afterwards: ask them first.
///
/// # Errors
///
/// When `cpus` is empty, holds a CPU that is offline or not allowed, or cannot be expressed on
/// this platform, and when the system refuses. The thread then keeps the CPUs that it had.
///
/// # Examples
///
/// ```
/// use topology::{CpuSet, PinError, Topology, pin_current_thread};
///
/// let topology = Topology::detect()?;
/// std::thread::spawn(move || {
///     let domain = topology.domains()[0].cpus.intersection(topology.allowed());
///     match pin_current_thread(&domain) {
///         Ok(()) => println!("on CPUs {domain}"),
///         Err(refused) => println!("not pinned: {refused}"),
///     }
/// })
/// .join()
/// .unwrap();
/// # Ok::<(), topology::DetectError>(())
/// ```
pub fn pin_current_thread(cpus: &CpuSet) -> Result<(), PinError> {
    if cpus.is_empty() {
        return Err(PinError::Empty);
    }
    platform::pin_current_thread(cpus)
}

/// Returns the CPUs that the calling thread may run on.
///
/// On Linux this is the thread's own mask, which shows pins, `taskset` and cgroup cpusets.
/// Elsewhere it is the process's CPUs, whatever the thread is pinned to.
///
/// # Errors
///
/// When the system does not tell: on Linux only inside a sandbox that forbids the call.
pub fn current_affinity() -> io::Result<CpuSet> {
    platform::current_affinity()
}

/// Reports that a thread could not be pinned.
#[derive(Debug)]
#[non_exhaustive]
pub enum PinError {
    /// The set is empty.
    Empty,
    /// The set holds a CPU that is offline or that the process may not use.
    Refused {
        /// The CPUs that were asked for.
        asked: CpuSet,
        /// The CPUs to which a thread of this process can be pinned.
        allowed: CpuSet,
    },
    /// The platform cannot pin a thread to this set.
    Unsupported {
        /// The CPUs that were asked for.
        asked: CpuSet,
    },
    /// The system refused for a reason of its own, such as a sandbox.
    System {
        /// The CPUs that were asked for.
        asked: CpuSet,
        /// The system's answer.
        source: io::Error,
    },
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinError::Empty => f.write_str(
                "asked to pin a thread to no CPU at all; \
                 name at least one that is allowed (`Topology::allowed`)",
            ),
            PinError::Refused { asked, allowed } => write!(
                f,
                "asked to pin a thread to CPUs {asked}, but {} cannot be used: this process may \
                 use CPUs {allowed}; choose among these, or bring the others online and widen the \
                 process's cpuset",
                asked.difference(allowed)
            ),
            PinError::Unsupported { asked } => write!(
                f,
                "asked to pin a thread to CPUs {asked}, but this platform pins to one CPU at most; \
                 name a single CPU, or leave the thread unpinned"
            ),
            PinError::System { asked, .. } => write!(
                f,
                "the system refused to pin a thread to CPUs {asked}; \
                 allow the call in the sandbox, or leave the thread unpinned"
            ),
        }
    }
}

impl Error for PinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PinError::System { source, .. } => Some(source),
            PinError::Empty | PinError::Refused { .. } | PinError::Unsupported { .. } => None,
        }
    }
}
