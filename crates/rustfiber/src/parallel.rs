//! Loops over ranges and slices, split where another worker asks for work.
//!
//! A piece is handed out only when the worker has nothing else that could be stolen, as lazy binary
//! splitting does (Tzannes et al., 2010): a loop that nobody helps with makes a handful of joins,
//! whatever its length, and one in which items differ splits again wherever a thief has come. In
//! between, items are computed in runs of some microseconds, which is how long a thief waits.

use std::ops::Range;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::dump::Site;
use crate::join::join_at;
use crate::places::{Places, Values};
use crate::worker::Worker;

/// Calls `f` for each number of `range`, possibly in parallel, and in no particular order.
///
/// There is no grain to choose: the loop is split where another worker has nothing to do. Outside
/// any worker the whole call moves into the default runtime.
///
/// A call may wait, but not for another call of the same loop: nobody promises that the two run at
/// the same time.
///
/// # Panics
///
/// With the panic of a call of `f`, after all that have begun have ended. Numbers that come later
/// may not be called.
///
/// # Blocking
///
/// Suspends the fiber while other workers run parts of the loop.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let sum = AtomicU64::new(0);
/// rustfiber::par_for(0..1000, |number| _ = sum.fetch_add(number as u64, Ordering::Relaxed));
/// assert_eq!(sum.into_inner(), 499_500);
/// ```
#[track_caller]
pub fn par_for(range: Range<usize>, f: impl Fn(usize) + Sync) {
    let run = |run: Range<usize>| run.for_each(&f);
    let _ = fold(range, &run, &|(), ()| (), Pace::new(), Location::caller());
}

/// Calls `f` for each item of `items`, possibly in parallel, and in no particular order: as
/// [`par_for`].
///
/// # Panics
///
/// As [`par_for`].
///
/// # Blocking
///
/// As [`par_for`].
///
/// # Examples
///
/// ```
/// let mut numbers = vec![1, 2, 3];
/// rustfiber::par_for_each(&mut numbers, |number| *number *= 10);
/// assert_eq!(numbers, [10, 20, 30]);
/// ```
#[track_caller]
pub fn par_for_each<T: Send>(items: &mut [T], f: impl Fn(&mut T) + Sync) {
    let run = |run: &mut [T]| run.iter_mut().for_each(&f);
    let _ = fold(items, &run, &|(), ()| (), Pace::new(), Location::caller());
}

/// Maps each number of `range`, possibly in parallel, and reduces what comes out in the range's
/// order; nothing comes of an empty range. Split as [`par_for`].
///
/// `reduce` must be associative, and need not be commutative: which neighbours are reduced first
/// differs from run to run.
///
/// # Panics
///
/// With the panic of a call of `map` or `reduce`, after all that have begun have ended.
///
/// # Blocking
///
/// As [`par_for`].
///
/// # Examples
///
/// ```
/// let words = ["split", "where", "somebody", "asks"];
/// let own = |n: usize| words[n].to_owned();
/// let all = rustfiber::par_map_reduce(0..words.len(), own, |a, b| a + " " + &b);
/// assert_eq!(all.as_deref(), Some("split where somebody asks"));
/// ```
#[track_caller]
pub fn par_map_reduce<T: Send>(
    range: Range<usize>,
    map: impl Fn(usize) -> T + Sync,
    reduce: impl Fn(T, T) -> T + Sync,
) -> Option<T> {
    let run = |run: Range<usize>| run.map(&map).reduce(&reduce).expect("no run is empty");
    fold(range, &run, &reduce, Pace::new(), Location::caller())
}

/// Maps each number of `range`, possibly in parallel, to a vector in the range's order: as
/// [`par_for`].
///
/// # Panics
///
/// With the panic of a call of `f`, after all that have begun have ended.
///
/// # Blocking
///
/// As [`par_for`].
///
/// # Examples
///
/// ```
/// let words = ["split", "where", "somebody", "asks"];
/// let lengths = rustfiber::par_map(0..words.len(), |n| words[n].len());
/// assert_eq!(lengths, [5, 5, 8, 4]);
/// ```
#[track_caller]
pub fn par_map<T: Send>(range: Range<usize>, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut all = Vec::with_capacity(ExactSizeIterator::len(&range));
    let places = Places { first: all.as_mut_ptr(), numbers: range };
    let run = |run: Places<T>| run.fill(&f);
    if let Some(values) = fold(places, &run, &Values::append, Pace::new(), Location::caller()) {
        // SAFETY: the values lie at the vector's begin, and are its own now.
        unsafe { all.set_len(values.release()) };
    }
    all
}

