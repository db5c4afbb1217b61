//! Runs tests, and reads what the test harness and the tests themselves report.
//!
//! A test that lacks optional data returns early and says so: it appends a line `name<TAB>reason`
//! to the file that the variable `RUSTFIBER_SKIP_LOG` names or, without the variable, writes a line
//! `SKIPPED: name (reason)` to standard error, past the harness.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::outcome::{Counts, Outcome, Skip};
use crate::process::Log;

const SKIP_LOG: &str = "RUSTFIBER_SKIP_LOG";

/// Runs tests. That none ran is a failure.
pub(crate) fn run_tests(
    what: &str,
    command: impl Into<Command>,
    limit: Duration,
    log: &mut Log,
) -> Result<Outcome> {
    let skip_log = log.path().with_extension("skips");
    fs::write(&skip_log, "")?;
    let mut command = command.into();
    command.env(SKIP_LOG, &skip_log);
    let run = log.run(command, limit)?;

    let mut outcome = Outcome { counts: count_tests(&run.text), ..Outcome::default() };
    if !run.end.is_success() {
        outcome.problem(format!("{what}: {}", run.end));
    } else if outcome.counts.passed == 0 {
        outcome.problem(format!("{what}: no test ran"));
    }
    if outcome.counts.skipped > 0 {
        outcome.problem(format!("{what}: {} tests are `#[ignore]`d", outcome.counts.skipped));
    }
    let mut skips = logged_skips(&fs::read_to_string(&skip_log)?);
    skips.extend(printed_skips(&run.text));
    // The harness saw them return, and so counted them as passed.
    outcome.counts.passed = outcome.counts.passed.saturating_sub(skips.len());
    skips.into_iter().for_each(|skip| outcome.skip(skip));
    Ok(outcome)
}

/// Adds up the `test result:` lines that the test harness printed.
pub(crate) fn count_tests(text: &str) -> Counts {
    let mut sum = Counts::default();
    for line in text.lines() {
        let Some(result) = line.strip_prefix("test result: ") else { continue };
        let Some((_, numbers)) = result.split_once(". ") else { continue };
        for number in numbers.split("; ") {
            match number.split_once(' ') {
                Some((n, "passed")) => sum.passed += n.parse().unwrap_or(0),
                Some((n, "failed")) => sum.failed += n.parse().unwrap_or(0),
                Some((n, "ignored")) => sum.skipped += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    sum
}

fn logged_skips(text: &str) -> Vec<Skip> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, why) = line.split_once('\t').unwrap_or((line, "no reason given"));
            Skip { name: name.to_string(), why: why.to_string() }
        })
        .collect()
}

fn printed_skips(text: &str) -> Vec<Skip> {
    // With one test at a time the harness has printed `test name ... ` on the same line.
    let lines = text.lines().map(|line| line.rsplit(" ... ").next().unwrap_or(line));
    lines
        .filter_map(|line| line.strip_prefix("SKIPPED: "))
        .map(|skip| {
            let (name, why) = skip.split_once(" (").unwrap_or((skip, "no reason given"));
            let why = why.strip_suffix(')').unwrap_or(why);
            Skip { name: name.to_string(), why: why.to_string() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(name: &str, why: &str) -> Skip {
        Skip { name: name.to_string(), why: why.to_string() }
    }

    #[test]
    fn results_of_all_targets_add_up() {
        let text = "
running 3 tests
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
noise
test result: FAILED. 1 passed; 2 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1s
the test result: ok. 9 passed; 9 failed; 9 ignored
";
        assert_eq!(count_tests(text), Counts { passed: 4, failed: 2, skipped: 4 });
    }

    #[test]
    fn skips_are_read_from_the_log_and_from_the_output() {
        assert_eq!(logged_skips("machines\tno data\n\n"), [skip("machines", "no data")]);
        let text = "
SKIPPED: machines (no ../machines (yet))
test big ... SKIPPED: big
not SKIPPED: this
";
        let skips = [skip("machines", "no ../machines (yet)"), skip("big", "no reason given")];
        assert_eq!(printed_skips(text), skips);
    }
}
