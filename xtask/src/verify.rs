//! The checks, one after another, and a table of what came of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The crates that have models in `tests/loom.rs`.
const MODEL_CRATES: [&str; 2] = ["intrusive-waitlist", "deque-scheduler"];

/// One command to run.
struct Step {
    name: String,
    args: Vec<&'static str>,
    environment: Vec<(&'static str, &'static str)>,
    /// The step runs libtest, whose counts are added up; zero tests are a failure.
    has_tests: bool,
}

/// What came of a step.
struct Outcome {
    name: String,
    time: Duration,
    passed: u64,
    failed: u64,
    skipped: u64,
}

fn step(name: &str, args: &[&'static str], has_tests: bool) -> Step {
    Step { name: name.into(), args: args.to_vec(), environment: Vec::new(), has_tests }
}

fn fast_steps() -> Vec<Step> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    vec![
        step("fmt", &["fmt", "--all", "--check"], false),
        step("clippy", &clippy, false),
        step("tests", &["test", "--workspace", "--all-targets", "--no-fail-fast"], true),
        step("doc tests", &["test", "--workspace", "--doc"], true),
    ]
}

fn loom_step(name: &'static str) -> Step {
    Step {
        environment: vec![("RUSTFLAGS", "--cfg loom"), ("CARGO_TARGET_DIR", "target/loom")],
        ..step(&format!("loom {name}"), &["test", "--release", "-p", name, "--test", "loom"], true)
    }
}

/// Runs every check; `fast` leaves out the slow ones.
pub(crate) fn verify(fast: bool) -> ExitCode {
    let mut steps = fast_steps();
    if !fast {
        steps.push(Step {
            environment: vec![("RUSTDOCFLAGS", "-D warnings")],
            ..step("docs", &["doc", "--workspace", "--no-deps"], false)
        });
        steps.extend(MODEL_CRATES.map(loom_step));
    }
    run_all(&steps)
}

/// Runs the models of one crate, or of all.
pub(crate) fn loom(only: Option<&str>) -> ExitCode {
    let chosen = MODEL_CRATES.into_iter().filter(|&name| only.is_none_or(|only| only == name));
    let steps: Vec<Step> = chosen.map(loom_step).collect();
    if steps.is_empty() {
        eprintln!("no such crate with models; there are {MODEL_CRATES:?}");
        return ExitCode::from(2);
    }
    run_all(&steps)
}

fn run_all(steps: &[Step]) -> ExitCode {
    let outcomes: Vec<Outcome> = steps.iter().map(run).collect();
    println!("\n{:<28} {:>8} {:>8} {:>8} {:>8}", "step", "passed", "failed", "skipped", "time");
    for outcome in &outcomes {
        println!(
            "{:<28} {:>8} {:>8} {:>8} {:>6.1} s",
            outcome.name,
            outcome.passed,
            outcome.failed,
            outcome.skipped,
            outcome.time.as_secs_f32()
        );
    }
    let total = |count: fn(&Outcome) -> u64| outcomes.iter().map(count).sum::<u64>();
    let failed = total(|outcome| outcome.failed);
    println!(
        "\n{} passed, {failed} failed, {} skipped",
        total(|outcome| outcome.passed),
        total(|outcome| outcome.skipped)
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one step, and keeps what it printed in a log.
fn run(step: &Step) -> Outcome {
    println!("{} ...", step.name);
    let started = Instant::now();
    let output = Command::new(env!("CARGO"))
        .args(&step.args)
        .envs(step.environment.iter().copied())
        .current_dir(root())
        .stdin(Stdio::null())
        .output();
    let mut outcome =
        Outcome { name: step.name.clone(), time: Duration::ZERO, passed: 0, failed: 0, skipped: 0 };
    let (text, succeeded) = match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            (String::from_utf8_lossy(&text).into_owned(), output.status.success())
        }
        Err(error) => (format!("cargo could not be started: {error}"), false),
    };
    outcome.time = started.elapsed();
    if step.has_tests {
        for line in text.lines() {
            count(line, &mut outcome);
        }
    } else {
        outcome.passed = succeeded.into();
    }
    let ran_nothing = outcome.passed + outcome.failed == 0;
    if !succeeded || ran_nothing {
        outcome.failed = outcome.failed.max(1);
        println!("{}\n{} failed", tail(&text), step.name);
    }
    keep_log(&step.name, &text);
    outcome
}

/// Adds the counts of a libtest `test result:` line, and the tests that say they were skipped.
fn count(line: &str, outcome: &mut Outcome) {
    if line.starts_with("SKIPPED:") {
        println!("  {line}");
        outcome.skipped += 1;
    }
    if !line.starts_with("test result:") {
        return;
    }
    let words: Vec<&str> = line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        let Ok(number) = pair[0].parse::<u64>() else { continue };
        match pair[1] {
            "passed" => outcome.passed += number,
            "failed" => outcome.failed += number,
            "ignored" => outcome.skipped += number,
            _ => {}
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn keep_log(name: &str, text: &str) {
    let folder = root().join("target/verify");
    let path = folder.join(name.replace(' ', "-")).with_extension("log");
    let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text));
    if let Err(error) = kept {
        println!("  (no log at {}: {error})", path.display());
    }
}

/// Returns the workspace's folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies in the workspace").to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_counts_are_added_up() {
        let mut outcome =
            Outcome { name: String::new(), time: Duration::ZERO, passed: 0, failed: 0, skipped: 0 };
        let line = "test result: FAILED. 7 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out";
        count(line, &mut outcome);
        count("SKIPPED: no machines", &mut outcome);
        count("5 passed in passing", &mut outcome);
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped), (7, 2, 2));
    }
}
