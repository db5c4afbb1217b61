//! One worker's events, as it writes them and as others read them.
//!
//! A *tape* is a fixed row of slots. Only its worker writes: it fills the first free slot,
//! publishes the new length, and never touches that slot again. A reader takes the length, then the
//! slots below it, which no longer change. A full tape keeps what it has and counts what comes
//! later: what it keeps is a whole beginning, in which nothing ends or resumes that has not begun.

use std::cell::{Cell, UnsafeCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use deque_scheduler::{Observed, WorkerQueues};

use crate::clock::now_ns;
use crate::dump::{Site, WaitKind};
use crate::latch::Wait;
use crate::stats::add_one;

/// Something that a worker did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A job from a queue starts. `run` tells it apart from the other jobs of its worker.
    JobBegins {
        run: u64,
        site: Site,
    },
    JobEnds {
        run: u64,
    },
    /// A fiber leaves the worker to others; without a wait, it yields. `run` is the last of its
    /// jobs that has begun, by which its resumption is found.
    Suspends {
        run: u64,
        wait: Option<WaitPlace>,
    },
    Resumes {
        run: u64,
    },
    /// A job that must not suspend blocks the thread.
    Blocks {
        wait: WaitPlace,
    },
    Unblocks,
    Steals {
        victim: usize,
    },
    Parks,
    Unparks,
}

/// For what is waited, and in which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaitPlace {
    pub(super) kind: WaitKind,
    pub(super) site: Site,
}

impl From<&Wait> for WaitPlace {
    fn from(wait: &Wait) -> Self {
        WaitPlace { kind: wait.kind(), site: wait.site }
    }
}

/// An event, and when it was, by [`now_ns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) at_ns: u64,
    pub(super) event: Event,
}

// What `Builder::trace_events` promises.
const _: () = assert!(size_of::<UnsafeCell<Timed>>() <= 40);

/// One worker's row of slots.
pub(super) struct Tape {
    slots: Box<[UnsafeCell<Timed>]>,
    written: CachePadded<Written>,
}

/// The worker's to write.
#[derive(Default)]
struct Written {
    /// How many slots are filled.
    len: AtomicUsize,
    /// How many events came when all slots were filled.
    dropped: AtomicU64,
}

// SAFETY: a slot is written by the worker alone, before the length passes it, and read only after.
unsafe impl Sync for Tape {}

/// What a tape held at some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    pub(super) events: Vec<Timed>,
    pub(super) dropped: u64,
}

impl Tape {
    /// Makes an empty tape. Writes to all its memory, so that recording meets no page fault. If the
    /// memory is refused, the tape has no slots, and is full: a job is worth more than its trace.
    pub(super) fn new(slots: usize) -> Self {
        let blank = Timed { at_ns: 0, event: Event::Unparks };
        let mut row = Vec::new();
        if row.try_reserve_exact(slots).is_ok() {
            row.extend((0..slots).map(|_| UnsafeCell::new(blank)));
        }
        Tape { slots: row.into_boxed_slice(), written: CachePadded::default() }
    }

    /// Appends an event, or counts it if the tape is full.
    ///
    /// # Safety
    ///
    /// Only one thread, the worker's, calls this on a tape.
    unsafe fn record(&self, event: Event) {
        let len = self.written.len.load(Ordering::Relaxed);
        let Some(slot) = self.slots.get(len) else {
            return add_one(&self.written.dropped, Ordering::Relaxed);
        };
        // SAFETY: nobody reads at or above the length, and this is the only writer.
        unsafe { *slot.get() = Timed { at_ns: now_ns(), event } };
        // ORDERING: Release, pairs with the Acquire in `read`: publishes the slot.
        self.written.len.store(len + 1, Ordering::Release);
    }

    /// Returns what is on the tape. Anybody may ask, at any time.
    pub(super) fn read(&self) -> Recording {
        // ORDERING: Acquire, pairs with the Release in `record`: the slots below are filled.
        let len = self.written.len.load(Ordering::Acquire);
        // SAFETY: slots below the length are never written again.
        let events = self.slots[..len].iter().map(|slot| unsafe { *slot.get() }).collect();
        Recording { events, dropped: self.written.dropped.load(Ordering::Relaxed) }
    }
}

/// The writing end of a tape, in its worker.
pub(crate) struct Recorder {
    tape: Arc<Tape>,
    /// How many jobs have begun.
    runs: Cell<u64>,
    /// The last job that has begun on the running fiber.
    current: Cell<u64>,
}

