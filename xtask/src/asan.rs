//! `cargo xtask asan`: the memory tests under AddressSanitizer.
//!
//! The pinned toolchain's own runtime is used, by `RUSTC_BOOTSTRAP=1`: the sanitizer's flag is
//! unstable, not the code that is tested.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use xshell::cmd;

use crate::Result;
use crate::harness::run_tests;
use crate::no_arguments;
use crate::outcome::Outcome;
use crate::process::{Echo, Log};
use crate::project::Project;

/// The crates that handle memory by hand.
const PACKAGES: [&str; 4] = ["fiber-stack", "intrusive-waitlist", "deque-scheduler", "rustfiber"];

/// The feature that tells the sanitizer of every change of stack.
const FEATURE: &str = "sanitizer";

/// The second flag: std itself is not built with the sanitizer.
const FLAGS: &str = "-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer";

/// Use-after-return is not looked for: the fake stacks of ended fibers would never be freed. Nor
/// are leaks: mapped stacks are no roots, so what a suspended fiber owns would count as leaked.
const OPTIONS: &str = "detect_stack_use_after_return=0:detect_leaks=0";

const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Runs the memory tests.
pub(crate) fn run(project: &Project, parser: lexopt::Parser) -> Result<bool> {
    no_arguments(parser)?;
    let mut log = Log::create(&target(project).join("log"), Echo::Everything)?;
    let outcome = check(project, &mut log)?;
    for problem in &outcome.problems {
        println!("{problem}");
    }
    for skip in &outcome.skips {
        println!("SKIPPED: {skip}");
    }
    println!("asan: {}", outcome.counts);
    Ok(outcome.is_good())
}

/// Runs the memory tests, where the toolchain has a runtime for them.
pub(crate) fn check(project: &Project, log: &mut Log) -> Result<Outcome> {
    let host = project.host()?;
    if !has_runtime(project, &host, log)? {
        return Ok(Outcome::skipped("asan", format!("no sanitizer runtime for {host}")));
    }
    let cargo = &project.cargo;
    let packages = PACKAGES.iter().flat_map(|package| ["-p", package]);
    let features = features(project)?.join(",");
    let command = cmd!(
        project.shell,
        "{cargo} test --target {host} {packages...} --features {features} --tests --no-fail-fast"
    )
    .env("RUSTC_BOOTSTRAP", "1")
    .env("RUSTFLAGS", FLAGS)
    .env("ASAN_OPTIONS", OPTIONS)
    .env("CARGO_TARGET_DIR", target(project));
    run_tests("the memory tests", command, LIMIT, log)
}

/// Tells whether an instrumented program can be built, and runs.
fn has_runtime(project: &Project, host: &str, log: &mut Log) -> Result<bool> {
    if !matches!(host, "x86_64-unknown-linux-gnu" | "aarch64-unknown-linux-gnu") {
        return Ok(false);
    }
    let folder = target(project);
    let (source, program) = (folder.join("probe.rs"), folder.join("probe"));
    fs::create_dir_all(&folder)?;
    fs::write(&source, "fn main() {}\n")?;
    let flags = FLAGS.split(' ');
    let build = cmd!(project.shell, "rustc {flags...} {source} -o {program}");
    let limit = Duration::from_secs(60);
    if !log.run(build.env("RUSTC_BOOTSTRAP", "1"), limit)?.end.is_success() {
        return Ok(false);
    }
    let run = log.run(cmd!(project.shell, "{program}").env("ASAN_OPTIONS", OPTIONS), limit)?;
    Ok(run.end.is_success())
}

/// Returns the feature, for each of the packages that has it.
fn features(project: &Project) -> Result<Vec<String>> {
    let metadata = project.metadata(&["--no-deps"])?;
    let mut features = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if PACKAGES.contains(&name) && package["features"].get(FEATURE).is_some() {
            features.push(format!("{name}/{FEATURE}"));
        }
    }
    if features.is_empty() {
        return Err(format!("asan: no package has the feature `{FEATURE}`").into());
    }
    Ok(features)
}

fn target(project: &Project) -> PathBuf {
    project.target.join("asan")
}
