//! What a trace records, and that the file it writes is in the Trace Event Format.

mod support;

use std::collections::{HashMap, HashSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustfiber::{BuildError, Counter, Runtime, Trace, join, scope, without_suspending, yield_now};
use serde_json::Value;

use support::{must_end, runtime_with};

/// A span or an instant, as a viewer would show it.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    name: String,
    category: String,
    thread: u64,
    begin: f64,
    end: f64,
    /// How many spans it lies in.
    depth: usize,
    args: Value,
    end_args: Value,
}

/// A file that was checked.
struct Checked {
    spans: Vec<Shown>,
    instants: Vec<Shown>,
    thread_names: HashMap<u64, String>,
    dropped: Vec<u64>,
    /// Flows from one span to another.
    flows: usize,
}

impl Checked {
    fn of_category(&self, category: &str) -> Vec<&Shown> {
        self.spans.iter().chain(&self.instants).filter(|one| one.category == category).collect()
    }

    /// Counts the jobs; one that waited has several spans.
    fn job_count(&self) -> usize {
        let jobs = self.of_category("job").into_iter();
        jobs.map(|job| job.args["job"].as_str().unwrap()).collect::<HashSet<_>>().len()
    }

    /// The spans of the job submitted in this file's `line`, in order of their begin.
    fn of_line(&self, line: u32) -> Vec<&Shown> {
        let name = format!("trace.rs:{line}");
        self.spans.iter().filter(|span| span.name == name).collect()
    }
}

fn json_of(trace: &Trace) -> String {
    let mut json = Vec::new();
    trace.write_chrome(&mut json).unwrap();
    String::from_utf8(json).unwrap()
}

fn check(trace: &Trace) -> Checked {
    check_format(&json_of(trace)).unwrap()
}

/// Checks a file against the Trace Event Format, as far as we use it: each event has the fields
/// that its phase demands and no phase is unknown, spans nest, times never go back on a thread, and
/// flows lead from a span to a later one.
fn check_format(json: &str) -> Result<Checked, String> {
    let file: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let events = file["traceEvents"].as_array().ok_or("no traceEvents")?;
    let mut open: HashMap<u64, Vec<Shown>> = HashMap::new();
    let mut last: HashMap<u64, f64> = HashMap::new();
    let (mut begun, mut finished) = (HashMap::new(), HashSet::new());
    let dropped = file["otherData"]["dropped_events"].as_array().ok_or("no dropped_events")?;
    let mut checked = Checked {
        spans: Vec::new(),
        instants: Vec::new(),
        thread_names: HashMap::new(),
        dropped: dropped.iter().filter_map(Value::as_u64).collect(),
        flows: 0,
    };
    for event in events {
        let wrong = |what: &str| format!("{what}: {event}");
        let text = |field: &str| event[field].as_str().ok_or_else(|| wrong(field));
        let (name, phase) = (text("name")?, text("ph")?);
        let time = event["ts"].as_f64().filter(|time| *time >= 0.0).ok_or_else(|| wrong("ts"))?;
        if event["pid"].as_u64() != Some(process::id().into()) {
            return Err(wrong("pid"));
        }
        let thread = event["tid"].as_u64().ok_or_else(|| wrong("tid"))?;
        if phase != "M" && last.insert(thread, time).is_some_and(|last| last > time) {
            return Err(wrong("time goes back"));
        }
        let spans = open.entry(thread).or_default();
        let shown = || {
            let (name, category) = (name.to_owned(), text("cat")?.to_owned());
            let (args, end_args) = (event["args"].clone(), Value::Null);
            let (begin, end, depth) = (time, time, spans.len());
            Ok::<_, String>(Shown { name, category, thread, begin, end, depth, args, end_args })
        };
        match phase {
            "M" if name == "thread_name" => {
                let name = event["args"]["name"].as_str().ok_or_else(|| wrong("args.name"))?;
                checked.thread_names.insert(thread, name.to_owned());
            }
            "M" if ["process_name", "thread_sort_index"].contains(&name) => {}
            "B" => {
                let span = shown()?;
                spans.push(span);
            }
            "E" => {
                let mut span = spans.pop().ok_or_else(|| wrong("ends what has not begun"))?;
                if (span.name.as_str(), span.category.as_str()) != (name, text("cat")?) {
                    return Err(wrong("ends another span than the innermost"));
                }
                span.end = time;
                span.end_args = event["args"].clone();
                checked.spans.push(span);
            }
            "i" if event["s"] == "t" => checked.instants.push(shown()?),
            "s" | "f" => {
                let id = event["id"].as_u64().ok_or_else(|| wrong("id"))?;
                if spans.is_empty() {
                    return Err(wrong("a flow outside any span"));
                }
                if phase == "s" {
                    if begun.insert(id, time).is_some() {
                        return Err(wrong("two flows of one id"));
                    }
                } else if begun.get(&id).is_none_or(|begin| *begin > time)
                    || !finished.insert(id)
                    || event["bp"] != "e"
                {
                    return Err(wrong("ends no flow"));
                }
            }
            _ => return Err(wrong("unknown phase or scope")),
        }
    }
    if let Some(span) = open.values().flatten().next() {
        return Err(format!("never ends: {span:?}"));
    }
    checked.flows = finished.len();
    checked.spans.sort_by(|a, b| a.begin.total_cmp(&b.begin).then(a.depth.cmp(&b.depth)));
    Ok(checked)
}

