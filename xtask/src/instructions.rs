//! `cargo xtask instructions [--record]`: how many instructions and allocations an operation costs,
//! against what `benches/instructions.toml` says.
//!
//! Instructions are counted by callgrind, as the difference between twice as many operations and
//! as many: what comes before and after cancels out. They are the same on every run, so a change
//! shows that a timing would hide.

use std::collections::BTreeMap;
use std::env::consts::{ARCH, EXE_EXTENSION, OS};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::Arg;
use serde::{Deserialize, Serialize};
use xshell::cmd;

use crate::Result;
use crate::outcome::Outcome;
use crate::process::{Echo, Log};
use crate::project::Project;

/// Operations of the shorter run.
const COUNT: u64 = 10_000;

/// How far a count may rise above the record: the C library's part depends on the processor.
const TOLERANCE: f64 = 0.03;

const LIMIT: Duration = Duration::from_secs(10 * 60);

const HEADER: &str = "\
# Instructions and allocations of one operation on one worker, x86-64 Linux. Written and checked by
# `cargo xtask instructions`; a rise of more than 3 % fails.

";

/// What one operation costs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
struct Cost {
    instructions: f64,
    allocations: f64,
}

type Costs = BTreeMap<String, Cost>;

/// Prints both numbers of each operation; with `--record`, writes the new ones.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let mut record = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("record") => record = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let mut log = Log::create(&project.target.join("instructions/log"), Echo::OwnLines)?;
    if record {
        let Some(costs) = measure(project, &mut log)? else {
            return Err(MISSING.into());
        };
        fs::write(record_path(project), format!("{HEADER}{}", toml::to_string(&costs)?))?;
        return Ok(true);
    }
    let outcome = check(project, &mut log)?;
    outcome.problems.iter().for_each(|problem| println!("{problem}"));
    outcome.skips.iter().for_each(|skip| println!("SKIPPED: {skip}"));
    println!("instructions: {}", outcome.counts);
    Ok(outcome.is_good())
}

const MISSING: &str = "instructions are counted on x86-64 Linux by valgrind, which is not here; on \
                       Debian: apt-get install valgrind";

/// Compares each operation with the record.
pub(crate) fn check(project: &Project, log: &mut Log) -> Result<Outcome> {
    let Some(costs) = measure(project, log)? else {
        return Ok(Outcome::skipped("instructions", MISSING));
    };
    let recorded: Costs = toml::from_str(&fs::read_to_string(record_path(project))?)?;
    let mut outcome = Outcome::default();
    log.say(format!("{:14} {:>22} {:>22}", "operation", "instructions (record)", "allocations"))?;
    for (name, now) in &costs {
        let Some(before) = recorded.get(name) else {
            outcome.problem(format!("{name} has no record: `cargo xtask instructions --record`"));
            continue;
        };
        log.say(format!(
            "{name:14} {:>11.1} ({:>8.1}) {:>11.2} ({:>8.2})",
            now.instructions, before.instructions, now.allocations, before.allocations
        ))?;
        match regression(*before, *now) {
            None => outcome.counts.passed += 1,
            Some(what) => outcome.problem(format!("{name}: {what}")),
        }
    }
    for name in recorded.keys().filter(|name| !costs.contains_key(*name)) {
        outcome.problem(format!("{name} is recorded, but is no operation any more"));
    }
    Ok(outcome)
}

/// Says what is worse than the record by more than the tolerance.
fn regression(before: Cost, now: Cost) -> Option<String> {
    let rose = |before: f64, now: f64| now > before * (1.0 + TOLERANCE) + 0.005;
    if rose(before.instructions, now.instructions) {
        let (before, now) = (before.instructions, now.instructions);
        return Some(format!("{now:.1} instructions, {before:.1} are recorded"));
    }
    if rose(before.allocations, now.allocations) {
        let (before, now) = (before.allocations, now.allocations);
        return Some(format!("{now:.2} allocations, {before:.2} are recorded"));
    }
    None
}

fn record_path(project: &Project) -> PathBuf {
    project.root.join("benches/instructions.toml")
}

/// Counts all operations; nothing where they cannot be counted.
fn measure(project: &Project, log: &mut Log) -> Result<Option<Costs>> {
    let has_valgrind = cmd!(project.shell, "valgrind --version").quiet().ignore_stderr().read();
    if (ARCH, OS) != ("x86_64", "linux") || has_valgrind.is_err() {
        return Ok(None);
    }
    let cargo = &project.cargo;
    let build = ["build", "--release", "-p", "rustfiber-benches", "--bin", "operations"];
    cmd!(project.shell, "{cargo} {build...}").quiet().ignore_stderr().run()?;
    let program = project.target.join("release/operations").with_extension(EXE_EXTENSION);
    let names = cmd!(project.shell, "{program}").quiet().read()?;
    let mut costs = Costs::new();
    for name in names.lines() {
        let per_operation = |short: u64, long: u64| (long as f64 - short as f64) / COUNT as f64;
        let allocations = |count: u64| -> Result<u64> {
            let count = count.to_string();
            Ok(cmd!(project.shell, "{program} {name} {count}").quiet().read()?.parse()?)
        };
        let cost = Cost {
            instructions: per_operation(
                instructions(project, &program, name, COUNT, log)?,
                instructions(project, &program, name, 2 * COUNT, log)?,
            ),
            allocations: per_operation(allocations(COUNT)?, allocations(2 * COUNT)?),
        };
        costs.insert(name.to_owned(), cost);
    }
    Ok(Some(costs))
}

/// Runs of which the shortest counts: what a busy machine does between threads only adds.
const RUNS: usize = 3;

/// Returns the instructions of a whole run.
fn instructions(
    project: &Project,
    program: &Path,
    name: &str,
    count: u64,
    log: &mut Log,
) -> Result<u64> {
    let mut fewest = u64::MAX;
    for _ in 0..RUNS {
        fewest = fewest.min(instructions_once(project, program, name, count, log)?);
    }
    Ok(fewest)
}

fn instructions_once(
    project: &Project,
    program: &Path,
    name: &str,
    count: u64,
    log: &mut Log,
) -> Result<u64> {
    let count = count.to_string();
    let options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let run =
        log.run(cmd!(project.shell, "valgrind {options...} {program} {name} {count}"), LIMIT)?;
    let collected = run.text.lines().find_map(|line| line.split_once("Collected : "));
    match collected {
        Some((_, number)) if run.end.is_success() => Ok(number.trim().parse()?),
        _ => Err(format!("callgrind did not count {name}:\n{}", run.text).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_beyond_the_tolerance_is_a_regression() {
        let cost = |instructions, allocations| Cost { instructions, allocations };
        assert_eq!(regression(cost(100.0, 0.0), cost(102.9, 0.0)), None);
        assert_eq!(regression(cost(100.0, 1.0), cost(50.0, 0.0)), None);
        assert!(regression(cost(100.0, 0.0), cost(103.1, 0.0)).unwrap().contains("103.1"));
        assert!(regression(cost(100.0, 0.0), cost(100.0, 0.01)).unwrap().contains("allocations"));
    }
}
