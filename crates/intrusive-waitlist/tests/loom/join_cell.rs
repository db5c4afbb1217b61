//! The completion of two sides: each test is one claim of `join_cell.rs`.

use std::task::{Poll, Waker};

use intrusive_waitlist::{Completed, Detach, JoinCell};
use loom::thread;
use test_support::unparking;

use crate::wait_queue::calling;
use crate::{Data, Shared, model};

/// What a completer and a waiting side share, until the last of them frees it.
struct TwoSides {
    cell: JoinCell,
    result: Data,
    used_by_waiting_side: Data,
}

impl TwoSides {
    fn new() -> Shared<TwoSides> {
        Shared::new(TwoSides {
            cell: JoinCell::new(),
            result: Data::new(),
            used_by_waiting_side: Data::new(),
        })
    }
}

impl Shared<TwoSides> {
    /// Returns how often this freed.
    fn complete(self) -> usize {
        self.get().result.add_one();
        // SAFETY: called once.
        match unsafe { self.get().cell.complete() } {
            Completed::Woken(woken) => woken.wake_all(),
            Completed::Task(waker) => waker.wake(),
            Completed::Detached(_) => return self.free_all(),
        }
        0
    }

    fn use_as_waiting_side(self) {
        self.get().used_by_waiting_side.add_one();
    }

    fn poll(self, waker: &Waker) -> Poll<()> {
        // SAFETY: the models' own thread is the waiting side.
        unsafe { self.get().cell.poll(waker) }
    }

    /// Returns how often this freed.
    fn detach(self) -> usize {
        loop {
            // SAFETY: as in `poll`; the cell is not used again unless this side is the last.
            match unsafe { self.get().cell.detach() } {
                Detach::Detached => return 0,
                Detach::AlreadyDone => return self.free_all(),
                // SAFETY: as in `poll`.
                Detach::HasWaker => drop(unsafe { self.get().cell.withdraw() }),
            }
        }
    }

    fn free_all(self) -> usize {
        let sides = self.free();
        sides.cell.retire();
        assert_eq!((sides.result.take(), sides.used_by_waiting_side.take()), (1, 1));
        1
    }
}

#[test]
fn the_last_of_two_sides_frees() {
    model(4, || {
        let sides = TwoSides::new();
        let completer = thread::spawn(move || sides.complete());
        sides.use_as_waiting_side();
        let freed = sides.detach();
        assert_eq!(freed + completer.join().unwrap(), 1);
    });
}

#[test]
fn a_side_that_waited_frees() {
    model(4, || {
        let sides = TwoSides::new();
        let completer = thread::spawn(move || sides.complete());
        sides.use_as_waiting_side();
        // SAFETY: this is the waiting side.
        unsafe { sides.get().cell.wait_thread() };
        assert_eq!(sides.free_all() + completer.join().unwrap(), 1);
    });
}

/// Polls as executors do: when it was woken, and at once if it woke itself.
fn poll_to_the_end(sides: Shared<TwoSides>) {
    let waker = unparking();
    while sides.poll(&waker).is_pending() {
        thread::park();
        thread::yield_now();
    }
}

#[test]
fn a_task_is_woken_or_sees_the_end() {
    model(4, || {
        let sides = TwoSides::new();
        let completer = thread::spawn(move || sides.complete());
        sides.use_as_waiting_side();
        poll_to_the_end(sides);
        assert_eq!(sides.free_all() + completer.join().unwrap(), 1);
    });
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    model(4, || {
        let sides = TwoSides::new();
        sides.use_as_waiting_side();
        assert!(sides.poll(Waker::noop()).is_pending());
        let completer = thread::spawn(move || sides.complete());
        if sides.poll(&calling(|| ())).is_pending() {
            poll_to_the_end(sides);
        }
        assert_eq!(sides.free_all() + completer.join().unwrap(), 1);
    });
}

#[test]
fn a_task_that_goes_frees_or_is_freed() {
    model(4, || {
        let sides = TwoSides::new();
        let completer = thread::spawn(move || sides.complete());
        sides.use_as_waiting_side();
        let freed = match sides.poll(&calling(|| ())) {
            Poll::Pending => sides.detach(),
            Poll::Ready(()) => sides.free_all(),
        };
        assert_eq!(freed + completer.join().unwrap(), 1);
    });
}

#[test]
fn a_task_may_become_a_thread() {
    model(4, || {
        let sides = TwoSides::new();
        let completer = thread::spawn(move || sides.complete());
        sides.use_as_waiting_side();
        if sides.poll(&calling(|| ())).is_pending() {
            // SAFETY: this is the waiting side.
            drop(unsafe { sides.get().cell.withdraw() });
            // SAFETY: as above.
            unsafe { sides.get().cell.wait_thread() };
        }
        assert_eq!(sides.free_all() + completer.join().unwrap(), 1);
    });
}
