//! AddressSanitizer: accesses to freed memory, and beyond the ends of blocks, locals and statics.
//!
//! The pinned toolchain's own runtime is used, by `RUSTC_BOOTSTRAP=1`: the sanitizer's flag is
//! unstable, not the code that is tested.

use std::fs;
use std::time::Duration;

use xshell::cmd;

use super::{Bug, RUNS, Readiness, Setup, Tool, encoded};
use crate::Result;
use crate::process::Log;
use crate::project::Project;

pub(crate) const ADDRESS: Tool = Tool {
    name: "address",
    debian: &[],
    prepare,
    bug: Bug {
        program: "counter_used_after_free",
        arguments: &["--features", "sanitizer"],
        report: "AddressSanitizer: heap-use-after-free",
    },
    runs: &RUNS,
    // Tells the sanitizer of every change of stack.
    features: &["--features", "rustfiber/sanitizer"],
};

/// The second flag: std itself is not built with the sanitizer.
const FLAGS: [&str; 2] = ["-Zsanitizer=address", "-Cunsafe-allow-abi-mismatch=sanitizer"];

/// Use-after-return is not looked for: the fake stacks of ended fibers would never be freed. Nor
/// are leaks: mapped stacks are no roots, so what a suspended fiber owns would count as leaked.
const OPTIONS: &str = "detect_stack_use_after_return=0:detect_leaks=0";

fn prepare(project: &Project, log: &mut Log) -> Result<Readiness> {
    let host = project.host()?;
    if !has_runtime(project, &host, log)? {
        return Ok(Readiness::Missing(format!("rustc has no AddressSanitizer for {host}")));
    }
    let environment = [
        ("RUSTC_BOOTSTRAP", "1".into()),
        ("CARGO_ENCODED_RUSTFLAGS", encoded(&FLAGS)),
        ("ASAN_OPTIONS", OPTIONS.into()),
        ("CARGO_TARGET_DIR", ADDRESS.folder(project).into()),
    ];
    Ok(Readiness::Ready(Setup {
        cargo: project.cargo.clone(),
        arguments: vec!["--target".to_string(), host],
        environment: environment.map(|(name, value)| (name.to_string(), value)).into(),
    }))
}

/// Tells whether an instrumented program can be built, and runs.
fn has_runtime(project: &Project, host: &str, log: &mut Log) -> Result<bool> {
    if !matches!(host, "x86_64-unknown-linux-gnu" | "aarch64-unknown-linux-gnu") {
        return Ok(false);
    }
    let folder = ADDRESS.folder(project);
    let (source, program) = (folder.join("probe.rs"), folder.join("probe"));
    fs::create_dir_all(&folder)?;
    fs::write(&source, "fn main() {}\n")?;
    let build = cmd!(project.shell, "rustc {FLAGS...} {source} -o {program}");
    let limit = Duration::from_secs(60);
    if !log.run(build.env("RUSTC_BOOTSTRAP", "1"), limit)?.end.is_success() {
        return Ok(false);
    }
    let run = log.run(cmd!(project.shell, "{program}").env("ASAN_OPTIONS", OPTIONS), limit)?;
    Ok(run.end.is_success())
}
