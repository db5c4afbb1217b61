//! `cargo xtask loom`: the models of `tests/loom.rs`, in every interleaving.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, ValueExt};
use xshell::{Cmd, cmd};

use crate::Result;
use crate::harness::run_tests;
use crate::outcome::Outcome;
use crate::process::{Echo, Log};
use crate::project::{Project, crate_name};

/// How long the models of one crate may take, with building.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Which models, and how far.
#[derive(Default)]
pub(crate) struct Selection {
    /// One crate; else all that have models.
    krate: Option<String>,
    /// A part of the model's name.
    model: Option<String>,
    /// In place of the bound that each model sets for itself.
    preemptions: Option<u32>,
}

/// Runs the models that the arguments select.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let mut selection = Selection::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("preemptions") => selection.preemptions = Some(parser.value()?.parse()?),
            Arg::Value(name) if selection.krate.is_none() => {
                selection.krate = Some(name.string()?);
            }
            Arg::Value(name) if selection.model.is_none() => {
                selection.model = Some(name.string()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let mut log = Log::create(&target(project).join("log"), Echo::Everything)?;
    let outcome = check(project, &selection, &mut log)?;
    for problem in &outcome.problems {
        println!("{problem}");
    }
    println!("loom: {}", outcome.counts);
    Ok(outcome.is_good())
}

/// Runs the models of every crate that has some.
pub(crate) fn check(project: &Project, selection: &Selection, log: &mut Log) -> Result<Outcome> {
    let mut crates = crates_with_models(project, "loom")?;
    if let Some(krate) = &selection.krate {
        crates.retain(|name| name == krate);
    }
    let mut outcome = Outcome::default();
    if crates.is_empty() {
        outcome.problem("loom: no such crate has models (tests/loom.rs, tests/loom/main.rs)");
    }
    for krate in crates {
        let what = format!("the models of {krate}");
        outcome.add(run_tests(&what, command(project, &krate, selection), LIMIT, log)?);
    }
    Ok(outcome)
}

/// Returns the names of the crates that have a target for models of this checker.
pub(crate) fn crates_with_models(project: &Project, checker: &str) -> Result<Vec<String>> {
    let mut crates = project.crates()?;
    crates.retain(|folder| {
        let tests = folder.join("tests");
        tests.join(format!("{checker}.rs")).exists() || tests.join(checker).join("main.rs").exists()
    });
    Ok(crates.iter().map(|folder| crate_name(folder)).collect())
}

fn command<'a>(project: &'a Project, krate: &str, selection: &Selection) -> Cmd<'a> {
    let cargo = &project.cargo;
    let model = &selection.model;
    let harness = ["--nocapture", "--test-threads", "2"];
    let command = cmd!(
        project.shell,
        "{cargo} test --release -p {krate} --test loom -- {model...} {harness...}"
    )
    .env("RUSTFLAGS", "--cfg loom")
    .env("CARGO_TARGET_DIR", target(project));
    match selection.preemptions {
        Some(bound) => command.env("LOOM_MAX_PREEMPTIONS", bound.to_string()),
        None => command,
    }
}

/// Other flags, so another folder: else each build would throw away the other's.
fn target(project: &Project) -> PathBuf {
    project.target.join("loom")
}
