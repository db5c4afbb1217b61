//! What a run leaves behind: a table to read, and JSON to compare with.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::contention::Contention;
use crate::idle::IdleCost;
use crate::paired::{Estimate, Measured};

/// The machine that a run was made on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Logical CPUs that the process may use.
    pub cpus: usize,
    /// The processor's name, as the system tells it.
    pub processor: String,
    /// Architecture and operating system.
    pub target: String,
}

impl Machine {
    /// Asks the system.
    #[must_use]
    pub fn this() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Machine {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            processor: name.map_or("unknown", |(_, name)| name).to_owned(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        }
    }
}

/// One workload's results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The workload's name.
    pub workload: String,
    /// What it shows.
    pub about: String,
    /// What no system can beat.
    pub bound: String,
    /// Each system, ours first.
    pub systems: Vec<Measured>,
    /// Systems that did not run to the end, each with what became of it.
    pub crashes: Vec<(String, String)>,
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where it was made.
    pub machine: Machine,
    /// Workers of each system.
    pub workers: usize,
    /// Rounds of each workload.
    pub rounds: usize,
    /// The results.
    pub entries: Vec<Entry>,
    /// What the systems cost when they have nothing to do; empty if that was not measured.
    pub idle: Vec<IdleCost>,
}

impl Report {
    /// Returns the run as a Markdown document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let Machine { cpus, processor, target } = &self.machine;
        let (workers, rounds) = (self.workers, self.rounds);
        let mut text = format!(
            "# Benchmarks\n\n{processor}, {cpus} CPUs, {target}; {workers} workers, {rounds} \
             rounds, the systems in turn.\nTimes are medians. A ratio is the median over the \
             rounds of the system's time over rustfiber's,\nwith its 95 % bootstrap interval: \
             above 1, the system is slower than rustfiber.\n"
        );
        text.push_str("\n| workload | what it is | what bounds it |\n|---|---|---|\n");
        for Entry { workload, about, bound, .. } in &self.entries {
            let _ = writeln!(text, "| {workload} | {about} | {bound} |");
        }
        let mut group = "";
        for entry in &self.entries {
            let (of, _) = entry.workload.split_once('/').unwrap_or((&entry.workload, ""));
            if of != group {
                group = of;
                let head = if entry.has_contention() { CONTENTION_HEAD } else { TABLE_HEAD };
                let _ = write!(text, "\n## {group}\n{head}");
            }
            if entry.has_contention() {
                entry.contention_rows(&mut text);
            } else {
                entry.rows(&mut text);
            }
        }
        if !self.idle.is_empty() {
            text.push_str(
                "\n## idle\n\nA second without work, all threads of the pool together.\n\n\
                 | system | CPU time | times a thread got a CPU |\n|---|---|---|\n",
            );
            for IdleCost { system, cpu_us, switches } in &self.idle {
                let _ = writeln!(text, "| {system} | {cpu_us:.0} µs | {switches} |");
            }
        }
        text
    }
}

const TABLE_HEAD: &str = "\n| workload | system | time | p90 | p99 | ratio | interval |\n\
                          |---|---|---|---|---|---|---|\n";

const CONTENTION_HEAD: &str = "\nTurns a second, the wait's percentiles, the share of their time \
                               that contenders wait, and\nallocations and cycles for each turn.\n\n\
                               | workload | system | turns/s | p50 | p95 | p99 | waiting | \
                               allocations | cycles | ratio | interval |\n\
                               |---|---|---|---|---|---|---|---|---|---|---|\n";

impl Entry {
    /// Tells whether this is of contenders for a lock.
    pub(crate) fn has_contention(&self) -> bool {
        self.systems.iter().any(|one| one.contention.is_some())
    }

