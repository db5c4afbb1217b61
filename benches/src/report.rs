//! What a run leaves behind: a table to read, and JSON to compare with.

use std::fmt::Write;

use crate::paired::{Estimate, Measured};

/// The machine that a run was made on.
#[derive(Clone, Debug, serde::Serialize)]
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
#[derive(Clone, Debug, serde::Serialize)]
pub struct Entry {
    /// The workload's name.
    pub workload: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// Each system, ours first.
    pub systems: Vec<Measured>,
}

/// A whole run.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Where it was made.
    pub machine: Machine,
    /// Workers of each system.
    pub workers: usize,
    /// Rounds of each workload.
    pub rounds: usize,
    /// The results.
    pub entries: Vec<Entry>,
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
        for entry in &self.entries {
            let _ = write!(
                text,
                "\n## {}\n\n{}.\n\n| system | time | ratio | interval |\n|---|---|---|---|\n",
                entry.workload, entry.about
            );
            for Measured { system, seconds, ratio: Estimate { median, low, high } } in
                &entry.systems
            {
                let time = duration(seconds.median);
                let _ =
                    writeln!(text, "| {system} | {time} | {median:.2} | {low:.2} – {high:.2} |");
            }
        }
        text
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
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_each_system_with_its_ratio() {
        let estimate = |median| Estimate { median, low: median * 0.9, high: median * 1.1 };
        let measured = |system, seconds, ratio| Measured {
            system,
            seconds: estimate(seconds),
            ratio: estimate(ratio),
        };
        let report = Report {
            machine: Machine { cpus: 2, processor: "P".into(), target: "t".into() },
            workers: 2,
            rounds: 7,
            entries: vec![Entry {
                workload: "group/name",
                about: "what it shows",
                systems: vec![measured("ours", 0.002, 1.0), measured("theirs", 0.004, 2.0)],
            }],
        };
        let text = report.markdown();
        assert!(text.contains("| ours | 2.00 ms | 1.00 | 0.90 – 1.10 |"), "{text}");
        assert!(text.contains("| theirs | 4.00 ms | 2.00 | 1.80 – 2.20 |"), "{text}");
    }
}
