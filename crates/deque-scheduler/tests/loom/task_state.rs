//! Tasks: each test is one claim of `task_state.rs`. Who is to submit a task runs it at once, as
//! any worker might.

use deque_scheduler::{AfterRun, TaskRun, TaskState, WakerDrop};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use crate::model;

/// A task that ends when two flags are set, or is abandoned before.
struct Task {
    state: TaskState,
    /// Runs so far: the future, of which no two have hold at once.
    runs: UnsafeCell<usize>,
    flags: [AtomicBool; 2],
    /// Set by the run that ends the task, and by a waiting side that goes: the second one gives up
    /// the reference.
    is_over: AtomicBool,
    abandoned: AtomicUsize,
    freed: AtomicUsize,
}

// SAFETY: loom checks the accesses to the cell.
unsafe impl Sync for Task {}
// SAFETY: as above.
unsafe impl Send for Task {}

impl Task {
    /// A task with so many wakers, whose first run is the caller's to begin.
    fn new(wakers: usize) -> Arc<Task> {
        let state = TaskState::scheduled();
        (0..wakers).for_each(|_| state.add_waker());
        Arc::new(Task {
            state,
            runs: UnsafeCell::new(0),
            flags: [AtomicBool::new(false), AtomicBool::new(false)],
            is_over: AtomicBool::new(false),
            abandoned: AtomicUsize::new(0),
            freed: AtomicUsize::new(0),
        })
    }

    fn run(&self) {
        loop {
            let is_abandoned = self.state.begin_run() == TaskRun::Abandoned;
            self.touch();
            // Relaxed: what a waker did is to be seen because of the wake alone.
            if is_abandoned || self.flags.iter().all(|flag| flag.load(Ordering::Relaxed)) {
                return self.end(is_abandoned);
            }
            match self.state.end_run() {
                AfterRun::Idle => return,
                AfterRun::Again => (),
                AfterRun::Abandoned => return self.end(true),
            }
        }
    }

    fn touch(&self) {
        self.runs.with_mut(|runs| {
            // SAFETY: loom reports a race.
            unsafe { *runs += 1 }
        });
    }

    fn end(&self, is_abandoned: bool) {
        self.touch();
        self.abandoned.fetch_add(usize::from(is_abandoned), Ordering::Relaxed);
        self.state.complete();
        self.leave();
    }

    /// The end of the task, or of the waiting side's interest.
    fn leave(&self) {
        if self.is_over.swap(true, Ordering::AcqRel) && self.state.drop_waiting_side() {
            self.free();
        }
    }

    fn wake(&self, flag: usize) {
        self.flags[flag].store(true, Ordering::Relaxed);
        if self.state.wake() {
            self.run();
        }
    }

    fn drop_waker(&self) {
        match self.state.drop_waker() {
            WakerDrop::Nothing => (),
            WakerDrop::Submit => self.run(),
            WakerDrop::Free => self.free(),
        }
    }

    /// Nobody touches the task after this.
    fn free(&self) {
        self.touch();
        self.freed.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often the task was abandoned and freed, when all have gone.
    fn ends(&self) -> (usize, usize) {
        (self.abandoned.load(Ordering::Relaxed), self.freed.load(Ordering::Relaxed))
    }
}

#[test]
fn no_wake_is_lost() {
    model(4, || {
        // The third waker stays, so that the task is not abandoned.
        let task = Task::new(3);
        let wakers = [0, 1].map(|flag| {
            let task = Arc::clone(&task);
            thread::spawn(move || {
                task.wake(flag);
                task.drop_waker();
            })
        });
        task.run();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        task.leave();
        task.drop_waker();
        assert_eq!(task.ends(), (0, 1));
    });
}

#[test]
fn the_last_waker_abandons() {
    model(4, || {
        let task = Task::new(2);
        let wakers = [true, false].map(|wakes| {
            let task = Arc::clone(&task);
            thread::spawn(move || {
                if wakes {
                    task.wake(0); // one of two flags
                }
                task.drop_waker();
            })
        });
        task.run();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        task.leave();
        assert_eq!(task.ends(), (1, 1));
    });
}

#[test]
fn the_last_reference_frees() {
    model(4, || {
        let task = Task::new(2);
        let wakers = [0, 1].map(|flag| {
            let task = Arc::clone(&task);
            thread::spawn(move || {
                task.wake(flag);
                task.drop_waker();
            })
        });
        task.run();
        task.leave();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        assert_eq!(task.ends(), (0, 1));
    });
}
