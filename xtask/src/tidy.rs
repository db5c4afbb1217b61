//! `cargo xtask tidy`: the rules of this repository that a program can check.
//!
//! A rule is a name, a reason and a function over one file, or over what cargo says of the
//! workspace. Every rule has a sample that passes and one that fails.

mod code_rules;
mod layout_rules;
mod manifest_rules;
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use crate::Result;
use crate::no_arguments;
use crate::outcome::Outcome;
use crate::process::{Echo, Log};
use crate::project::Project;

use source::Source;

/// A place that breaks a rule.
#[derive(Debug)]
struct Violation {
    rule: &'static str,
    path: String,
    /// From 1; 0: the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { rule, path, line, what } = self;
        match line {
            0 => write!(f, "{path}: {what} [{rule}]"),
            line => write!(f, "{path}:{line}: {what} [{rule}]"),
        }
    }
}

/// A rule over one Rust file.
struct Rule {
    name: &'static str,
    why: &'static str,
    /// Returns lines (from 0) and what is wrong there.
    check: fn(&Source) -> Vec<(usize, String)>,
}

/// Checks all rules.
pub(crate) fn run(project: &Project, parser: lexopt::Parser) -> Result<bool> {
    no_arguments(parser)?;
    let mut log = Log::create(&project.target.join("verify/tidy.log"), Echo::OwnLines)?;
    let outcome = check(project, &mut log)?;
    Ok(outcome.is_good())
}

/// Checks all rules, as one check.
pub(crate) fn check(project: &Project, log: &mut Log) -> Result<Outcome> {
    let mut violations = Vec::new();
    let mut files = 0;
    let paths = project.files()?;
    for path in &paths {
        let name = slashes(path);
        if name.ends_with(".rs") {
            let source = Source::new(&name, &fs::read_to_string(project.root.join(path))?);
            check_source(&source, &mut violations);
            files += 1;
        }
    }
    layout_rules::check(project, &paths, &mut violations)?;
    manifest_rules::check(project, &paths, &mut violations)?;

    for violation in &violations {
        log.say(violation)?;
    }
    let broken: BTreeSet<_> = violations.iter().map(|violation| violation.rule).collect();
    for (name, why) in reasons().into_iter().filter(|(name, _)| broken.contains(name)) {
        log.say(format_args!("{name}: {why}"))?;
    }
    log.say(format_args!("tidy: {files} Rust files, {} violations", violations.len()))?;
    Ok(match violations.first() {
        None => Outcome::passed(),
        Some(first) => Outcome::failed(format!("{} violations, first {first}", violations.len())),
    })
}

fn check_source(source: &Source, violations: &mut Vec<Violation>) {
    for rule in code_rules::RULES {
        for (line, what) in (rule.check)(source) {
            let path = source.path.clone();
            violations.push(Violation { rule: rule.name, path, line: line + 1, what });
        }
    }
}

/// Returns why each rule is one.
fn reasons() -> Vec<(&'static str, &'static str)> {
    let code = code_rules::RULES.iter().map(|rule| (rule.name, rule.why));
    code.chain(layout_rules::REASONS.iter().copied())
        .chain(manifest_rules::REASONS.iter().copied())
        .collect()
}

/// Returns a path as the repository writes it, on every system.
fn slashes(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}