/// Returns the trace when it shows every worker asleep, so that it holds all that happened.
fn trace_at_rest(runtime: &Runtime) -> Trace {
    loop {
        let trace = runtime.trace();
        let checked = check(&trace);
        let parked = checked.of_category("parked").into_iter();
        let asleep = parked.filter(|span| span.end_args["unfinished"] == true).count();
        if asleep == runtime.worker_count() {
            return trace;
        }
        thread::yield_now();
    }
}

#[test]
fn a_job_that_waits_is_two_spans_with_the_place_of_the_wait() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (waiting, waking) = runtime.run(|| {
            let counter = Counter::new(1);
            let mut lines = (0, 0);
            scope(|s| {
                // One worker takes its newest job first.
                lines.1 = line!() + 1;
                s.spawn(|| counter.done());
                lines.0 = line!() + 1;
                s.spawn(|| counter.wait());
                yield_now(); // else this fiber would run the job itself
            });
            lines
        });
        let checked = check(&trace_at_rest(&runtime));
        let [first, second] = checked.of_line(waiting)[..] else { panic!("{:?}", checked.spans) };
        let [waker] = checked.of_line(waking)[..] else { panic!("{:?}", checked.spans) };
        assert_eq!(first.end_args["waits_for"], "a counter");
        let place = first.end_args["waits_at"].as_str().unwrap();
        assert!(place.contains(&format!("trace.rs:{waiting}:")), "{place}");
        assert!(first.end <= waker.begin && waker.end <= second.begin);
        assert_eq!(first.args["job"], second.args["job"]);
        assert_eq!(second.end_args.as_object().unwrap().len(), 0, "it ended");
        let spawned_at = first.args["spawned_at"].as_str().unwrap();
        assert!(spawned_at.contains(&format!("trace.rs:{waiting}:")), "{spawned_at}");
        // The body of `run` yields, and waits for the scope.
        assert_eq!(checked.flows, 3);
    });
}

#[test]
fn jobs_that_suspend_in_turn_go_on_as_themselves() {
    must_end(|| {
        let runtime = runtime_with(1);
        let lines = runtime.run(|| {
            let line = line!();
            scope(|s| {
                s.spawn(|| (0..3).for_each(|_| yield_now()));
                s.spawn(|| (0..3).for_each(|_| yield_now()));
            });
            [line + 2, line + 3]
        });
        let checked = check(&trace_at_rest(&runtime));
        for line in lines {
            let spans = checked.of_line(line);
            assert_eq!(spans.len(), 4, "{:?}", checked.spans);
            assert!(spans.iter().all(|span| span.args["job"] == spans[0].args["job"]));
            assert!(spans[..3].iter().all(|span| span.end_args["yields"] == true));
        }
        // The body of `run` waits for the scope.
        assert_eq!(checked.flows, 2 * 3 + 1);
    });
}

#[test]
fn a_steal_names_its_victim_and_the_stolen_job_follows() {
    must_end(|| {
        let runtime = runtime_with(2);
        let started = AtomicBool::new(false);
        let line = line!() + 2;
        let (at_home, abroad) = runtime.run(|| {
            join(
                || {
                    // Blocks this worker until another has taken the other half.
                    while !started.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                    rustfiber::current_worker().unwrap()
                },
                || {
                    started.store(true, Ordering::Relaxed);
                    rustfiber::current_worker().unwrap()
                },
            )
        });
        assert_ne!(at_home, abroad);
        let trace = trace_at_rest(&runtime);
        let checked = check(&trace);
        let steals = checked.of_category("steal");
        assert_eq!(steals.len() as u64, runtime.stats().total().steals);
        let [stolen] = checked.of_line(line)[..] else { panic!("{:?}", checked.spans) };
        assert_eq!(checked.thread_names[&stolen.thread], format!("worker {abroad}"));
        let steal = steals
            .iter()
            .rfind(|steal| steal.thread == stolen.thread && steal.begin <= stolen.begin);
        assert_eq!(steal.unwrap().args["victim"], at_home);
    });
}

