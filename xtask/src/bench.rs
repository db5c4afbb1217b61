//! `cargo xtask bench`: the benchmarks.

use lexopt::{Arg, ValueExt};
use xshell::cmd;

use crate::Result;
use crate::project::Project;

/// Runs the whole programs whose names contain the filter, the systems in turn; without a filter
/// and without `--quick`, also the single operations, by criterion.
///
/// `--save NAME` keeps the report, and `--compare NAME` shows what has changed against a kept one;
/// `--workers 2,4,8` compares ours with itself on so many workers.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let (mut filter, mut options) = (None, Vec::new());
    let mut is_quick = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(name) if filter.is_none() => filter = Some(name.string()?),
            Arg::Long("quick") => is_quick = true,
            Arg::Long(name @ ("save" | "compare" | "workers")) => {
                let option = format!("--{name}");
                options.extend([option, parser.value()?.string()?]);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let (cargo, out) = (&project.cargo, project.target.join("bench"));
    let is_whole = filter.is_none() && !is_quick;
    let quick = is_quick.then_some("--quick");
    let run = ["run", "--release", "-p", "rustfiber-benches", "--bin", "paired", "--"];
    cmd!(project.shell, "{cargo} {run...} {filter...} {quick...} {options...} --out {out}")
        .run()?;
    if is_whole {
        cmd!(project.shell, "{cargo} bench -p rustfiber-benches").run()?;
    }
    Ok(true)
}
