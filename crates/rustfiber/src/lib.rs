#![doc = include_str!("../README.md")]

mod block;
mod blocker;
mod blocking;
mod builder;
mod clock;
#[cfg(doctest)]
mod compile_fail;
mod counter;
mod dump;
mod error;
mod event;
mod home;
mod job;
mod join;
mod join_all;
mod latch;
mod panic;
mod parallel;
mod places;
mod prefetch;
mod runtime;
mod scope;
mod sort;
mod spawn;
mod spawn_future;
mod stats;
pub mod sync;
mod timers;
#[cfg(feature = "trace")]
mod trace;
#[cfg(not(feature = "trace"))]
#[path = "trace/off.rs"]
mod trace;
mod unfinished;
mod worker;

pub use blocking::blocking;
pub use builder::{Builder, PinningStrategy};
pub use counter::{Counter, Ticket};
pub use dump::{Dump, FiberDump, FiberState, FutureDump, WaitKind};
pub use error::{BuildError, FiberLimit, ShutdownError};
pub use event::Event;
pub use fiber_sync::{block_on, sleep, sleep_until};
pub use join::join;
pub use join_all::{Closures, join_all};
pub use parallel::{par_for, par_for_each, par_map, par_map_reduce};
pub use runtime::Runtime;
pub use scope::{Scope, scope, scope_with_token};
pub use sort::{
    par_sort, par_sort_by, par_sort_by_key, par_sort_unstable, par_sort_unstable_by,
    par_sort_unstable_by_key,
};
pub use spawn::{JoinHandle, spawn};
pub use spawn_future::{Abandoned, spawn_future};
pub use stats::{Stats, WorkerStats};
pub use topology;
#[cfg(feature = "trace")]
pub use trace::Trace;

use worker::Worker;

/// Lets ready fibers and one unstarted job run before the caller goes on.
///
/// # Blocking
///
/// Suspends the fiber; outside a fiber, yields the thread's time slice.
#[inline(always)] // no frame between the caller and the switch; see `worker::suspend`
pub fn yield_now() {
    match Worker::current() {
        Some(worker) if worker.can_suspend() => worker.yield_now(),
        _ => std::thread::yield_now(),
    }
}

/// Returns the index of the worker that runs the caller.
#[must_use]
pub fn current_worker() -> Option<usize> {
    Worker::current().map(Worker::index)
}

/// Runs `f`, inside which a wait never suspends: it runs the awaited jobs that have not started,
/// and otherwise blocks the thread. For sections that hold a lock of `std` or `parking_lot`.
///
/// # Blocking
///
/// Waits inside `f` block the worker's thread. Where such a wait could never end, because it is for
/// a job that is suspended on this very worker, the process aborts with a report.
///
/// # Examples
///
/// ```
/// use std::sync::Mutex;
///
/// let total = Mutex::new(0);
/// rustfiber::without_suspending(|| {
///     let mut held = total.lock().unwrap();
///     let (a, b) = rustfiber::join(|| 20, || 22); // may wait, while the lock is held
///     *held += a + b;
/// });
/// assert_eq!(total.into_inner().unwrap(), 42);
/// ```
pub fn without_suspending<R>(f: impl FnOnce() -> R) -> R {
    match Worker::current() {
        Some(worker) => worker.without_suspending(f),
        None => f(),
    }
}