/// What can be cut.
trait Items: Send + Sized {
    fn len(&self) -> usize;

    /// Returns the first `count` items, and the others.
    fn split_at(self, count: usize) -> (Self, Self);
}

impl Items for Range<usize> {
    fn len(&self) -> usize {
        ExactSizeIterator::len(self)
    }

    fn split_at(self, count: usize) -> (Self, Self) {
        let middle = self.start + count;
        (self.start..middle, middle..self.end)
    }
}

impl<T: Send> Items for Places<T> {
    fn len(&self) -> usize {
        self.len()
    }

    fn split_at(self, count: usize) -> (Self, Self) {
        self.split_at(count)
    }
}

impl<T: Send> Items for &mut [T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn split_at(self, count: usize) -> (Self, Self) {
        self.split_at_mut(count)
    }
}

/// Runs all of `items`, in order as far as this worker does it, and merges the results in order.
fn fold<I: Items, T: Send>(
    mut items: I,
    run: &(impl Fn(I) -> T + Sync),
    merge: &(impl Fn(T, T) -> T + Sync),
    mut pace: Pace,
    site: Site,
) -> Option<T> {
    let mut so_far = None;
    let mut clock = Clock::start();
    while items.len() != 0 {
        let worker = Worker::current();
        worker.inspect(|worker| worker.between_runs());
        if items.len() > 1 && pace.may_split && worker.is_none_or(Worker::has_nothing_to_steal) {
            let home = worker.map(Worker::index);
            let half = items.len() / 2;
            let (left, right) = items.split_at(half);
            let (left, right) = join_at(
                site,
                || fold(left, run, merge, pace, site),
                || {
                    let is_stolen = Worker::current().map(Worker::index) != home;
                    fold(right, run, merge, Pace { may_split: is_stolen, ..pace }, site)
                },
            );
            return [so_far, left, right].into_iter().flatten().reduce(merge);
        }
        let count = pace.length.min(items.len());
        let (now, later) = items.split_at(count);
        items = later;
        let result = run(now);
        pace.adapt(clock.lap());
        so_far = Some(match so_far {
            Some(before) => merge(before, result),
            None => result,
        });
    }
    so_far
}

/// How many items make a run of the right time, and whether to offer items to thieves before the
/// next one.
#[derive(Clone, Copy)]
struct Pace {
    length: usize,
    /// False in a half that no thief took, as long as it has not run for some time: thieves do not
    /// seem to need more.
    may_split: bool,
}

/// Runs take about this long: so long that looking at the clock and at the queue does not matter.
const RUN: Duration = Duration::from_micros(4);

impl Pace {
    fn new() -> Self {
        Pace { length: 1, may_split: true }
    }

    /// Sets the next run's length by the time of the last one.
    fn adapt(&mut self, took: Duration) {
        if took < RUN / 8 {
            self.length = self.length.saturating_mul(4);
        } else if took < RUN / 2 {
            self.length = self.length.saturating_mul(2);
        } else {
            self.may_split = true;
            if took > RUN * 2 {
                self.length = (self.length / 2).max(1);
            }
        }
    }
}

/// Reads the time once a run.
struct Clock {
    last: Instant,
}

impl Clock {
    fn start() -> Self {
        Clock { last: Instant::now() }
    }

    /// Returns the time since the last call, or the start.
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.last, now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Runtime;

    #[test]
    fn short_items_are_computed_in_long_runs() {
        const ITEMS: usize = 1_000_000;
        let runs = AtomicUsize::new(0);
        let count = |run: Range<usize>| {
            runs.fetch_add(1, Ordering::Relaxed);
            ExactSizeIterator::len(&run)
        };
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let items =
            runtime.run(|| fold(0..ITEMS, &count, &|a, b| a + b, Pace::new(), Location::caller()));
        assert_eq!(items, Some(ITEMS));
        let runs = runs.into_inner();
        assert!(runs < ITEMS / 100, "{runs} runs");
    }

    #[test]
    fn runs_follow_the_time_that_items_take() {
        let mut pace = Pace::new();
        (0..20).for_each(|_| pace.adapt(Duration::from_nanos(100)));
        assert_eq!(pace.length, 1 << 40);
        pace.adapt(RUN);
        assert_eq!(pace.length, 1 << 40);
        (0..50).for_each(|_| pace.adapt(RUN * 3));
        assert_eq!(pace.length, 1);
        pace.adapt(RUN / 4);
        assert_eq!(pace.length, 2);
    }
}
