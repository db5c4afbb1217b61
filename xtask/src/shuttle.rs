//! `cargo xtask shuttle`: the models of `tests/shuttle`, in schedules drawn at random. The draw is
//! the same each time, unless another seed is given.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, ValueExt};
use xshell::{Cmd, cmd};

use crate::Result;
use crate::harness::run_tests;
use crate::loom::crates_with_models;
use crate::outcome::Outcome;
use crate::process::{Echo, Log};
use crate::project::Project;

/// How long the models of one crate may take, with building.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Which models, and which schedules.
#[derive(Default)]
pub(crate) struct Selection {
    /// One crate; else all that have models.
    krate: Option<String>,
    /// A part of the model's name.
    model: Option<String>,
    /// The only schedule, as a failure has printed it.
    schedule: Option<String>,
    /// Where the drawing of schedules begins.
    seed: Option<u64>,
}

/// Runs the models that the arguments select.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let mut selection = Selection::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("schedule") => selection.schedule = Some(parser.value()?.string()?),
            Arg::Long("seed") => selection.seed = Some(parser.value()?.parse()?),
            Arg::Value(name) if selection.krate.is_none() => {
                selection.krate = Some(name.string()?);
            }
            Arg::Value(name) if selection.model.is_none() => {
                selection.model = Some(name.string()?);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if selection.schedule.is_some() && selection.model.is_none() {
        return Err(
            "a schedule is of one model: cargo xtask shuttle CRATE MODEL --schedule ..".into()
        );
    }
    let mut log = Log::create(&target(project).join("log"), Echo::Everything)?;
    let outcome = check(project, &selection, &mut log)?;
    for problem in &outcome.problems {
        println!("{problem}");
    }
    println!("shuttle: {}", outcome.counts);
    Ok(outcome.is_good())
}

/// Runs the models of every crate that has some.
pub(crate) fn check(project: &Project, selection: &Selection, log: &mut Log) -> Result<Outcome> {
    let mut crates = crates_with_models(project, "shuttle")?;
    if let Some(krate) = &selection.krate {
        crates.retain(|name| name == krate);
    }
    let mut outcome = Outcome::default();
    if crates.is_empty() {
        outcome.problem("shuttle: no such crate has models (tests/shuttle/main.rs)");
    }
    for krate in crates {
        let what = format!("the models of {krate}, in random schedules");
        outcome.add(run_tests(&what, command(project, &krate, selection), LIMIT, log)?);
    }
    Ok(outcome)
}

fn command<'a>(project: &'a Project, krate: &str, selection: &Selection) -> Cmd<'a> {
    let cargo = &project.cargo;
    let model = &selection.model;
    let harness = ["--nocapture", "--test-threads", "2"];
    let mut command = cmd!(
        project.shell,
        "{cargo} test --release -p {krate} --test shuttle -- {model...} {harness...}"
    )
    .env("RUSTFLAGS", "--cfg shuttle")
    .env("CARGO_TARGET_DIR", target(project));
    if let Some(schedule) = &selection.schedule {
        command = command.env("SHUTTLE_SCHEDULE", schedule);
    }
    match selection.seed {
        // By its own name for it.
        Some(seed) => command.env("SHUTTLE_RANDOM_SEED", seed.to_string()),
        None => command,
    }
}

/// Other flags, so another folder: else each build would throw away the other's.
fn target(project: &Project) -> PathBuf {
    project.target.join("shuttle")
}
