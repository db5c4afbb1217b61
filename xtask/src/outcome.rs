//! What a command found, in numbers that can be added up.

use std::fmt;
use std::ops::AddAssign;

/// How many tests, models, mutants or whole steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Something that was not checked, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) name: String,
    pub(crate) why: String,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

/// What a command found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    /// What is wrong, a line each.
    pub(crate) problems: Vec<String>,
    pub(crate) skips: Vec<Skip>,
}

impl Outcome {
    /// One check that passed.
    pub(crate) fn passed() -> Self {
        Outcome { counts: Counts { passed: 1, ..Counts::default() }, ..Outcome::default() }
    }

    /// One check that failed.
    pub(crate) fn failed(problem: impl Into<String>) -> Self {
        let mut outcome = Outcome::default();
        outcome.problem(problem);
        outcome
    }

    /// One check that could not be made here.
    pub(crate) fn skipped(name: &str, why: impl Into<String>) -> Self {
        let mut outcome = Outcome::default();
        outcome.skip(Skip { name: name.to_string(), why: why.into() });
        outcome
    }

    /// Adds something wrong. The outcome then has a failure at least.
    pub(crate) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
        self.counts.failed = self.counts.failed.max(1);
    }

    pub(crate) fn skip(&mut self, skip: Skip) {
        self.skips.push(skip);
        self.counts.skipped += 1;
    }

    pub(crate) fn add(&mut self, other: Outcome) {
        self.counts += other.counts;
        self.problems.extend(other.problems);
        self.skips.extend(other.skips);
    }

    pub(crate) fn is_good(&self) -> bool {
        self.counts.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_failure_but_does_not_count_failed_tests_twice() {
        let mut outcome = Outcome::default();
        outcome.problem("crashed");
        assert_eq!(outcome.counts.failed, 1);
        outcome.counts.failed = 3;
        outcome.problem("exit status 101");
        assert_eq!(outcome.counts.failed, 3);
    }
}
