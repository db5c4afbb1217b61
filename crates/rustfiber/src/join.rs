//! Fork-join: two closures, possibly in parallel.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::thread;

use deque_scheduler::ring::TakeBack;

use crate::dump::Site;
use crate::job::StackJob;
use crate::latch::{self, Awaited, Wait};
use crate::panic::drop_quietly;
use crate::runtime::default_runtime;
use crate::worker::Worker;

/// Runs both closures, possibly in parallel, and returns both results.
///
/// `a` runs at once on the calling fiber; `b` may be taken by another worker meanwhile. If nobody
/// took it, it is called when `a` returns. Outside any worker the whole call moves into the default
/// runtime.
///
/// # Panics
///
/// With the panic of `a`, else with that of `b`. Both have ended by then; after a panic in `a`, a
/// `b` that nobody had started is dropped unrun.
///
/// # Blocking
///
/// Suspends the fiber while another worker runs `b`; also for a moment before `a`, when fibers that
/// were woken have waited for this worker for 0.1 ms.
///
/// # Examples
///
/// ```
/// fn sum(numbers: &[u64]) -> u64 {
///     if numbers.len() <= 1000 {
///         return numbers.iter().sum();
///     }
///     let (left, right) = numbers.split_at(numbers.len() / 2);
///     let (left, right) = rustfiber::join(|| sum(left), || sum(right));
///     left + right
/// }
///
/// let numbers: Vec<u64> = (1..=10_000).collect();
/// assert_eq!(sum(&numbers), 50_005_000);
/// ```
#[track_caller]
pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    match Worker::current() {
        None => {
            let site = Location::caller();
            default_runtime().run(move || {
                let worker = Worker::current().expect("`run` calls its closure on a worker");
                join_on(worker, a, b, site)
            })
        }
        // Rule 1: nothing may wait while the thread panics, so nothing is handed out.
        Some(_) if thread::panicking() => (a(), b()),
        Some(worker) => join_on(worker, a, b, Location::caller()),
    }
}

fn join_on<A, B, RA, RB>(worker: &Worker, a: A, b: B, site: Site) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    worker.give_way();
    let job = StackJob::new(b, false, site);
    let place = worker.queues.push_join(job.token());
    // Nothing may unwind past this frame while a token to `job` is out (rule 2).
    let result_a = catch_unwind(AssertUnwindSafe(a));
    worker.must_still_run();
    // SAFETY: the place comes from this worker, which still runs.
    let outcome = unsafe { worker.queues.take_back(place) };
    let result_b = if outcome == TakeBack::Mine {
        let b = job.into_closure();
        match result_a {
            Ok(_) => catch_unwind(AssertUnwindSafe(b)),
            Err(payload) => {
                drop_quietly(b);
                resume_unwind(payload)
            }
        }
    } else {
        latch::wait(&job.done, &Wait { what: Awaited::Join, site });
        job.into_result()
    };
    match (result_a, result_b) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(payload), other) => {
            drop_quietly(other);
            resume_unwind(payload)
        }
        (Ok(a), Err(payload)) => {
            drop_quietly(a);
            resume_unwind(payload)
        }
    }
}
