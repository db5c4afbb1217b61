//! Jobs as the queues see them: a header at a stable address, in a frame or on the heap.

use std::cell::UnsafeCell;
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
    run: unsafe fn(NonNull<JobHeader>, &Worker),
    /// The scope and the counter that the job belongs to, or zeros.
    owners: [usize; 2],
    /// Where it was submitted.
    site: Site,
}

/// What tells a job apart, also while it runs and its header is gone. Compared, never followed.
#[derive(Clone, Copy)]
pub(crate) struct JobId {
    /// Where the job lies until it has ended; zero for a scope's job.
    pub(crate) address: usize,
    /// The scope and the counter that the job belongs to, or zeros.
    pub(crate) owners: [usize; 2],
}

impl JobHeader {
    pub(crate) fn new(
        run: unsafe fn(NonNull<JobHeader>, &Worker),
        owners: [usize; 2],
        site: Site,
    ) -> Self {
        JobHeader { run, owners, site }
    }

    pub(crate) fn id(&self) -> JobId {
        // A scope's job gives its memory back when it starts, so another job may come to lie at the
        // same address while it runs; nobody waits for it by its address.
        let is_scopes = self.owners[0] != 0;
        let address = if is_scopes { 0 } else { std::ptr::from_ref(self).addr() };
        JobId { address, owners: self.owners }
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
        let run = unsafe { this.as_ref() }.run;
        // SAFETY: each job pairs `run` with its own type, and the caller calls this once.
        unsafe { run(this, worker) }
    }
}

/// A job in the frame of whoever waits for it.
#[repr(C)] // the header comes first
pub(crate) struct StackJob<F, R> {
    header: JobHeader,
    pub(crate) done: CompletionList,
    closure: UnsafeCell<Option<F>>,
    result: UnsafeCell<Option<thread::Result<R>>>,
    /// Counted by the runtime's end; joins are not, as the job around them is.
    is_root: bool,
}

impl<F: FnOnce() -> R + Send, R: Send> StackJob<F, R> {
    pub(crate) fn new(closure: F, is_root: bool, site: Site) -> Self {
        StackJob {
            header: JobHeader::new(Self::run, [0; 2], site),
            done: CompletionList::new(),
            closure: UnsafeCell::new(Some(closure)),
            result: UnsafeCell::new(None),
            is_root,
        }
    }

    /// Returns the address that the token is made from.
    pub(crate) fn pointer(&self) -> NonNull<()> {
        NonNull::from(self).cast()
    }

    /// Makes the token. The caller's frame must not end before the job has run or is taken back.
    pub(crate) fn token(&self) -> Job {
        // SAFETY: closure and result are `Send`.
        unsafe { Job::new(self.pointer()) }
    }

    /// Returns the closure of a job that was taken back.
    pub(crate) fn into_closure(self) -> F {
        self.closure.into_inner().expect("a job that was taken back has not run")
    }

    /// Returns the result of a job that is done.
    pub(crate) fn into_result(self) -> thread::Result<R> {
        self.result.into_inner().expect("a job that is done has a result")
    }

    /// # Safety
    ///
    /// As for [`JobHeader::run`].
    unsafe fn run(header: NonNull<JobHeader>, worker: &Worker) {
        let this = header.cast::<Self>();
        // SAFETY: the frame lives until `complete` below.
        let job = unsafe { this.as_ref() };
        // SAFETY: the token came out once, so the closure is this caller's alone.
        let closure = unsafe { (*job.closure.get()).take() };
        let closure = closure.expect("a job runs once");
        let result = catch_unwind(AssertUnwindSafe(closure));
        // SAFETY: nobody reads the result before `complete`.
        unsafe { *job.result.get() = Some(result) };
        let is_root = job.is_root;
        // The last touch of the job's frame.
        wake_all(job.done.complete());
        if is_root {
            worker.count_finished();
        }
    }
}
