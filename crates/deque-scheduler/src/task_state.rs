//! The word of a job that runs many times, once for each time that it is woken: a future.
//!
//! Wakers are made, called and dropped by anybody at any time. The word tells who submits the job,
//! who runs it, and who frees it.
//!
//! | `SCHEDULED` | `RUNNING` | the task | whose it is | next |
//! |---|---|---|---|---|
//! | 1 | 0 | waits in a queue | its token's | `begin_run` |
//! | 0 | 1 | runs | its runner's | `wake`, `end_run`, `complete` |
//! | 1 | 1 | runs, and was woken | its runner's, who submits it again | `end_run`, `complete` |
//! | 0 | 0 | waits for a wake | nobody's | `wake`; the drop of the last waker |
//!
//! `COMPLETED`, from `complete` on: it has ended; wakes do nothing. `ABANDONED`, with `SCHEDULED`:
//! the last waker was dropped while the task waited for a wake, so it will be taken apart instead
//! of run. The other bits count the references: one for each waker, and one for those who wait for
//! the end, which is given up after `complete`. Whoever gives up the last one frees the task.
//!
//! 1. *wake*: set `SCHEDULED`. Whoever finds the task idle submits its token; nobody else does. A
//!    wake always writes the word, so that the next run sees what came before it.
//! 2. *begin*: `SCHEDULED` becomes `RUNNING`. From here on a wake counts for the next run.
//! 3. *end*: take `RUNNING` off. If the task was woken meanwhile, its runner submits it. If nobody
//!    is left to wake it, its runner has it for good.
//!
//! No wake is lost: it comes before a *begin*, whose run sees what came before, or finds `RUNNING`
//! and is found by the *end*, or submits. No two run at once: a token is submitted by whoever took
//! the task from idle, or by its runner.
//!
//! | claim | model (`tests/loom/task_state.rs`) |
//! |---|---|
//! | a wake is followed by a run that sees what came before | `no_wake_is_lost` |
//! | runs exclude each other, and follow each other | `no_wake_is_lost` |
//! | what nobody can wake any more is abandoned, once | `the_last_waker_abandons` |
//! | the last of wakers and waiting side frees | `the_last_reference_frees` |

use crate::primitive::{AtomicUsize, Ordering};

const SCHEDULED: usize = 1;
const RUNNING: usize = 2;
const COMPLETED: usize = 4;
const ABANDONED: usize = 8;
const REFERENCE: usize = 16;

/// The state of a task; see the module.
#[derive(Debug)]
pub struct TaskState {
    word: AtomicUsize,
}

/// What a runner finds.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskRun {
    /// The task is the caller's until [`TaskState::end_run`] or [`TaskState::complete`].
    Run,
    /// Nobody can wake it any more: it is the caller's until [`TaskState::complete`].
    Abandoned,
}

/// What becomes of a task that has run, and has not ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRun {
    /// It waits for a wake. The caller does not touch it any more.
    Idle,
    /// It was woken meanwhile. The caller submits it.
    Again,
    /// Nobody can wake it any more: it is the caller's until [`TaskState::complete`].
    Abandoned,
}

/// What follows from the drop of a waker.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakerDrop {
    /// Nothing. The caller does not touch the task any more.
    Nothing,
    /// Nobody can wake the task any more. The caller submits it.
    Submit,
    /// The caller frees the task.
    Free,
}

impl TaskState {
    /// A task that is about to be submitted, without a waker.
    #[must_use]
    pub fn scheduled() -> Self {
        TaskState { word: AtomicUsize::new(SCHEDULED | REFERENCE) }
    }

    /// Begins a run. The caller has the task's token.
    #[inline]
    pub fn begin_run(&self) -> TaskRun {
        // ORDERING: Acquire, pairs with the Release of `wake` and `end_run`: receives what wakers
        // did, and the last run.
        let before = self.word.fetch_add(RUNNING - SCHEDULED, Ordering::Acquire);
        debug_assert!(before & (SCHEDULED | RUNNING) == SCHEDULED, "a token without a wake");
        if before & ABANDONED == 0 { TaskRun::Run } else { TaskRun::Abandoned }
    }

    /// Ends a run after which the task goes on waiting.
    #[inline]
    pub fn end_run(&self) -> AfterRun {
        // ORDERING: Release passes this run to the next. Acquire receives what the wakers that have
        // gone did, if the task is this caller's from now on.
        let before = self.word.fetch_sub(RUNNING, Ordering::AcqRel);
        debug_assert!(before & (RUNNING | COMPLETED) == RUNNING, "an end without a beginning");
        if before & SCHEDULED != 0 {
            AfterRun::Again
        } else if before / REFERENCE == 1 {
            AfterRun::Abandoned
        } else {
            AfterRun::Idle
        }
    }

    /// Notes that the task has ended: no wake submits it any more. It stays the caller's until the
    /// reference of those who wait for the end is given up.
    #[inline]
    pub fn complete(&self) {
        // ORDERING: Relaxed; who waits for the end learns of it elsewhere, and wakers do nothing.
        self.word.fetch_or(COMPLETED, Ordering::Relaxed);
    }

    /// Asks for a run. True: the caller submits the task's token.
    #[inline]
    #[must_use = "the task's token is to be submitted"]
    pub fn wake(&self) -> bool {
        // ORDERING: Release passes what the caller did to the run that follows.
        let before = self.word.fetch_or(SCHEDULED, Ordering::Release);
        before & (SCHEDULED | RUNNING | COMPLETED) == 0
    }

    /// Tells whether the task waits for a wake: at some moment during the call, for a report.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        // ORDERING: Relaxed; nothing follows from it.
        self.word.load(Ordering::Relaxed) & (SCHEDULED | RUNNING | COMPLETED) == 0
    }

    /// Counts one more waker. The caller has one, or is the runner.
    ///
    /// # Panics
    ///
    /// Panics if there are more wakers than memory has room for: some were forgotten.
    #[inline]
    pub fn add_waker(&self) {
        // ORDERING: Relaxed, as for every count of references: whoever adds has one.
        let before = self.word.fetch_add(REFERENCE, Ordering::Relaxed);
        if before > isize::MAX as usize {
            self.word.fetch_sub(REFERENCE, Ordering::Relaxed);
            panic!("task contract: too many wakers");
        }
    }

    /// Counts a waker off.
    #[inline]
    pub fn drop_waker(&self) -> WakerDrop {
        // ORDERING: Release passes the end of the caller's use to whoever frees or takes apart the
        // task; Acquire receives the others', if that is the caller.
        let before = self.word.fetch_sub(REFERENCE, Ordering::AcqRel);
        let is_idle = before & (SCHEDULED | RUNNING | COMPLETED) == 0;
        match before / REFERENCE {
            1 => WakerDrop::Free,
            2 if is_idle => {
                // ORDERING: Relaxed; nobody else changes the word, and the token publishes it.
                self.word.store(SCHEDULED | ABANDONED | REFERENCE, Ordering::Relaxed);
                WakerDrop::Submit
            }
            _ => WakerDrop::Nothing,
        }
    }

    /// Gives up the reference of those who wait for the end, after [`TaskState::complete`]. True:
    /// the caller frees the task.
    #[inline]
    #[must_use = "the last one frees the task"]
    pub fn drop_waiting_side(&self) -> bool {
        // ORDERING: as in `drop_waker`.
        self.word.fetch_sub(REFERENCE, Ordering::AcqRel) / REFERENCE == 1
    }
}