#[test]
fn every_event_is_recorded_or_counted_as_dropped() {
    must_end(|| {
        for room in [1, 2, 7, 100, 1001, 100_000] {
            let runtime = Runtime::builder().workers(2).trace_events(room).build().unwrap();
            runtime.run(|| {
                scope(|s| (0..500).for_each(|_| s.spawn(yield_now)));
            });
            // What a full tape counts ends with the sleep of its worker, which may yet come.
            let trace = loop {
                let (total, trace) = (runtime.stats().total(), runtime.trace());
                assert_eq!(total.jobs, 501);
                let waits = total.suspensions + total.resumptions;
                assert!(waits > 500, "most of 500 jobs yield to another");
                let happened = 2 * (total.jobs + total.parks) + waits + total.steals;
                // Each of the two workers has begun one sleep more than it has ended.
                if trace.event_count() as u64 + trace.dropped_count() + 2 == happened {
                    break trace;
                }
                thread::yield_now();
            };
            assert!(trace.event_count() <= 2 * room);
            assert_eq!(trace.dropped_count() == 0, room == 100_000, "room for {room}");
            let checked = check(&trace);
            assert_eq!(checked.dropped.len(), 2);
            assert_eq!(checked.dropped.iter().sum::<u64>(), trace.dropped_count());
            let full = checked.dropped.iter().filter(|dropped| **dropped != 0).count();
            assert_eq!(checked.of_category("dropped").len(), full);
        }
    });
}

#[test]
fn a_trace_may_be_read_while_the_workers_run() {
    const ROUNDS: usize = 30;
    const JOBS: usize = 20;
    must_end(|| {
        let runtime = runtime_with(2);
        let rounds_begun = AtomicUsize::new(0);
        thread::scope(|threads| {
            threads.spawn(|| {
                runtime.run(|| {
                    for round in 0..ROUNDS {
                        while rounds_begun.load(Ordering::Acquire) <= round {
                            thread::yield_now();
                        }
                        scope(|s| (0..JOBS).for_each(|_| s.spawn(yield_now)));
                    }
                });
            });
            let mut before = 0;
            for round in 1..=ROUNDS {
                rounds_begun.store(round, Ordering::Release);
                let trace = runtime.trace();
                assert!(trace.event_count() >= before, "events do not go away");
                before = trace.event_count();
                check(&trace);
            }
        });
        assert_eq!(check(&trace_at_rest(&runtime)).job_count(), 1 + ROUNDS * JOBS);
    });
}

#[test]
fn a_job_that_helps_has_the_other_inside() {
    must_end(|| {
        let runtime = runtime_with(1);
        let (line, ()) = runtime.run(|| {
            let line = line!() + 1;
            let handle = rustfiber::spawn(|| ());
            (line, without_suspending(|| handle.join().unwrap()))
        });
        let checked = check(&trace_at_rest(&runtime));
        let [helped] = checked.of_line(line)[..] else { panic!("{:?}", checked.spans) };
        assert_eq!(helped.depth, 1);
        assert!(checked.of_category("blocked").is_empty());
    });
}

#[test]
fn a_thread_that_blocks_is_shown_inside_its_job_with_the_place_of_the_wait() {
    must_end(|| {
        let runtime = runtime_with(1);
        let gate = Counter::new(1);
        let line = line!() + 2;
        thread::scope(|threads| {
            threads.spawn(|| runtime.run(|| without_suspending(|| gate.wait())));
            while check(&runtime.trace()).of_category("blocked").is_empty() {
                thread::yield_now();
            }
            gate.done();
        });
        let checked = check(&trace_at_rest(&runtime));
        let [blocked] = checked.of_category("blocked")[..] else { panic!("{:?}", checked.spans) };
        assert_eq!((blocked.depth, blocked.args["waits_for"].as_str()), (1, Some("a counter")));
        let place = blocked.args["waits_at"].as_str().unwrap();
        assert!(place.contains(&format!("trace.rs:{line}:")), "{place}");
        let [job] = checked.of_line(line)[..] else { panic!("{:?}", checked.spans) };
        assert!(job.begin <= blocked.begin && blocked.end <= job.end);
    });
}

#[test]
fn parked_workers_are_shown_as_such_and_sleep_outside_of_jobs() {
    must_end(|| {
        let runtime = runtime_with(2);
        runtime.run(|| ());
        let checked = check(&trace_at_rest(&runtime));
        let parked = checked.of_category("parked");
        assert!(parked.iter().all(|span| span.depth == 0));
        let asleep = parked.iter().filter(|span| span.end_args["unfinished"] == true);
        assert_eq!(asleep.count(), 2);
    });
}

