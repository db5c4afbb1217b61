//! Fork-join: two closures, possibly in parallel.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::thread;

use deque_scheduler::ring::{Place, TakeBack};
use intrusive_waitlist::CompletionList;

use crate::dump::Site;
use crate::job::StackJob;
use crate::latch::{self, Awaited, Wait};
use crate::panic::{Payload, drop_quietly};
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
#[inline]
pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    // Made first, so that the closure is in one place whichever way this goes.
    let job = JoinJob::new(b, Location::caller());
    match Worker::current() {
        Some(worker) if !thread::panicking() => join_on(worker, a, &job),
        worker => join_otherwise(worker, a, &job),
    }
}

/// The second half of a join.
type JoinJob<B, RB> = StackJob<B, RB, false>;

/// Joins where the caller is no worker, or may not wait.
#[cold]
#[inline(never)]
fn join_otherwise<A, B, RA, RB>(worker: Option<&Worker>, a: A, job: &JoinJob<B, RB>) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    let site = job.site();
    // SAFETY: no token was made of the job, which is not used again.
    let b = unsafe { job.take_closure() };
    if worker.is_some() {
        // Rule 1: nothing may wait while the thread panics, so nothing is handed out.
        return (a(), b());
    }
    default_runtime().run(move || {
        let worker = Worker::current().expect("`run` calls its closure on a worker");
        join_on(worker, a, &JoinJob::new(b, site))
    })
}

/// Calls `a` and the closure of `job`, which is new.
#[inline(always)]
fn join_on<A, B, RA, RB>(worker: &Worker, a: A, job: &JoinJob<B, RB>) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    worker.give_way();
    let place = worker.queues.push_join(job.token());
    // Nothing may unwind past this frame while a token to `job` is out (rule 2).
    let a = match catch_unwind(AssertUnwindSafe(a)) {
        Ok(a) => a,
        Err(payload) => give_up(worker, place, job, payload),
    };
    worker.must_still_run();
    // SAFETY: the place comes from this worker, which still runs.
    let result_b = match unsafe { worker.queues.take_back(place) } {
        // SAFETY: nobody else has the job, and nobody will.
        TakeBack::Mine => catch_unwind(AssertUnwindSafe(unsafe { job.take_closure() })),
        TakeBack::Stolen => {
            wait_for_thief(&job.done, job.site());
            // SAFETY: the job is done.
            unsafe { job.take_result() }
        }
    };
    match result_b {
        Ok(b) => (a, b),
        Err(payload) => {
            drop_quietly(a);
            resume_unwind(payload)
        }
    }
}

#[cold]
#[inline(never)]
fn wait_for_thief(done: &CompletionList, site: Site) {
    latch::wait(done, &Wait { what: Awaited::Join, site });
}

/// Goes on with the panic of `a`, when `b` has ended or is dropped.
#[cold]
#[inline(never)]
fn give_up<B, RB>(
    worker: &Worker,
    place: Place,
    job: &JoinJob<B, RB>,
    payload: Payload,
) -> !
where
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    worker.must_still_run();
    // SAFETY: the place comes from this worker, which still runs.
    match unsafe { worker.queues.take_back(place) } {
        // SAFETY: nobody else has the job, and nobody will.
        TakeBack::Mine => drop_quietly(unsafe { job.take_closure() }),
        TakeBack::Stolen => {
            wait_for_thief(&job.done, job.site());
            // SAFETY: the job is done.
            drop_quietly(unsafe { job.take_result() });
        }
    }
    resume_unwind(payload)
}
