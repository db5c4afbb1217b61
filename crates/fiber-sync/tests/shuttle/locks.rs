//! Semaphores, mutexes and locks are a line: who asked first is granted first.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use fiber_sync::{Condvar, Mutex, Policy, RwLock, Semaphore};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::check;
use crate::history::{History, Model};
use crate::kinds::{self, Kind, at_once, block_on, poll_once};

/// A count of permits, and a line.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Line {
    permits: usize,
    waiting: VecDeque<(usize, usize)>,
    granted: BTreeSet<usize>,
}

#[derive(Debug)]
enum Operation {
    /// So many permits, waited for.
    Acquire(usize, End),
    /// So many permits, if there are as many and nobody waits.
    Try(usize, bool),
    Release(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Granted,
    TimedOut,
    Dropped,
}

impl End {
    fn of(is_granted: bool, kind: Kind) -> End {
        match (is_granted, kind) {
            (true, _) => End::Granted,
            (false, Kind::Task) => End::Dropped,
            (false, _) => End::TimedOut,
        }
    }
}

impl Line {
    fn new(permits: usize) -> Self {
        Line { permits, waiting: VecDeque::new(), granted: BTreeSet::new() }
    }

    fn settle(&mut self) {
        while let Some(&(id, count)) = self.waiting.front()
            && count <= self.permits
        {
            self.permits -= count;
            self.waiting.pop_front();
            self.granted.insert(id);
        }
    }
}

impl Model for Line {
    type Operation = Operation;

    fn begin(&mut self, id: usize, operation: &Operation) {
        if let Operation::Acquire(count, _) = operation {
            self.waiting.push_back((id, *count));
            self.settle();
        }
    }

    fn end(&mut self, id: usize, operation: &Operation, is_alone: bool) -> bool {
        match *operation {
            Operation::Acquire(_, End::Granted) => self.granted.remove(&id),
            Operation::Acquire(count, end) => {
                // Who is dropped may have been granted: that goes to the next.
                self.permits += if self.granted.remove(&id) { count } else { 0 };
                let before = self.waiting.len();
                self.waiting.retain(|(other, _)| *other != id);
                let was_waiting = self.waiting.len() < before;
                self.settle();
                was_waiting || end == End::Dropped
            }
            Operation::Try(count, true) => {
                let has = self.waiting.is_empty() && count <= self.permits;
                self.permits -= if has { count } else { 0 };
                has
            }
            // Others' operations may be half done.
            Operation::Try(count, false) => {
                !is_alone || !self.waiting.is_empty() || count > self.permits
            }
            Operation::Release(count) => {
                self.permits += count;
                self.settle();
                true
            }
        }
    }
}

/// Takes `count` permits in one of the ways of `kind`, as the dice say.
fn acquire<P: Policy>(semaphore: &Semaphore<P>, kind: Kind, count: usize) -> (Operation, bool) {
    let way = thread_rng().gen_range(0..4);
    let granted = match (way, kind) {
        (0, _) => semaphore.try_acquire_many(count).map(|permits| permits.forget()).is_ok(),
        (1, Kind::Task) => poll_once(semaphore.acquire_many_async(count))
            .is_some_and(|permits| permits.map(|permits| permits.forget()).is_ok()),
        (1, _) => semaphore
            .acquire_many_deadline(count, at_once())
            .map(|permits| permits.forget())
            .is_ok(),
        (_, Kind::Task) => {
            block_on(semaphore.acquire_many_async(count)).map(|permits| permits.forget()).is_ok()
        }
        _ => semaphore.acquire_many(count).map(|permits| permits.forget()).is_ok(),
    };
    let operation = match way {
        0 => Operation::Try(count, granted),
        _ => Operation::Acquire(count, End::of(granted, kind)),
    };
    (operation, granted)
}

#[test]
fn a_semaphore_is_a_line() {
    check(4_000, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let history = Arc::new(History::new());
        let (shared, recorded) = (Arc::clone(&semaphore), Arc::clone(&history));
        kinds::run(4, move |index, kind| {
            for _ in 0..2 {
                let count = 1 + index % 2;
                if recorded.record(|| acquire(&shared, kind, count)) {
                    thread::yield_now();
                    recorded.record(|| (Operation::Release(count), shared.add_permits(count)));
                }
            }
        });
        assert_eq!(semaphore.available_permits(), 2);
        Arc::into_inner(history).unwrap().must_be_explained_by(Line::new(2));
    });
}

