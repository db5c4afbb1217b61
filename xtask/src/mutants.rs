//! `cargo xtask mutants`: breaks a copy of the code, one line at a time, as `mutants.toml` says,
//! and sees that the test or model named there notices.
//!
//! A kill means something only if the same check passes on the code as it is, so that is seen
//! first. A mutant that does not compile, or whose text is no longer there, is an error.

mod copy;
mod manifest;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use lexopt::{Arg, ValueExt};
use xshell::cmd;

use crate::Result;
use crate::harness::count_tests;
use crate::outcome::Outcome;
use crate::process::{Echo, End, Log};
use crate::project::Project;

use copy::WorkingCopy;
use manifest::{Check, Mutant};

/// How long building a check may take.
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long a check may take on the code as it is.
const BASELINE_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How long a test that notices a hang by itself waits before it calls it one.
const PATIENCE_SECONDS: &str = "15";

/// A check that takes this many times as long as on the code as it is hangs.
const HANG_FACTOR: u32 = 5;

/// What became of a mutant.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The check failed.
    Killed,
    /// The check went on past the limit, and its property is that it ends.
    Hung,
    /// The check passed.
    Survived,
    /// The check went on past the limit, which for a model says nothing.
    Undecided,
    /// The mutant could not be made or built.
    Broken(String),
}

/// Runs the mutants whose names contain the filter.
pub(crate) fn run(project: &Project, mut parser: lexopt::Parser) -> Result<bool> {
    let mut filter = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(name) if filter.is_none() => filter = Some(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut log = Log::create(&project.target.join("mutants/log"), Echo::OwnLines)?;
    let outcome = check(project, filter.as_deref(), &mut log)?;
    for problem in &outcome.problems {
        println!("{problem}");
    }
    println!("mutants: {} (builds and output: {})", outcome.counts, log.path().display());
    Ok(outcome.is_good())
}

/// Runs the mutants whose names contain `filter`, or all.
pub(crate) fn check(project: &Project, filter: Option<&str>, log: &mut Log) -> Result<Outcome> {
    let text = fs::read_to_string(project.root.join("mutants.toml"))?;
    let mut mutants = manifest::parse(&text)?;
    mutants.retain(|mutant| filter.is_none_or(|filter| mutant.name.contains(filter)));
    let mut outcome = Outcome::default();
    if mutants.is_empty() {
        outcome.problem("mutants: none selected");
        return Ok(outcome);
    }
    let copy = WorkingCopy::of(project)?;
    let runner = Runner { project, copy: &copy };
    let baselines = runner.baselines(&mutants, log)?;
    for mutant in &mutants {
        let start = Instant::now();
        let verdict = match &baselines[&mutant.check] {
            Ok(baseline) => runner.judge(mutant, *baseline, log)?,
            Err(why) => Verdict::Broken(why.clone()),
        };
        let good = verdict.is_kill() != mutant.survives && !verdict.is_error();
        let (name, check, time) = (&mutant.name, &mutant.check, start.elapsed().as_secs_f64());
        let mark = if good { "" } else { "   <-- NOT AS EXPECTED" };
        log.say(format_args!("{name:<44} {time:>6.1} s  {verdict} by {check}{mark}"))?;
        match good {
            true => outcome.counts.passed += 1,
            false => {
                outcome.counts.failed += 1;
                outcome.problem(format!("mutant {name}: {verdict} ({})", mutant.file));
            }
        }
    }
    Ok(outcome)
}

/// The copy that is broken, and the builds of it.
struct Runner<'a> {
    project: &'a Project,
    copy: &'a WorkingCopy,
}

