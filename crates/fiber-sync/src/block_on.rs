//! Running a future where the caller blocks, as in the blocking forms.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use intrusive_waitlist::WaitQueue;

use crate::blocker::{self, BlockingWait, Need, Primitive};

/// Runs a future to its end, and returns what it returns.
///
/// Waiting allocates nothing once a thread has as many signals as it waits for at the same time,
/// unless somebody keeps wakers of futures that have ended: then each of these costs a new one.
///
/// A future that wakes itself, to let others go first, does: other fibers, if the caller is one.
///
/// # Panics
///
/// With the panic of the future.
///
/// # Blocking
///
/// Between two polls, suspends the fiber, or parks the plain thread, until a waker is called.
///
/// # Examples
///
/// ```
/// use fiber_sync::{Semaphore, block_on};
///
/// let permits = Semaphore::new(1);
/// let held = block_on(async { permits.acquire_async().await.unwrap() });
/// assert!(permits.try_acquire().is_err());
/// # drop(held);
/// ```
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    match block_on_until(future.into_future(), None) {
        Some(output) => output,
        None => unreachable!("without a deadline"),
    }
}

/// As [`block_on`], but drops the future at the deadline, and returns nothing.
#[track_caller]
pub(crate) fn block_on_until<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    // Outlives the future, which may hold wakers.
    let signal = SpareSignal::take();
    let waker = Waker::from(Arc::clone(&signal.0));
    let mut future = pin!(future);
    let mut is_late = false;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if signal.0.woken.try_acquire(1).is_some() {
            if is_late {
                return None;
            }
            // PROGRESS: what the future waits for may need this very thread.
            blocker::yield_now();
            // It has been woken, so it is polled once more.
            is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        } else {
            let wait =
                BlockingWait::new(&signal.0.woken, Need::Permits(1), Primitive::BlockOn, deadline);
            let _woken = wait.block()?;
        }
    }
}

/// What a waker of a blocked thread or fiber sets.
struct Signal {
    /// One permit, if a waker was called since the last poll.
    woken: WaitQueue,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.notify_one();
    }
}

/// Signals of ended futures whose wakers are still there that a thread keeps for later.
const LINGERING_MAX: usize = 16;

thread_local! {
    static SPARE: RefCell<Spare> =
        const { RefCell::new(Spare { unused: Vec::new(), lingering: Vec::new() }) };
}

/// Signals that are not waited for.
struct Spare {
    /// Those without wakers: as many as the thread has waited for at the same time.
    unused: Vec<Arc<Signal>>,
    /// Those of which wakers were still there, or at work, when their future had ended.
    lingering: Vec<Arc<Signal>>,
}

impl Spare {
    fn take(&mut self) -> Option<Arc<Signal>> {
        self.unused.pop().or_else(|| {
            // Not one that a waker of an earlier future could set.
            let signals = &mut self.lingering;
            let unused = signals.iter_mut().rposition(|signal| Arc::get_mut(signal).is_some())?;
            Some(signals.swap_remove(unused))
        })
    }

    fn put(&mut self, signal: Arc<Signal>, has_wakers: bool) {
        if !has_wakers {
            self.unused.push(signal);
            return;
        }
        if self.lingering.len() == LINGERING_MAX {
            self.lingering.remove(0); // whose wakers may be kept for ever
        }
        self.lingering.push(signal);
    }
}

/// A signal that goes back to its thread's spare ones.
struct SpareSignal(Arc<Signal>);

impl SpareSignal {
    fn take() -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().take()).ok().flatten();
        let signal = spare.unwrap_or_else(|| Arc::new(Signal { woken: WaitQueue::new(0) }));
        // It may have been set when its future had ended.
        let _left_over = signal.woken.try_acquire(1);
        SpareSignal(signal)
    }
}

impl Drop for SpareSignal {
    fn drop(&mut self) {
        let has_wakers = Arc::get_mut(&mut self.0).is_none();
        let signal = Arc::clone(&self.0);
        // Not at the thread's end: then the signal is freed.
        let _kept = SPARE.try_with(|spare| spare.borrow_mut().put(signal, has_wakers));
    }
}
