//! The steps of `verify`, in the order in which they tell most soonest.

use std::fs;
use std::time::Duration;

use xshell::{Cmd, cmd};

use super::Context;
use crate::harness::run_tests;
use crate::outcome::Outcome;
use crate::process::Log;
use crate::project::crate_name;
use crate::{Result, instructions, loom, mutants, sanitize, shuttle, tidy};

/// One check.
pub(super) struct Step {
    pub(super) name: &'static str,
    /// Whether it belongs to `--fast`.
    pub(super) fast: bool,
    pub(super) run: fn(&Context<'_>, &mut Log) -> Result<Outcome>,
}

/// How long one cargo command may take, with building.
const LIMIT: Duration = Duration::from_secs(20 * 60);

const DOC_TESTS: &str = "doc-tests";

#[rustfmt::skip] // a table
pub(super) const STEPS: &[Step] = &[
    Step { name: "fmt", fast: true, run: fmt },
    Step { name: "tidy", fast: true, run: tidy },
    Step { name: "clippy", fast: true, run: clippy },
    Step { name: "tests", fast: true, run: tests },
    Step { name: "xtask-tests", fast: true, run: xtask_tests },
    Step { name: DOC_TESTS, fast: true, run: doc_tests },
    Step { name: "compile-fail", fast: true, run: compile_fail },
    Step { name: "release-tests", fast: false, run: release_tests },
    Step { name: "trace-tests", fast: false, run: trace_tests },
    Step { name: "docs", fast: false, run: docs },
    Step { name: "instructions", fast: false, run: instructions },
    Step { name: "loom", fast: false, run: loom },
    Step { name: "shuttle", fast: false, run: shuttle },
    Step { name: "memcheck", fast: false, run: memcheck },
    Step { name: "asan", fast: false, run: asan },
    Step { name: "tsan", fast: false, run: tsan },
    Step { name: "mutants", fast: false, run: mutants },
];

fn fmt(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let cargo = &context.project.cargo;
    must_succeed(cmd!(context.project.shell, "{cargo} fmt --all --check"), log)
}

fn clippy(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let cargo = &context.project.cargo;
    let command =
        cmd!(context.project.shell, "{cargo} clippy --workspace --all-targets -- -D warnings");
    let outcome = must_succeed(command, log)?;
    if !outcome.is_good() {
        return Ok(outcome);
    }
    let command = cmd!(
        context.project.shell,
        "{cargo} clippy -p rustfiber --features trace --all-targets -- -D warnings"
    );
    let outcome = must_succeed(command, log)?;
    if !outcome.is_good() {
        return Ok(outcome);
    }
    // Without `std`.
    let command = cmd!(
        context.project.shell,
        "{cargo} clippy -p intrusive-waitlist --no-default-features --lib -- -D warnings"
    );
    must_succeed(command, log)
}

/// Without this crate, whose program is running: where a running program cannot be replaced,
/// building it with the features of another selection would fail.
fn tests(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let cargo = &context.project.cargo;
    let selection = ["--workspace", "--exclude", "xtask", "--all-targets", "--no-fail-fast"];
    run_tests("the tests", cmd!(context.project.shell, "{cargo} test {selection...}"), LIMIT, log)
}

fn xtask_tests(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let cargo = &context.project.cargo;
    let command = cmd!(context.project.shell, "{cargo} test -p xtask");
    run_tests("the tests of xtask", command, LIMIT, log)
}

fn doc_tests(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let cargo = &context.project.cargo;
    let selection = ["--workspace", "--doc", "--no-fail-fast"];
    let command = cmd!(context.project.shell, "{cargo} test {selection...}");
    run_tests("the examples in documentation", command, LIMIT, log)
}

/// The examples that must not compile are doc tests, or a test target `compile_fail`, and are
/// counted there. This step sees to it that there are some: soundness rests on what they show.
fn compile_fail(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let doc_tests = fs::read_to_string(context.log_path(DOC_TESTS))?;
    let refused = |line: &&str| line.ends_with(" - compile fail ... ok");
    let mut count = doc_tests.lines().filter(refused).count();
    for folder in context.project.crates()? {
        if folder.join("tests/compile_fail.rs").exists() {
            let (cargo, krate) = (&context.project.cargo, crate_name(&folder));
            let command =
                cmd!(context.project.shell, "{cargo} test -p {krate} --test compile_fail");
            let outcome = run_tests("compile_fail", command, LIMIT, log)?;
            if !outcome.is_good() {
                return Ok(outcome);
            }
            count += outcome.counts.passed;
        }
    }
    log.say(format_args!("{count} tests show that wrong code does not compile"))?;
    match count {
        0 => Ok(Outcome::failed("compile-fail: no test shows that wrong code does not compile")),
        _ => Ok(Outcome::passed()),
    }
}

fn release_tests(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let cargo = &context.project.cargo;
    let selection = ["-p", "rustfiber", "--no-fail-fast"];
    let command = cmd!(context.project.shell, "{cargo} test --release {selection...}");
    run_tests("the optimised tests", command, LIMIT, log)
}

/// All tests again, with what records: it must not disturb, and has tests of its own; and those of
/// the scheduler, which is observed then.
fn trace_tests(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let cargo = &context.project.cargo;
    let selection = ["-p", "rustfiber", "-p", "deque-scheduler", "--no-fail-fast"];
    let features = ["--features", "rustfiber/trace"];
    let command = cmd!(context.project.shell, "{cargo} test {selection...} {features...}");
    run_tests("the tests with `trace`", command, LIMIT, log)
}

fn docs(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    let cargo = &context.project.cargo;
    let features = ["--features", "rustfiber/trace"];
    let command = cmd!(context.project.shell, "{cargo} doc --workspace --no-deps {features...}");
    must_succeed(command.env("RUSTDOCFLAGS", "-D warnings"), log)
}

fn loom(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    loom::check(context.project, &loom::Selection::default(), log)
}

fn shuttle(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    shuttle::check(context.project, &shuttle::Selection::default(), log)
}

fn instructions(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    instructions::check(context.project, log)
}

fn asan(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    sanitize::check(context.project, &sanitize::ADDRESS, log)
}

fn tsan(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    sanitize::check(context.project, &sanitize::THREAD, log)
}

fn memcheck(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    sanitize::check(context.project, &sanitize::MEMCHECK, log)
}

fn mutants(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    mutants::check(context.project, None, log)
}

fn tidy(context: &Context<'_>, log: &mut Log) -> Result<Outcome> {
    tidy::check(context.project, log)
}

fn must_succeed(command: Cmd<'_>, log: &mut Log) -> Result<Outcome> {
    let what = command.to_string();
    let run = log.run(command, LIMIT)?;
    Ok(match run.end.is_success() {
        true => Outcome::passed(),
        false => Outcome::failed(format!("{what}: {}", run.end)),
    })
}
