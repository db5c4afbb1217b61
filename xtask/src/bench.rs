//! `cargo xtask bench`: the benchmarks.

use lexopt::ValueExt;
use xshell::cmd;

use crate::Result;
use crate::project::Project;

/// Runs the benchmarks whose names contain the filter.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let mut filters = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Value(filter) => filters.push(filter.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let cargo = &project.cargo;
    cmd!(project.shell, "{cargo} bench -p rustfiber-benches -- {filters...}").run()?;
    Ok(true)
}
