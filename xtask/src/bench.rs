//! `cargo xtask bench`: the benchmarks.

use lexopt::ValueExt;
use xshell::cmd;

use crate::Result;
use crate::project::Project;

/// Runs the whole programs whose names contain the filter, the systems in turn; without a filter
/// and without `--quick`, also the single operations, by criterion.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let (mut filter, mut quick) = (None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Value(name) if filter.is_none() => filter = Some(name.string()?),
            lexopt::Arg::Long("quick") => quick = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let (cargo, out) = (&project.cargo, project.target.join("bench"));
    let is_whole = filter.is_none() && !quick;
    let quick = quick.then_some("--quick");
    let paired = ["--release", "-p", "rustfiber-benches", "--bin", "paired"];
    cmd!(project.shell, "{cargo} run {paired...} -- {filter...} {quick...} --out {out}").run()?;
    if is_whole {
        cmd!(project.shell, "{cargo} bench -p rustfiber-benches").run()?;
    }
    Ok(true)
}
