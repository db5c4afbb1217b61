//! How anything waits: a fiber suspends, anything else parks its thread.

use intrusive_waitlist::{CompletionList, CounterList, Registration, SplitCounter, Waiter};

use crate::dump::{Site, WaitKind};
use crate::job::JobId;
use crate::worker::Worker;

/// A thing that completes once, or one wait's turn at a thing that is taken.
pub(crate) trait Completion {
    /// True from the first time on that it is.
    fn is_done(&self) -> bool;

    /// # Safety
    ///
    /// As for [`CompletionList::register`].
    unsafe fn register(&self, waiter: &Waiter) -> Registration;

    fn wait_thread(&self);
}

macro_rules! completion {
    ($list:ty) => {
        impl Completion for $list {
            fn is_done(&self) -> bool {
                self.is_done()
            }

            // SAFETY: the trait's contract is the list's own.
            unsafe fn register(&self, waiter: &Waiter) -> Registration {
                // SAFETY: the caller keeps the same contract.
                unsafe { self.register(waiter) }
            }

            fn wait_thread(&self) {
                self.wait_thread();
            }
        }
    };
}

completion!(CompletionList);
completion!(CounterList);
completion!(SplitCounter);

/// One wait: for what, and where in the user's source.
pub(crate) struct Wait {
    pub(crate) what: Awaited,
    pub(crate) site: Site,
}

/// What is waited for; addresses are compared, never followed.
pub(crate) enum Awaited {
    /// The stolen half of a join.
    Join,
    /// All jobs of the scope at this address.
    Scope(usize),
    /// The counter at this address, and so the jobs that hold its counts.
    Counter(usize),
    /// The spawned job at this address.
    JoinHandle(usize),
    /// The job at this address, on another runtime.
    Run(usize),
    RuntimeEnd,
    /// An event, whoever sets it.
    Event,
    /// Something of [`crate::sync`], whoever lets the wait end.
    Sync(WaitKind),
}

impl Wait {
    /// Tells whether the wait is for this job, among others.
    pub(crate) fn is_for(&self, job: &JobId) -> bool {
        match self.what {
            Awaited::Join | Awaited::RuntimeEnd | Awaited::Event | Awaited::Sync(_) => false,
            Awaited::Scope(scope) => job.owners[0] == scope,
            Awaited::Counter(counter) => job.owners[1] == counter,
            Awaited::JoinHandle(address) | Awaited::Run(address) => job.address == address,
        }
    }

    /// Tells whether the wait may be for jobs that lie in queues.
    pub(crate) fn is_for_jobs(&self) -> bool {
        use Awaited::{Event, Join, RuntimeEnd, Sync};
        !matches!(self.what, Join | RuntimeEnd | Event | Sync(_))
    }

    pub(crate) fn kind(&self) -> WaitKind {
        match self.what {
            Awaited::Join => WaitKind::Join,
            Awaited::Scope(_) => WaitKind::Scope,
            Awaited::Counter(_) => WaitKind::Counter,
            Awaited::JoinHandle(_) => WaitKind::JoinHandle,
            Awaited::Run(_) => WaitKind::Run,
            Awaited::RuntimeEnd => WaitKind::RuntimeEnd,
            Awaited::Event => WaitKind::Event,
            Awaited::Sync(kind) => kind,
        }
    }
}

/// Waits until `completion` is done. Where the caller must not suspend, the unstarted jobs that the
/// wait is for are run first.
#[inline(always)]
pub(crate) fn wait(completion: &impl Completion, wait: &Wait) {
    if completion.is_done() {
        return;
    }
    match Worker::current() {
        Some(worker) if worker.can_suspend() => worker.run_or_suspend_until(completion, wait),
        Some(worker) => worker.help_until(completion, wait),
        None => completion.wait_thread(),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::Location;
    use std::ptr::NonNull;

    use super::*;
    use crate::Runtime;
    use crate::home::wake_all;
    use crate::job::{JobHeader, JobKind, ScopeHeader};

    /// Completes between the registration and the suspension, each time.
    struct DoneAtOnce(CompletionList);

    impl Completion for DoneAtOnce {
        fn is_done(&self) -> bool {
            false
        }

        // SAFETY: the trait's contract is the list's own.
        unsafe fn register(&self, waiter: &Waiter) -> Registration {
            // SAFETY: the caller keeps the same contract.
            let registration = unsafe { self.0.register(waiter) };
            wake_all(self.0.complete());
            assert!(waiter.is_notified());
            registration
        }

        fn wait_thread(&self) {
            unreachable!("the waiter is a fiber");
        }
    }

    #[test]
    fn a_scopes_job_is_not_taken_for_another_at_its_address() {
        fn run(_: NonNull<JobHeader>, _: &Worker) {}
        const PLAIN: &JobKind = &JobKind { run, is_scopes: false };
        const SCOPES: &JobKind = &JobKind { run, is_scopes: true };
        let site = Location::caller();
        let is_waited_for = |header: NonNull<JobHeader>| {
            let wait = Wait { what: Awaited::JoinHandle(header.addr().get()), site };
            // SAFETY: the header is all of its job.
            wait.is_for(&unsafe { JobHeader::id(header) })
        };
        // SAFETY: the kind fits.
        assert!(is_waited_for(NonNull::from(&unsafe { JobHeader::new(PLAIN, site) })));
        // SAFETY: the kind fits.
        let scopes = unsafe { ScopeHeader::new(SCOPES, [8, 0], site) };
        assert!(!is_waited_for(NonNull::from(&scopes).cast()));
    }

    #[test]
    fn a_fiber_that_is_notified_before_it_suspends_still_suspends_once() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtime.run(|| {
            for _ in 0..3 {
                let what = Wait { what: Awaited::Join, site: Location::caller() };
                wait(&DoneAtOnce(CompletionList::new()), &what);
            }
        });
        let total = runtime.stats().total();
        assert_eq!((total.suspensions, total.resumptions), (3, 3));
    }
}
