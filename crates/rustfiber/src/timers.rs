//! The deadlines of one worker's fibers: a heap that its thread alone touches.
//!
//! A fiber that waits with a deadline keeps the [`Timer`] in its frame and puts it into the heap of
//! its worker, whose thread gives up the wait when the time has come. Which of the timer and a
//! waker ends the wait is decided in the wait queue, by whoever takes the waiter out
//! (`BlockingWait::cancel`):
//!
//! | a timer is | who changes it | to | who resumes the fiber |
//! |---|---|---|---|
//! | in the heap | the worker, whose clock has reached the deadline | due | |
//! | | the fiber, which a waker has resumed | out | a waker has |
//! | due | the worker, whose `cancel` takes the waiter out | won | the worker |
//! | | the worker, whose `cancel` finds the waiter notified | out | a waker does |
//!
//! So exactly one of them sends the fiber to its home, once (rule 5). All steps but the waker's are
//! one thread's; the waker's, and its race with `cancel`, is the wait queue's, and the model
//! `a_timer_races_with_a_grant` its check.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::time::Instant;

use fiber_sync::blocker::{BlockingWait, Outcome, Waiter};

use crate::home::FiberRecord;
use crate::worker::Worker;

/// One wait's deadline, in the frame of the fiber that waits.
pub(crate) struct Timer<'wait> {
    deadline: Instant,
    record: &'static FiberRecord,
    sync: &'wait BlockingWait<'wait>,
    waiter: &'wait Waiter,
    /// Where in the heap it is; [`OUT`]: it is not.
    place: Cell<usize>,
    /// The wait was given up: the fiber has been resumed for that.
    has_won: Cell<bool>,
}

const OUT: usize = usize::MAX;

impl<'wait> Timer<'wait> {
    pub(crate) fn new(
        deadline: Instant,
        record: &'static FiberRecord,
        sync: &'wait BlockingWait<'wait>,
        waiter: &'wait Waiter,
    ) -> Self {
        let (place, has_won) = (Cell::new(OUT), Cell::new(false));
        Timer { deadline, record, sync, waiter, place, has_won }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn record(&self) -> &'static FiberRecord {
        self.record
    }

    pub(crate) fn is_due(&self) -> bool {
        self.deadline <= Instant::now()
    }

    /// Returns how the wait ended, if it has: `Some(None)` in time.
    pub(crate) fn outcome(&self) -> Option<Option<Outcome>> {
        if self.has_won.get() { Some(None) } else { self.waiter.outcome().map(Some) }
    }

    /// Gives up the wait, of which the waiter is registered. False: a waker has been faster.
    fn give_up(&self) -> bool {
        // SAFETY: registered; in the queue until its wait is over, or this takes it out, once: then
        // the fiber goes on, and its timer is in no heap.
        let outcome = unsafe { self.sync.cancel(self.waiter) };
        self.has_won.set(outcome.is_none());
        outcome.is_none()
    }
}

/// A timer in a heap: no longer there, when its lifetime ends.
type Pointer = *const Timer<'static>;

/// Timers, the earliest first. Allocates only to hold more of them than ever before.
pub(crate) struct Timers {
    /// A binary heap: no timer is due before the one at half its place.
    heap: RefCell<Vec<(Instant, Pointer)>>,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Timers { heap: RefCell::new(Vec::new()) }
    }

    /// Returns the earliest deadline.
    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.borrow().first().map(|(deadline, _)| *deadline)
    }

    /// Puts a timer in.
    ///
    /// # Safety
    ///
    /// The timer neither moves nor ends before it is out: by [`Timers::remove`], or because
    /// [`Timers::pop_due`] has returned it. It is in no heap.
    unsafe fn insert(&self, timer: &Timer<'_>) {
        let mut heap = self.heap.borrow_mut();
        let last = heap.len();
        heap.push((timer.deadline, std::ptr::from_ref(timer).cast()));
        timer.place.set(last);
        rise(&mut heap, last);
    }

    /// Takes a timer out, if it is in.
    pub(crate) fn remove(&self, timer: &Timer<'_>) {
        let place = timer.place.get();
        if place != OUT {
            take(&mut self.heap.borrow_mut(), place);
        }
    }

    /// Takes out the earliest timer, if its deadline has come.
    fn pop_due(&self, now: Instant) -> Option<Pointer> {
        let mut heap = self.heap.borrow_mut();
        let (deadline, timer) = *heap.first()?;
        if deadline > now {
            return None;
        }
        take(&mut heap, 0);
        Some(timer)
    }
}

impl Worker {
    /// Puts a timer of the running fiber into the heap.
    ///
    /// # Safety
    ///
    /// As for [`Timers::insert`].
    pub(crate) unsafe fn insert_timer(&self, timer: &Timer<'_>) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.timers.insert(timer) };
        self.may_have_to_give_way();
    }

    /// Gives up the waits of this worker's fibers whose time has come, which makes these ready.
    #[inline]
    pub(crate) fn poll_timers(&self) {
        if self.timers.next().is_some() {
            self.give_up_due();
        }
    }

    /// Gives up one wait. False: a waker has been faster.
    ///
    /// Whoever was behind it in line may be woken by that, and wakers of tasks are anybody's code:
    /// while they run, no other fiber of this worker does, and so the timer stays where it is.
    pub(crate) fn give_up(&self, timer: &Timer<'_>) -> bool {
        self.without_suspending(|| timer.give_up())
    }

    #[cold]
    fn give_up_due(&self) {
        let now = Instant::now();
        while let Some(timer) = self.timers.pop_due(now) {
            // SAFETY: its fiber is suspended, until this thread resumes it.
            let timer = unsafe { &*timer };
            let record = timer.record;
            if self.give_up(timer) {
                record.set_woken(self.stamp_of_wake());
                // SAFETY: suspended, and in no queue: the waker has not found it.
                unsafe { self.push_ready(NonNull::from(record)) };
            }
        }
    }
}

/// Takes out the timer at `place`.
fn take(heap: &mut Vec<(Instant, Pointer)>, place: usize) {
    let (_, timer) = heap.swap_remove(place);
    set_place(timer, OUT);
    if let Some((_, moved)) = heap.get(place) {
        set_place(*moved, place);
        rise(heap, place);
        sink(heap, place);
    }
}

/// Moves the timer at `place` up to where those above are not due after it.
fn rise(heap: &mut [(Instant, Pointer)], mut place: usize) {
    while let Some(above) = place.checked_sub(1).map(|other| other / 2)
        && heap[place].0 < heap[above].0
    {
        swap(heap, place, above);
        place = above;
    }
}

/// Moves the timer at `place` down to where those below are not due before it.
fn sink(heap: &mut [(Instant, Pointer)], mut place: usize) {
    loop {
        let below = [2 * place + 1, 2 * place + 2].into_iter().filter(|below| *below < heap.len());
        match below.min_by_key(|below| heap[*below].0) {
            Some(below) if heap[below].0 < heap[place].0 => {
                swap(heap, place, below);
                place = below;
            }
            _ => return,
        }
    }
}

fn swap(heap: &mut [(Instant, Pointer)], one: usize, other: usize) {
    heap.swap(one, other);
    set_place(heap[one].1, one);
    set_place(heap[other].1, other);
}

fn set_place(timer: Pointer, place: usize) {
    // SAFETY: a timer in a heap is there, as `insert` requires; this is its thread.
    unsafe { &*timer }.place.set(place);
}
