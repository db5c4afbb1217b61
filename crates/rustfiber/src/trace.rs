//! What the workers did, event by event: each records its own, anybody may read, and write it down
//! as a file that shows as a timeline.

mod chrome;
mod tape;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use deque_scheduler::WorkerQueues;
use topology::CpuSet;

use crate::clock::now_ns;
use crate::error::BuildError;

pub(crate) use tape::Recorder;
use tape::{Recording, Tape};

/// Events that each worker has room for, if the builder is not told otherwise, and at most.
const EVENTS_DEFAULT: usize = 1 << 16;
pub(crate) const EVENTS_MAX: usize = 1 << 24;

/// What a runtime's workers have done, event by event: see
/// [`Runtime::trace`](crate::Runtime::trace). Needs the feature `trace`.
///
/// Recorded are, with their times, the begin and the end of each job from a queue, its suspensions
/// with the call in which it waits, its resumptions, the steals, and the times in which a worker
/// sleeps. The half of a [`join`](crate::join()) that its own caller runs is a part of the caller's
/// job. A worker whose room is full keeps what it has, and counts what comes later.
#[derive(Clone)]
pub struct Trace {
    workers: Vec<WorkerTrace>,
    started_ns: u64,
    taken_ns: u64,
}

/// One worker's part of a trace.
#[derive(Clone)]
struct WorkerTrace {
    name: String,
    recording: Recording,
}

impl Trace {
    /// Writes the trace as JSON, in the [Trace Event Format], for <https://ui.perfetto.dev> and
    /// `chrome://tracing`.
    ///
    /// Each worker is a track. A job's span is named by the place that submitted it; where the job
    /// waits, the span ends and names the place of the wait, and another one begins where the job
    /// goes on, with an arrow between them.
    ///
    /// # Errors
    ///
    /// When `out` fails. It is written to in small pieces, so let it be buffered.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = rustfiber::Runtime::builder().workers(2).build()?;
    /// runtime.run(|| rustfiber::join(|| 1, || 2));
    /// let mut json = Vec::new();
    /// runtime.trace().write_chrome(&mut json)?;
    /// assert!(json.starts_with(b"{"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [Trace Event Format]: https://perfetto.dev/docs/getting-started/other-formats
    pub fn write_chrome(&self, mut out: impl Write) -> io::Result<()> {
        chrome::write(self, &mut out)
    }

    /// Returns how many events were recorded.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.workers.iter().map(|worker| worker.recording.events.len()).sum()
    }

    /// Returns how many events had no room: see
    /// [`Builder::trace_events`](crate::Builder::trace_events).
    #[must_use]
    pub fn dropped_count(&self) -> u64 {
        self.workers.iter().map(|worker| worker.recording.dropped).sum()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("workers", &self.workers.len())
            .field("event_count", &self.event_count())
            .field("dropped_count", &self.dropped_count())
            .finish_non_exhaustive()
    }
}

/// How much is to be recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) events: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { events: EVENTS_DEFAULT }
    }
}

impl Settings {
    pub(crate) fn check(self) -> Result<(), BuildError> {
        match self.events {
            1..=EVENTS_MAX => Ok(()),
            asked => Err(BuildError::TraceEvents { asked }),
        }
    }

    /// Makes a place for each worker's tape. The worker itself makes the tape, in memory near it.
    pub(crate) fn tapes(self, pins: &[Option<CpuSet>]) -> Tapes {
        let tape = |(index, pin): (usize, &Option<CpuSet>)| WorkerTape {
            name: match pin {
                Some(cpus) => format!("worker {index} (cpu {cpus})"),
                None => format!("worker {index}"),
            },
            tape: OnceLock::new(),
        };
        Tapes {
            workers: pins.iter().enumerate().map(tape).collect(),
            events: self.events,
            started_ns: now_ns(),
        }
    }
}

/// The tapes of a runtime's workers.
pub(crate) struct Tapes {
    workers: Box<[WorkerTape]>,
    events: usize,
    started_ns: u64,
}

struct WorkerTape {
    name: String,
    /// Set when the worker starts.
    tape: OnceLock<Arc<Tape>>,
}

impl Tapes {
    /// Makes the tape of the worker that owns `queues`, and returns its writing end.
    ///
    /// # Panics
    ///
    /// Panics if the worker has a tape.
    ///
    /// # Safety
    ///
    /// The caller is that worker's thread, with which `queues` stay.
    pub(crate) unsafe fn recorder(&self, queues: &mut WorkerQueues) -> Recorder {
        let tape = Arc::new(Tape::new(self.events));
        let is_first = self.workers[queues.index()].tape.set(Arc::clone(&tape)).is_ok();
        assert!(is_first, "a worker starts once");
        // SAFETY: the tape is new, and the caller keeps the rest of the contract.
        unsafe { Recorder::new(tape, queues) }
    }

    pub(crate) fn read(&self) -> Trace {
        let taken_ns = now_ns();
        let read = |worker: &WorkerTape| WorkerTrace {
            name: worker.name.clone(),
            recording: worker.tape.get().map(|tape| tape.read()).unwrap_or_default(),
        };
        let workers = self.workers.iter().map(read).collect();
        Trace { workers, started_ns: self.started_ns, taken_ns }
    }
}
