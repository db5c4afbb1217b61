//! What a job completes and its one handle waits for, as a fiber, a thread or a task.
//!
//! Both sides share the memory that the cell lies in, and the last of them frees it. The cell's
//! word tells which one that is, and whose the place for a waker is:
//!
//! | `head` | means | the waker's place | next |
//! |---|---|---|---|
//! | null | pending | empty; the waiting side's | a node, `TASK`, `DETACHED`, `DONE` |
//! | a node | a fiber or a thread waits | empty | `DONE` |
//! | `TASK` | a task waits | full; the completer's, who claims it | null (*withdraw*), `TAKING` |
//! | `TAKING` | the completer takes the waker | the completer's | `DONE`, `DETACHED` |
//! | `DETACHED` | the waiting side has gone | the completer's | – |
//! | `DONE` | the completer has gone | empty; the waiting side's | – |
//!
//! The completer moves to `TAKING`, `DONE`, the waiting side everywhere else. Every move is a
//! compare-and-swap from the state that was seen, or the swap from a node, which nobody else moves
//! away from. So a waker is either withdrawn or claimed, and `DETACHED` and `DONE`, which nobody
//! leaves, tell the one who comes second that it is alone.
//!
//! | claim | model (`tests/loom/join_cell.rs`) |
//! |---|---|
//! | of a completer and a side that detaches, one frees | `the_last_of_two_sides_frees` |
//! | a waiting side that waited frees | `a_side_that_waited_frees` |
//! | a task is woken, or sees the end | `a_task_is_woken_or_sees_the_end` |
//! | of two wakers the last is woken | `the_waker_of_the_last_poll_is_woken` |
//! | a task's handle may be dropped, and one side frees | `a_task_that_goes_frees_or_is_freed` |
//! | a task's handle may wait as a thread | `a_task_may_become_a_thread` |

use core::fmt;
use core::ptr;
use core::task::{Poll, Waker};

use crate::completion_list::{CompletionList, DONE, Registration, Woken};
use crate::primitive::{Backoff, Ordering, RacyCell};
use crate::waiter::Waiter;

/// The waiting side has gone before the completion.
const DETACHED: *mut Waiter = ptr::without_provenance_mut(2);
/// A task waits.
const TASK: *mut Waiter = ptr::without_provenance_mut(3);
/// The completer takes the task's waker.
const TAKING: *mut Waiter = ptr::without_provenance_mut(4);

/// Nodes have addresses above those of the other states.
const STATE_MAX: usize = 7;

/// A completion with one waiting side, which may go, or be a task. Three words.
pub struct JoinCell {
    list: CompletionList,
    waker: RacyCell<Option<Waker>>,
}

/// What became of an attempt to give up waiting for good.
#[must_use = "the last of the two sides frees what they share"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detach {
    /// The cell is pending: its completer will be the last to use it.
    Detached,
    /// The cell is complete: the caller is the last to use it.
    AlreadyDone,
    /// Nothing: a waker is there, to be taken by [`JoinCell::withdraw`] before.
    HasWaker,
}

/// What a completion met.
#[must_use = "the last of the two sides frees what they share, and who waits is to be woken"]
#[derive(Debug)]
pub enum Completed {
    /// The waiting side is there, and owns the cell from now on.
    Woken(Woken),
    /// As above; this wakes it.
    Task(Waker),
    /// The waiting side has gone: the caller is the last to use the cell. It may have left a waker.
    Detached(Option<Waker>),
}

impl JoinCell {
    /// Creates a pending cell.
    #[must_use]
    pub fn new() -> Self {
        JoinCell { list: CompletionList::new(), waker: RacyCell::new(None) }
    }

