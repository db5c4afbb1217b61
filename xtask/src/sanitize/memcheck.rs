//! valgrind's memcheck: accesses to memory that no stack, block or mapping holds at the time, and
//! decisions that depend on bytes that nobody wrote.
//!
//! Ordinary builds run, and corosensei tells valgrind of each stack, so that a change of stack is
//! not taken for one enormous frame.

use std::env::consts::OS;

use xshell::cmd;

use super::{Bug, Readiness, Setup, Tool};
use crate::Result;
use crate::process::Log;
use crate::project::Project;

pub(crate) const MEMCHECK: Tool = Tool {
    name: "memcheck",
    debian: &["valgrind"],
    prepare,
    bug: Bug { program: "write_past_a_stack", arguments: &[], report: "bytes below stack pointer" },
    // What maps memory, and what has the system write to its own. memcheck runs one thread at a
    // time, so it sees no races.
    runs: &["-p fiber-stack -p topology --tests"],
    features: &[],
};

/// What is lost for good is an error; what a leaked fiber owns is not lost, as its stack is mapped.
const RUNNER: &str = "valgrind --quiet --error-exitcode=99 --fair-sched=try --leak-check=full \
                      --show-leak-kinds=definite --errors-for-leak-kinds=definite";

fn prepare(project: &Project, _: &mut Log) -> Result<Readiness> {
    let version = cmd!(project.shell, "valgrind --version").quiet().ignore_stderr().read();
    if OS != "linux" || version.is_err() {
        return Ok(Readiness::Missing("valgrind is not installed".to_string()));
    }
    let triple = project.host()?.to_uppercase().replace('-', "_");
    Ok(Readiness::Ready(Setup {
        cargo: project.cargo.clone(),
        arguments: Vec::new(),
        environment: vec![(format!("CARGO_TARGET_{triple}_RUNNER"), RUNNER.into())],
    }))
}
