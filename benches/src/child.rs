//! Systems that can crash, or keep what they start until the process ends: each run in a process
//! of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::may_peer;
use crate::paired::{Run, System};
use crate::suite::Size;

/// Makes the child process do its run: `--child WORKLOAD`, and `--quick` for the small size.
pub const OPTION: &str = "--child";

/// How long a child may take, with warming up.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes a system that runs `workload` by may, in a process of its own that `program` starts. A
/// child warms up before it measures.
pub(crate) fn may(program: &Path, workload: &'static str, size: Size) -> System<'static> {
    let program = program.to_owned();
    let quick = (size == Size::Quick).then_some("--quick");
    let run = move || {
        let mut child = Command::new(&program)
            .args([OPTION, workload])
            .args(quick)
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // may's own panics are many
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let start = Instant::now();
        // PROGRESS: the child ends, or has no time left.
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            if start.elapsed() > LIMIT {
                child.kill().map_err(|error| error.to_string())?;
                return Err(format!("does not end within {LIMIT:?}"));
            }
            // SLEEP: std has no wait with a time limit; what is measured, the child measures.
            thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        // A panic is a wrong answer; may's own end by a signal.
        assert!(
            output.status.code().is_none_or(|code| code == 0),
            "may: {workload}: a wrong answer; `paired {OPTION} {workload}` shows it"
        );
        if !output.status.success() {
            return Err(output.status.to_string());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    };
    System { name: "may", workers: None, run: Box::new(run) }
}

/// Does the run of a child process, and prints it.
///
/// # Errors
///
/// If may has no such workload.
///
/// # Panics
///
/// Panics if the answer is wrong.
pub fn run(workload: &str, size: Size, workers: usize) -> Result<(), String> {
    let program = may_peer::PROGRAMS.iter().find(|program| program.workload == workload);
    let program = program.ok_or_else(|| format!("may has no workload {workload}"))?;
    may::config().set_workers(program.workers.unwrap_or(workers)).set_stack_size(0x2000);
    (program.run)(Size::Quick);
    let run: Run = (program.run)(size);
    println!("{}", serde_json::to_string(&run).expect("numbers can be written"));
    Ok(())
}
