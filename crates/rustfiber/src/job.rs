//! Jobs as the queues see them: a header at a stable address, in a frame or on the heap.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::thread;

use deque_scheduler::Job;
use intrusive_waitlist::CompletionList;

use crate::dump::Site;
use crate::home::wake_all;
use crate::worker::Worker;

/// The first field of every job.
pub(crate) struct JobHeader {
    kind: &'static JobKind,
    /// Where it was submitted.
    site: Site,
}

/// What all jobs of one type have in common.
pub(crate) struct JobKind {
    /// See [`JobHeader::run`].
    pub(crate) run: unsafe fn(NonNull<JobHeader>, &Worker),
    /// The job begins with a [`ScopeHeader`].
    pub(crate) is_scopes: bool,
}

/// The first field of every scope's job.
#[repr(C)] // the header comes first
pub(crate) struct ScopeHeader {
    header: JobHeader,
    /// The scope and the counter that the job belongs to; zero: to no counter.
    owners: [usize; 2],
}

/// What tells a job apart, also while it runs and its header is gone. Compared, never followed.
#[derive(Clone, Copy)]
pub(crate) struct JobId {
    /// Where the job lies until it has ended; zero for a scope's job.
    pub(crate) address: usize,
    /// The scope and the counter that the job belongs to, or zeros.
    pub(crate) owners: [usize; 2],
}

impl ScopeHeader {
    /// # Safety
    ///
    /// `kind` says that this is a scope's.
    #[inline(always)]
    pub(crate) unsafe fn new(kind: &'static JobKind, owners: [usize; 2], site: Site) -> Self {
        ScopeHeader { header: JobHeader { kind, site }, owners }
    }
}

impl JobHeader {
    /// # Safety
    ///
    /// `kind` says that this is not a scope's.
    #[inline(always)]
    pub(crate) unsafe fn new(kind: &'static JobKind, site: Site) -> Self {
        JobHeader { kind, site }
    }

    /// Returns what tells the job apart.
    ///
    /// # Safety
    ///
    /// `this` points to all of a live job.
    pub(crate) unsafe fn id(this: NonNull<Self>) -> JobId {
        // SAFETY: the job is alive.
        if !unsafe { this.as_ref() }.kind.is_scopes {
            return JobId { address: this.addr().get(), owners: [0; 2] };
        }
        // A scope's job gives its memory back when it starts, so another job may come to lie at the
        // same address while it runs; nobody waits for it by its address.
        // SAFETY: as above, and the kind tells what the job begins with.
        JobId { address: 0, owners: unsafe { this.cast::<ScopeHeader>().as_ref() }.owners }
    }

    pub(crate) fn site(&self) -> Site {
        self.site
    }

    /// Runs the job.
    ///
    /// # Safety
    ///
    /// The job is alive, and this is called once.
    pub(crate) unsafe fn run(this: NonNull<JobHeader>, worker: &Worker) {
        // SAFETY: the job is alive.
        let run = unsafe { this.as_ref() }.kind.run;
        // SAFETY: each job pairs `run` with its own type, and the caller calls this once.
        unsafe { run(this, worker) }
    }
}

/// A job in the frame of whoever waits for it. A root job is counted by the runtime's end; a join's
/// is not, as the job around it is.
#[repr(C)] // the header comes first
pub(crate) struct StackJob<F, R, const IS_ROOT: bool> {
    header: JobHeader,
    pub(crate) done: CompletionList,
    content: UnsafeCell<Content<F, R>>,
}

/// The closure until the job runs, the result once it is done.
#[repr(C)] // both begin where the union does
union Content<F, R> {
    closure: ManuallyDrop<F>,
    result: ManuallyDrop<thread::Result<R>>,
}

impl<F: FnOnce() -> R + Send, R: Send, const IS_ROOT: bool> StackJob<F, R, IS_ROOT> {
    const KIND: &'static JobKind = &JobKind { run: Self::run, is_scopes: false };

    #[inline(always)]
    pub(crate) fn new(closure: F, site: Site) -> Self {
        StackJob {
            // SAFETY: this is not a scope's.
            header: unsafe { JobHeader::new(Self::KIND, site) },
            done: CompletionList::new(),
            content: UnsafeCell::new(Content { closure: ManuallyDrop::new(closure) }),
        }
    }

    /// Returns the address that the token is made from.
    #[inline(always)]
    pub(crate) fn pointer(&self) -> NonNull<()> {
        NonNull::from(self).cast()
    }

    /// Makes the token. The caller's frame must not end before the job has run or is taken back,
    /// and must take the closure or the result out.
    #[inline(always)]
    pub(crate) fn token(&self) -> Job {
        // SAFETY: closure and result are `Send`.
        unsafe { Job::new(self.pointer()) }
    }

    #[inline(always)]
    pub(crate) fn site(&self) -> Site {
        self.header.site
    }

    /// Returns the closure of a job that was taken back.
    ///
    /// # Safety
    ///
    /// The job has not run, and will not; this is called once.
    #[inline(always)]
    pub(crate) unsafe fn take_closure(&self) -> F {
        // SAFETY: as the caller vouches, nobody else has the content, and it holds this.
        unsafe { self.content.get().cast::<F>().read() }
    }

    /// Returns the result of a job that is done.
    ///
    /// # Safety
    ///
    /// The job is done, and this is called once.
    #[inline(always)]
    pub(crate) unsafe fn take_result(&self) -> thread::Result<R> {
        // SAFETY: as the caller vouches, nobody else has the content, and it holds this.
        unsafe { self.content.get().cast::<thread::Result<R>>().read() }
    }

    /// # Safety
    ///
    /// As for [`JobHeader::run`].
    unsafe fn run(header: NonNull<JobHeader>, worker: &Worker) {
        let this = header.cast::<Self>();
        // SAFETY: the frame lives until `complete` below.
        let job = unsafe { this.as_ref() };
        // SAFETY: the token came out once, so the content is this caller's alone.
        let content = unsafe { &mut *job.content.get() };
        // SAFETY: a job that has not run holds its closure, which is taken once.
        let closure = unsafe { ManuallyDrop::take(&mut content.closure) };
        let result = catch_unwind(AssertUnwindSafe(closure));
        content.result = ManuallyDrop::new(result);
        // The last touch of the job's frame.
        wake_all(job.done.complete());
        if IS_ROOT {
            worker.count_finished();
        }
    }
}
