//! `cargo xtask verify`: every check there is, in order, each under a log and a time limit.
//!
//! The last line is `N passed, N failed, N skipped`: tests, models and mutants are counted one by
//! one, the other steps as one each. A check that did not run is a failure, unless its skip is in
//! [`ALLOWED_SKIPS`].

mod steps;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Result;
use crate::outcome::{Counts, Outcome};
use crate::process::{Echo, Log};
use crate::project::Project;

use steps::{STEPS, Step};

/// What may be skipped, and when. A skip that is not here fails the run: a check that silently
/// stopped running is worse than one that fails.
const ALLOWED_SKIPS: [(&str, &str); 5] = [
    ("sanitize address", "the toolchain has no AddressSanitizer runtime for this machine"),
    ("sanitize thread", "there is no source of std here, or no runtime for this machine"),
    ("sanitize memcheck", "valgrind is not installed"),
    ("instructions", "valgrind is not installed, or the machine is another"),
    ("captured machines", "the captures belong to others and are not in this repository"),
];

/// Programs are stopped after this time in all, so that the end of the report is always reached.
const TOTAL_LIMIT: Duration = Duration::from_secs(80 * 60);

/// How much of a failed step's log is shown.
const TAIL_LINES: usize = 60;

/// What the steps work with.
struct Context<'a> {
    project: &'a Project,
    folder: PathBuf,
}

/// A step that is over.
struct Finished {
    name: &'static str,
    outcome: Outcome,
    time: Duration,
}

/// Runs all steps, or those of `--fast`.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let mut fast = false;
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("fast") => fast = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let context = Context { project, folder: project.target.join("verify") };
    let deadline = Instant::now() + TOTAL_LIMIT;
    let steps: Vec<&Step> = STEPS.iter().filter(|step| step.fast || !fast).collect();
    let mut finished = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        print!("[{:>2}/{}] {:<14}", index + 1, steps.len(), step.name);
        io::stdout().flush()?;
        finished.push(run_step(step, &context, deadline)?);
    }
    Ok(report(&finished))
}

/// Runs one step, and tells how it ended.
fn run_step(step: &Step, context: &Context<'_>, deadline: Instant) -> Result<Finished> {
    let path = context.log_path(step.name);
    let start = Instant::now();
    let mut log = Log::create(&path, Echo::Nothing)?.with_deadline(deadline);
    let result = (step.run)(context, &mut log);
    let mut outcome = result.unwrap_or_else(|error| Outcome::failed(error.to_string()));
    refuse_unlisted_skips(&mut outcome);
    let finished = Finished { name: step.name, outcome, time: start.elapsed() };
    println!("{}", finished.summary());
    if !finished.outcome.is_good() {
        let text = std::fs::read(&path)?;
        let text = String::from_utf8_lossy(&text);
        println!("---- the end of {}", path.display());
        println!("{}", tail(&text, TAIL_LINES));
        println!("----");
    }
    Ok(finished)
}

fn refuse_unlisted_skips(outcome: &mut Outcome) {
    for skip in outcome.skips.clone() {
        if !ALLOWED_SKIPS.iter().any(|(name, _)| *name == skip.name) {
            outcome.problem(format!("not an allowed skip: {skip}"));
        }
    }
}

/// Prints the table and, last, the sum. Returns whether nothing failed.
fn report(finished: &[Finished]) -> bool {
    let mut sum = Counts::default();
    println!();
    for step in finished {
        println!("{:<14}{}", step.name, step.summary());
        for problem in &step.outcome.problems {
            println!("{:16}{problem}", "");
        }
        for skip in &step.outcome.skips {
            println!("{:16}skipped {skip}", "");
        }
        sum += step.outcome.counts;
    }
    println!("\n{sum}");
    sum.failed == 0
}

impl Context<'_> {
    fn log_path(&self, step: &str) -> PathBuf {
        self.folder.join(format!("{step}.log"))
    }
}

impl Finished {
    fn summary(&self) -> String {
        let counts = &self.outcome.counts;
        let state = match counts {
            Counts { failed: 1.., .. } => "FAILED",
            Counts { passed: 0, .. } => "skipped",
            _ => "ran",
        };
        format!("{state:<8}{:>7.1} s  {counts}", self.time.as_secs_f64())
    }
}

fn tail(text: &str, line_count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(line_count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_skip_is_accepted_and_another_is_a_failure() {
        let mut listed = Outcome::skipped("instructions", "no valgrind");
        refuse_unlisted_skips(&mut listed);
        assert!(listed.is_good());
        let mut unlisted = Outcome::skipped("loom", "too slow");
        refuse_unlisted_skips(&mut unlisted);
        assert!(!unlisted.is_good());
    }

    #[test]
    fn a_step_is_skipped_only_if_nothing_ran() {
        let state = |outcome| {
            let step = Finished { name: "step", outcome, time: Duration::ZERO };
            step.summary().split(' ').next().unwrap().to_string()
        };
        let mut partly = Outcome::passed();
        partly.add(Outcome::skipped("instructions", "no valgrind"));
        assert_eq!(state(partly), "ran");
        assert_eq!(state(Outcome::skipped("instructions", "no valgrind")), "skipped");
        assert_eq!(state(Outcome::failed("broken")), "FAILED");
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\n", 2), "a");
    }
}
