//! Scopes: jobs that may borrow from the frame that waits for them.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread;

use deque_scheduler::Job;
use fiber_sync::CancelToken;
use intrusive_waitlist::SplitCounter;
use parking_lot::Mutex;

use crate::block::Block;
use crate::counter::Counter;
use crate::dump::Site;
use crate::home::wake_all;
use crate::job::{JobHeader, JobKind, ScopeHeader};
use crate::latch::{self, Awaited, Wait};
use crate::panic::{Payload, abort, drop_quietly};
use crate::runtime::SharedPointer;
use crate::worker::Worker;

/// A scope; [`scope`] makes one and waits for its jobs.
pub struct Scope<'scope, 'env: 'scope> {
    /// The jobs; closed when the body ends.
    pending: SplitCounter,
    /// The counter's home, the worker of the body, until that ends.
    home: AtomicPtr<Worker>,
    /// The first child's panic.
    panic: Mutex<Option<Payload>>,
    /// Made when first asked for.
    token: OnceLock<CancelToken>,
    runtime: SharedPointer,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Calls `f` with a scope, and returns when `f` and every job spawned on the scope have ended.
///
/// # Panics
///
/// With the panic of `f`, else with that of the first job that panicked.
///
/// # Blocking
///
/// Suspends the fiber, or blocks the plain thread, until the last job has ended.
///
/// # Examples
///
/// ```
/// let mut squares = [0; 8];
/// rustfiber::scope(|s| {
///     for (number, square) in squares.iter_mut().enumerate() {
///         s.spawn(move || *square = number * number);
///     }
/// });
/// assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49]);
/// ```
#[track_caller]
pub fn scope<'env, F, R>(f: F) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    scope_of(OnceLock::new(), f, Location::caller())
}

/// As [`scope()`], for jobs that are to stop when `token` is cancelled, or at its deadline: the
/// scope's own token ([`Scope::cancel_token`]) is a child of it.
///
/// Cancelling asks; it interrupts nothing. The scope ends when its jobs have ended, not earlier.
///
/// # Panics
///
/// As [`scope()`].
///
/// # Blocking
///
/// As [`scope()`].
///
/// # Examples
///
/// ```
/// use rustfiber::sync::{CancelToken, channel};
/// use std::time::Duration;
///
/// let limit = CancelToken::new().with_timeout(Duration::from_millis(5));
/// let (sender, receiver) = channel::bounded::<u32>(1);
/// rustfiber::scope_with_token(&limit, |s| {
///     s.spawn(|| {
///         // Nobody sends anything.
///         assert!(s.cancel_token().run(receiver.recv_async()).is_err());
///     });
/// });
/// # drop(sender);
/// ```
#[track_caller]
pub fn scope_with_token<'env, F, R>(token: &CancelToken, f: F) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    scope_of(OnceLock::from(token.child()), f, Location::caller())
}

