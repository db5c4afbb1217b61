//! `cargo xtask timeline FILE`: a trace as a picture. Above the whole run, where each column of a
//! lane shows its shares of the time; below it a busy part, span by span.

mod draw;
mod model;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

use model::Timeline;

/// Draws the trace in the file given, beside it.
pub(crate) fn run(mut parser: lexopt::Parser) -> Result<bool> {
    let trace = parser.value().map_err(|_| "which trace? `frame_loop --trace FILE` writes one")?;
    crate::no_arguments(parser)?;
    println!("the timeline is {}", draw(Path::new(&trace))?.display());
    Ok(true)
}

/// Draws a trace that the feature `trace` wrote, as an SVG file beside it.
pub(crate) fn draw(trace: &Path) -> Result<PathBuf> {
    let json =
        fs::read_to_string(trace).map_err(|error| format!("{}: {error}", trace.display()))?;
    let picture = trace.with_extension("svg");
    fs::write(&picture, render(&json)?)?;
    Ok(picture)
}

fn render(json: &str) -> Result<String> {
    Ok(draw::document(&Timeline::read(json)?).to_string())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde_json::{Value, json};

    use super::*;
    use model::{Range, Segment, Site, What};

    fn trace(dropped: u64, events: &[Value]) -> String {
        json!({ "traceEvents": events, "otherData": { "dropped_events": [dropped, 0] } })
            .to_string()
    }

    fn event(phase: &str, thread: u64, ts: f64, category: &str, more: Value) -> Value {
        let mut event = json!({
            "name": "-", "ph": phase, "ts": ts, "pid": 1, "tid": thread, "cat": category
        });
        let more = more.as_object().expect("fields").clone();
        event.as_object_mut().expect("an object").extend(more);
        event
    }

    fn job(phase: &str, thread: u64, ts: f64, name: &str, job: &str) -> Value {
        event(phase, thread, ts, "job", json!({ "name": name, "args": { "job": job } }))
    }

    /// Two workers: on the first a job waits for one that the second has stolen, which blocks.
    fn small() -> String {
        let thread = |thread: u64, name: &str| {
            event("M", thread, 0.0, "", json!({ "name": "thread_name", "args": { "name": name } }))
        };
        let flow = |phase: &str, ts: f64| event(phase, 1, ts, "flow", json!({ "id": 1 }));
        let events = [
            thread(1, "worker 0"),
            job("B", 1, 10.0, "a.rs:1", "0.1"),
            flow("s", 20.0),
            job("E", 1, 20.0, "a.rs:1", "0.1"),
            event("B", 1, 21.0, "parked", json!({})),
            event("E", 1, 49.0, "parked", json!({})),
            job("B", 1, 50.0, "a.rs:1", "0.1"),
            flow("f", 50.0),
            job("E", 1, 60.0, "a.rs:1", "0.1"),
            thread(2, "worker 1 (cpu 3)"),
            event("i", 2, 14.0, "steal", json!({})),
            job("B", 2, 15.0, "<b>.rs:2", "1.1"),
            event("B", 2, 25.0, "blocked", json!({})),
            event("E", 2, 30.0, "blocked", json!({})),
            job("E", 2, 45.0, "<b>.rs:2", "1.1"),
        ];
        trace(7, &events)
    }

    #[test]
    fn a_trace_is_read_into_segments_that_do_not_overlap() {
        let timeline = Timeline::read(&small()).unwrap();
        let site = |name: &str, time| Site { name: name.to_owned(), job_count: 1, time };
        assert_eq!(timeline.sites, [site("<b>.rs:2", 25.0), site("a.rs:1", 20.0)]);
        assert_eq!(timeline.range, Range { begin: 10.0, end: 60.0 });
        assert_eq!((timeline.suspension_count, timeline.dropped_count), (1, 7));
        let segment =
            |what, begin, end, goes_on| Segment { what, range: Range { begin, end }, goes_on };
        let [first, second] = &timeline.lanes[..] else { panic!("two workers") };
        let waiting = [
            segment(What::Job(1), 10.0, 20.0, false),
            segment(What::Parked, 21.0, 49.0, false),
            segment(What::Job(1), 50.0, 60.0, true),
        ];
        assert_eq!(first.segments, waiting);
        assert_eq!(first.waits, [Range { begin: 20.0, end: 50.0 }]);
        let blocking = [
            segment(What::Job(0), 15.0, 25.0, false),
            segment(What::Blocked, 25.0, 30.0, false),
            segment(What::Job(0), 30.0, 45.0, false),
        ];
        assert_eq!(second.segments, blocking);
        assert_eq!((second.name.as_str(), &second.steals[..]), ("worker 1 (cpu 3)", &[14.0][..]));
    }

    #[test]
    fn the_picture_names_what_it_shows() {
        let picture = render(&small()).unwrap();
        for text in [
            "2 jobs on 2 workers in 50 µs",
            "1 steal, 1 suspension; 7 later events had no room",
            "worker 1 (cpu 3)",
            "a.rs:1: 1 job, 20 µs",
            "&lt;b&gt;.rs:2: 1 job, 25 µs",
            "blocks its thread",
        ] {
            assert!(picture.contains(text), "{text}: {picture}");
        }
        assert!(!picture.contains("<b>"), "names are escaped");
    }

    #[test]
    fn a_long_trace_makes_no_large_picture() {
        let mut events = Vec::new();
        for thread in 1..=8_u64 {
            let name = json!({ "name": "thread_name", "args": { "name": "worker" } });
            events.push(event("M", thread, 0.0, "", name));
            for number in 0..10_000 {
                let begin = f64::from(number) * 3.0;
                let mut name = String::new();
                write!(name, "file.rs:{}", (u64::try_from(number).unwrap() * 7 + thread) % 11)
                    .unwrap();
                let id = format!("{thread}.{number}");
                events.push(event("i", thread, begin, "steal", json!({})));
                events.push(job("B", thread, begin, &name, &id));
                events.push(job("E", thread, begin + 2.0, &name, &id));
            }
        }
        let picture = render(&trace(0, &events)).unwrap();
        assert!(picture.contains("80\u{202f}000 jobs") && picture.contains("5 other places"));
        assert!(picture.len() < 1_000_000, "{} bytes", picture.len());
    }

    #[test]
    fn a_trace_without_a_job_is_refused() {
        assert!(render(&trace(0, &[])).is_err());
    }
}