impl Runner<'_> {
    /// Runs each check that is used on the code as it is: its time, or what is wrong with it.
    fn baselines<'m>(
        &self,
        mutants: &'m [Mutant],
        log: &mut Log,
    ) -> Result<HashMap<&'m Check, std::result::Result<Duration, String>>> {
        let mut baselines = HashMap::new();
        for mutant in mutants {
            if baselines.contains_key(&mutant.check) {
                continue;
            }
            let baseline = self.baseline(&mutant.check, log)?;
            if let Err(why) = &baseline {
                log.say(format_args!("{}: {why}", mutant.check))?;
            }
            baselines.insert(&mutant.check, baseline);
        }
        Ok(baselines)
    }

    fn baseline(
        &self,
        check: &Check,
        log: &mut Log,
    ) -> Result<std::result::Result<Duration, String>> {
        if !log.run(self.command(check, Stage::Build), BUILD_LIMIT)?.end.is_success() {
            return Ok(Err("does not build without a mutant".to_string()));
        }
        let run = log.run(self.command(check, Stage::Run), BASELINE_LIMIT)?;
        if !run.end.is_success() {
            return Ok(Err(format!("fails without a mutant: it {}", run.end)));
        }
        Ok(match count_tests(&run.text).passed {
            0 => Err("no test or model of this name".to_string()),
            _ => Ok(run.time),
        })
    }

    /// Breaks the copy, runs the check, and mends the copy.
    fn judge(&self, mutant: &Mutant, baseline: Duration, log: &mut Log) -> Result<Verdict> {
        let original = match self.copy.read(&mutant.file) {
            Ok(original) => original,
            Err(error) => return Ok(Verdict::Broken(format!("stale: {error}"))),
        };
        let broken = match mutant.apply(&original) {
            Ok(broken) => broken,
            Err(stale) => return Ok(Verdict::Broken(stale)),
        };
        log_mutant(mutant, log)?;
        self.copy.write(&mutant.file, &broken)?;
        let verdict = self.judge_broken(mutant, baseline, log);
        self.copy.write(&mutant.file, &original)?;
        verdict
    }

    fn judge_broken(&self, mutant: &Mutant, baseline: Duration, log: &mut Log) -> Result<Verdict> {
        let check = &mutant.check;
        if !log.run(self.command(check, Stage::Build), BUILD_LIMIT)?.end.is_success() {
            return Ok(Verdict::Broken("does not compile".to_string()));
        }
        let limit = mutant.timeout.max(baseline * HANG_FACTOR);
        let run = log.run(self.command(check, Stage::Run), limit)?;
        Ok(match run.end {
            End::Exited(status) if status.success() => Verdict::Survived,
            End::Exited(_) => Verdict::Killed,
            End::TimedOut(_) if mutant.hang_kills => Verdict::Hung,
            End::TimedOut(_) => Verdict::Undecided,
        })
    }

    /// Returns the command that builds or runs a check. Builds with other flags go to another
    /// folder, so that every mutant rebuilds only what it changes.
    fn command(&self, check: &Check, stage: Stage) -> Command {
        let (shell, cargo) = (&self.project.shell, &self.project.cargo);
        let no_run = (stage == Stage::Build).then_some("--no-run");
        let folder = self.project.target.join("mutants");
        let mut command = match check {
            Check::Loom { krate, model } | Check::Shuttle { krate, model } => {
                let checker = match check {
                    Check::Shuttle { .. } => "shuttle",
                    _ => "loom",
                };
                let target = ["--release", "-p", krate, "--test", checker];
                Command::from(
                    cmd!(shell, "{cargo} test {target...} {no_run...} -- {model}")
                        .env("RUSTFLAGS", format!("--cfg {checker}"))
                        .env("CARGO_TARGET_DIR", folder.join(checker)),
                )
            }
            Check::Test { krate, target, name, release, features } => {
                let mut options = vec!["-p", krate];
                match target.as_str() {
                    "lib" => options.push("--lib"),
                    target => options.extend(["--test", target]),
                }
                options.extend(release.then_some("--release"));
                options.extend(features.iter().flat_map(|features| ["--features", features]));
                Command::from(
                    cmd!(shell, "{cargo} test {options...} {no_run...} -- {name}")
                        .env("RUSTFIBER_TEST_SECONDS", PATIENCE_SECONDS)
                        .env("CARGO_TARGET_DIR", folder.join("plain")),
                )
            }
        };
        // One line changes: what does not hang on it is not built again.
        command.envs([
            ("CARGO_PROFILE_RELEASE_INCREMENTAL", "true"),
            ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
        ]);
        command.current_dir(self.copy.root());
        command
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Build,
    Run,
}

fn log_mutant(mutant: &Mutant, log: &mut Log) -> Result<()> {
    let Mutant { name, file, find, replace, .. } = mutant;
    log.note(format_args!("==== {name}: {file}\n-{find}\n+{replace}"))
}

impl Verdict {
    fn is_kill(&self) -> bool {
        matches!(self, Verdict::Killed | Verdict::Hung)
    }

    fn is_error(&self) -> bool {
        matches!(self, Verdict::Broken(_) | Verdict::Undecided)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Killed => f.write_str("killed"),
            Verdict::Hung => f.write_str("killed (hang)"),
            Verdict::Survived => f.write_str("survived"),
            Verdict::Undecided => f.write_str("undecided (time limit)"),
            Verdict::Broken(why) => f.write_str(why),
        }
    }
}