#[inline(always)]
fn scope_of<'env, F, R>(token: OnceLock<CancelToken>, f: F, site: Site) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    let scope = Scope {
        pending: SplitCounter::new(),
        home: AtomicPtr::new(home_of_body()),
        panic: Mutex::new(None),
        token,
        runtime: SharedPointer::current(),
        scope: PhantomData,
        env: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    if result.is_err() {
        scope.cancel_rest();
    }
    scope.close();
    let wait = Wait { what: Awaited::Scope(scope.owner()), site };
    latch::wait(&scope.pending, &wait);
    let child_panic = scope.panic.lock().take();
    match (result, child_panic) {
        (Ok(value), None) => value,
        (Ok(value), Some(payload)) => {
            drop_quietly(value);
            resume_unwind(payload)
        }
        (Err(payload), other) => {
            drop_quietly(other);
            resume_unwind(payload)
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Spawns a job that the scope's end waits for. While the thread panics, `f` is called at once.
    #[track_caller]
    pub fn spawn<F: FnOnce() + Send + 'scope>(&'scope self, f: F) {
        self.spawn_owned(0, f, Location::caller());
    }

    /// Spawns a job that takes one of `counter`'s counts off when it ends, also by a panic.
    #[track_caller]
    pub fn spawn_counted<F: FnOnce() + Send + 'scope>(
        &'scope self,
        counter: &'scope Counter,
        f: F,
    ) {
        let ticket = counter.ticket();
        let job = move || {
            let _ticket = ticket;
            f();
        };
        self.spawn_owned(ptr::from_ref(counter).addr(), job, Location::caller());
    }

    /// Returns the token by which the scope's jobs learn that they are to stop. It is cancelled
    /// when the body or a job panics, as the scope will then; by whoever calls its
    /// [`cancel`](CancelToken::cancel); and with the token of [`scope_with_token`].
    ///
    /// # Examples
    ///
    /// ```
    /// let found = std::sync::atomic::AtomicUsize::new(0);
    /// rustfiber::scope(|s| {
    ///     for part in (0..1000_usize).collect::<Vec<_>>().chunks(100).map(<[_]>::to_vec) {
    ///         let found = &found;
    ///         s.spawn(move || {
    ///             for number in part {
    ///                 if s.cancel_token().is_cancelled() {
    ///                     return; // another job has found one
    ///                 }
    ///                 if number % 77 == 76 {
    ///                     found.store(number, std::sync::atomic::Ordering::Relaxed);
    ///                     s.cancel_token().cancel();
    ///                 }
    ///             }
    ///         });
    ///     }
    /// });
    /// assert_eq!(found.into_inner() % 77, 76);
    /// ```
    pub fn cancel_token(&self) -> &CancelToken {
        self.token.get_or_init(CancelToken::new)
    }

    /// Tells the jobs that the scope will panic.
    #[cold]
    #[inline(never)] // spawns are inlined where they fit
    fn cancel_rest(&self) {
        if let Some(token) = self.token.get() {
            // Wakers of the user's run, and may panic; the scope has its panic.
            drop_quietly(catch_unwind(AssertUnwindSafe(|| token.cancel())));
        }
    }

    #[inline(always)] // out of line, it costs a tenth more
    fn spawn_owned<F: FnOnce() + Send + 'scope>(&'scope self, counter: usize, f: F, site: Site) {
        if thread::panicking() {
            return self.run_caught(f);
        }
        let worker = Worker::current();
        let home = worker.filter(|worker| self.is_home(worker));
        match home {
            // SAFETY: the worker is the home until the body ends.
            Some(_) => unsafe { self.pending.add_local() },
            None => self.pending.add(),
        }
        let job = ScopeJob {
            // SAFETY: the kind is a scope's.
            header: unsafe { ScopeHeader::new(ScopeJob::<F>::KIND, [self.owner(), counter], site) },
            scope: NonNull::from(self).cast(),
            closure: f,
        };
        let job = Block::new(job, worker, None).into_raw();
        // SAFETY: the closure is `Send`, and a scope may be used from any thread.
        let token = unsafe { Job::new(job.cast()) };
        match home {
            Some(worker) => worker.submit(token),
            None => self.runtime.with(|shared| shared.submit(token)),
        }
    }

    /// Tells whether `worker` counts without a shared word. It alone is ever told that it does.
    #[inline(always)]
    fn is_home(&self, worker: &Worker) -> bool {
        ptr::eq(self.home.load(Ordering::Relaxed), worker)
    }

    /// The body has ended: its worker counts like everybody from now on.
    fn close(&self) {
        let home = self.home.swap(ptr::null_mut(), Ordering::Relaxed);
        if !home.is_null() && home != home_of_body() {
            abort("the body of a scope ended on another thread than it began on");
        }
        // SAFETY: the body's worker calls this, once.
        wake_all(unsafe { self.pending.close() });
    }

    /// Counts a job that has ended on `worker`: the job's last touch of the scope.
    #[inline(always)]
    fn count_ended(&self, worker: &Worker) {
        if self.is_home(worker) {
            // SAFETY: the worker is the home until the body ends.
            unsafe { self.pending.done_local() };
        } else {
            wake_all(self.pending.done());
        }
    }

    /// Calls a job, and keeps the first panic of all.
    fn run_caught(&self, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            let mut first = self.panic.lock();
            if first.is_none() {
                *first = Some(payload);
                drop(first); // no user code under a lock
                self.cancel_rest();
            } else {
                drop(first);
                drop_quietly(payload);
            }
        }
    }

    fn owner(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("pending", &self.pending.value()).finish_non_exhaustive()
    }
}

/// Returns the worker on which the body of a scope begins, and so ends.
fn home_of_body() -> *mut Worker {
    Worker::current().map_or(ptr::null_mut(), |worker| ptr::from_ref(worker).cast_mut())
}

#[repr(C)] // the header comes first
struct ScopeJob<F> {
    header: ScopeHeader,
    scope: NonNull<Scope<'static, 'static>>,
    closure: F,
}

impl<F: FnOnce()> ScopeJob<F> {
    const KIND: &'static JobKind = &JobKind { run: Self::run, is_scopes: true };

    /// # Safety
    ///
    /// As for [`JobHeader::run`].
    unsafe fn run(header: NonNull<JobHeader>, worker: &Worker) {
        // SAFETY: made by `spawn_owned`; the token came out once.
        let job = unsafe { Block::from_raw(header.cast::<Self>()) };
        let ScopeJob { scope, closure, .. } = job.into_inner(worker);
        // SAFETY: the scope's frame waits for the count that this job holds.
        let scope = unsafe { scope.as_ref() };
        scope.run_caught(closure);
        worker.must_still_run();
        scope.count_ended(worker);
        worker.count_finished();
    }
}