#[test]
fn room_for_no_event_or_for_too_many_is_refused() {
    for asked in [0, (1 << 24) + 1, usize::MAX] {
        let error = Runtime::builder().workers(1).trace_events(asked).build().unwrap_err();
        assert!(matches!(error, BuildError::TraceEvents { asked: a } if a == asked));
        assert!(error.to_string().contains(&asked.to_string()));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_pinned_workers_track_names_its_cpus() {
    let pinning = rustfiber::PinningStrategy::Cores;
    let runtime = Runtime::builder().workers(1).pinning(pinning).build().unwrap();
    let checked = check(&runtime.trace());
    let name = &checked.thread_names[&1];
    assert!(name.starts_with("worker 0 (cpu ") && name.ends_with(')'), "{name}");
}

#[test]
fn the_checker_refuses_what_the_format_does() {
    let file = |events: &str| {
        let id = process::id();
        let events = events.replace("AT", &format!("\"pid\":{id},\"tid\":1,\"cat\":\"c\""));
        format!("{{\"traceEvents\":[{events}],\"otherData\":{{\"dropped_events\":[]}}}}")
    };
    let begin = r#"{"name":"a","ph":"B","ts":1,AT}"#;
    let end = r#"{"name":"a","ph":"E","ts":2,AT}"#;
    assert!(check_format(&file(&format!("{begin},{end}"))).is_ok());
    for wrong in [
        begin.to_owned(),
        end.to_owned(),
        format!("{end},{begin}"),
        format!("{begin},{}", end.replace("\"a\"", "\"b\"")),
        format!("{begin},{}", end.replace(":2", ":0.5")),
        format!("{begin},{}", end.replace("\"ph\":\"E\"", "\"ph\":\"Q\"")),
        format!("{},{end}", begin.replace("\"tid\":1,", "").replace("AT", "\"pid\":1")),
        format!("{begin},{},{end}", r#"{"name":"f","ph":"f","ts":1,"id":1,"bp":"e",AT}"#),
        r#"{"name":"f","ph":"s","ts":1,"id":1,AT}"#.to_owned(),
    ] {
        assert!(check_format(&file(&wrong)).is_err(), "{wrong}");
    }
}

/// A file that goes when the test ends.
struct TraceFile(PathBuf);

impl Drop for TraceFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // a leftover in the temporary folder harms nobody
    }
}

/// Runs an example with `--trace`, and returns the file that it wrote with that process's id in
/// place of its own.
fn trace_of_example(name: &str, arguments: &[&str]) -> Checked {
    let file = TraceFile(env::temp_dir().join(format!("rustfiber-{name}-{}.json", process::id())));
    let example = ["run", "--quiet", "-p", "rustfiber", "--features", "trace", "--example", name];
    let mut command = Command::new(env!("CARGO"));
    // Flags that the tests were built with, such as a sanitizer's, do not fit build scripts.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    command.args(example).arg("--").args(arguments).arg("--trace").arg(&file.0);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = fs::read_to_string(&file.0).unwrap();
    let process = serde_json::from_str::<Value>(&json).unwrap()["traceEvents"][0]["pid"].clone();
    let ours = format!("\"pid\":{},", process::id());
    check_format(&json.replace(&format!("\"pid\":{process},"), &ours)).unwrap()
}

#[test]
fn the_trace_of_frame_loop_shows_its_jobs_waits_and_workers() {
    let checked = trace_of_example("frame_loop", &["--workers", "2", "--frames", "3"]);
    let jobs = checked.of_category("job");
    // 3 frames of 216 jobs, each in a root job of its own.
    assert_eq!(checked.job_count(), 3 * 217);
    let of_file = |file| jobs.iter().filter(move |job| job.name.starts_with(file)).count();
    assert_eq!(of_file("frame.rs:") + of_file("main.rs:"), jobs.len());
    let names: HashSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names.len(), 4, "simulate, animate, cull and the frame itself: {names:?}");
    let places = jobs.iter().filter(|job| job.end_args["waits_for"] == "a counter");
    let places: HashSet<&str> =
        places.map(|job| job.end_args["waits_at"].as_str().unwrap()).collect();
    assert!(places.iter().all(|place| place.contains("frame.rs:")), "{places:?}");
    assert!((1..=3).contains(&places.len()), "animate, cull and the frame itself: {places:?}");
    assert_eq!(checked.thread_names.len(), 2);
    assert_eq!(checked.dropped, [0, 0]);
}

#[test]
fn the_trace_of_code_census_shows_a_job_for_each_file() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let checked = trace_of_example("code_census", &["--workers", "2", sources]);
    // The root, the folders, and the files.
    assert_eq!(checked.job_count(), 1 + folders_and_sources(Path::new(sources)));
}

fn folders_and_sources(path: &Path) -> usize {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return 1 + entries.map(|entry| folders_and_sources(&entry.unwrap().path())).sum::<usize>();
    }
    usize::from(path.extension().is_some_and(|end| end == "rs"))
}
