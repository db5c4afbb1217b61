//! The workspace's own commands: `cargo xtask <command>`.
//!
//! One file per command; what they share is in `project` (where things are), `process` (running a
//! program under a log and a time limit) and `outcome` (counting).

mod bench;
mod demo;
mod harness;
mod instructions;
mod loom;
mod mutants;
mod outcome;
mod process;
mod project;
mod sanitize;
mod shuttle;
mod tidy;
mod timeline;
mod verify;

use std::error::Error;
use std::process::ExitCode;

use lexopt::Arg;

use crate::project::Project;

/// The result of everything here: errors are for people, who read them once.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HELP: &str = "\
usage: cargo xtask <command>

  demo [DIR]... [--workers N] [--trace] [-- ARGS]
                                         count code with fibers: DIR, or this workspace and the
                                         sources of its dependencies; --trace: and draw a timeline
  verify [--fast]                        every check; --fast: what takes about a minute
  loom [CRATE] [MODEL] [--preemptions N] the models, in every interleaving
  shuttle [CRATE] [MODEL] [--seed N] [--schedule TEXT]
                                         the larger models, in random schedules; or in one, as a
                                         failure has printed it
  mutants [NAME]                         breaks the code as mutants.toml says; tests must notice
  sanitize [address|thread|memcheck]... [--install]
                                         the tests under the tools that are named, or under all;
                                         --install: gets what is missing from Debian, and runs
                                         only tools that are named
  tidy                                   the rules of this repository
  instructions [--record]                instructions and allocations of each operation
  timeline FILE                          draws the trace in FILE beside it, as SVG
  bench [FILTER] [--quick] [--workers N,N..]
                                         whole programs against their peers; --workers: ours
                                         against itself, on so many

Logs are in target/verify, target/loom, target/shuttle, target/mutants and
target/sanitize.
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command of the command line. False: it ran, and something is wrong.
fn dispatch() -> Result<bool> {
    let mut parser = lexopt::Parser::from_env();
    let command = match parser.next()? {
        Some(Arg::Value(command)) => command,
        Some(Arg::Long("help") | Arg::Short('h')) | None => {
            print!("{HELP}");
            return Ok(true);
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    process::stop_children_with_this_process();
    let project = Project::find()?;
    match command.to_string_lossy().as_ref() {
        "demo" => demo::run(&project, parser),
        "verify" => verify::run(&project, parser),
        "loom" => loom::run(&project, parser),
        "shuttle" => shuttle::run(&project, parser),
        "mutants" => mutants::run(&project, parser),
        "sanitize" => sanitize::run(&project, parser),
        "tidy" => tidy::run(&project, parser),
        "instructions" => instructions::run(&project, parser),
        "timeline" => timeline::run(parser),
        "bench" => bench::run(&project, parser),
        unknown => Err(format!("there is no command {unknown:?}\n\n{HELP}").into()),
    }
}

/// Refuses any argument, for commands that take none.
fn no_arguments(mut parser: lexopt::Parser) -> Result<()> {
    match parser.next()? {
        Some(argument) => Err(argument.unexpected().into()),
        None => Ok(()),
    }
}