/// Who waits for permits that are there, while nobody else runs, waits for ever: shuttle sees that.
fn whoever_waits_for_unfair_permits_gets_them(largest: usize) {
    check(10_000, move || {
        let permits = thread_rng().gen_range(largest..=2);
        let semaphore = Arc::new(Semaphore::unfair(permits));
        let shared = Arc::clone(&semaphore);
        kinds::run(5, move |_, kind| {
            for _ in 0..3 {
                let count = thread_rng().gen_range(1..=largest);
                if !acquire(&shared, kind, count).1 {
                    continue;
                }
                if thread_rng().gen_bool(0.5) {
                    thread::yield_now();
                }
                // Of those that others have left, to be released at once with these.
                let left = shared.forget_permits(thread_rng().gen_range(0..2));
                shared.add_permits(count + left);
            }
        });
        assert_eq!(semaphore.available_permits(), permits);
    });
}

#[test]
fn whoever_waits_for_an_unfair_permit_gets_it() {
    whoever_waits_for_unfair_permits_gets_them(1);
}

#[test]
fn whoever_waits_for_more_unfair_permits_gets_them() {
    whoever_waits_for_unfair_permits_gets_them(2);
}

/// A write is all permits of a line, a read is one.
#[test]
fn a_lock_is_a_line_of_readers_and_writers() {
    const ALL: usize = 1_000;
    check(4_000, || {
        let lock = Arc::new(RwLock::new(0));
        let history = Arc::new(History::new());
        let recorded = Arc::clone(&history);
        kinds::run(4, move |index, kind| {
            for round in 0..2 {
                if (index + round) % 2 == 0 {
                    let guard = recorded.record(|| {
                        let guard = match (thread_rng().gen_range(0..3), kind) {
                            (0, Kind::Task) => poll_once(lock.write_async()),
                            (0, _) => lock.write_deadline(at_once()),
                            (_, Kind::Task) => Some(block_on(lock.write_async())),
                            _ => Some(lock.write()),
                        };
                        (Operation::Acquire(ALL, End::of(guard.is_some(), kind)), guard)
                    });
                    if let Some(mut guard) = guard {
                        let before = *guard;
                        thread::yield_now();
                        *guard = before + 1;
                        recorded.record(|| (Operation::Release(ALL), drop(guard)));
                    }
                } else {
                    let guard = recorded.record(|| {
                        let guard = match (thread_rng().gen_range(0..3), kind) {
                            (0, Kind::Task) => poll_once(lock.read_async()),
                            (0, _) => lock.read_deadline(at_once()),
                            (_, Kind::Task) => Some(block_on(lock.read_async())),
                            _ => Some(lock.read()),
                        };
                        (Operation::Acquire(1, End::of(guard.is_some(), kind)), guard)
                    });
                    if let Some(guard) = guard {
                        let before = *guard;
                        thread::yield_now();
                        assert_eq!(*guard, before, "nobody writes meanwhile");
                        recorded.record(|| (Operation::Release(1), drop(guard)));
                    }
                }
            }
        });
        Arc::into_inner(history).unwrap().must_be_explained_by(Line::new(ALL));
    });
}

/// Values go through a place for one, under a mutex with two conditions; some waits run out of
/// time, and some futures are dropped. No notification is lost: else the model hangs.
#[test]
fn no_notification_of_a_condition_is_lost() {
    check(6_000, || {
        let place = Arc::new((Mutex::new(None), Condvar::new(), Condvar::new()));
        kinds::run(4, move |index, kind| {
            let (value, filled, emptied) = &*place;
            let condition = if index % 2 == 0 { filled } else { emptied };
            let is_not_yet = |value: &mut Option<usize>| value.is_some() == (index % 2 == 1);
            for round in 0..2 {
                let mut guard = match kind {
                    Kind::Task => block_on(async {
                        if thread_rng().gen_bool(0.3) {
                            // Dropped in line, notified or not.
                            let guard = value.lock_async().await;
                            poll_once(condition.wait_while_async(guard, is_not_yet));
                        }
                        let guard = value.lock_async().await;
                        condition.wait_while_async(guard, is_not_yet).await
                    }),
                    _ => {
                        let mut guard = value.lock();
                        if thread_rng().gen_bool(0.3) {
                            (guard, _) =
                                condition.wait_deadline_while(guard, at_once(), is_not_yet);
                        }
                        condition.wait_while(guard, is_not_yet)
                    }
                };
                if index % 2 == 0 {
                    assert!(guard.take().is_some());
                    emptied.notify_one();
                } else {
                    assert!(guard.replace(round).is_none());
                    drop(guard);
                    filled.notify_one();
                }
            }
        });
    });
}
