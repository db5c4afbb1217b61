//! What a pool costs that has nothing to do: each in a process of its own, on Linux.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::peers;

/// Makes the child process be idle: `--idle SYSTEM`.
pub const OPTION: &str = "--idle";

const SYSTEMS: [&str; 5] = ["rustfiber", "rayon", "chili", "tokio", "may"];

/// How long the pools are idle.
const WATCHED: Duration = Duration::from_secs(1);

/// What all threads of a process cost in a second without work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdleCost {
    /// The system's name.
    pub system: String,
    /// Microseconds of CPU time.
    pub cpu_us: f64,
    /// Times that one of its threads got a CPU.
    pub switches: u64,
}

/// Watches each system in turn; nothing where the operating system does not tell.
///
/// # Errors
///
/// When a child process fails.
pub fn watch_all(program: &Path) -> Result<Vec<IdleCost>, Box<dyn Error>> {
    if !cfg!(target_os = "linux") {
        return Ok(Vec::new());
    }
    let watch = |system| -> Result<IdleCost, Box<dyn Error>> {
        let output = Command::new(program).args([OPTION, system]).output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("idle {system}: {errors}").into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    SYSTEMS.into_iter().map(watch).collect()
}

/// Starts a system, lets it work, watches it being idle, and prints what that cost.
///
/// # Errors
///
/// If there is no such system, or it cannot be watched.
pub fn run(system: &str, workers: usize) -> Result<(), Box<dyn Error>> {
    let work = start(system, workers).ok_or_else(|| format!("there is no system {system}"))?;
    let cost = watch(system, work)?;
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// Starts a system's pool, and returns what gives it one job and waits for it.
fn start(system: &str, workers: usize) -> Option<Box<dyn Fn()>> {
    Some(match system {
        "rustfiber" => {
            let pool = peers::rustfiber(workers);
            Box::new(move || pool.run(|| ()))
        }
        "rayon" => {
            let pool = peers::rayon(workers);
            Box::new(move || pool.install(|| ()))
        }
        "chili" => {
            let pool = peers::chili(workers);
            Box::new(move || _ = pool.scope().join(|_| (), |_| ()))
        }
        "tokio" => {
            let pool = peers::tokio(workers);
            Box::new(move || pool.block_on(pool.spawn(async {})).expect("no task panics"))
        }
        "may" => {
            may::config().set_workers(workers);
            Box::new(|| may::go!(|| ()).join().expect("no coroutine panics"))
        }
        _ => return None,
    })
}

fn watch(system: &str, work: impl Fn()) -> Result<IdleCost, Box<dyn Error>> {
    (0..1000).for_each(|_| work());
    // SLEEP: lets the workers go to sleep; what they cost once they should is what is measured.
    thread::sleep(WATCHED / 4);
    let before = spent()?;
    // SLEEP: the time that is watched.
    thread::sleep(WATCHED);
    let after = spent()?;
    Ok(IdleCost {
        system: system.to_owned(),
        cpu_us: (after.0 - before.0) as f64 / 1e3,
        switches: after.1 - before.1,
    })
}

/// Returns the CPU time in nanoseconds, and the number of times that a thread got a CPU, of all
/// threads but the calling one.
fn spent() -> Result<(u64, u64), Box<dyn Error>> {
    let (mut time, mut turns) = (0, 0);
    let own = fs::read_link("/proc/thread-self")?;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        if own.ends_with(task.file_name()) {
            continue;
        }
        let text = fs::read_to_string(task.path().join("schedstat"))?;
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        let [on_cpu, _, slices] = numbers?[..] else {
            return Err(format!("schedstat reads {text:?}").into());
        };
        (time, turns) = (time + on_cpu, turns + slices);
    }
    Ok((time, turns))
}