/// A job that has begun, until [`Recorder::job_ends`].
#[must_use = "a job that has begun ends"]
pub(crate) struct JobRun {
    run: u64,
}

/// A suspended job, until [`Recorder::resumes`].
#[must_use = "a job that is suspended resumes"]
pub(crate) struct Suspension {
    run: u64,
}

impl Recorder {
    /// Makes the writing end of the tape of the worker that owns `queues`, which tell it of steals
    /// and sleeps.
    ///
    /// # Safety
    ///
    /// The caller is the worker's thread, with which `queues` stay; nobody else writes to the tape.
    pub(super) unsafe fn new(tape: Arc<Tape>, queues: &mut WorkerQueues) -> Self {
        let observed = Arc::clone(&tape);
        queues.set_observer(move |what| {
            let event = match what {
                Observed::Steal { victim } => Event::Steals { victim },
                Observed::Park => Event::Parks,
                Observed::Unpark => Event::Unparks,
                _ => return,
            };
            // SAFETY: the queues stay on the worker's thread.
            unsafe { observed.record(event) };
        });
        Recorder { tape, runs: Cell::new(0), current: Cell::new(0) }
    }

    fn record(&self, event: Event) {
        // SAFETY: a recorder is not `Sync`, and stays on the worker's thread, as `new` asked.
        unsafe { self.tape.record(event) };
    }

    pub(crate) fn job_begins(&self, site: Site) -> JobRun {
        let run = self.runs.get() + 1;
        self.runs.set(run);
        self.current.set(run);
        self.record(Event::JobBegins { run, site });
        JobRun { run }
    }

    pub(crate) fn job_ends(&self, JobRun { run }: JobRun) {
        self.record(Event::JobEnds { run });
    }

    /// Notes that the running job suspends: for `wait`, or to yield.
    pub(crate) fn suspends(&self, wait: Option<&Wait>) -> Suspension {
        let run = self.current.get();
        self.record(Event::Suspends { run, wait: wait.map(WaitPlace::from) });
        Suspension { run }
    }

    pub(crate) fn resumes(&self, Suspension { run }: Suspension) {
        self.record(Event::Resumes { run });
        self.current.set(run);
    }

    /// Notes that the running job, which must not suspend, blocks the thread.
    pub(crate) fn blocks(&self, wait: &Wait) {
        self.record(Event::Blocks { wait: wait.into() });
    }

    pub(crate) fn unblocks(&self) {
        self.record(Event::Unblocks);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::Location;
    use std::thread;

    use super::*;

    #[test]
    fn a_full_tape_keeps_the_beginning_and_counts_the_rest() {
        let tape = Tape::new(3);
        for victim in 0..5 {
            // SAFETY: this thread alone writes.
            unsafe { tape.record(Event::Steals { victim }) };
        }
        let Recording { events, dropped } = tape.read();
        let kept: Vec<Event> = events.iter().map(|timed| timed.event).collect();
        assert_eq!(kept, [0, 1, 2].map(|victim| Event::Steals { victim }));
        assert_eq!(dropped, 2);
        assert!(events.is_sorted_by_key(|timed| timed.at_ns) && events[0].at_ns > 0);
    }

    #[test]
    fn a_tape_whose_memory_is_refused_counts_all() {
        let tape = Tape::new(usize::MAX / size_of::<Timed>());
        // SAFETY: this thread alone writes.
        unsafe { tape.record(Event::Parks) };
        let Recording { events, dropped } = tape.read();
        assert_eq!((events, dropped), (vec![], 1));
    }

    #[test]
    fn a_reader_sees_a_beginning_of_what_is_being_written() {
        const COUNT: usize = 100_000;
        let tape = Tape::new(COUNT);
        let site = Location::caller();
        thread::scope(|s| {
            s.spawn(|| {
                for run in 0..COUNT as u64 {
                    // SAFETY: this thread alone writes.
                    unsafe { tape.record(Event::JobBegins { run, site }) };
                }
            });
            let mut seen = 0;
            while seen < COUNT {
                let events = tape.read().events;
                assert!(events.len() >= seen);
                for (run, timed) in events.iter().enumerate().skip(seen) {
                    assert_eq!(timed.event, Event::JobBegins { run: run as u64, site });
                }
                seen = events.len();
                thread::yield_now();
            }
        });
    }
}
