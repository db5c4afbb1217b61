//! `cargo xtask sanitize [address|thread|memcheck]... [--install]`: the tests under the tools that
//! see what a test cannot.
//!
//! Each tool has to report a bug that was planted for it (`xtask/planted`) first: the silence of a
//! tool that sees nothing would pass for success.

mod address;
mod install;
mod memcheck;
mod thread;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lexopt::Arg;

use crate::Result;
use crate::harness::run_tests;
use crate::outcome::Outcome;
use crate::process::{Echo, Log};
use crate::project::Project;

pub(crate) use address::ADDRESS;
pub(crate) use memcheck::MEMCHECK;
pub(crate) use thread::THREAD;

/// How long building and running the tests under one tool may take.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// All crates; then what a trace adds, alone: what it records orders the accesses around it, in
/// which a race would else be seen.
const RUNS: [&str; 2] = [
    "-p fiber-stack -p intrusive-waitlist -p fiber-sync -p topology -p deque-scheduler \
     -p rustfiber --tests",
    "-p rustfiber --features rustfiber/trace --lib --test trace",
];

const TOOLS: [&Tool; 3] = [&ADDRESS, &THREAD, &MEMCHECK];

/// A tool, and what runs under it.
pub(crate) struct Tool {
    /// As the command line names it.
    name: &'static str,
    /// The Debian packages that it needs.
    debian: &'static [&'static str],
    /// Finds what it needs on this machine.
    prepare: fn(&Project, &mut Log) -> Result<Readiness>,
    bug: Bug,
    /// Which tests run under it: what `cargo test` is told, run by run.
    runs: &'static [&'static str],
    /// What each run is told besides.
    features: &'static [&'static str],
}

/// A bug that was planted for a tool.
struct Bug {
    /// The program of `xtask/planted`.
    program: &'static str,
    /// What `cargo run` is told besides.
    arguments: &'static [&'static str],
    /// What the tool says of it.
    report: &'static str,
}

/// Whether a tool can run here.
enum Readiness {
    Ready(Setup),
    /// What is missing.
    Missing(String),
}

/// How cargo builds programs for a tool, and runs them under it.
struct Setup {
    cargo: PathBuf,
    /// What each command of cargo is told besides.
    arguments: Vec<String>,
    environment: Vec<(String, OsString)>,
}

/// Runs the tools that the arguments name, or all.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let (mut tools, mut install) = (Vec::new(), false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("install") => install = true,
            Arg::Value(name) => {
                let tool = TOOLS.into_iter().find(|tool| name == tool.name);
                tools.push(tool.ok_or_else(|| format!("there is no sanitizer {name:?}"))?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if install {
        let all_or_named = if tools.is_empty() { &TOOLS[..] } else { &tools };
        install_missing(project, all_or_named)?;
    } else if tools.is_empty() {
        tools.extend(TOOLS);
    }
    let mut is_good = true;
    for tool in tools {
        let mut log = Log::create(&tool.folder(project).join("log"), Echo::Everything)?;
        let outcome = check(project, tool, &mut log)?;
        outcome.problems.iter().for_each(|problem| println!("{problem}"));
        outcome.skips.iter().for_each(|skip| println!("SKIPPED: {skip}"));
        println!("sanitize {}: {}", tool.name, outcome.counts);
        is_good &= outcome.is_good();
    }
    Ok(is_good)
}

/// Runs a tool on its planted bug, then on the tests; skips both where something is missing.
pub(crate) fn check(project: &Project, tool: &Tool, log: &mut Log) -> Result<Outcome> {
    let setup = match (tool.prepare)(project, log)? {
        Readiness::Ready(setup) => setup,
        Readiness::Missing(what) => {
            let name = format!("sanitize {}", tool.name);
            let remedy = match tool.debian {
                [] => String::new(),
                _ => format!("; on Debian, as root: cargo xtask {name} --install"),
            };
            return Ok(Outcome::skipped(&name, what + &remedy));
        }
    };
    let mut outcome = find_planted(project, tool, &setup, log)?;
    if !outcome.is_good() {
        return Ok(outcome);
    }
    for tests in tool.runs {
        let mut command = setup.command(project, "test");
        command.args(tests.split(' ')).arg("--no-fail-fast").args(tool.features);
        let what = format!("cargo test {tests} ({})", tool.name);
        outcome.add(run_tests(&what, command, LIMIT, log)?);
    }
    Ok(outcome)
}

/// Runs the program with the planted bug, which the tool must report.
fn find_planted(project: &Project, tool: &Tool, setup: &Setup, log: &mut Log) -> Result<Outcome> {
    let Bug { program, arguments, report } = tool.bug;
    let mut command = setup.command(project, "run");
    command.args(["-p", "planted-bugs", "--bin", program]).args(arguments);
    let run = log.run(command, LIMIT)?;
    Ok(match !run.end.is_success() && run.text.contains(report) {
        true => Outcome::passed(),
        false => {
            let name = tool.name;
            Outcome::failed(format!("{name}: no report of {report:?} in {program}: {}", run.end))
        }
    })
}

/// Installs what the tools lack. One that cannot be had does not keep the others from being tried.
fn install_missing(project: &Project, tools: &[&Tool]) -> Result<()> {
    let mut log = Log::create(&project.target.join("sanitize/install.log"), Echo::Everything)?;
    let mut problems = Vec::new();
    for tool in tools {
        if let Readiness::Missing(what) = (tool.prepare)(project, &mut log)? {
            let installed = match tool.debian {
                [] => Err(what.into()),
                packages => install::install(packages, &mut log),
            };
            problems.extend(installed.err().map(|error| format!("{}: {error}", tool.name)));
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.join("\n").into()),
    }
}

impl Tool {
    /// Where its builds and its log are: other flags, so another folder.
    fn folder(&self, project: &Project) -> PathBuf {
        project.target.join("sanitize").join(self.name)
    }
}

impl Setup {
    fn command(&self, project: &Project, subcommand: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(&project.root).arg(subcommand).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Joins compiler flags as `CARGO_ENCODED_RUSTFLAGS` wants them: a flag may hold spaces.
fn encoded(flags: &[&str]) -> OsString {
    flags.join("\x1f").into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn each_planted_bug_is_looked_for_by_one_tool() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("planted/src/bin");
        let planted = std::fs::read_dir(folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_string_lossy().into_owned()
        });
        let planted: BTreeSet<String> = planted.collect();
        let looked_for = TOOLS.map(|tool| tool.bug.program.to_string());
        assert_eq!(planted, BTreeSet::from(looked_for));
        assert_eq!(planted.len(), TOOLS.len());
    }
}