    /// Writes a row for each system and number of contenders; ratios are to ours with as many.
    fn contention_rows(&self, text: &mut String) {
        let mut name = self.workload.as_str();
        for one in &self.systems {
            let Some(cost) = one.contention else { continue };
            let Contention { throughput, waiting, allocations, cycles, .. } = cost;
            let [p50, p95, p99] = [cost.p50, cost.p95, cost.p99].map(duration);
            let Estimate { median, low, high } = one.ratio;
            let (system, waiting) = (one.label(), waiting * 100.0);
            let _ = writeln!(
                text,
                "| {name} | {system} | {throughput:.0} | {p50} | {p95} | {p99} | {waiting:.0} % | \
                 {allocations:.2} | {cycles:.0} | {median:.2} | {low:.2} – {high:.2} |"
            );
            name = "";
        }
        for (system, crash) in &self.crashes {
            let _ = writeln!(text, "| {name} | {system} | {crash} | | | | | | | | |");
        }
    }

    /// Writes a row for each system.
    fn rows(&self, text: &mut String) {
        let mut name = self.workload.as_str();
        for one in &self.systems {
            let Estimate { median, low, high } = one.ratio;
            let time = duration(one.seconds.median);
            let latency = |part| one.latency(part).map_or_else(String::new, duration);
            let (p90, p99) = (latency(0.9), latency(0.99));
            let system = one.label();
            let interval = format!("{low:.2} – {high:.2}");
            let _ = writeln!(
                text,
                "| {name} | {system} | {time} | {p90} | {p99} | {median:.2} | {interval} |"
            );
            name = "";
        }
        for (system, crash) in &self.crashes {
            let _ = writeln!(text, "| {name} | {system} | {crash} | | | | |");
        }
    }
}

/// Returns a time in the unit that suits it.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.2} µs", s * 1e6),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Makes an entry of systems that took the same time in each of three rounds.
    pub(crate) fn entry(workload: &str, systems: &[(&str, f64)]) -> Entry {
        let estimate = |median| Estimate { median, low: median * 0.9, high: median * 1.1 };
        let measured = |&(system, seconds): &(&str, f64)| Measured {
            system: system.to_owned(),
            workers: None,
            rounds: vec![seconds; 3],
            seconds: estimate(seconds),
            ratio: estimate(seconds / systems[0].1),
            latencies: Vec::new(),
            contention: None,
        };
        Entry {
            workload: workload.to_owned(),
            about: "a < b".to_owned(),
            bound: "a bound".to_owned(),
            systems: systems.iter().map(measured).collect(),
            crashes: Vec::new(),
        }
    }

    pub(crate) fn report(entries: Vec<Entry>) -> Report {
        let machine = Machine { cpus: 2, processor: "P".into(), target: "t".into() };
        Report { machine, workers: 2, rounds: 3, entries, idle: Vec::new() }
    }

    #[test]
    fn the_table_shows_each_system_with_its_ratio() {
        let mut entries = vec![entry("group/name", &[("ours", 0.002), ("theirs", 0.004)])];
        entries[0].systems[1].latencies = (0..=100).map(|part| f64::from(part) * 1e-3).collect();
        entries[0].crashes = vec![("other".to_owned(), "signal 11".to_owned())];
        let text = report(entries).markdown();
        assert!(
            text.contains("| group/name | ours | 2.00 ms |  |  | 1.00 | 0.90 – 1.10 |"),
            "{text}"
        );
        let theirs = "|  | theirs | 4.00 ms | 90.00 ms | 99.00 ms | 2.00 | 1.80 – 2.20 |";
        assert!(text.contains(theirs), "{text}");
        assert!(text.contains("|  | other | signal 11 |"), "{text}");
    }

    #[test]
    fn a_saved_report_reads_back() {
        let saved = serde_json::to_string(&report(vec![entry("w", &[("ours", 0.1)])])).unwrap();
        let read: Report = serde_json::from_str(&saved).unwrap();
        assert_eq!(read.entries[0].systems[0].rounds, [0.1; 3]);
    }
}
