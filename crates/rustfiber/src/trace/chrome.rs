//! A trace as JSON, in the Trace Event Format: what Perfetto and Chrome's own viewer read.
//!
//! Spans are pairs of `B` and `E` events, which the format matches as brackets: a worker's events
//! are written in their order, so they nest, and their times never go back. What a suspension ends
//! is begun again at the resumption, with a flow from the one to the other.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::process;

use serde_json::{Value, json};

use super::tape::{Event, Timed, WaitPlace};
use super::{Trace, WorkerTrace};
use crate::dump::Site;

/// Writes the whole file, an event a line.
pub(super) fn write(trace: &Trace, out: &mut dyn Write) -> io::Result<()> {
    let dropped: Vec<u64> = trace.workers.iter().map(|worker| worker.recording.dropped).collect();
    let about = json!({
        "recorded_by": concat!("rustfiber ", env!("CARGO_PKG_VERSION")),
        "events": trace.event_count(),
        "dropped_events": dropped,
    });
    writeln!(out, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{about},\"traceEvents\":[")?;
    let mut file = File { out, process: process::id(), flows: 0 };
    let name = json!({ "name": "rustfiber" });
    let process = json!({
        "name": "process_name", "ph": "M", "ts": 0, "pid": file.process, "tid": 0, "args": name
    });
    write!(file.out, "{process}")?;
    for (index, worker) in trace.workers.iter().enumerate() {
        Track::new(&mut file, index, trace.started_ns).write(worker, trace.taken_ns)?;
    }
    file.out.write_all(b"\n]}\n")
}

/// What all tracks write to.
struct File<'a> {
    out: &'a mut dyn Write,
    process: u32,
    /// How many suspensions there have been: the identity of their flows.
    flows: u64,
}

/// A span that has begun.
#[derive(Clone, Copy)]
enum Span {
    Job { run: u64, site: Site },
    Blocked(WaitPlace),
    Parked,
}

impl Span {
    fn name(&self) -> String {
        match self {
            Span::Job { site, .. } => short(site),
            Span::Blocked(_) => "blocked".to_owned(),
            Span::Parked => "parked".to_owned(),
        }
    }

    fn category(&self) -> &'static str {
        match self {
            Span::Job { .. } => "job",
            Span::Blocked(_) => "blocked",
            Span::Parked => "parked",
        }
    }
}

/// What a suspension ended, the innermost last, and the flow that leads on.
struct Suspended {
    spans: Vec<Span>,
    flow: u64,
}

/// One worker's events on their way into the file.
struct Track<'file, 'out> {
    file: &'file mut File<'out>,
    worker: usize,
    started_ns: u64,
    /// The innermost last.
    open: Vec<Span>,
    /// By the job that suspended.
    suspended: HashMap<u64, Suspended>,
}

impl<'file, 'out> Track<'file, 'out> {
    fn new(file: &'file mut File<'out>, worker: usize, started_ns: u64) -> Self {
        Track { file, worker, started_ns, open: Vec::new(), suspended: HashMap::new() }
    }

    fn write(mut self, worker: &WorkerTrace, taken_ns: u64) -> io::Result<()> {
        let start = self.started_ns;
        self.event("thread_name", "M", start, json!({ "args": { "name": worker.name } }))?;
        let rank = json!({ "args": { "sort_index": self.worker } });
        self.event("thread_sort_index", "M", start, rank)?;
        for timed in &worker.recording.events {
            self.add(timed)?;
        }
        let last_ns = worker.recording.events.last().map_or(start, |timed| timed.at_ns);
        let dropped = worker.recording.dropped;
        // What a full tape does not hold is not known: what was open is shown up to there.
        let end_ns = if dropped == 0 { last_ns.max(taken_ns) } else { last_ns };
        while !self.open.is_empty() {
            self.end(end_ns, json!({ "unfinished": true }))?;
        }
        if dropped != 0 {
            let name = format!("no room for {dropped} more events");
            self.event(&name, "i", end_ns, json!({ "cat": "dropped", "s": "t" }))?;
        }
        Ok(())
    }

