//! Fork-join: two closures, possibly in parallel.

use std::hint::black_box;
use std::mem::{ManuallyDrop, needs_drop};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr;

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
#[inline(always)] // a closure that moves into a call is copied, which costs more than the rest
pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    join_at(Location::caller(), a, b)
}

/// As [`join`], for a part of this library that was called at `site`.
#[inline(always)]
pub(crate) fn join_at<A, B, RA, RB>(site: Site, a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    // Made here, so that neither closure moves.
    let frame = Frame { job: JoinJob::new(b, site), a: ManuallyDrop::new(a) };
    // SAFETY: it is not used again.
    unsafe { join_in_place(&frame) }
}

/// Both halves of a join: one address to pass on, and to keep.
struct Frame<A, B, RB> {
    job: JoinJob<B, RB>,
    a: ManuallyDrop<A>,
}

/// The second half of a join.
type JoinJob<B, RB> = StackJob<B, RB, false>;

/// # Safety
///
/// The closures of both halves are the callee's.
#[inline(never)] // so that a caller that does not come here saves no registers for it
unsafe fn join_in_place<A, B, RA, RB>(frame: &Frame<A, B, RB>) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    // SAFETY: as the caller vouches; read once.
    let read_a = || unsafe { ptr::read(&raw const *frame.a) };
    match Worker::current() {
        Some(worker) => join_on(worker, || read_a()(), &frame.job),
        None => join_outside(read_a(), &frame.job),
    }
}

/// Joins where the caller is no worker.
#[cold]
#[inline(never)]
fn join_outside<A, B, RA, RB>(a: A, job: &JoinJob<B, RB>) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    let site = job.site();
    // SAFETY: no token was made of the job, which is not used again.
    let b = unsafe { job.take_closure() };
    default_runtime().run(move || {
        let worker = Worker::current().expect("`run` calls its closure on a worker");
        join_on(worker, a, &JoinJob::new(b, site))
    })
}

/// Calls `a` and the closure of `job`, which is new.
///
/// Does not ask whether the thread is panicking: only a wait for a thief does (docs/adr/0010).
///
/// What is rare is in functions of their own that return, or seem to: where nothing in a function
/// diverges, the compiler saves registers only on the way to a join, and the recursion's last
/// calls, which make none, are free of that. Measured in docs/performance.md.
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
        Ok(a) => Quiet::new(a),
        Err(payload) => {
            let give_up: fn(_, _, _, _) -> _ = give_up::<B, RA, RB>;
            return black_box(give_up)(worker, place, job, payload);
        }
    };
    worker.must_still_run();
    // SAFETY: the place comes from this worker, which still runs.
    let b = match unsafe { worker.queues.take_back(place) } {
        TakeBack::Mine => {
            // SAFETY: nobody else has the job, and nobody will.
            let b = unsafe { job.take_closure() };
            b()
        }
        TakeBack::Stolen => result_of_thief(job),
    };
    (a.into_inner(), b)
}

/// Waits for a stolen job, and returns its result or goes on with its panic.
#[cold]
#[inline(never)]
fn result_of_thief<B, RB>(job: &JoinJob<B, RB>) -> RB
where
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    wait_for_thief(&job.done, job.site());
    // SAFETY: the job is done.
    unsafe { job.take_result() }.unwrap_or_else(|payload| resume_unwind(payload))
}

fn wait_for_thief(done: &CompletionList, site: Site) {
    latch::wait(done, &Wait { what: Awaited::Join, site });
}

/// Goes on with the panic of `a`, when `b` has ended or is dropped.
#[cold]
#[inline(never)]
fn give_up<B, RA, RB>(
    worker: &Worker,
    place: Place,
    job: &JoinJob<B, RB>,
    payload: Payload,
) -> (RA, RB)
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

/// A value whose destructor may panic while `b`'s panic goes on.
struct Quiet<T>(ManuallyDrop<T>);

impl<T> Quiet<T> {
    #[inline(always)]
    fn new(value: T) -> Self {
        Quiet(ManuallyDrop::new(value))
    }

    #[inline(always)]
    fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once, and not dropped.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        if needs_drop::<T>() {
            // SAFETY: taken once.
            drop_quietly(unsafe { ManuallyDrop::take(&mut self.0) });
        }
    }
}
