//! How anything waits: a fiber suspends, anything else parks its thread.

use intrusive_waitlist::{CompletionList, CounterList, Registration, Waiter};

use crate::job::JobHeader;
use crate::worker::Worker;

/// A thing that completes once.
pub(crate) trait Completion {
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

/// Waits until `completion` is done. Where the caller must not suspend, unstarted jobs for which
/// `wanted` holds are run first.
pub(crate) fn wait(completion: &impl Completion, wanted: &dyn Fn(&JobHeader) -> bool) {
    if completion.is_done() {
        return;
    }
    match Worker::current() {
        Some(worker) if worker.can_suspend() => worker.suspend_until(completion),
        Some(worker) => worker.help_until(completion, wanted),
        None => completion.wait_thread(),
    }
}