    fn add(&mut self, &Timed { at_ns, event }: &Timed) -> io::Result<()> {
        match event {
            Event::JobBegins { run, site } => self.begin(at_ns, Span::Job { run, site }),
            Event::JobEnds { run } => self.end_job(at_ns, run),
            Event::Suspends { run, wait } => self.suspend(at_ns, run, wait),
            Event::Resumes { run } => self.resume(at_ns, run),
            Event::Blocks { wait } => self.begin(at_ns, Span::Blocked(wait)),
            Event::Parks => self.begin(at_ns, Span::Parked),
            Event::Unblocks | Event::Unparks => self.end(at_ns, json!({})),
            Event::Steals { victim } => {
                let more = json!({ "cat": "steal", "s": "t", "args": { "victim": victim } });
                self.event("steal", "i", at_ns, more)
            }
        }
    }

    fn begin(&mut self, at_ns: u64, span: Span) -> io::Result<()> {
        let args = match span {
            Span::Job { run, site } => {
                json!({ "job": format!("{}.{run}", self.worker), "spawned_at": site.to_string() })
            }
            Span::Blocked(wait) => waits(Some(wait)),
            Span::Parked => json!({}),
        };
        self.open.push(span);
        self.event(&span.name(), "B", at_ns, json!({ "cat": span.category(), "args": args }))
    }

    /// Ends the innermost span.
    fn end(&mut self, at_ns: u64, args: Value) -> io::Result<()> {
        match self.open.pop() {
            Some(span) => {
                let more = json!({ "cat": span.category(), "args": args });
                self.event(&span.name(), "E", at_ns, more)
            }
            None => Ok(()),
        }
    }

    /// Ends a job's span, and what is still open inside: a job that ran inside a fiber of the
    /// user's own may have been left there.
    fn end_job(&mut self, at_ns: u64, ended: u64) -> io::Result<()> {
        let is_ended = |span: &Span| matches!(span, Span::Job { run, .. } if *run == ended);
        let Some(depth) = self.open.iter().rposition(is_ended) else { return Ok(()) };
        while self.open.len() > depth {
            self.end(at_ns, json!({}))?;
        }
        Ok(())
    }

    fn suspend(&mut self, at_ns: u64, run: u64, wait: Option<WaitPlace>) -> io::Result<()> {
        self.file.flows += 1;
        let flow = self.file.flows;
        self.event("resumes", "s", at_ns, json!({ "cat": "flow", "id": flow }))?;
        let spans = self.open.clone();
        while !self.open.is_empty() {
            self.end(at_ns, waits(wait))?;
        }
        self.suspended.insert(run, Suspended { spans, flow });
        Ok(())
    }

    fn resume(&mut self, at_ns: u64, run: u64) -> io::Result<()> {
        let Some(Suspended { spans, flow }) = self.suspended.remove(&run) else { return Ok(()) };
        for span in spans {
            self.begin(at_ns, span)?;
        }
        self.event("resumes", "f", at_ns, json!({ "cat": "flow", "id": flow, "bp": "e" }))
    }

    /// Writes one event; `more` are the fields that not every event has.
    fn event(&mut self, name: &str, phase: &str, at_ns: u64, mut more: Value) -> io::Result<()> {
        more["name"] = name.into();
        more["ph"] = phase.into();
        more["ts"] = (at_ns.saturating_sub(self.started_ns) as f64 / 1000.0).into();
        more["pid"] = self.file.process.into();
        // Viewers take thread 0 for the idle thread of the system.
        more["tid"] = (self.worker + 1).into();
        write!(self.file.out, ",\n{more}")
    }
}

/// Says for what a job waits and where.
fn waits(wait: Option<WaitPlace>) -> Value {
    match wait {
        Some(WaitPlace { kind, site }) => {
            json!({ "waits_for": kind.to_string(), "waits_at": site.to_string() })
        }
        None => json!({ "yields": true }),
    }
}

/// Returns a place as its file's name and its line.
fn short(site: Site) -> String {
    let file = Path::new(site.file()).file_name().unwrap_or_default();
    format!("{}:{}", file.to_string_lossy(), site.line())
}