    /// Tells whether the cell is complete. If so, everything that happened before
    /// [`JoinCell::complete`] is visible, and nobody but the waiting side will touch it again.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.list.is_done()
    }

    /// Completes the cell.
    ///
    /// Unless this returns [`Completed::Detached`], it has touched the cell for the last time
    /// before anybody can see that it is done.
    ///
    /// # Safety
    ///
    /// Called once.
    #[inline(always)]
    pub unsafe fn complete(&self) -> Completed {
        match self.become_done(ptr::null_mut()) {
            Ok(()) => Completed::Woken(Woken::none()),
            Err(seen) => self.complete_from(seen),
        }
    }

    /// Completes a cell that was in this state.
    fn complete_from(&self, seen: *mut Waiter) -> Completed {
        match seen {
            DETACHED => Completed::Detached(None),
            node if node.addr() > STATE_MAX => Completed::Woken(Woken::of(self.list.close())),
            _ => self.complete_task(),
        }
    }

    #[inline(always)]
    fn become_done(&self, from: *mut Waiter) -> Result<(), *mut Waiter> {
        // ORDERING: Release passes what the completer did, and the end of its use, to whoever sees
        // DONE. Acquire receives the end of the other side's use; on failure, from `detach`.
        let done = self.list.head.compare_exchange(from, DONE, Ordering::AcqRel, Ordering::Acquire);
        done.map(drop)
    }

    /// Completes a cell that has, or had a moment ago, a waker.
    #[cold]
    fn complete_task(&self) -> Completed {
        loop {
            // ORDERING: Acquire receives the waker from `poll`; on failure nothing follows.
            let claim =
                self.list.head.compare_exchange(TASK, TAKING, Ordering::Acquire, Ordering::Relaxed);
            if claim.is_ok() {
                break;
            }
            // PROGRESS: one of both fails only if the waiting side polls, or goes.
            match self.become_done(ptr::null_mut()) {
                Ok(()) => return Completed::Woken(Woken::none()),
                Err(TASK) => (),
                Err(seen) => return self.complete_from(seen),
            }
        }
        // SAFETY: `TAKING` gives the place to the completer.
        let waker = unsafe { self.waker.replace(None) };
        match (self.become_done(TAKING), waker) {
            (Ok(()), Some(waker)) => Completed::Task(waker),
            (_, waker) => Completed::Detached(waker),
        }
    }

    /// Puts `waiter` into the cell, unless it is complete.
    ///
    /// # Safety
    ///
    /// As for [`CompletionList::register`]. The caller is the waiting side; no waker is there:
    /// [`JoinCell::withdraw`] was the last that happened.
    pub unsafe fn register(&self, waiter: &Waiter) -> Registration {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.list.register(waiter) }
    }

    /// Waits, as an OS thread, until the cell is complete.
    ///
    /// # Blocking
    ///
    /// Parks the calling thread; see [`CompletionList::wait_thread`].
    ///
    /// # Safety
    ///
    /// The caller is the waiting side, and no waker is there, as for [`JoinCell::register`].
    #[cfg(feature = "std")]
    pub unsafe fn wait_thread(&self) {
        self.list.wait_thread();
    }

    /// Tells whether the cell is complete, or has `waker` woken when it is. Only the waker of the
    /// last call counts. A panic of its `clone` comes out; then none is there.
    ///
    /// # Safety
    ///
    /// The caller is the waiting side, which does nothing else meanwhile.
    pub unsafe fn poll(&self, waker: &Waker) -> Poll<()> {
        if self.is_done() {
            return Poll::Ready(());
        }
        // SAFETY: the caller keeps the same contract.
        let Ok(known) = (unsafe { self.try_withdraw() }) else {
            // The completer wakes the old waker. The new one must not be left without a wake.
            // PROGRESS: the task polls again; the completer is a few instructions from `DONE`.
            waker.wake_by_ref();
            return Poll::Pending;
        };
        let (waker, stale) = match known {
            Some(known) if known.will_wake(waker) => (known, None),
            known => (waker.clone(), known),
        };
        // SAFETY: without a waker in it, the place is the waiting side's until `TASK`.
        unsafe { self.waker.replace(Some(waker)) };
        // ORDERING: Release passes the waker to the completer's claim. Acquire, as in `is_done`.
        let put = self.list.head.compare_exchange(
            ptr::null_mut(),
            TASK,
            Ordering::Release,
            Ordering::Acquire,
        );
        let unused = put.is_err().then(|| {
            // SAFETY: the completer has gone without it.
            unsafe { self.waker.replace(None) }
        });
        // Not earlier: this is somebody else's code, and may panic.
        drop(stale);
        drop(unused);
        if put.is_ok() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Tells the waiting side whether it has a waker to withdraw.
    #[inline]
    #[must_use]
    pub fn has_waker(&self) -> bool {
        // ORDERING: Relaxed; the answer is no more than a hint to call `withdraw`.
        matches!(self.list.head.load(Ordering::Relaxed), TASK | TAKING)
    }

    /// Takes the waker of the last poll back, if it has not been claimed.
    ///
    /// # Blocking
    ///
    /// Waits for the few instructions that the completer needs to take it.
    ///
    /// # Safety
    ///
    /// As for [`JoinCell::poll`].
    pub unsafe fn withdraw(&self) -> Option<Waker> {
        let mut backoff = Backoff::new();
        loop {
            // SAFETY: the caller keeps the same contract.
            match unsafe { self.try_withdraw() } {
                Ok(waker) => return waker,
                // PROGRESS: the completer runs no other code before `DONE`.
                Err(Taking) => backoff.wait(),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`JoinCell::poll`].
    unsafe fn try_withdraw(&self) -> Result<Option<Waker>, Taking> {
        // ORDERING: Relaxed; the waiting side itself put the waker there. Acquire on failure, as in
        // `is_done`.
        let back = self.list.head.compare_exchange(
            TASK,
            ptr::null_mut(),
            Ordering::Relaxed,
            Ordering::Acquire,
        );
        match back {
            // SAFETY: back from `TASK`, the place is the waiting side's.
            Ok(_) => Ok(unsafe { self.waker.replace(None) }),
            Err(TAKING) => Err(Taking),
            Err(_) => Ok(None),
        }
    }

    /// Gives up the waiting side for good, so that one of the two sides learns that it is the last:
    /// this one, if the cell is complete, or else the completer.
    ///
    /// # Safety
    ///
    /// The caller is the waiting side, has not detached, and no node is registered. Unless this
    /// returns [`Detach::HasWaker`], or it is the last, it does not use the cell again.
    #[inline]
    pub unsafe fn detach(&self) -> Detach {
        match self.become_detached(ptr::null_mut()) {
            Ok(()) => Detach::Detached,
            Err(DONE) => Detach::AlreadyDone,
            Err(TAKING) if self.become_detached(TAKING).is_ok() => Detach::Detached,
            Err(TAKING) => Detach::AlreadyDone,
            Err(state) => {
                debug_assert!(ptr::eq(state, TASK), "somebody is registered, or has detached");
                Detach::HasWaker
            }
        }
    }

    #[inline]
    fn become_detached(&self, from: *mut Waiter) -> Result<(), *mut Waiter> {
        // ORDERING: Release passes the end of the caller's use to the completer; Acquire on failure
        // receives what the completer did.
        let detached =
            self.list.head.compare_exchange(from, DETACHED, Ordering::Release, Ordering::Acquire);
        detached.map(drop)
    }

    /// Checks that nobody else may still touch this cell, as freeing it would require.
    #[cfg(loom)]
    pub fn retire(&mut self) {
        self.list.retire();
        self.waker.with_mut(|_| ());
    }
}

/// The completer is taking the waker.
struct Taking;

impl Default for JoinCell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for JoinCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinCell").field("done", &self.is_done()).finish()
    }
}
