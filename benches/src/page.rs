//! The report as one HTML page with plots; it needs no other file.

mod bars;
mod contention;
mod latencies;
mod speed_up;

use std::error::Error;
use std::fmt::Write;

use plotters::style::RGBColor;

use crate::compare::{Change, markdown};
use crate::idle::IdleCost;
use crate::report::{Entry, Machine, Report};

/// A plot's width in pixels.
const WIDTH: u32 = 760;

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const THEIRS: RGBColor = RGBColor(0xb8, 0xc4, 0xce);

/// Colours of lines: ours, and what stays apart from it and from each other.
const LINES: [RGBColor; 5] = [
    OURS,
    RGBColor(0xd6, 0x5f, 0x0e),
    RGBColor(0x2c, 0x8c, 0x4a),
    RGBColor(0x8a, 0x5a, 0xb8),
    RGBColor(0x77, 0x77, 0x77),
];

const STYLE: &str = "\
body { font: 16px sans-serif; max-width: 800px; margin: 2em auto; color: #222 }
h2 { margin: 2.5em 0 0; border-bottom: 1px solid #ccc }
h3 { margin: 2em 0 0 }
p { margin: 0.3em 0 }
td, th { padding: 0.1em 1em 0.1em 0; text-align: left }
pre { white-space: pre-wrap }
";

/// Returns the page; `changes` are those against the report of the name, if there is one.
///
/// # Errors
///
/// When a plot cannot be drawn.
pub fn html(report: &Report, changes: Option<(&str, &[Change])>) -> Result<String, Box<dyn Error>> {
    let Machine { cpus, processor, target } = &report.machine;
    let (workers, rounds) = (report.workers, report.rounds);
    let processor = escape(processor);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Benchmarks</title><style>{STYLE}</style></head><body>\n\
         <h1>Benchmarks</h1>\n\
         <p>{processor}, {cpus} CPUs, {target}; {workers} workers, {rounds} rounds, the systems in \
         turn. Bars are median times, shorter is better; the line at a bar's end is the 95 % \
         interval of the median; in brackets, the ratio to rustfiber.</p>\n"
    );
    let mut group = "";
    for entry in &report.entries {
        let (of, _) = entry.workload.split_once('/').unwrap_or((&entry.workload, ""));
        if of != group {
            group = of;
            writeln!(page, "<h2>{}</h2>", escape(group))?;
        }
        section(&mut page, entry)?;
    }
    if !report.idle.is_empty() {
        idle(&mut page, &report.idle)?;
    }
    if let Some((name, changes)) = changes {
        writeln!(page, "<h2>changes</h2><pre>{}</pre>", escape(&markdown(changes, name)))?;
    }
    page.push_str("</body></html>\n");
    Ok(page)
}

fn section(page: &mut String, entry: &Entry) -> Result<(), Box<dyn Error>> {
    let (name, about) = (escape(&entry.workload), escape(&entry.about));
    let bound = escape(&entry.bound);
    writeln!(page, "<h3>{name}</h3>\n<p>{about}. Bound: {bound}.</p>")?;
    for (system, crash) in &entry.crashes {
        writeln!(page, "<p>{} did not run to the end: {}.</p>", escape(system), escape(crash))?;
    }
    if entry.has_contention() {
        writeln!(page, "{}", contention::plot(entry)?)?;
    } else if entry.systems.iter().any(|one| one.workers.is_some()) {
        writeln!(page, "{}", speed_up::plot(entry)?)?;
    } else {
        writeln!(page, "{}", bars::plot(entry)?)?;
    }
    if entry.systems.iter().any(|one| !one.latencies.is_empty()) {
        writeln!(page, "{}", latencies::plot(entry)?)?;
    }
    Ok(())
}

fn idle(page: &mut String, costs: &[IdleCost]) -> Result<(), Box<dyn Error>> {
    page.push_str(
        "<h2>idle</h2>\n<p>A second without work, all threads of the pool together.</p>\n\
         <table><tr><th>system<th>CPU time<th>times a thread got a CPU\n",
    );
    for IdleCost { system, cpu_us, switches } in costs {
        writeln!(page, "<tr><td>{}<td>{cpu_us:.0} µs<td>{switches}", escape(system))?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::Contention;
    use crate::report::tests::{entry, report};

    const IDLE: Contention = Contention {
        throughput: 0.0,
        p50: 0.0,
        p95: 0.0,
        p99: 0.0,
        waiting: 0.0,
        allocations: 0.0,
        cycles: 0.0,
    };

    #[test]
    fn the_page_has_a_plot_for_each_workload_and_needs_nothing_else() {
        let mut late = entry("group/late", &[("ours", 0.002), ("theirs", 0.004)]);
        for one in &mut late.systems {
            one.latencies = (1..100).map(|part| f64::from(part) * 1e-6).collect();
        }
        let mut wide = entry("wide/work", &[("ours", 0.002), ("ours", 0.001)]);
        for (one, workers) in wide.systems.iter_mut().zip(1..) {
            one.workers = Some(workers);
        }
        let mut contended = entry("contended/lock", &[("ours", 0.002), ("theirs", 0.004)]);
        for one in &mut contended.systems {
            let of = Contention { throughput: 2e6, p50: 1e-6, p95: 2e-6, p99: 3e-6, ..IDLE };
            (one.workers, one.contention) = (Some(4), Some(of));
        }
        let plain = entry("group/plain", &[("ours", 0.002), ("theirs", 0.004)]);
        let mut report = report(vec![plain, late, wide, contended]);
        report.idle = vec![IdleCost { system: "ours".into(), cpu_us: 12.0, switches: 3 }];
        let page = html(&report, None).unwrap();
        assert_eq!(page.matches("<svg").count(), 5, "two bars, and one of each other kind");
        assert!(page.contains("cycles a turn"));
        assert!(page.contains("4.00 ms (2.00)") && page.contains("a &lt; b"));
        assert!(page.contains("<td>12 µs<td>3"));
        for outside in ["<script", "<link", "src=", "href=", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
